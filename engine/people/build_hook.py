"""Fetches the BlazePose networks when the package is built, so that the first run works without a network.

They are neither committed nor a dependency: mediapipe carries them in its wheel, but it wants numpy < 2, jax and a
display library. pip downloads that wheel, the files listed in networks.toml are taken out, every byte is checked.
In a checkout that was never installed: `python engine/people/build_hook.py`.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, outside a build
    BuildHookInterface = object

TABLE = Path(__file__).with_name("networks.toml")
FOLDER = Path(__file__).parent.parent / "assets" / "blazepose"
FIX = "Connect to the package index (or set PIP_INDEX_URL / PIP_FIND_LINKS to a mirror), then type: pip install ."


class FetchError(Exception):
    """The networks could not be fetched; the text says what to type."""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def is_complete(folder: Path = FOLDER) -> bool:
    """Tell whether every file of networks.toml is in `folder` with the right bytes."""
    files = tomllib.loads(TABLE.read_text())["files"]
    return all(
        (folder / name).is_file() and _sha256((folder / name).read_bytes()) == entry["sha256"]
        for name, entry in files.items()
    )


def fetch_networks(folder: Path = FOLDER) -> None:
    """Download the wheel and put its networks and licence into `folder`; does nothing when they are there.

    Raises:
        FetchError: no connection, a file that is not what it should be, or a folder that cannot be written.
    """
    if is_complete(folder):
        return
    table = tomllib.loads(TABLE.read_text())
    with tempfile.TemporaryDirectory(prefix="mimo-build-") as temp:
        wheel = _download(table["wheel"], Path(temp))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(wheel) as archive:
                for name, entry in table["files"].items():
                    _extract(archive, entry, folder / name)
        except OSError as error:
            raise FetchError(f"mimo's networks cannot be written to {folder}: {error.strerror}.") from error


def _download(wheel: dict, folder: Path) -> Path:
    """Let pip fetch the wheel, so that mirrors, proxies and certificates are the user's own."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", str(folder)]
    done = subprocess.run([*command, *wheel["pip"], wheel["requirement"]], capture_output=True, text=True, check=False)
    path = folder / wheel["file"]
    if done.returncode or not path.is_file():
        reason = done.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
        raise FetchError(f"mimo's networks ({wheel['requirement']}) could not be downloaded: {reason[0]}\n{FIX}")
    if _sha256(path.read_bytes()) != wheel["sha256"]:
        raise FetchError(f"{wheel['file']} is not the file mimo was made with (its sha256 differs).\n{FIX}")
    return path


def _extract(archive: zipfile.ZipFile, entry: dict, target: Path) -> None:
    content = archive.read(entry["member"])
    if _sha256(content) != entry["sha256"]:
        raise FetchError(f"{entry['member']} is not the file mimo was made with (its sha256 differs).\n{FIX}")
    part = target.with_name(f"{target.name}.part{os.getpid()}")
    part.write_bytes(content)
    part.replace(target)


class NetworksHook(BuildHookInterface):  # pyright: ignore[reportGeneralTypeIssues]
    """Hatchling calls `initialize` before it collects the files of a wheel (editable ones too)."""

    def initialize(self, version: str, build_data: dict) -> None:  # noqa: D102
        if self.target_name != "wheel":
            return
        try:
            fetch_networks()
        except FetchError as error:
            self.app.abort(str(error))


if __name__ == "__main__":
    try:
        fetch_networks()
    except FetchError as error:
        sys.exit(str(error))
