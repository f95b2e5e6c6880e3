"""The states of a slot, one by one: ours fresh, ours stale, edited, yours, missing; and the plan's reasons."""

from dataclasses import replace

import pytest

from engine.errors import InputError, RecipeError, UsageError


@pytest.fixture
def run(toy, tmp_path):
    """Run the toy project; returns (what ran, the result's text)."""
    root = tmp_path / "dance.mimo"

    def call(**more):
        toy.ran.clear()
        made = toy.make(root, more.pop("stages", toy.STAGES)).run([toy.RESULT], identity="cat", **more)
        return list(toy.ran), made[toy.RESULT].read_text() if made else ""

    call.root = root
    call.lines = lambda **more: {
        step.stage.id: (step.action, step.reason)
        for step in toy.make(root, more.pop("stages", toy.STAGES))
        .planner(["cat"], **more)
        .plan([toy.RESULT.bind("cat")])
    }
    call.warnings = lambda: [
        warning for step in toy.make(root).planner(["cat"]).plan([toy.RESULT.bind("cat")]) for warning in step.warnings
    ]
    return call


CHUNKS = ["chunk 000000", "chunk 000001", "chunk 000002"]


def test_first_run_then_fresh(run):
    assert run.lines() == {
        "ingest": ("run", "first run"),
        "segment": ("run", "after ingest"),
        "scene": ("run", "after segment"),
        "encode-id@cat": ("run", "identity/cat: first run"),
        "compose@cat": ("run", "after scene, encode-id@cat"),
    }
    ran, _ = run()
    assert ran == ["ingest", "segment", *CHUNKS, "scene", "cat: encode", "compose"]
    assert set(run.lines().values()) == {("fresh", "")}
    assert run()[0] == []


def test_ours_stale_says_what_changed(run, toy):
    run()
    toy.make(run.root).set_params({"segment": {"threshold": 0.6}})
    lines = run.lines()
    assert lines["segment"] == ("run", "segment.threshold 0.5 → 0.6")
    assert lines["scene"] == ("run", "after segment")
    assert lines["ingest"] == ("fresh", "")


def test_early_cutoff(run, toy):
    """The threshold only moves the tracks, which nothing reads: the scene is planned, then found to be up to date."""
    run()
    toy.make(run.root).set_params({"segment": {"threshold": 0.6}})
    assert run()[0] == ["segment", *CHUNKS]
    assert (run.root / "layers/tracks.csv").read_text() == "0.6 plain 6"


def test_replaced_output_is_kept_once_in_the_trash(run, toy):
    run()
    for threshold in (0.6, 0.7):
        toy.make(run.root).set_params({"segment": {"threshold": threshold}})
        run()
    trash = run.root / ".mimo/trash"
    assert [path.relative_to(trash).as_posix() for path in trash.rglob("*.*")] == ["layers/tracks.csv"]
    assert (trash / "layers/tracks.csv").read_text() == "0.6 plain 6"  # the mask came out the same: not replaced


def test_edit_wins_and_is_followed(run, toy):
    run()
    (run.root / "layers/human.mask.mkv").write_text("a b c d e mine")
    lines = run.lines()
    assert lines["segment"] == ("yours", "layers/human.mask.mkv is yours")
    assert lines["scene"] == ("run", "layers/human.mask is yours")
    ran, text = run()
    assert ran == ["scene", "compose"]
    assert "a b c d e mine" in text and "yours" in text  # the stage knows that the file is not ours
    assert (run.root / "layers/human.mask.mkv").read_text() == "a b c d e mine"


def test_edit_stays_when_its_inputs_change_and_siblings_follow(run, toy):
    run()
    (run.root / "layers/tracks.csv").write_text("my tracks")
    assert run.warnings() == []
    (run.root.parent / "dance.txt").write_text("1 2 3 4 5 6")
    assert run.warnings() == ["layers/tracks.csv is yours and older than its inputs; delete it to have it made again"]
    _, text = run()
    assert "1 2 3 4 5 6" in text
    assert (run.root / "layers/tracks.csv").read_text() == "my tracks"


