"""mimo dataset: clips to train on, out of videos or drawn by rule."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mimo_cli import console

if TYPE_CHECKING:
    from engine.synth.dataset import SynthSet
    from mimo_cli.curation import Verdict


def dataset(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="build or synth.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the shards go.")],
    videos: Annotated[
        list[Path] | None, typer.Argument(metavar="VIDEO", help="build: videos, or folders of them.")
    ] = None,
    size: Annotated[int, typer.Option("--size", metavar="PX", min=32, help="Pixels, square.")] = 256,
    frames: Annotated[int, typer.Option("--frames", metavar="N", min=1, help="Frames of a clip.")] = 24,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", metavar="N", min=1, help="Processes; each takes a video (build) or draws a clip (synth)."
        ),
    ] = 1,
    ray: Annotated[
        str | None, typer.Option("--ray", metavar="ADDRESS", help='build: a Ray cluster, or "local".')
    ] = None,
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, help="synth: clips.")] = 64,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="synth: another seed, other clips.")] = 0,
    identities: Annotated[int, typer.Option("--identities", metavar="N", min=1, help="synth: different actors.")] = 8,
    fps: Annotated[
        float, typer.Option("--fps", metavar="RATE", min=1, max=120, help="synth: frames per second.")
    ] = 24.0,
    motion: Annotated[
        list[Path] | None,
        typer.Option("--motion", "-m", metavar="FILE", help="synth: motion files; else motions made by rule."),
    ] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="synth: also draw every clip with a second actor.")] = False,
) -> None:
    """Make clips to train on, with everything a training step needs, in shards.

    \b
    mimo dataset build films/ --size 768 --frames 96 --workers 4 --out data/train
    mimo dataset synth --count 2000 --size 768 --out data/synth
    mimo dataset synth --count 100 --pairs --motion dance.bvh --out data/pairs

    build takes every video apart, fits the motion, finds who it is, and keeps the stretches that show a whole person
    who moves, large and sharp enough, without a cut; verdicts/ says why the rest was dropped, statistics.html sums it
    up. A bad video never stops it; the same command again goes on.

    synth draws bodies, clothes, places, cameras, light and what passes in front; clip i is the same on any machine.
    """
    from engine.errors import UsageError

    if action == "build":
        _build(videos or [], out, size, frames, workers, ray)
        return
    if action != "synth":
        raise UsageError(
            f"mimo dataset {action}: there is no such action.", fix="mimo dataset build VIDEO --out FOLDER"
        )
    from engine.synth.dataset import SynthSet

    wanted = SynthSet(count=count, seed=seed, identities=identities, size=(size, size), num_frames=frames, fps=fps)
    _synth(replace(wanted, motions=_motions(motion or [], fps)), out, pairs, workers)


def _build(videos: list[Path], out: Path, size: int, frames: int, workers: int, ray: str | None) -> None:
    from engine.training.curation import CurationConfig
    from mimo_cli.curation import write_statistics

    files = _files(videos)
    voice = console.current()
    config = CurationConfig(frames=frames)
    begun_s = time.monotonic()
    voice.started("build", f"take {len(files)} videos apart")
    verdicts = []
    for verdict in _run(files, workers, ray, out=out.resolve(), size=size, config=config):
        verdicts.append(verdict)
        said = verdict.error or f"{verdict.clips} clips of {verdict.frames} frames"
        voice.noted("build", f"{Path(verdict.video).name}: {said}")
        voice.progressed("build", len(verdicts), len(files))
    write_statistics(verdicts, out / "statistics.html")
    voice.finished("build", time.monotonic() - begun_s)
    voice.result(out)


def _files(given: list[Path]) -> list[Path]:
    """Every video named, and every file of the folders named."""
    from engine.errors import InputError, UsageError
    from mimo_cli.artifacts import VIDEO_SUFFIXES

    found = []
    for path in given:
        if path.is_dir():
            found += [file for file in sorted(path.rglob("*")) if file.suffix.lower() in VIDEO_SUFFIXES]
        elif path.is_file():
            found.append(path)
        else:
            raise InputError(f"{path} is not there.", fix="check the name; ls shows what is in a folder.")
    if not found:
        raise UsageError("no videos were named.", fix="mimo dataset build VIDEO... --out FOLDER")
    return [path.resolve() for path in found]


def _one(video: Path, **more: Any) -> "Verdict":
    """Make the shard of one video in a process of its own; a bug of ours ends that video, not the build."""
    from mimo_cli.curation import Verdict, build_video

    console.use(console.Console(quiet=True))
    try:
        return build_video(video, **more)
    except Exception as error:
        return Verdict(str(video), 0, 0, {}, f"a bug in mimo: {type(error).__name__}: {error}")


def _run(files: list[Path], workers: int, ray: str | None, **more: Any) -> Iterator["Verdict"]:
    """Yield a verdict per video, as they come."""
    from functools import partial

    task = partial(_one, **more)
    if ray is not None:
        yield from _run_on_ray(task, files, ray, workers)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(task, file) for file in files]):
            yield future.result()


def _run_on_ray(task: Callable, files: list[Path], address: str, workers: int) -> Iterator["Verdict"]:
    """Yield a verdict per video from a Ray cluster; the folders must be the same on all its machines."""
    from engine.errors import MissingError

    try:
        import ray  # type: ignore[import-not-found]
    except ImportError as error:
        raise MissingError("Ray is not installed.", fix="pip install 'mimo[cluster]'") from error
    local = address == "local"
    ray.init(address=None if local else address, num_cpus=workers if local else None, include_dashboard=False)
    try:
        remote = ray.remote(task.func)
        waiting = [remote.remote(file, **task.keywords) for file in files]  # type: ignore[attr-defined]
        while waiting:
            done, waiting = ray.wait(waiting)
            yield ray.get(done[0])
    finally:
        ray.shutdown()


def _synth(wanted: "SynthSet", out: Path, pairs: bool, workers: int) -> None:
    from engine.training.synthetic import build_synth

    voice = console.current()
    begun_s = time.monotonic()
    voice.started("synth", f"draw {wanted.count} clips")

    def progress(done: int, total: int) -> None:
        voice.progressed("synth", done, total)

    build_synth(wanted, out, pairs=pairs, workers=workers, progress=progress)
    voice.finished("synth", time.monotonic() - begun_s)
    voice.result(out)


def _motions(paths: list[Path], fps: float) -> tuple:
    import numpy as np

    from engine.motion.files import read_motion_file
    from engine.motion.resample import resample

    found = []
    for path in paths:
        motion = read_motion_file(path).motion
        length_s = float(motion.time_s[-1] - motion.time_s[0])
        found.append(resample(motion, motion.time_s[0] + np.arange(int(length_s * fps) + 1) / fps))
    return tuple(found)
