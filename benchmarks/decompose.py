"""How well the human mask agrees with hand-made ones: DAVIS's J (regions) and F (boundaries), and their means.

    python benchmarks/decompose.py [FOLDER]
    python benchmarks/decompose.py --speed [VIDEO]     # what `mimo decompose` costs: frames a second, memory
    python benchmarks/decompose.py --memory [VIDEO]    # the same, four and twelve times as long, too

FOLDER holds masks/davis_*/{frames,masks}; without it, $MIMO_SAMPLE_DATA or ../shared/data beside the repository. The
hand-made masks hold what the person rides and holds, too (the bike, the board and its lines): "mimo" is the human mask
alone, "+props" together with props.mask, which is what goes away from the scene by default; "1 px" is the hand-made
mask itself, grown by one pixel: what that much care about the edge is worth.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np
from swap import loop, print_row, run_mimo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.layers.background_motion import track_background  # noqa: E402
from engine.layers.human.matte import human_mask  # noqa: E402
from engine.layers.human.props import find_props  # noqa: E402
from engine.layers.human.rivals import find_rivals  # noqa: E402
from engine.layers.scene.plate import build_plate  # noqa: E402
from engine.metrics.mask import boundary_accuracy, region_similarity  # noqa: E402
from engine.people import choose_person, find_people  # noqa: E402
from engine.people.rough import Silhouettes  # noqa: E402
from engine.types import ArraySource, TempChunks  # noqa: E402

MASKS = ("network", "mimo", "+props", "1 px")


class PictureFolder:
    """A folder of pictures as a `FrameSource`."""

    def __init__(self, folder):
        self.paths = sorted(folder.iterdir())
        self.num_frames = len(self.paths)
        self.size = cv2.imread(str(self.paths[0])).shape[:2]

    def read(self, start=0, stop=None):
        for path in self.paths[start:stop]:
            yield cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def measure(sequence):
    """Mean J and F of each mask of `MASKS`; frames with the person; ms per frame of both steps."""
    clip = PictureFolder(sequence / "frames")
    truths = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 127 for path in sorted((sequence / "masks").iterdir())]
    chunks = TempChunks()
    start = time.perf_counter()
    people = find_people(clip, chunks=chunks)
    person = people[choose_person(people, clip.size)]
    found = time.perf_counter()
    silhouettes = Silhouettes(person, clip.size)
    motion = track_background(clip, silhouettes, chunks=chunks)
    first_chunks = TempChunks()
    first = build_plate(clip, silhouettes, motion, chunks=first_chunks)
    others = {k: (other.tracks, other.landmarks) for k, other in enumerate(people, 1) if other is not person}
    rivals = find_rivals(clip, person, others, motion)
    layer = ArraySource(np.stack(list(human_mask(clip, person, chunks=chunks, plate=first, rivals=rivals))))
    first_chunks.close()
    done = time.perf_counter()
    masks = [mask > 127 for mask in layer.read()]
    plate = build_plate(clip, layer, motion, chunks=chunks)
    given = clip, layer, motion, person.landmarks, person.tracks
    props = find_props(*given, chunks=chunks, plate=plate, others=others)
    together = [mask | (prop > 127) for mask, prop in zip(masks, props)]
    grown = [cv2.dilate(truth.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0 for truth in truths]
    nothing = np.zeros(clip.size, bool)
    rough_masks = [
        nothing if seen is None else seen[0].paste(seen[1], clip.size) > 127 for seen in person.rough_masks()
    ]
    chunks.close()
    return (
        *(
            float(np.mean([score(mask, truth) for mask, truth in zip(found, truths)]))
            for score in (region_similarity, boundary_accuracy)
            for found in (rough_masks, masks, together, grown)
        ),
        float((person.tracks.score > 0).mean()),
        1e3 * (found - start) / clip.num_frames,
        1e3 * (done - found) / clip.num_frames,
    )


def measure_runs(video, times):
    """Print what `mimo decompose` costs on a video, and on that video several times in a row."""
    with av.open(str(video)) as container:
        num_frames = sum(packet.size > 0 for packet in container.demux(container.streams.video[0]))
    subprocess.run([sys.executable, "-m", "compileall", "-q", "engine", "mimo_cli"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory(prefix="mimo-bench-") as folder:
        peaks = []
        for number in times:
            clip, project = Path(folder) / f"{number}.mp4", Path(folder) / f"{number}.mimo"
            loop(video, clip, number)
            run = run_mimo("decompose", clip, "--project", project, "-q")
            shutil.rmtree(project)
            peaks.append(run.peak_mib)
            print_row(f"{number * num_frames} frames", run)
            rate = number * num_frames / run.wall_s
            print(
                f"{'':32} {rate:8.1f} frames/s (target 15); memory beside the first {peaks[-1] / peaks[0]:.2f}",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("MIMO_SAMPLE_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(default))
    parser.add_argument("--speed", action="store_true", help="run `mimo decompose` on a video and say what it costs")
    parser.add_argument("--memory", action="store_true", help="the same four and twelve times as long, too")
    options = parser.parse_args()
    if options.speed or options.memory:
        video = options.folder if options.folder.is_file() else options.folder / "videos" / "sam2_juggle.mp4"
        measure_runs(video, (1, 4, 12) if options.memory else (1,))
        return
    sequences = sorted((options.folder / "masks").glob("davis_*"))
    if not sequences:
        sys.exit("no masks/davis_*/ found; give the folder that holds masks/")
    heads = [f"{measure} {mask}" for measure in "JF" for mask in MASKS]
    print(
        f"{'sequence':14}" + "".join(f" {head:>9}" for head in heads) + f" {'seen':>6} {'people ms':>10} {'mask ms':>8}"
    )
    scores = []
    for sequence in sequences:
        *quality, seen, people_ms, mask_ms = measure(sequence)
        scores.append(quality)
        name = sequence.name.removeprefix("davis_")
        row = "".join(f" {value:9.3f}" for value in quality)
        print(f"{name:14}{row} {seen:6.0%} {people_ms:10.1f} {mask_ms:8.1f}", flush=True)
    print(f"{'mean':14}" + "".join(f" {value:9.3f}" for value in np.mean(scores, axis=0)))


if __name__ == "__main__":
    main()
