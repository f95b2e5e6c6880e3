"""The shell: help fast and light, errors in two lines, exit codes, stdout for results alone."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mimo_cli
from engine.errors import InputError, MissingError
from mimo_cli import app, console

ROOT = Path(mimo_cli.__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.fixture
def mimo(monkeypatch, tmp_path):
    """Call the command line in this process, in an empty folder: mimo("status", "x.mimo") -> result."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda *args: CliRunner().invoke(app.app, [str(arg) for arg in args], prog_name="mimo")


@pytest.fixture
def command(monkeypatch):
    """Make a command that does what the test says: command(function)."""

    def make(function):
        import types

        module = types.ModuleType("mimo_cli.commands.toy_command")
        module.toy_command = function
        monkeypatch.setitem(sys.modules, "mimo_cli.commands.toy_command", module)
        monkeypatch.setitem(app.COMMANDS, "toy-command", "For a test.")

    return make


def test_help_imports_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "mimo_cli", "--help"],
        capture_output=True, text=True, env=ENVIRONMENT, check=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "mimo_cli.app" in imported
    assert not imported & {"numpy", "torch", "cv2", "av", "scipy", "PIL", "click", "mimo_cli.stages", "engine.types"}
    for name, line in app.COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(line)}$", done.stdout, re.M), name  # whole, not cut off with dots


def test_help_is_fast():
    """Time of the processor, which other work on the machine hardly makes longer."""
    took_s = []
    for _ in range(3):
        begun = os.times()
        subprocess.run([sys.executable, "-m", "mimo_cli", "--help"], capture_output=True, env=ENVIRONMENT, check=True)
        ended = os.times()
        took_s.append(ended.children_user + ended.children_system - begun.children_user - begun.children_system)
    assert min(took_s) < 0.3


def test_version(mimo):
    import tomllib

    result = mimo("--version")
    assert result.stdout == f"mimo {mimo_cli.__version__}\n" and result.exit_code == 0
    assert (
        tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]
        == mimo_cli.__version__
    )


@pytest.mark.parametrize(
    ("args", "what", "fix"),
    [
        (["statsu"], "there is no command statsu.", "did you mean status? (mimo --help)"),
        (["zzz"], "there is no command zzz.", "the commands are: swap, animate"),
        (["clean", "--ligt"], "no such option: --ligt.", "did you mean --light?"),
        (["--nope"], "no such option: --nope.", "mimo --help shows what it takes."),
        (["status", "a", "b"], "got unexpected extra argument", "mimo status --help shows what it takes."),
    ],
)
def test_usage_errors(mimo, args, what, fix):
    result = mimo(*args)
    first, second = result.stderr.splitlines()
    assert first.startswith(f"error: {what}") and second.startswith(f"  fix: {fix}")
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize(
    ("error", "code"),
    [(InputError("a is broken.", fix="mend a"), 3), (MissingError("no net.", fix="pip install net"), 4)],
)
def test_errors_are_two_lines_and_a_code(mimo, command, error, code):
    def toy_command():
        raise error

    command(toy_command)
    result = mimo("toy-command")
    assert result.stderr == f"error: {error.what}\n  fix: {error.fix}\n"
    assert (result.exit_code, result.stdout) == (code, "")
    event = json.loads(mimo("toy-command", "--json").stdout)
    assert event == {"event": "error", "what": error.what, "fix": error.fix, "exit_code": code}


def test_ctrl_c(mimo, command):
    def toy_command():
        raise KeyboardInterrupt

    command(toy_command)
    result = mimo("toy-command")
    assert result.exit_code == 130 and "same command again" in result.stderr


def test_a_bug_is_one_line_and_a_log(mimo, command, tmp_path):
    def toy_command():
        console.current().project = tmp_path / "x.mimo"
        raise ZeroDivisionError("in the\nengine")

    command(toy_command)
    result = mimo("toy-command")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: this is a bug in mimo (ZeroDivisionError: in the)")
    log = tmp_path / "x.mimo/.mimo/crash.log"
    assert str(log) in line and "Traceback" in log.read_text()


def test_flags_work_before_and_after_the_command(mimo, command):
    def toy_command():
        voice = console.current()
        print(voice.verbose, voice.quiet, voice.as_json)

    command(toy_command)
    assert mimo("-v", "toy-command", "--json").stdout == "True False True\n"
    assert mimo("toy-command", "-q").stdout == "False True False\n"
    assert mimo("toy-command").stdout == "False False False\n"


def test_results_alone_on_stdout(mimo, command, tmp_path):
    def toy_command():
        voice = console.current()
        voice.say("working")
        voice.warned("careful")
        voice.started("segment", "find the person")
        voice.progressed("segment", 1, 2)
        voice.noted("segment", "2 people")
        voice.finished("segment", 65.4)
        voice.result(tmp_path / "out.mp4", changed=0.1)

    command(toy_command)
    result = mimo("toy-command")
    assert result.stdout == f"{tmp_path / 'out.mp4'}\n"
    assert result.stderr.splitlines() == [
        "working", "note: careful", "segment: find the person ...", "segment: 2 people", "segment: done in 1:05 min",
    ]  # fmt: skip
    events = [json.loads(line) for line in mimo("toy-command", "--json").stdout.splitlines()]
    assert [event["event"] for event in events] == ["warning", "start", "note", "done", "result"]
    assert events[-1] == {"event": "result", "path": str(tmp_path / "out.mp4"), "changed": 0.1}
    assert mimo("toy-command", "-q").stderr == ""


