"""Every odd file of the sample media through every command that takes one: a result or a refusal, never a crash."""

from pathlib import Path

import pytest
from filmed import ROOT
from typer.testing import CliRunner

from mimo_cli import app

DANCE = ROOT / "examples" / "dance.bvh"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_file_of_the_corpus_crashes_a_command(sample_data, tmp_path, monkeypatch):
    """In one process, so that a file that spoils the next one's run is seen too."""
    monkeypatch.chdir(tmp_path)
    files = sorted(path for path in (sample_data / "media").rglob("*") if path.is_file())
    assert len(files) > 30
    told = []
    for number, file in enumerate(files):
        for words in (
            ("eval", file),
            ("eval", file, "--truth", file, "--masks"),
            ("decompose", file, "--project", f"{number}.mimo", "--dry-run"),
            ("animate", "--motion", DANCE, "--character", file, "--project", f"{number}-c.mimo", "--dry-run"),
            ("animate", "--motion", file),
            ("fit-motion", file, "--project", f"{number}-f.mimo", "--export", f"{number}.bvh"),
        ):
            done = CliRunner().invoke(app.app, list(map(str, words)), prog_name="mimo")
            wrong = done.exit_code not in (0, 2, 3, 4) or "Traceback" in done.stderr
            refused = done.exit_code and not ("error: " in done.stderr and "fix: " in done.stderr)
            if wrong or refused:
                told.append(f"{' '.join(map(str, words))} -> {done.exit_code}: {done.stderr[-300:]}")
    assert not told, "\n".join(told)
    assert all(path.name.split(".")[0].split("-")[0].isdecimal() for path in Path.cwd().iterdir())
