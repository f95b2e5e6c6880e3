"""mimo dataset: clips to train on."""

from pathlib import Path
from typing import Annotated

import typer

from mimo_cli import console


def dataset(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="synth.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where the shards go.")],
    count: Annotated[int, typer.Option("--count", min=1, help="Clips.")] = 64,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Another seed, other clips.")] = 0,
    identities: Annotated[int, typer.Option("--identities", min=1, help="Different actors.")] = 8,
    size: Annotated[int, typer.Option("--size", min=32, help="Pixels, square.")] = 256,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames of a clip.")] = 24,
    fps: Annotated[float, typer.Option("--fps", min=1, max=120, help="Frames per second.")] = 24.0,
    motion: Annotated[
        list[Path] | None, typer.Option("--motion", "-m", metavar="FILE", help="BVH files; else motions made by rule.")
    ] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Also draw every clip with a second actor.")] = False,
) -> None:
    """Draw clips by rule, with everything a training step needs, into shards.

    \b
    mimo dataset synth --count 2000 --size 768 --out data/synth
    mimo dataset synth --count 100 --pairs --motion dance.bvh --out data/pairs

    Bodies, clothes, places, cameras, light and what passes in front vary from clip to clip; clip i is the same on any
    machine. Layers, masks, motion and camera are exact. A killed run goes on with the first shard that is missing.
    """
    from engine.errors import UsageError
    from engine.synth.dataset import SynthSet
    from engine.training.synthetic import build_synth

    if action != "synth":
        raise UsageError(f"mimo dataset {action}: there is no such action.", fix="mimo dataset synth --out FOLDER")
    wanted = SynthSet(
        count=count,
        seed=seed,
        identities=identities,
        size=(size, size),
        num_frames=frames,
        fps=fps,
        motions=_motions(motion or [], fps),
    )
    voice = console.current()
    voice.started("synth", f"draw {count} clips")
    build_synth(wanted, out, pairs=pairs, progress=lambda done, total: voice.progressed("synth", done, total))
    voice.finished("synth", 0.0)
    voice.result(out)


def _motions(paths: list[Path], fps: float) -> tuple:
    import numpy as np

    from engine.body.bvh import read_bvh
    from engine.motion.resample import resample
    from engine.motion.retarget import motion_from_bvh

    found = []
    for path in paths:
        motion, _ = motion_from_bvh(read_bvh(path))
        length_s = float(motion.time_s[-1] - motion.time_s[0])
        found.append(resample(motion, motion.time_s[0] + np.arange(int(length_s * fps) + 1) / fps))
    return tuple(found)
