import hashlib
import shutil
import subprocess
import sys
import tomllib

import pytest

from engine.errors import MissingError
from engine.people import build_hook, network


def test_networks_are_those_of_the_table():
    assert build_hook.FOLDER == network.FOLDER
    assert build_hook.is_complete()


def test_a_missing_network_says_what_to_type(monkeypatch, tmp_path):
    monkeypatch.setattr(network, "FOLDER", tmp_path)
    with pytest.raises(MissingError) as caught:
        network.Network("pose_detection.tflite")
    assert "pip install" in caught.value.fix


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the hook needs, without the networks."""
    people = tmp_path / "engine" / "people"
    people.mkdir(parents=True)
    for name in ("build_hook.py", "networks.toml"):
        shutil.copy(build_hook.TABLE.parent / name, people / name)
    return tmp_path


def run_hook(checkout, **environment):
    command = [sys.executable, str(checkout / "engine" / "people" / "build_hook.py")]
    return subprocess.run(command, env={"PATH": "", **environment}, capture_output=True, text=True, check=False)


def test_networks_that_are_there_are_not_fetched_again(checkout):
    shutil.copytree(network.FOLDER, checkout / "engine" / "assets" / "blazepose")
    done = run_hook(checkout, PIP_NO_INDEX="1")
    assert done.returncode == 0, done.stderr


def test_without_a_network_it_says_what_to_type(checkout):
    done = run_hook(checkout, PIP_NO_INDEX="1", PIP_CONFIG_FILE="/dev/null")
    assert done.returncode == 1
    assert "pip install" in done.stderr and "Traceback" not in done.stderr


def test_a_wrong_wheel_is_refused(checkout):
    wheel = tomllib.loads(build_hook.TABLE.read_text())["wheel"]["file"]
    mirror = checkout / "mirror"
    mirror.mkdir()
    import zipfile

    with zipfile.ZipFile(mirror / wheel, "w") as archive:
        archive.writestr("mediapipe-0.10.21.dist-info/METADATA", "Name: mediapipe\nVersion: 0.10.21\n")
        archive.writestr(
            "mediapipe-0.10.21.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: cp311-cp311-manylinux_2_28_x86_64\n"
        )
    done = run_hook(checkout, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(mirror), PIP_CONFIG_FILE="/dev/null")
    assert done.returncode == 1 and "sha256" in done.stderr
    assert not (checkout / "engine" / "assets").exists()


def test_digests_are_sha256():
    table = tomllib.loads(build_hook.TABLE.read_text())
    for name, entry in table["files"].items():
        assert hashlib.sha256((network.FOLDER / name).read_bytes()).hexdigest() == entry["sha256"]
