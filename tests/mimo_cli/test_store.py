"""The store when the world is unkind: full disks, read-only folders, links, newer projects, two runs at once."""

import errno
import hashlib
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import mimo_cli
from engine.errors import InputError, RecipeError
from mimo_cli import console
from mimo_cli.artifacts import check_columns
from mimo_cli.lock import locked
from mimo_cli.stage import check_map


@pytest.fixture
def root(tmp_path):
    return tmp_path / "dance.mimo"


def run(toy, root, **more):
    return toy.make(root, **more).run([toy.RESULT], identity="cat")


def test_the_key_is_stable(toy):
    """Moves only when KEY_SCHEMA does: a key that moved by accident would throw everybody's work away."""
    segment = toy.STAGES[1]
    key = segment.key(toy.SegmentParams(), {"clip/frames": "ab", "source/video": "cd"}, {"net": "ef"})
    text = '[1,"segment",1,{"mode":"plain","threshold":0.5},{"clip/frames":"ab","source/video":"cd"},{"net":"ef"}]'
    assert key == hashlib.sha256(text.encode()).hexdigest()


def test_the_key_moves_with_each_part_and_with_nothing_else(toy):
    segment, params, inputs, weights = toy.STAGES[1], toy.SegmentParams(), {"a": "1", "b": "2"}, {"net": "3"}
    keys = [
        segment.key(params, inputs, weights),
        replace(segment, version=2).key(params, inputs, weights),
        replace(segment, name="other").key(params, inputs, weights),
        segment.key(replace(params, threshold=0.25), inputs, weights),
        segment.key(params, {"a": "1", "b": "3"}, weights),
        segment.key(params, {"a": "1"}, weights),
        segment.key(params, {"a": "1", "b": "yours:2"}, weights),
        segment.key(params, inputs, {"net": "4"}),
    ]
    assert len(set(keys)) == len(keys)
    assert segment.key(params, {"b": "2", "a": "1"}, weights) == keys[0]  # order means nothing
    assert replace(segment, identity="cat").key(params, inputs, weights) == keys[0]  # equal pictures, equal work


def test_a_setting_without_json_form_is_a_bug(toy):
    with pytest.raises(TypeError, match="threshold is nan"):
        toy.STAGES[1].key(toy.SegmentParams(threshold=float("nan")), {}, {})


def test_check_map(toy):
    check_map(toy.STAGES)
    ingest, segment, scene, *rest = toy.STAGES
    with pytest.raises(AssertionError, match="written by"):
        check_map([*toy.STAGES, replace(scene, name="scene2")])
    with pytest.raises(AssertionError, match="a cycle: segment -> scene -> segment"):
        check_map([ingest, replace(segment, reads=(toy.SCENE,)), scene, *rest])

    @dataclass
    class Loose:
        threshold: float = 0.5

    with pytest.raises(AssertionError, match="frozen"):
        check_map([replace(segment, params=Loose)])


def test_a_stage_that_breaks_its_promise_is_a_bug(toy, root):
    stages = (replace(toy.STAGES[0], run=lambda job: job.outputs[toy.INFO].write_text("x")), *toy.STAGES[1:])
    with pytest.raises(AssertionError, match="ingest left 0 files for clip/frames"):
        toy.make(root, stages).run([toy.RESULT], identity="cat")


def test_full_disk(toy, root):
    def fill(job):
        job.progress(1, 4)
        (job.outputs[toy.SCENE]).write_bytes(b"0" * 3_000_000)
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise RuntimeError("the encoder gave up") from error  # libraries wrap what the system says

    stages = (*toy.STAGES[:2], replace(toy.STAGES[2], run=fill), *toy.STAGES[3:])
    with pytest.raises(InputError) as caught:
        toy.make(root, stages).run([toy.RESULT], identity="cat")
    assert f"the disk that holds {root.resolve()} is full" in caught.value.what
    assert "about 9 MB more is needed" in caught.value.what  # 3 MB are a quarter: nine are missing
    assert "finished work is kept" in caught.value.fix
    assert not (root / "layers/scene.mkv").exists()
    toy.ran.clear()
    run(toy, root)
    assert "segment" not in toy.ran


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_read_only_folder(toy, root, monkeypatch, number):
    toy.make(root)
    real = os.mkdir

    def refuse(path, *args, **kwargs):
        if ".mimo" in Path(path).name:
            raise OSError(number, "no", str(path))
        real(path, *args, **kwargs)

    monkeypatch.setattr(os, "mkdir", refuse)  # the tests may run as root, whom chmod does not stop
    with pytest.raises(InputError, match=r"read-only disk|may not write"):
        run(toy, root)


