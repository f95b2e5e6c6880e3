"""The rules of the house that a machine can check: sizes, names, docstrings, ranks of imports, the stage maps."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for room in ("mimo_cli", "engine") for path in (ROOT / room).rglob("*.py"))
FORBIDDEN = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}
MAX_FILE_LINES = 420  # the rule says 400; the rest is room for a mend before a split
MAX_FUNCTION_LINES = 60
MAX_WALK_LINES = 100  # a forward, or a top-level walk

RANKS = (
    "engine.errors",
    "engine.config engine.geometry engine.shelf engine.threads",
    "engine.types engine.weights",
    "engine.video engine.people engine.body engine.raster engine.diffusion engine.metrics",
    "engine.compositor engine.grain",
    "engine.layers engine.motion engine.identity engine.synth engine.conditions",
    "engine.animator engine.report",
    "engine.training",
    "engine",
    "mimo_cli mimo_cli.console mimo_cli.args mimo_cli.disk mimo_cli.memory mimo_cli.lock mimo_cli.artifacts "
    "mimo_cli.tables mimo_cli.licences",
    "mimo_cli.store mimo_cli.slots",
    "mimo_cli.stage mimo_cli.settings",
    "mimo_cli.plan mimo_cli.runs",
    "mimo_cli.runner mimo_cli.stages",
    "mimo_cli.project mimo_cli.findings",
    "mimo_cli.report mimo_cli.crash",
    "mimo_cli.character mimo_cli.opening mimo_cli.delivery mimo_cli.forecast mimo_cli.recovery mimo_cli.curation "
    "mimo_cli.jobs mimo_cli.people mimo_cli.motions mimo_cli.scoring",
    "mimo_cli.editing",
    "mimo_cli.commands",
    "mimo_cli.app",
    "mimo_cli.__main__",
)
"""STYLE's ranks, low to high, cut finer where rooms were added: the compositor works in the planes of the video."""

RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms.split()}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str | None:
    """The ranked room a module belongs to: the longest listed prefix; the two packages stand for themselves alone."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        room = ".".join(parts[:length])
        if room in RANK and (length > 1 or len(parts) == 1):
            return room
    return None


def imports_of(path: Path, *, late: bool) -> set[str]:
    """Modules of ours and others that a file imports: at its top level, or `late` ones inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    found = set()
    for_types = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if (node in inside) != late or node in for_types:
            continue
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write the whole name of a module"
            found.add(node.module)
            found |= {f"{node.module}.{name.name}" for name in node.names if is_module(f"{node.module}.{name.name}")}
            if any(is_module(f"{node.module}.{name.name}") for name in node.names) and node.module in (
                "engine",
                "mimo_cli",
            ):
                found.discard(node.module)
    return found


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_sizes(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = node.end_lineno - node.lineno + 1
            if ast.get_docstring(node):
                doc = node.body[0]
                lines -= doc.end_lineno - doc.lineno + 1  # what explains does not count against what does
            walk = node.name == "forward" or module_of(path).startswith("mimo_cli.commands")
            assert lines <= (MAX_WALK_LINES if walk else MAX_FUNCTION_LINES), f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_names(path):
    for word in re.split(r"[._/]", module_of(path)):
        assert word not in FORBIDDEN, f"{word}: name what is in it"
    assert not re.search(r"\b(TODO|FIXME|XXX)\b|NotImplementedError", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_docstrings(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.name != "__init__.py" or tree.body:
        assert ast.get_docstring(tree), "the file says what it is"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_ranks(path):
    """Import only from a lower rank or your own room."""
    module = module_of(path)
    room = room_of(module)
    assert room is not None, f"{module} has no rank: list its room in RANKS"
    for name in imports_of(path, late=False):
        other = room_of(name)
        if other is None or other == room or name.split(".")[0] not in ("engine", "mimo_cli"):
            continue
        if other == "mimo_cli" or (room.startswith("mimo_cli") and other.startswith("engine")):
            continue  # the package itself holds only the version
        assert RANK[other] < RANK[room], f"{module} (rank {RANK[room]}) imports {name} (rank {RANK[other]})"


def test_the_engine_knows_no_shell():
    for path in SOURCES:
        if module_of(path).startswith("engine"):
            names = imports_of(path, late=False) | imports_of(path, late=True)
            assert not any(name.split(".")[0] in ("mimo_cli", "typer", "rich") for name in names), path


def test_typer_and_never_click():
    for path in SOURCES:
        names = imports_of(path, late=False) | imports_of(path, late=True)
        assert not any(name.split(".")[0] == "click" for name in names), path


def test_heavy_packages_are_late():
    """torch and the networks take seconds. A file may begin with them only if all others import that file late."""
    packages = {"torch", "diffusers", "transformers", "accelerate", "ai_edge_litert"}
    tops = {module_of(path): imports_of(path, late=False) for path in SOURCES}
    heavy = {module for module, names in tops.items() if {name.split(".")[0] for name in names} & packages}
    for module, names in tops.items():
        if module not in heavy and not module.startswith(("engine.training", "engine.diffusion")):
            assert not names & heavy, f"{module} imports {names & heavy}, which begins with a heavy package"
    assert not any(module.startswith("mimo_cli") for module in heavy)


def test_nothing_happens_at_import(tmp_path):
    """Importing every command writes no file and loads no torch."""
    names = [module_of(path) for path in SOURCES if module_of(path).startswith("mimo_cli.")]
    names = [name for name in names if name != "mimo_cli.__main__"]
    code = "import sys\n" + "".join(f"import {name}\n" for name in names) + "print('torch' in sys.modules)"
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "False\n", done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_stage_maps():
    """One writer per slot, no cycles, unique names and stems, settings that can be a table."""
    from mimo_cli.stage import check_map

    stages = importlib.import_module("mimo_cli.stages")
    check_map(stages.VIDEO_STAGES)
    check_map(stages.MOTION_STAGES)


def test_every_command_has_its_file():
    from mimo_cli.app import COMMANDS

    files = {path.stem.replace("_", "-") for path in (ROOT / "mimo_cli" / "commands").glob("*.py")} - {"--init--"}
    assert files == set(COMMANDS)
