"""Manners in a shell: many jobs, pipes, completion, progress for programs, no colours where none are wanted."""

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest
from filmed import CAT, SPEC, assert_refused, finish, finish_here, mimo
from typer.testing import CliRunner

from engine.video import open_clip
from mimo_cli import app
from mimo_cli.jobs import read_rows

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
COMMAND = [sys.executable, "-m", "mimo_cli"]


@pytest.fixture
def game(swapped, tmp_path):
    """A copy of the swapped project, in which everything is done."""
    shutil.copytree(swapped[0] / "game.mimo", tmp_path / "game.mimo")
    shutil.copy(swapped[0] / "game.mp4", tmp_path / "game.mp4")
    return tmp_path


def run(words, **more) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, *map(str, words)], check=False, **{"env": ENVIRONMENT, **more})


def events(stdout: str) -> list[dict]:
    return [json.loads(line) for line in stdout.splitlines()]


def test_jobs_go_on_after_a_failure_and_skip_what_is_done(game):
    (game / "jobs.csv").write_text(
        "video;character;out;lossless\n"  # as a spreadsheet saves it where the comma is for decimals
        f"game.mp4;{CAT};one.mp4;\n"
        "# nobody\n"
        "game.mp4;nobody.png;two.mp4;no\n"
        f"game.mp4;{CAT};three.mkv;yes\n",
        encoding="utf-8-sig",
    )
    done = finish("swap", "--jobs", "jobs.csv", "--no-report", "--json", cwd=game)
    assert done.returncode == 3  # of the job that failed: an input that is not there
    states = [(e["job"], e["state"]) for e in events(done.stdout) if e["event"] == "job" and e["state"] != "starts"]
    assert states == [(1, "was done"), (2, "failed"), (3, "done")]
    assert done.stderr.count("error: ") == 1 and "nobody.png" in done.stderr
    assert open_clip(game / "one.mp4").num_frames == SPEC.num_frames
    assert not (game / "two.mp4").exists()

    shutil.copy(CAT, game / "nobody.png")  # mended: the same command does what is left
    before = (game / "three.mkv").stat().st_mtime_ns
    done = finish("swap", "--jobs", "jobs.csv", "--no-report", cwd=game)
    assert done.returncode == 0, done.stderr
    assert [line.split()[:2] for line in done.stderr.splitlines()[-3:]] == [["job", "1"], ["job", "2"], ["job", "3"]]
    assert (game / "two.mp4").exists()
    assert (game / "three.mkv").stat().st_mtime_ns == before  # not even copied again
    assert done.stdout.splitlines() == ["one.mp4", "two.mp4", "three.mkv"]


def test_what_is_typed_is_for_all_rows_and_a_cell_wins(game):
    (game / "jobs.csv").write_text("out,no-such\na.mp4,1\n", encoding="utf-8")
    assert_refused(finish_here("swap", "--jobs", "jobs.csv", cwd=game), 2, "no-such")
    (game / "jobs.csv").write_text("out,project,scale\na.mp4,,0.5\nb.mp4,other.mimo,many\n", encoding="utf-8")
    words = ("--jobs", "jobs.csv", "--project", "game.mimo", "--character", "cat", "--dry-run", "--json")
    done = finish_here("swap", *words, cwd=game)
    assert done.returncode == 2
    plans = [e for e in events(done.stdout) if e["event"] == "plan"]
    ran = {e["stage"] for e in plans if e["action"] == "run"}  # of the first row, in the project that was typed
    assert ran == {"animate@cat", "compose@cat"}
    assert "scale" not in (game / "game.mimo/project.toml").read_text()  # a dry run keeps nothing
    assert "line 3" in done.stderr and "--scale" in done.stderr


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no jobs"),
        ("video\n", "no jobs"),
        ("video,out\na.mp4,x.mp4\nb.mp4,x.mp4\n", "both write"),
        ("out\na,b\n", "2 cells"),
    ],
)
def test_tables_that_cannot_be(tmp_path, text, word):
    (tmp_path / "jobs.csv").write_text(text, encoding="utf-8")
    done = finish_here("swap", "--jobs", "jobs.csv", cwd=tmp_path)
    assert done.returncode in (2, 3)
    assert word in done.stderr


def test_rows_know_their_lines(tmp_path):
    table = tmp_path / "jobs.csv"
    table.write_text('# mine\nvideo,out\n\n"a, b.mp4",x.mp4\n,\n# no\nc.mp4,\n', encoding="utf-8")
    rows = read_rows(table, {"video": None, "out": None})
    assert [(row.line, dict(row.cells)) for row in rows] == [
        (4, {"video": "a, b.mp4", "out": "x.mp4"}),
        (7, {"video": "c.mp4"}),
    ]