def test_status_needs_no_writing(toy, root, monkeypatch):
    run(toy, root)

    def refuse(*args, **kwargs):
        raise OSError(errno.EROFS, "read-only")

    project = toy.make(root)
    for name in ("mkdir", "replace", "rename", "unlink"):
        monkeypatch.setattr(os, name, refuse)
    assert {step.action for step in project.status()} == {"fresh"}


def test_newer_project_is_refused(toy, root):
    run(toy, root)
    text = (root / "project.toml").read_text()
    (root / "project.toml").write_text(text.replace("schema = 1", "schema = 2"))
    with pytest.raises(InputError, match="made by a newer mimo"):
        run(toy, root)


def test_newer_or_broken_record_is_refused(toy, root):
    run(toy, root)
    record = root / "stages/scene.json"
    text = record.read_text()
    record.write_text(text.replace('"schema": 1', '"schema": 7'))
    with pytest.raises(InputError, match=r"stages/scene\.json was written by a newer mimo"):
        run(toy, root)
    record.write_text(text[:40])
    with pytest.raises(InputError, match=r"stages/scene\.json is not a record"):
        run(toy, root)


def test_link_out_of_the_project_is_refused(toy, root, tmp_path):
    toy.make(root)
    (tmp_path / "elsewhere").mkdir()
    (root / "layers").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"layers is a link to .*elsewhere, outside the project"):
        run(toy, root)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_linked_file_is_read_and_never_written_through(toy, root, tmp_path):
    run(toy, root)
    (tmp_path / "plate.mkv").write_text("a plate on another disk")
    (root / "layers/scene.mkv").unlink()
    (root / "layers/scene.mkv").symlink_to(tmp_path / "plate.mkv")
    assert "a plate on another disk" in run(toy, root)[toy.RESULT].read_text()
    toy.make(root).set_params({"scene": {"seed": 5}})
    run(toy, root)
    assert (tmp_path / "plate.mkv").read_text() == "a plate on another disk"


def test_edit_while_mimo_runs_stays(toy, root):
    def slow(job):
        toy.segment(job)
        (root / "layers").mkdir(exist_ok=True)
        (root / "layers/human.mask.mov").write_text("a b c d e hand")

    stages = (toy.STAGES[0], replace(toy.STAGES[1], run=slow), *toy.STAGES[2:])
    made = toy.make(root, stages).run([toy.RESULT], identity="cat")
    assert "a b c d e hand" in made[toy.RESULT].read_text()
    assert not (root / "layers/human.mask.mkv").exists()


def test_two_runs_queue(toy, root):
    """The second waits, says so, and finds the work done."""
    started, go = threading.Event(), threading.Event()

    def slow(job):
        started.set()
        assert go.wait(20)
        toy.ingest(job)

    class Listening(console.Console):
        def waiting(self, project):
            waited.append(project)
            go.set()

    waited = []
    stages = (replace(toy.STAGES[0], run=slow), *toy.STAGES[1:])
    first = threading.Thread(target=lambda: toy.make(root, stages).run([toy.RESULT], identity="cat"))
    console.use(Listening(quiet=True))
    first.start()
    assert started.wait(20)
    ran_before = toy.ran.copy()
    run(toy, root)
    first.join()
    assert waited == [root.resolve()]
    assert ran_before == [] and toy.ran.count("segment") == 1 and toy.ran.count("compose") == 1


