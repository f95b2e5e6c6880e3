"""What a swap costs in time and memory: cold, with a second character, and on a clip four times as long.

    python benchmarks/swap.py --video VIDEO --character PICTURE --second PICTURE
    python benchmarks/swap.py            # sam2_juggle.mp4 of the sample media if it is there, else examples/game.mp4

Every run is a process of its own, of modules compiled beforehand, as pip does when it installs them; memory is the peak
resident size that the operating system reports for it. On a busy machine wall time says little; processor time still
does.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Run:
    wall_s: float
    cpu_s: float
    peak_mib: float


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="mimo-bench-") as folder:
        work = Path(folder)
        subprocess.run([sys.executable, "-m", "compileall", "-q", "engine", "mimo_cli"], cwd=ROOT, check=True)
        cold = _swap(work / "once.mimo", options.video, options.character)
        second = _swap(work / "once.mimo", options.video, options.second)
        print_row("cold project", cold)
        print_row("second character", second)
        share, cpu_share = second.wall_s / cold.wall_s, second.cpu_s / cold.cpu_s
        print(f"second character / cold          {share:8.2f}  (target 0.35)  of processor time {cpu_share:.2f}")
        if options.skip_long:
            return
        long = work / "long.mp4"
        loop(options.video, long, 4)
        four = _swap(work / "four.mimo", long, options.character)
        print_row("four times as long, cold", four)
        print(f"peak memory, four times / once   {four.peak_mib / cold.peak_mib:8.2f}  (target 1.10)")


def _options() -> argparse.Namespace:
    data = next(
        (
            Path(p)
            for p in (os.environ.get("MIMO_SAMPLE_DATA"), ROOT.parent / "shared" / "data")
            if p and Path(p).is_dir()
        ),
        None,
    )
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    examples = ROOT / "examples"
    parser.add_argument(
        "--video", type=Path, default=data / "videos/sam2_juggle.mp4" if data else examples / "game.mp4"
    )
    parser.add_argument(
        "--character", type=Path, default=data / "characters/ad_char3" if data else examples / "cat.png"
    )
    parser.add_argument("--second", type=Path, default=examples / "cat.png")
    parser.add_argument("--skip-long", action="store_true", help="leave out the clip four times as long")
    return parser.parse_args()


def _swap(project: Path, video: Path, character: Path) -> Run:
    return run_mimo("swap", "-q", "--project", project, "--video", video, "--character", character)


def run_mimo(*arguments: str | Path) -> Run:
    """Run a command in a process of its own; it has to end well and to print paths that are there."""
    command = [sys.executable, "-m", "mimo_cli", *map(str, arguments)]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        result = process.stdout.read().strip() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0 or not all(Path(line).is_file() for line in result.splitlines()):
        raise SystemExit(f"mimo {arguments[0]} failed with exit code {process.returncode}")
    wall_s = time.perf_counter() - started
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def loop(source: Path, target: Path, times: int) -> None:
    """Repeat the packets of a video, without encoding them again."""
    import av

    with av.open(str(target), "w") as out:
        stream, offset = None, 0
        for _ in range(times):
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                end = 0
                for packet in container.demux(video):
                    if packet.dts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                    packet.stream = stream
                    out.mux(packet)
                offset += end


def print_row(name: str, run: Run) -> None:
    """Print what a run cost."""
    print(f"{name:<32} {run.wall_s:8.1f} s {run.cpu_s:8.1f} s of processor time {run.peak_mib:8.0f} MiB")


if __name__ == "__main__":
    main()
