"""`mimo doctor`: what this machine has, what is missing, and what to type."""

import ast
import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from mimo_cli import __version__, console

NEEDED = {
    "numpy": "numpy",
    "pillow": "PIL",
    "opencv-python-headless": "cv2",
    "av": "av",
    "scipy": "scipy",
    "torch": "torch",
    "ai-edge-litert": "ai_edge_litert",
    "safetensors": "safetensors",
    "platformdirs": "platformdirs",
}
"""What `mimo swap` cannot do without: distribution to module."""

NEURAL = {"diffusers": "diffusers", "transformers": "transformers", "accelerate": "accelerate"}
"""What only the networks need."""

_NVDIFFRAST = "pip install --no-build-isolation git+https://github.com/NVlabs/nvdiffrast.git@v0.4.0"
_OPTIONAL = (
    ("smplx", "SMPL-X body classes", "non-commercial", "pip install smplx==0.1.28"),
    ("nvdiffrast", "fast raster on CUDA", "research and evaluation only; needs CUDA and nvcc", _NVDIFFRAST),
    ("propainter", "neural scenes", "non-commercial; torchvision must fit torch", "pip install propainter==0.0.4"),
    ("ufbx", "FBX motion files", "MIT", "pip install ufbx==0.0.5"),
)  # fmt: skip
_MIN_MEMORY, _MIN_DISK = (
    3e9,
    2e9,
)  # bytes: a swap of 720p takes 1.5 GB, its project 0.3 GB and as much again while working


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    state: Literal["ok", "note", "missing"]
    """missing: the default path does not work without it."""
    text: str
    fix: str = ""


def doctor(
    full: Annotated[bool, typer.Option("--full", help="Also import everything, which takes some seconds.")] = False,
) -> None:
    """Show what this machine has, what is missing, and what to type.

    \b
    mimo doctor
    mimo doctor --full && mimo swap --video game.mp4 --character cat.png

    Exit code 0 when a swap works here, 4 when something has to be installed first.
    """
    voice = console.current()
    findings = list(examine(full=full))
    for finding in findings:
        if voice.as_json:
            voice.event("finding", **finding.__dict__)
        else:
            mark = {"ok": "ok", "note": "-", "missing": "MISSING"}[finding.state]
            print(f"{mark:<8} {finding.name:<24} {finding.text}")
            if finding.fix:
                print(f"{'':<8} {'':<24} type: {finding.fix}")
    missing = [finding.name for finding in findings if finding.state == "missing"]
    voice.say(f"not ready: {', '.join(missing)}" if missing else "ready: mimo swap works on this machine")
    if missing:
        raise typer.Exit(4)


