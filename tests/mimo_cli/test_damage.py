"""The files of a project, damaged in any way: read, or refused in a sentence, from the tables to the records."""

import shutil

import pytest
from damage import DAMAGE, any_damage, assert_read_or_refused, damaged
from filmed import SPEC
from hypothesis import given
from typer.testing import CliRunner

from engine.errors import InputError
from engine.identity.puppet_file import load_puppet
from mimo_cli import app, jobs, tables
from mimo_cli.runs.conditions import read_shape

TABLES = {
    "clip/frames.csv": tables.read_frames,
    "clip/clip.toml": tables.read_clip,
    "layers/tracks.csv": lambda path: tables.read_tracks(path, SPEC.num_frames),
    "layers/landmarks.csv": lambda path: tables.read_landmarks(path, SPEC.num_frames),
    "layers/background.csv": lambda path: tables.read_background(path, SPEC.num_frames),
    "motion/camera.csv": lambda path: tables.read_camera(path, SPEC.num_frames),
    "motion/shape.toml": read_shape,
    "identity/cat/puppet.npz": load_puppet,
}
JOBS = 'video,character,out,lossless\n# two\ngame.mp4,"cat, the.png",a.mkv,yes\ngame.mp4,dog.png,b.mkv,\n'
PROJECT = (
    "project.toml",
    "stages/fit.json",
    "stages/joints@cat.json",
    ".mimo/digests.json",
    "motion/body.bvh",
    "identity/cat/joints.toml",
)


@pytest.mark.parametrize("name", TABLES)
@any_damage
@given(changes=DAMAGE)
def test_a_damaged_table(name, swapped, tmp_path, changes):
    path = tmp_path / name.rsplit("/")[-1]
    project = swapped[0] / "game.mimo"
    path.write_bytes(damaged((project / name).read_bytes(), changes))
    assert_read_or_refused(lambda: TABLES[name](path))


@any_damage
@given(changes=DAMAGE)
def test_a_damaged_table_of_jobs(tmp_path, changes):
    path = tmp_path / "jobs.csv"
    path.write_bytes(damaged(JOBS.encode(), changes))
    assert_read_or_refused(lambda: jobs.read_rows(path, jobs._options(app.load("swap"))))


def test_a_cell_without_end(tmp_path):
    """Longer than Python's csv takes."""
    (tmp_path / "jobs.csv").write_text(f"video,character\ngame.mp4,{'x' * 200_000}\n")
    with pytest.raises(InputError, match=r"jobs\.csv"):
        jobs.read_rows(tmp_path / "jobs.csv", jobs._options(app.load("swap")))


@pytest.fixture(scope="module")
def copied(swapped, tmp_path_factory):
    """A copy of the project, beside its video."""
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(swapped[0] / "game.mimo", folder / "game.mimo")
    shutil.copy(swapped[0] / "game.mp4", folder)
    return folder / "game.mimo"


@pytest.mark.parametrize("name", PROJECT)
@any_damage
@given(changes=DAMAGE)
def test_a_damaged_project_has_a_status(name, copied, changes):
    """`mimo status` never crashes, and heals when the file does."""
    path = copied / name
    sound = path.read_bytes()
    path.write_bytes(damaged(sound, changes))
    try:
        done = CliRunner().invoke(app.app, ["status", str(copied)], prog_name="mimo")
        assert done.exit_code in (0, 2, 3), done.stderr
        assert done.exit_code == 0 or ("error: " in done.stderr and "fix: " in done.stderr)
    finally:
        path.write_bytes(sound)


@pytest.mark.parametrize(
    ("name", "text"), [("project.toml", "schema = "), ("stages/fit.json", ""), (".mimo/digests.json", "")]
)
def test_lists_in_lists_without_end(name, text, copied):
    sound = (copied / name).read_bytes()
    (copied / name).write_text(text + "[" * 100_000)
    try:
        done = CliRunner().invoke(app.app, ["status", str(copied)], prog_name="mimo")
        assert done.exit_code == (0 if name.endswith("digests.json") else 3), done.stderr  # a cache is made again
    finally:
        (copied / name).write_bytes(sound)