def test_only_output_edited_and_stale_is_said(run, toy):
    run()
    (run.root / "layers/scene.mkv").write_text("my scene")
    toy.make(run.root).set_params({"scene": {"seed": 3}})
    assert run.warnings() == ["layers/scene.mkv is yours and older than its inputs; delete it to have it made again"]
    assert run()[0] == ["compose"]


def test_deleting_the_edit_brings_ours_back(run):
    _, want = run()
    (run.root / "layers/human.mask.mkv").write_text("a b c d e mine")
    run()
    (run.root / "layers/human.mask.mkv").unlink()
    lines = run.lines()
    assert lines["segment"] == ("run", "layers/human.mask is missing")
    assert run()[1] == want


def test_yours_before_the_first_run(run, toy):
    toy.make(run.root)
    (run.root / "layers").mkdir()
    (run.root / "layers/scene.mov").write_text("my plate")
    lines = run.lines()
    assert lines["scene"] == ("yours", "layers/scene.mov is yours")
    assert "segment" not in lines and "ingest" not in lines  # nothing behind a person's file is needed for it
    ran, text = run()
    assert ran == ["cat: encode", "compose"] and text.startswith("my plate")


def test_missing_is_made_again(run):
    _, want = run()
    (run.root / "out/cat.mkv").unlink()
    assert run.lines()["compose@cat"] == ("run", "out/cat is missing")
    assert run() == (["compose"], want)


def test_ours_and_yours_for_one_stem(run):
    run()
    (run.root / "layers/human.mask.mov").write_text("a b c d e f2")
    ran, text = run()
    assert ran == ["scene", "compose"] and "f2" in text
    assert not (run.root / "layers/human.mask.mkv").exists()
    assert (run.root / ".mimo/trash/layers/human.mask.mkv").exists()


def test_png_folder_for_a_video(run):
    run()
    folder = run.root / "layers/human.mask"
    folder.mkdir()
    for idx in range(6):
        (folder / f"{idx:06d}.png").write_text(str(idx))
    (folder / ".DS_Store").write_text("left behind by a desktop")
    ran, text = run()
    assert ran == ["scene", "compose"] and "000005.png" in text
    (folder / ".DS_Store").unlink()
    assert run()[0] == []
    (folder / "000003.png").write_text("painted over")
    assert run()[0] == ["scene"]  # the toy scene shows names alone: the same bytes, and the cascade stops
    (folder / "000003.png").write_text("painted oven")
    assert run()[0] == ["scene"]


def test_yours_and_yours_is_an_error(run):
    run()
    (run.root / "layers/human.mask.mov").write_text("a b c d e f2")
    (run.root / "layers/human.mask.mp4").write_text("a b c d e f3")
    with pytest.raises(
        InputError, match=r"human\.mask\.mov and layers/human\.mask\.mp4 both claim the same place"
    ) as caught:
        run()
    assert caught.value.fix == "keep one: delete or move layers/human.mask.mp4"


def test_check_at_the_door(run, toy):
    run()
    before = {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file() and ".mimo" not in path.parts}
    mask = run.root / "layers/human.mask.mkv"
    mask.write_text("only three frames")
    with pytest.raises(InputError, match="has 3 frames; the clip has 6"):
        run()
    assert toy.ran == []  # before any work
    for path, data in before.items():
        assert path == mask or path.read_bytes() == data


def test_check_waits_for_what_it_compares_with(run, toy):
    """Own mask in a new project: the clip is not there to compare with, and the mask is checked before it is read."""
    toy.make(run.root)
    (run.root / "layers").mkdir()
    (run.root / "layers/human.mask.mkv").write_text("only three frames")
    project = toy.make(run.root)
    with pytest.raises(InputError, match="has 3 frames"):
        project.run([toy.FRAMES, toy.RESULT], identity="cat")
    assert toy.ran == ["ingest"]


def test_optional_input(run):
    run()
    (run.root / "identity/cat/hint.toml").write_text("tail")
    assert run.lines()["encode-id@cat"] == ("run", "identity/cat/hint.toml is new")
    assert "tail" in run()[1]
    (run.root / "identity/cat/hint.toml").unlink()
    assert run.lines()["encode-id@cat"] == ("run", "identity/cat/hint is gone")
    assert "no hint" in run()[1]


