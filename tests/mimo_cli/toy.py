"""A small stage map with everything the real one has: a source, chunks, identities, an optional read, a person's files.

Run as a program it is one `mimo` run on a toy project: `python toy.py PROJECT`.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError
from mimo_cli.artifacts import data_slot, picture_slot, source_slot, video_slot
from mimo_cli.project import Project
from mimo_cli.stage import Stage

NUM_CHUNKS = 3


def check_mask(path, others):
    want = len(others[FRAMES].read_text().split())
    got = sum(1 for _ in path.glob("*.png")) if path.is_dir() else len(path.read_text().split())
    if got != want:
        raise InputError(f"{path} has {got} frames; the clip has {want}.", fix=f"give it {want} frames, or delete it.")


VIDEO = source_slot("video")
FRAMES = data_slot("clip/frames", ".csv")
INFO = data_slot("clip/clip", ".toml")
MASK = video_slot("layers/human.mask", check=check_mask, check_with=(FRAMES,))
TRACKS = data_slot("layers/tracks", ".csv")
SCENE = video_slot("layers/scene")
REFERENCE = picture_slot("identity/{name}/reference")
HINT = data_slot("identity/{name}/hint", ".toml")
CODE = data_slot("identity/{name}/code", ".npz")
RESULT = video_slot("out/{name}", result=True)

ran: list[str] = []
"""What ran, stage ids and chunks, in this process."""
hook = [lambda: None]
"""Called in the middle of writing; the kill test counts it as one more file operation."""


def write(path, text):
    with open(path, "w") as stream:
        stream.write(text[: len(text) // 2])
        stream.flush()
        hook[0]()
        stream.write(text[len(text) // 2 :])


@dataclass(frozen=True)
class SegmentParams:
    threshold: float = 0.5
    mode: str = "plain"


@dataclass(frozen=True)
class SceneParams:
    seed: int = 0


def ingest(job):
    ran.append("ingest")
    words = job.inputs[VIDEO].read_text().split()
    write(job.outputs[FRAMES], "\n".join(str(idx) for idx in range(len(words))))
    write(job.outputs[INFO], f"words = {len(words)}")


def segment(job):
    ran.append("segment")
    words = job.inputs[VIDEO].read_text().split()
    count = len(job.inputs[FRAMES].read_text().split())
    total = ""
    for idx in range(NUM_CHUNKS):
        name = f"{idx:06d}"
        if job.chunks.get(name) is None:
            with job.chunks.make(name) as folder:
                ran.append(f"chunk {name}")
                words_here = words[idx * count // NUM_CHUNKS : (idx + 1) * count // NUM_CHUNKS]
                write(folder / "words.txt", "".join(f"{word.upper()} " for word in words_here))
                write(folder / "state.txt", total)
        total += (job.chunks.get(name) / "words.txt").read_text()
        job.progress(idx + 1, NUM_CHUNKS)
    write(job.outputs[MASK], total)
    write(job.outputs[TRACKS], f"{job.params.threshold} {job.params.mode} {count}")
    job.facts["words"] = count


def scene(job):
    ran.append("scene")
    mask = job.inputs[MASK]
    text = " ".join(sorted(f.name for f in mask.glob("*.png"))) if mask.is_dir() else mask.read_text()
    write(job.outputs[SCENE], f"scene of {text} {job.params.seed} {'ours' if job.ours(MASK) else 'yours'}")


def encode(job):
    ran.append(job.inputs[REFERENCE].parent.name + ": encode")
    hint = job.inputs[HINT].read_text() if HINT in job.inputs else "no hint"
    write(job.outputs[CODE], f"code of {job.inputs[REFERENCE].read_text()}, {hint}")


def compose(job):
    ran.append("compose")
    write(job.outputs[RESULT], job.inputs[SCENE].read_text() + " + " + job.inputs[CODE].read_text())


STAGES = (
    Stage(name="ingest", version=1, reads=(VIDEO,), writes=(FRAMES, INFO), run=ingest, about="read the clip"),
    Stage(
        name="segment", version=1, reads=(VIDEO, FRAMES), writes=(MASK, TRACKS), run=segment, about="find the person",
        params=SegmentParams, weights=("net",),
    ),
    Stage(name="scene", version=1, reads=(MASK,), writes=(SCENE,), run=scene, about="fill", params=SceneParams),
    Stage(name="encode-id", version=1, reads=(REFERENCE,), optional=(HINT,), writes=(CODE,), run=encode, about="lift"),
    Stage(name="compose", version=1, reads=(SCENE, CODE), writes=(RESULT,), run=compose, about="put together"),
)  # fmt: skip


def weights(name):
    return f"sha of {name}"


def make(root, stages=STAGES, **more):
    """Make the toy project `root` with a video beside it and the identity cat, or open it."""
    root = Path(root)
    video = root.parent / "dance.txt"
    if not video.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        video.write_text("one two three four five six")
    project = Project.create(root, {"video": video}, stages=stages, weights=weights, **more)
    picture = root / "identity/cat/reference.png"
    if not picture.exists():
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.write_text("a cat")
    return project


if __name__ == "__main__":
    made = make(Path(sys.argv[1])).run([RESULT], identity="cat")
    print(made[RESULT].read_text())
    print("\n".join(ran))