def test_lock_frees_when_the_process_dies(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from mimo_cli.lock import locked\n"
        "with locked(Path(sys.argv[1]), lambda: None): print('held', flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(mimo_cli.__file__).parents[1])}
    command = [sys.executable, "-c", code, str(tmp_path / "lock")]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    assert holder.stdout.readline() == "held\n"
    waited = []

    def on_wait():
        waited.append(True)
        holder.kill()

    with locked(tmp_path / "lock", on_wait):
        pass
    assert waited == [True]
    holder.communicate()


def test_verify_reads_every_file(toy, root):
    run(toy, root)
    mask = root / "layers/human.mask.mkv"
    project = toy.make(root)
    real = project.store.digest(mask)
    mark, _, _ = project.store._digests[str(mask.resolve())]
    project.store._digests[str(mask.resolve())] = [mark, "a lie", 2**63]
    assert project.store.digest(mask.resolve()) == "a lie"
    project.store.verify = True
    assert project.store.digest(mask.resolve()) == real


def test_put(toy, root, tmp_path):
    project = toy.make(root)
    (tmp_path / "dog.JPG").write_text("a dog")
    placed = project.put(toy.REFERENCE, tmp_path / "dog.JPG", "cat")
    assert placed == root.resolve() / "identity/cat/reference.jpg" and placed.read_text() == "a dog"
    assert not (root / "identity/cat/reference.png").exists()
    assert (root / ".mimo/trash/identity/cat/reference.png").read_text() == "a cat"
    with pytest.raises(InputError, match="cannot be used as"):
        project.put(toy.REFERENCE, tmp_path / "dance.txt", "cat")
    with pytest.raises(InputError, match="is not there"):
        project.put(toy.REFERENCE, tmp_path / "no.png", "cat")


def test_project_of_another_video_is_refused(toy, root, tmp_path):
    toy.make(root)
    (tmp_path / "other.txt").write_text("other")
    (tmp_path / "same.txt").write_text((tmp_path / "dance.txt").read_text())
    with pytest.raises(InputError, match="is a project of"):
        toy.Project.create(root, {"video": tmp_path / "other.txt"}, stages=toy.STAGES, weights=toy.weights)
    toy.Project.create(root, {"video": tmp_path / "same.txt"}, stages=toy.STAGES, weights=toy.weights)


def test_project_and_video_move_together(toy, root, tmp_path):
    run(toy, root)
    (tmp_path / "new").mkdir()
    for name in ("dance.mimo", "dance.txt"):
        (tmp_path / name).rename(tmp_path / "new" / name)
    project = toy.Project.open(tmp_path / "new/dance.mimo", toy.STAGES, weights=toy.weights)
    assert {step.action for step in project.status()} == {"fresh"}


def test_set_params_leaves_the_rest_of_the_file(toy, root):
    project = toy.make(root)
    path = root / "project.toml"
    mine = '# my notes\n\n[segment]   # people\nmode = "fine"   # slow\n\n# the end\n'
    path.write_text(path.read_text() + mine)
    project = toy.make(root)
    project.set_params({"segment": {"threshold": 0.75, "mode": "plain"}, "scene": {"seed": 4}})
    text = path.read_text()
    changed = mine.replace('mode = "fine"', 'mode = "plain"')
    assert text.endswith(f"{changed}threshold = 0.75\n\n[scene]\nseed = 4\n")
    assert toy.make(root).params(toy.STAGES[1]) == toy.SegmentParams(threshold=0.75, mode="plain")
    project.set_params({"scene": {"seed": 4}})
    assert path.read_text() == text
    project.set_params({"scene": {"seed": 5}}, keep=False)  # a dry run
    assert project.params(project.stages[2]).seed == 5 and path.read_text() == text


def test_a_setting_that_cannot_be_is_not_kept(toy, root):
    project = toy.make(root)
    before = (root / "project.toml").read_text()
    with pytest.raises(RecipeError, match="threshold"):
        project.set_params({"scene": {"seed": 4}, "segment": {"threshold": "much"}})
    assert (root / "project.toml").read_text() == before


@pytest.mark.parametrize(
    ("text", "what"),
    [("schema = ", "is not TOML"), ("x = 1", "has no schema"), ('schema = 1\n[source]\nvidio = "a"', "source.vidio")],
)
def test_broken_project_file(toy, root, text, what):
    toy.make(root)
    (root / "project.toml").write_text(text)
    with pytest.raises(RecipeError, match=what):
        toy.Project.open(root, toy.STAGES, weights=toy.weights)


def test_check_columns(tmp_path):
    (tmp_path / "a.csv").write_text("frame_idx, x0_px\n0,1\n")
    check_columns("frame_idx", "x0_px")(tmp_path / "a.csv", {})
    with pytest.raises(InputError, match=r"has no column y0_px; its columns are frame_idx, x0_px\."):
        check_columns("frame_idx", "y0_px")(tmp_path / "a.csv", {})
