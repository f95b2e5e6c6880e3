"""Kill a run anywhere; the next one ends with the same bytes and does no finished chunk twice."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest


def outcome(root: Path) -> dict[str, str]:
    """Everything a person can see, records without the clock."""
    seen = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and not name.startswith(".mimo/"):
            seen[name] = path.read_text()
            if name.startswith("stages/"):
                record = json.loads(seen[name])
                for key in ("took_s", "written_ns"):
                    del record[key]
                for output in record["outputs"].values():
                    del output["mtime_ns"]
                seen[name] = json.dumps(record)
    return seen


def finished_chunks(root: Path) -> set[str]:
    """Chunks that a rerun must not do again."""
    work = root / ".mimo" / "work"
    folders = work.glob("segment-*/chunks/*") if work.is_dir() else ()
    return {f"chunk {path.name}" for path in folders if not path.name.endswith(".part")}


def run(toy, root):
    made = toy.make(root).run([toy.RESULT], identity="cat")
    return made[toy.RESULT].read_text()


def prepare_first(toy, root):
    """A new project: everything is made for the first time."""
    toy.make(root)


def prepare_change(toy, root):
    """A finished project with a new setting, an edited table, no results: outputs are replaced and go to the trash."""
    run(toy, root)
    toy.make(root).set_params({"segment": {"threshold": 0.7}})
    (root / "layers/tracks.csv").write_text("my own tracks")
    shutil.rmtree(root / "out")
    (root.parent / "dance.txt").write_text("uno dos tres cuatro cinco seis")


def prepare_own_mask(toy, root):
    """A finished project to which a person brings a mask in another form: ours goes to the trash."""
    run(toy, root)
    (root / "layers/human.mask").mkdir()
    for idx in range(6):
        (root / f"layers/human.mask/{idx}.png").write_text(f"picture {idx}")


@pytest.mark.parametrize("prepare", [prepare_first, prepare_change, prepare_own_mask])
def test_kill_at_every_file_operation(toy, killer, killed, fast_path, prepare):
    prepare(toy, fast_path / "template" / "dance.mimo")

    def fresh(name):
        shutil.copytree(fast_path / "template", fast_path / name)
        toy.ran.clear()
        return fast_path / name / "dance.mimo"

    root = fresh("whole")
    whole = killer(alive=10**9)
    with whole.watching(toy):
        run(toy, root)
    want, ran_whole = outcome(root), list(toy.ran)
    assert whole.done > 30  # long enough to mean something; the first run of all has some 200
    for alive in range(whole.done):
        root = fresh("killed")
        with pytest.raises(killed), killer(alive).watching(toy):
            run(toy, root)
        finished = finished_chunks(root)
        ran_before = list(toy.ran)
        toy.ran.clear()
        run(toy, root)
        got = outcome(root)
        assert got == want, f"killed at {alive}"
        assert not finished & set(toy.ran), f"killed at {alive}: a finished chunk was done again"
        assert set(ran_before) | set(toy.ran) == set(ran_whole), f"killed at {alive}"
        assert list((root / ".mimo" / "work").iterdir()) == [], f"killed at {alive}: work was left behind"
        if alive % 5 == 0:  # this takes as long as all of the above
            toy.ran.clear()
            run(toy, root)
            assert toy.ran == [], f"killed at {alive}: the run after the next found something to do"
        shutil.rmtree(root.parent)


def test_killed_twice(toy, killer, killed, fast_path):
    """Kill the run that repairs, too."""
    root = fast_path / "whole" / "dance.mimo"
    want = (run(toy, root), outcome(root))[1]
    total = killer(10**9)
    shutil.rmtree(root.parent)
    with total.watching(toy):
        run(toy, root)
    rng = random.Random(1)  # forty pairs out of some ten thousand
    for _ in range(40):
        root = fast_path / "killed" / "dance.mimo"
        for alive in (rng.randrange(total.done), rng.randrange(total.done)):
            try:
                with killer(alive).watching(toy):
                    run(toy, root)
            except killed:
                pass
        run(toy, root)
        assert {name: text.replace("/killed/", "/whole/") for name, text in outcome(root).items()} == want
        shutil.rmtree(root.parent)


def test_real_sigkill(tmp_path):
    """The same with a real process, a real disk and kill -9."""
    here = Path(__file__).resolve()
    import mimo_cli

    environment = os.environ | {"PYTHONPATH": str(Path(mimo_cli.__file__).parents[1])}

    def start(root):
        command = [sys.executable, str(here.with_name("toy.py")), str(root)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True)

    begun_s = time.monotonic()
    whole = start(tmp_path / "whole" / "dance.mimo")
    text, _ = whole.communicate(timeout=60)
    took_s = time.monotonic() - begun_s
    want = outcome(tmp_path / "whole" / "dance.mimo")
    rng = random.Random(20)
    for idx in range(6):
        root = tmp_path / f"killed{idx}" / "dance.mimo"
        broken = start(root)
        time.sleep(took_s * rng.uniform(0.5, 1.0))  # the first half is Python itself starting
        broken.kill()
        broken.communicate()
        done = finished_chunks(root)
        again, _ = start(root).communicate(timeout=60)
        assert again.splitlines()[0] == text.splitlines()[0]
        assert not done & set(again.splitlines())
        assert {k: v.replace(f"/killed{idx}/", "/whole/") for k, v in outcome(root).items()} == want