def examine(*, full: bool = False) -> Iterator[Finding]:
    """Look at the machine.

    Args:
        full: also import the packages, each in a process of its own, so that a broken one shows.

    Yields:
        Findings, what everything stands on first.
    """
    yield Finding("mimo", "ok", __version__)
    yield Finding("Python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield Finding("system", "ok", f"{platform.system()} {platform.release()}, {platform.machine()}, {_cores()} cores")
    yield from _room()
    for name, module in NEEDED.items():
        yield _package(name, module, "missing", full=full)
    yield _networks()
    for name, module in NEURAL.items():
        yield _package(name, module, "note", full=full)
    yield _gpu()
    yield from _torchvision(full=full)
    for module, what, licence, command in _OPTIONAL:
        if importlib.util.find_spec(module):
            yield Finding(module, "ok", f"{_version(module) or 'installed'}: {what} (licence: {licence})")
        else:
            yield Finding(module, "note", f"not installed: {what}, optional (licence: {licence})", command)


def memory_bytes() -> int | None:
    """Return how much memory this process may use: the machine's, or what a container allows; None if unknown."""
    limits = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(OSError, ValueError):
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(limits) if limits else None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _room() -> Iterator[Finding]:
    memory, free = memory_bytes(), shutil.disk_usage(Path.cwd()).free
    if memory is not None:
        little = " (little: keep to 720p)" if memory < _MIN_MEMORY else ""
        yield Finding("memory", "note" if little else "ok", f"{memory / 1e9:.1f} GB{little}")
    little = " (little: mimo clean drops what can be made again)" if free < _MIN_DISK else ""
    yield Finding("disk here", "note" if little else "ok", f"{free / 1e9:.1f} GB free{little}")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package(name: str, module: str, state: Literal["note", "missing"], *, full: bool) -> Finding:
    """Look for a package without importing it; with `full` import it in a process of its own."""
    spec = importlib.util.find_spec(module)
    if spec is None:
        return Finding(name, state, "not installed", f"pip install {_requirement(name)}")
    version = _version(name) or _file_version(spec.origin) or "installed"
    if full and (problem := _import_problem(module)):
        text = f"{version}, but it does not start: {problem}"
        return Finding(name, state, text, f"pip install --force-reinstall {_requirement(name)}")
    return Finding(name, "ok", version)


def _requirement(name: str) -> str:
    """Return what mimo asks of a package, quoted for the shell."""
    for line in _requirements():
        word = line.split(";")[0].strip()
        if word.lower().startswith(name) and word[len(name) : len(name) + 1] in "<>=!~ ":
            return f"'{word}'"
    return name


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires("mimo") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _import_problem(module: str) -> str | None:
    """Return the last line of what goes wrong when a fresh Python imports the module; None when nothing does."""
    command = [sys.executable, "-c", f"import {module}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1][:160] if lines else f"it ends with {done.returncode}"


def _file_version(origin: str | None) -> str | None:
    """Read `__version__` from version.py beside a package that brings no metadata."""
    path = Path(origin or "").with_name("version.py")
    if not path.is_file():
        return None
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__version__":
            return str(getattr(node.value, "value", "")) or None
    return None


def _networks() -> Finding:
    """Look for the networks that find people; the build puts them there."""
    spec = importlib.util.find_spec("engine")
    home = Path((spec.origin if spec else None) or "").parent
    files = tomllib.loads((home / "people" / "networks.toml").read_text(encoding="utf-8"))["files"]
    folder = home / "assets" / "blazepose"
    bad = [name for name, facts in files.items() if not _is_whole(folder / name, facts["sha256"])]
    if bad:
        text = f"{', '.join(bad)} missing or damaged in {folder}"
        return Finding(
            "BlazePose networks", "missing", text, "pip install --force-reinstall --no-deps .   (in mimo's folder)"
        )
    return Finding("BlazePose networks", "ok", f"in {folder}")


def _is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _gpu() -> Finding:
    """Say whether torch can use a GPU, from its version and the driver's program, without importing it."""
    version = _version("torch") or ""
    driver = shutil.which("nvidia-smi")
    if not driver:
        return Finding("GPU", "note", "no NVIDIA driver found: everything runs on the CPU, which is enough")
    command = [driver, "--query-gpu=name", "--format=csv,noheader"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    names = ", ".join(answer.stdout.split("\n")).strip(", ")
    if answer.returncode or not names:
        return Finding("GPU", "note", "the NVIDIA driver does not answer: everything runs on the CPU")
    if "+cpu" in version:
        fix = "pip install --force-reinstall torch"
        return Finding("GPU", "note", f"{names}, but torch {version} is the build without CUDA", fix)
    return Finding("GPU", "ok", names)


def _torchvision(*, full: bool) -> Iterator[Finding]:
    """A torchvision made for another torch breaks itself and every network of transformers; mimo does not need it."""
    version, torch = _version("torchvision"), _version("torch") or ""
    if version is None:
        return
    problem = None
    for line in importlib.metadata.requires("torchvision") or []:
        wants = line.replace("(", "").replace(")", "").replace(" ", "").split(";")[0]
        if wants.startswith("torch==") and wants.removeprefix("torch==").split("+")[0] != torch.split("+")[0]:
            problem = f"it is made for torch {wants.removeprefix('torch==')}, here is {torch}"
    if ("+cpu" in torch) != ("+cpu" in version) and sys.platform == "linux":
        problem = problem or f"it and torch {torch} are builds for different machines (CPU and CUDA)"
    if problem is None and full:
        problem = _import_problem("torchvision.ops")
    if problem:
        fix = "pip uninstall torchvision   (mimo does not need it)"
        yield Finding("torchvision", "note", f"{version} is broken: {problem}; it breaks transformers too", fix)
    else:
        yield Finding("torchvision", "ok", f"{version} (not needed)")
