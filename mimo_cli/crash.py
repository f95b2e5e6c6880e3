"""A bug of ours: logged where it can be found, and said in a line."""

import datetime
import platform
import sys
import traceback
from pathlib import Path

from mimo_cli import __version__, console

EXIT_CODE = 1


def report_crash(error: Exception) -> None:
    """Write the log of a crash and tell the person where it is."""
    voice = console.current()
    voice.stop()
    lines = [
        f"mimo {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"{datetime.datetime.now().astimezone().isoformat(timespec='seconds')}  {' '.join(sys.argv)}",
        "".join(traceback.format_exception(error)),
    ]
    log = _write_log("\n".join(lines), voice.project)
    voice.event("error", what=f"{type(error).__name__}: {error}", fix=f"report {log}", exit_code=EXIT_CODE)
    says = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    print(f"error: this is a bug in mimo ({says}). Please report it with {log}", file=sys.stderr)
    if voice.verbose:
        traceback.print_exception(error)


def _write_log(text: str, project: Path | None) -> str:
    """Write the crash log into the project, else into the user's cache folder; return where, for people."""
    folders = [project / ".mimo"] if project is not None else []
    try:
        from platformdirs import user_cache_path

        folders.append(user_cache_path("mimo"))
    except ImportError:
        pass
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "crash.log").write_text(text, encoding="utf-8")
        except OSError:
            continue
        return str(folder / "crash.log")
    print(text, file=sys.stderr)
    return "the lines above"