def test_a_video_through_the_pipe_and_out_again(game):
    """`cat game.mp4 | mimo swap --video - -o - > result.mkv`; the project keeps what it reads more than once."""
    settings, kept = game / "game.mimo/project.toml", game / "game.mimo/.mimo/stdin/video"
    text = re.sub("(?m)^video = .*", 'video = ".mimo/stdin/video"', settings.read_text(encoding="utf-8"))
    settings.write_text(text, encoding="utf-8")  # as if it had come through a pipe from the beginning
    video = (game / "game.mp4").rename(game / "sent.mp4")
    with (game / "result.mkv").open("wb") as out, video.open("rb") as sent:
        words = ("swap", "--video", "-", "--project", "game.mimo", "--character", "cat", "-o", "-", "--no-report")
        done = run(words, cwd=game, stdin=sent, stdout=out, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert b"compose-lossless" in done.stderr and b"segment" not in done.stderr  # the same video: its layers stay
    assert (game / "result.mkv").read_bytes() == (game / "game.mimo/out/cat.lossless.mkv").read_bytes()
    assert open_clip(game / "result.mkv").num_frames == SPEC.num_frames
    assert kept.read_bytes() == video.read_bytes()

    with video.open("rb") as sent:
        words = ("decompose", "-", "--project", "new.mimo", "--dry-run", "--json")
        done = run(words, cwd=game, stdin=sent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (game / "new.mimo/.mimo/stdin/video").read_bytes() == video.read_bytes()


def test_pipes_that_cannot_be(game):
    words = ("swap", "--project", "game.mimo", "--character", "cat")
    done = finish_here(*words, "-o", "-", "--json", cwd=game)
    assert done.returncode == 2 and "both want stdout" in done.stderr
    assert_refused(finish_here("swap", "--video", "-", "--character", CAT, cwd=game), 2, "--project")


def in_terminal(words, environment, cwd) -> str:
    """What a terminal shows of a command."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *words], cwd=cwd, env={**ENVIRONMENT, "TERM": "xterm-256color", **environment}, stdin=follower,
        stdout=follower, stderr=follower,
    ) as process:  # fmt: skip
        os.close(follower)
        shown = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # how Linux says that nobody writes any more
                break
            if not part:
                break
            shown += part
        process.wait()
    os.close(leader)
    return shown.decode()


def test_no_color(tmp_path):
    colors = in_terminal(["status", "nothing.mimo"], {}, tmp_path)
    assert "\x1b[" in colors and "nothing.mimo is not there" in colors
    plain = in_terminal(["status", "nothing.mimo"], {"NO_COLOR": "1"}, tmp_path)
    assert "\x1b[" not in plain and "nothing.mimo is not there" in plain


def complete(line: str, cwd: Path) -> list[str]:
    words = line.split(" ")
    environment = {
        **ENVIRONMENT, "_MIMO_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)
    }  # fmt: skip
    return run((), cwd=cwd, env=environment, capture_output=True, text=True).stdout.split()


def test_completion_knows_commands_and_their_options(tmp_path):
    assert complete("mimo sw", tmp_path) == ["swap"]
    assert complete("mimo fit", tmp_path) == ["fit-motion"]
    assert "--character" in complete("mimo swap --ch", tmp_path)


def test_progress_for_programs(game):
    """Every line of --json is an object; a run tells its plan, its stages and its result in order."""
    stdout, _ = mimo(
        "swap", "--project", "game.mimo", "--character", "cat", "--mark", "--no-report", "--json", cwd=game
    )
    kinds = [event["event"] for event in events(stdout)]
    assert kinds.index("plan") < kinds.index("start") < kinds.index("done") < kinds.index("result")
    (finished,) = [event for event in events(stdout) if event["event"] == "done"]
    assert finished["stage"] == "compose@cat" and finished["took_s"] > 0  # the mark is a matter of the last stage
    with av.open(str(game / "game.mimo/out/cat.mp4")) as container:
        assert "mimo" in container.metadata["comment"]


def test_verbose_says_what_a_log_needs(game):
    words = ("swap", "--project", "game.mimo", "--character", "cat", "--no-note", "--no-report", "-v")
    _, stderr = mimo(*words, cwd=game)
    for word in ("compose@cat: version", "key ", "reads ", "settings ", "note = False", "wrote out/cat.mp4"):
        assert word in stderr, word
    with av.open(str(game / "game.mimo/out/cat.mp4")) as container:
        assert "comment" not in container.metadata


def test_every_command_shows_examples():
    for name in app.COMMANDS:
        done = CliRunner().invoke(app.app, [name, "--help"], prog_name="mimo")
        assert done.exit_code == 0, done.stderr
        assert len(re.findall(rf"^ .*\bmimo {name}\b", done.stdout, re.MULTILINE)) >= 2, name
        assert not re.search(r"<[A-Za-z]", done.stdout), name  # no names of Python's types
