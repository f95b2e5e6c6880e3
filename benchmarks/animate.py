"""Milliseconds per frame of the puppet animator: posing, drawing, drawing with H.264, and the whole of `mimo animate`.

    python benchmarks/animate.py [--frames 120]

The character is the cat that comes with mimo, lifted on the spot; it dances before the standing camera. The whole
command is run on a motion file of 360 frames, 512x512, in a fresh process with a cold project, and its stages are read
from the project's records.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from engine.animator.pose import pose_puppet, rest_motion
from engine.animator.puppet import PuppetAnimator
from engine.animator.stage_camera import frame_motion
from engine.identity.cutout import cut_out
from engine.identity.joints import find_joints
from engine.identity.lift import lift
from engine.motion.rig import write_motion
from engine.synth.motions import make_act
from engine.types import Size
from engine.video.still import read_image

CAT = Path(__file__).resolve().parent.parent / "engine/assets/characters/cat.png"
SIZES: tuple[Size, ...] = ((512, 512), (720, 1280))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=120)
    num_frames = parser.parse_args().frames
    started = time.perf_counter()
    cutout = cut_out(read_image(CAT))
    puppet = lift(cutout, find_joints(cutout))
    print(f"picture to puppet  {time.perf_counter() - started:6.2f} s   {len(puppet.faces)} faces")
    motion = make_act("dance", rest_motion().rest_m, np.arange(num_frames) / 30.0).motion
    started = time.perf_counter()
    posed = pose_puppet(puppet, motion, travel="stride")
    print(f"pose               {(time.perf_counter() - started) / num_frames * 1e3:6.2f} ms/frame")
    for size in SIZES:
        camera = frame_motion(motion, size, puppet, posed=posed)
        animator = PuppetAnimator(puppet, motion, camera, size, posed=posed)
        draw_ms = []
        for frame in range(num_frames):
            started = time.perf_counter()
            patch = animator.render(frame)
            draw_ms.append((time.perf_counter() - started) * 1e3)
        covered = int((patch.rgba[..., 3] > 0).sum())
        print(
            f"{size[1]}x{size[0]}: draw  min {min(draw_ms):5.1f}  median {statistics.median(draw_ms):5.1f} ms/frame, "
            f"{covered} pixels; with H.264 {encode_rate(animator, size):5.1f} frames/s"
        )
    time_command()


def time_command(num_frames: int = 360) -> None:
    """Print frames per second of `mimo animate` by the clock, and milliseconds of processor time per frame."""
    motion = make_act("dance", rest_motion().rest_m, np.arange(num_frames) / 30.0).motion
    with tempfile.TemporaryDirectory() as folder:
        bvh, project = Path(folder) / "dance.bvh", Path(folder) / "p.mimo"
        write_motion(motion, bvh)
        command = [sys.executable, "-m", "mimo_cli", "animate", "--size", "512x512", "--project", str(project)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [*command, "--motion", str(bvh), "--character", str(CAT)],
            env=environment,
            check=True,
            capture_output=True,
        )
        wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(
            f"mimo animate, cold: {num_frames / wall_s:5.1f} frames/s, {wall_s:.1f} s, {cpu_s:.1f} s of processor time"
        )
        spent_s = {path.stem: seconds_of(path) for path in sorted((project / "stages").glob("*.json"))}
        for stage, seconds in spent_s.items():
            print(f"  {stage:14} {seconds:6.2f} s {seconds / num_frames * 1e3:6.1f} ms/frame")
        both_s = sum(seconds for stage, seconds in spent_s.items() if stage.startswith(("animate", "compose")))
        print(f"  animate + compose {num_frames / both_s:5.1f} frames/s")


def seconds_of(record: Path) -> float:
    """How long a stage took, from its record."""
    return float(json.loads(record.read_text())["took_s"])


def encode_rate(animator: PuppetAnimator, size: Size) -> float:
    """Frames per second of drawing, laying on white and encoding, in memory."""
    import io

    import av

    started = time.perf_counter()
    with av.open(io.BytesIO(), "w", format="mp4") as out:
        stream = out.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = size[1], size[0], "yuv420p"
        for patch in animator.render_range():
            frame = np.full((*size, 3), 255, np.uint8)
            height, width = patch.rgba.shape[:2]
            window = frame[patch.y0 : patch.y0 + height, patch.x0 : patch.x0 + width]
            light = (255 - patch.shadow.astype(np.uint16))[..., None] * (255 - patch.rgba[..., 3:])
            window[:] = patch.rgba[..., :3] + (light // 255).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    return animator.num_frames / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