def test_second_identity_redoes_only_its_own(run, toy):
    run()
    toy.ran.clear()
    (run.root / "identity/dog").mkdir()
    (run.root / "identity/dog/reference.jpg").write_text("a dog")
    made = toy.make(run.root).run([toy.RESULT], identity="dog")
    assert toy.ran == ["dog: encode", "compose"] and made[toy.RESULT].name == "dog.mkv"
    assert run()[0] == []


def test_redo(run):
    _, want = run()
    (run.root / "layers/tracks.csv").write_text("my tracks")
    assert run.lines(redo=["segment"])["segment"] == ("run", "--redo")
    assert run(redo=["segment"]) == (["segment", *CHUNKS], want)  # chunks too; then the cascade stops
    assert (run.root / "layers/tracks.csv").read_text() == "my tracks"
    with pytest.raises(UsageError) as caught:
        run(redo=["segmnt"])
    assert caught.value.fix == "did you mean segment?"


def test_new_version_runs_again(run, toy):
    run()
    stages = tuple(replace(stage, version=2) if stage.name == "scene" else stage for stage in toy.STAGES)
    assert run.lines(stages=stages)["scene"] == ("run", "mimo does it in a new way (version 1 → 2)")
    assert run(stages=stages)[0] == ["scene"]


def test_new_network_runs_again(run, toy):
    run()
    planner = toy.make(run.root).planner(["cat"])
    planner.weights = lambda name: "other bytes"
    steps = {step.stage.id: step.reason for step in planner.plan([toy.RESULT.bind("cat")])}
    assert steps["segment"] == "network net changed"


def test_touch_is_no_change_and_same_size_edit_is_one(run):
    run()
    mask = run.root / "layers/human.mask.mkv"
    mask.write_text(mask.read_text())
    assert run()[0] == []
    mask.write_text(mask.read_text().replace("SIX", "SEX"))
    assert run()[0] == ["scene", "compose"]


def test_dry_run_writes_nothing(run, toy):
    toy.make(run.root)
    before = sorted(path.relative_to(run.root) for path in run.root.rglob("*"))
    assert run(dry_run=True) == ([], "")
    assert sorted(path.relative_to(run.root) for path in run.root.rglob("*")) == before


def test_copy_of_a_project_is_a_second_project(run, toy, tmp_path):
    import shutil

    run()
    shutil.copytree(tmp_path, tmp_path / "else")
    toy.ran.clear()
    toy.make(tmp_path / "else/dance.mimo").run([toy.RESULT], identity="cat")
    assert toy.ran == []


def test_missing_input_names_the_file(run, toy):
    run()
    (run.root / "identity/cat/reference.png").unlink()
    project = toy.Project.open(run.root, toy.STAGES, weights=toy.weights)
    with pytest.raises(InputError, match=r"identity/cat/reference\.png is missing") as caught:
        project.run([toy.RESULT], identity="cat")
    assert caught.value.fix.startswith("put a file there: ")
    blocked = {step.stage.id: step for step in project.status()}
    assert blocked["encode-id@cat"].action == "blocked"
    assert blocked["compose@cat"].reason == "after encode-id@cat"


def test_missing_source(run, toy):
    run()
    (run.root.parent / "dance.txt").unlink()
    project = toy.Project.open(run.root, toy.STAGES, weights=toy.weights)
    with pytest.raises(InputError, match=r"dance\.txt is not there"):
        project.run([toy.RESULT], identity="cat")


def test_settings_are_strict(run, toy):
    run()
    path = run.root / "project.toml"
    good = path.read_text()
    for line, what, fix in (
        ("[segment]\nthresold = 0.6", "segment.thresold is not a setting.", f"did you mean threshold? (in {path})"),
        ("[segmnt]", "[segmnt] in project.toml is not a stage.", "did you mean segment?"),
        ('[segment]\nthreshold = "much"', 'segment.threshold is "much".', f"use a number (in {path})"),
        ("[segment]\nmode = 3", "segment.mode is 3.", f"use text in quotes (in {path})"),
    ):
        path.write_text(f"{good}\n{line}\n")
        with pytest.raises(RecipeError) as caught:
            run()
        assert (caught.value.what, caught.value.fix) == (what, fix)
