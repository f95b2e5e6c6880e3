"""`--plan`: what the network will take on this machine, measured before anything starts."""

import shutil

from engine.errors import UsageError
from mimo_cli import console, slots
from mimo_cli.disk import gigabytes
from mimo_cli.project import Project

FIGURE_BYTES = 1.5
"""Of the lossless figure, per pixel that it covers: an estimate, half of the bytes of RGB."""


def forecast(project: Project, identity: str) -> None:
    """Print windows, minutes, memory and disk of the network's animate stage; nothing runs and nothing is written.

    Raises:
        UsageError: the project is animated by the puppet, which takes seconds.
        MissingError: weights are not here.
    """
    stage = next(stage for stage in project.stages if stage.name == "animate")
    params = project.params(stage)
    if params.animator != "diffusion":
        raise UsageError("--plan is for the network; the puppet takes seconds.", fix="add --animator diffusion")
    import numpy as np

    from engine.diffusion.cost import measure_cost
    from engine.diffusion.loaded import LoadedNetwork
    from mimo_cli.runs.diffuse import device, find_folders, render_config

    voice = console.current()
    where = device()
    folders = find_folders(project.find_weights, params)
    config = render_config(params, alone=False)
    num_frames, windows, size, exact = _windows(project, identity, config)
    voice.say("measuring a small piece on this machine ...")
    white = np.full((64, 64, 3), 255, np.uint8)
    side = (params.side, params.side)
    network = LoadedNetwork(folders, white, side, precision=params.precision, fast=params.fast, device=where)
    frames = min(config.sampling.window, num_frames)
    cost = measure_cost(network, window=frames, guidance_scale=params.guidance)
    share = 0.7 if params.fast else 1.0  # every other step runs the outermost blocks alone
    window_s = config.sampling.num_steps * cost.step_s * share
    total_s = windows * window_s + num_frames * cost.frame_s
    disk = 2 * num_frames * FIGURE_BYTES * min(size) ** 2 / 4
    facts = {
        "windows": windows, "exact": exact, "window_s": round(window_s, 1), "minutes": round(total_s / 60, 1),
        "memory_bytes": int(cost.memory_bytes), "disk_bytes": int(disk), "step_tera_flop": round(cost.tera_flop, 3),
        "device": where, "precision": params.precision,
    }  # fmt: skip
    voice.event("forecast", **facts)
    if voice.as_json:
        return
    steps = config.sampling.num_steps
    print(f"windows   {'' if exact else 'at least '}{windows} of {frames} frames for {num_frames} frames")
    print(f"time      {_minutes(total_s)}: {steps} steps of {cost.step_s * share:.1f} s a window, on {where}")
    print(
        f"memory    {gigabytes(cost.memory_bytes)} of the {'GPU' if where == 'cuda' else 'machine'}, {params.precision}"
    )
    print(f"disk      about {gigabytes(disk)}; {gigabytes(shutil.disk_usage(project.root).free)} are free")


def _windows(project: Project, identity: str, config) -> tuple[int, int, tuple[int, int], bool]:
    """Frames, windows, size, and whether the windows are counted and not guessed."""
    from engine.animator.shots import find_shots, list_tasks
    from engine.diffusion.windows import stream_windows
    from engine.video import open_clip, open_layer
    from mimo_cli.runs.diffuse import POSES

    planner = project.planner([identity])
    stage = next(stage for stage in project.stages if stage.name == "animate")
    pose = planner.find(POSES[project.params(stage).pose])
    if pose is not None:
        layer = open_layer(pose.path, kind="rgb")
        return layer.num_frames, len(list_tasks(find_shots(layer), config)), layer.size, True
    if slots.VIDEO.source in project.sources:
        clip = open_clip(project.sources[slots.VIDEO.source])
        num_frames, size = clip.num_frames, clip.size
    else:
        from engine.motion.files import read_motion_file
        from engine.motion.given import read_mapping

        mapping = project.sources.get(slots.MAPPING.source)
        read = read_motion_file(project.sources[slots.MOTION.source], read_mapping(mapping) if mapping else None)
        num_frames, size = len(read.motion.time_s), (512, 512)
    sampling = config.sampling
    return num_frames, len(stream_windows(num_frames, length=sampling.window, overlap=sampling.overlap)), size, False


def _minutes(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