def test_a_reader_that_leaves_is_no_error():
    code = (
        "import sys, types; from mimo_cli import app\n"
        "module = types.ModuleType('mimo_cli.commands.long'); sys.modules[module.__name__] = module\n"
        "def long():\n    for idx in range(100000): print(idx)\n"
        "module.long = long; app.COMMANDS['long'] = ''; sys.argv = ['mimo', 'long']; app.main()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT
    )
    assert writer.stdout.readline() == b"0\n"
    writer.stdout.close()
    assert writer.stderr.read() == b"" and writer.wait(20) == 0
    writer.stderr.close()


def test_projects_are_found(mimo, toy, tmp_path, monkeypatch):
    from mimo_cli import project

    assert mimo("status").exit_code == 2
    assert "there is no project here" in mimo("status").stderr
    assert mimo("status", "nowhere.mimo").exit_code == 3
    (tmp_path / "empty").mkdir()
    assert "is not a project of mimo" in mimo("status", "empty").stderr
    monkeypatch.setattr(project, "_stages", lambda stages, settings: toy.STAGES)
    monkeypatch.setattr(project.Project, "_weights_digest", lambda project, name: toy.weights(name))
    toy.make(tmp_path / "dance.mimo")
    for folder, args in ((".", ()), ("dance.mimo", ()), (".", ("dance.mimo",)), (".", ("dance.mimo/project.toml",))):
        monkeypatch.chdir(tmp_path / folder)
        result = mimo("status", *args)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.splitlines()[0] == "ingest         will run    first run"
    monkeypatch.chdir(tmp_path)
    toy.make(tmp_path / "more.mimo")
    assert "which project? Here are dance.mimo, more.mimo." in mimo("status").stderr


def test_status_and_clean(mimo, toy, tmp_path, monkeypatch):
    from mimo_cli import project

    monkeypatch.setattr(project, "_stages", lambda stages, settings: toy.STAGES)
    monkeypatch.setattr(project.Project, "_weights_digest", lambda project, name: toy.weights(name))
    root = tmp_path / "dance.mimo"
    console.use(console.Console(quiet=True))
    toy.make(root).run([toy.RESULT], identity="cat")
    (root / "layers/tracks.csv").write_text("my tracks")
    lines = [json.loads(line) for line in mimo("status", "--json").stdout.splitlines()]
    assert {line["stage"]: line["state"] for line in lines}["compose@cat"] == "fresh"

    before = {path for path in root.rglob("*") if path.is_file()}
    assert "would free" in mimo("clean", "--dry-run").stderr
    assert {path for path in root.rglob("*") if path.is_file()} == before
    assert "freed" in mimo("clean").stderr
    left = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    left = {name for name in left if not name.startswith(("stages/", ".mimo/"))}
    assert left == {"project.toml", "identity/cat/reference.png", "layers/tracks.csv", "out/cat.mkv"}
    toy.ran.clear()
    toy.make(root).run([toy.RESULT], identity="cat")
    assert "compose" not in toy.ran  # all is made again with the same bytes: the result stays


def test_doctor(mimo):
    result = mimo("doctor")
    assert result.exit_code in (0, 4)
    assert re.search(r"^ok +numpy +\d", result.stdout, re.M)
    for name in ("smplx", "nvdiffrast", "propainter", "ufbx"):
        assert re.search(rf"^\S+ +{name} .*licence", result.stdout, re.M), name
    findings = [json.loads(line) for line in mimo("doctor", "--json").stdout.splitlines()]
    assert all(finding["fix"] for finding in findings if finding["state"] == "missing")


def test_doctor_says_what_to_type(mimo, monkeypatch):
    from mimo_cli.commands import doctor

    monkeypatch.setitem(doctor.NEEDED, "no-such-package", "no_such_package")
    result = mimo("doctor")
    assert result.exit_code == 4
    assert "MISSING  no-such-package" in result.stdout and "type: pip install no-such-package" in result.stdout
    assert "not ready" in result.stderr


def test_doctor_sees_a_torchvision_of_another_torch(monkeypatch):
    from mimo_cli.commands import doctor

    versions = {"torch": "2.13.0+cpu", "torchvision": "0.28.0"}
    monkeypatch.setattr(doctor, "_version", versions.get)
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda name: ["torch (==2.15.0)"])
    (finding,) = doctor._torchvision(full=False)
    assert finding.state == "note" and "made for torch 2.15.0, here is 2.13.0+cpu" in finding.text


def test_command_modules_match_the_table():
    for name in app.COMMANDS:
        assert app.load(name).name == name
