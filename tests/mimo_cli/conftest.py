"""The toy stage map for the tests of the store, and a file system that can be stopped at any operation."""

import builtins
import importlib.util
import io
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from filmed import CAT, film, mimo

from mimo_cli import console


@pytest.fixture(scope="session")
def toy_module():
    path = Path(__file__).with_name("toy.py")
    spec = importlib.util.spec_from_file_location("mimo_toy", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mimo_toy"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def toy(toy_module):
    toy_module.ran.clear()
    toy_module.hook[0] = lambda: None
    return toy_module


@pytest.fixture(autouse=True)
def silent():
    """Each test begins with a console of its own that prints nothing but results."""
    yield console.use(console.Console(quiet=True))


class Killed(BaseException):
    """What stands for kill -9: nothing in mimo catches it, and no cleaning up gets through after it."""


class Killer:
    """Counts operations that change the disk, and lets none through after the first `alive`."""

    def __init__(self, alive):
        self.alive = alive
        self.done = 0

    def tick(self):
        if self.done >= self.alive:
            raise Killed
        self.done += 1

    @contextmanager
    def watching(self, toy):
        real = {name: getattr(os, name) for name in ("replace", "rename", "unlink", "remove", "mkdir", "rmdir", "open")}
        real_open, real_fsync = builtins.open, os.fsync

        def counted(function):
            def call(*args, **kwargs):
                self.tick()
                return function(*args, **kwargs)

            return call

        def open_file(file, mode="r", *args, **kwargs):
            if set(mode) & set("wax+"):
                self.tick()
            return real_open(file, mode, *args, **kwargs)

        def open_fd(path, flags, *args, **kwargs):
            if flags & os.O_CREAT:
                self.tick()
            return real["open"](path, flags, *args, **kwargs)

        try:
            for name, function in real.items():
                setattr(os, name, counted(function))
            os.open, builtins.open, io.open = open_fd, open_file, open_file
            os.fsync = lambda fd: self.tick()  # an operation too; doing it would only make the test slow
            toy.hook[0] = self.tick
            yield self
        finally:
            for name, function in real.items():
                setattr(os, name, function)
            builtins.open, io.open, os.fsync = real_open, real_open, real_fsync
            toy.hook[0] = lambda: None


@pytest.fixture(scope="session")
def killer():
    return Killer


@pytest.fixture(scope="session")
def killed():
    return Killed


@pytest.fixture
def fast_path(monkeypatch, tmp_path):
    """A folder in memory where there is such a thing, for tests that make hundreds of runs and pull no real plug."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="mimo-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def swapped(tmp_path_factory):
    """(folder, truth): `game.mp4` and its project after `mimo swap`."""
    folder = tmp_path_factory.mktemp("walk")
    truth = film(folder / "game.mp4")
    stdout, stderr = mimo("swap", "--video", "game.mp4", "--character", CAT, cwd=folder)
    assert stdout.strip() == str(Path("game.mimo/out/cat.mp4")) or Path(stdout.strip()).name == "cat.mp4"
    assert (folder / stdout.strip()).is_file() or Path(stdout.strip()).is_file()
    assert "pixels changed" in stderr
    return folder, truth
