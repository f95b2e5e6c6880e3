"""Who is in the video: everybody, and the one the layers are about."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mimo_cli import slots, tables
from mimo_cli.runs.source import open_source
from mimo_cli.stage import Job

if TYPE_CHECKING:
    from engine.people.rough import Followed


@dataclass(frozen=True, kw_only=True)
class PeopleParams:
    """Who is meant."""

    person: int | None = None
    """Number of the person in `mimo decompose --list-people`; None is the one who matters most by size and motion."""
    point: tuple[float, float] | None = None
    """x, y of a pixel on the person in the first frame they are in; None lets `person` decide."""


def people(job: Job) -> None:
    """Find everybody, follow them through the clip, and choose one."""
    from engine.layers.occlusion.passer_by import is_in_front, seen_beside
    from engine.people import choose_person, draw_roster, find_people
    from engine.people.rough import save_rough
    from engine.video import write_png

    clip = open_source(job)
    everybody = find_people(clip, chunks=job.chunks, progress=job.progress)
    chosen = choose_person(everybody, clip.size, person=job.params.person, point_px=job.params.point)
    person = everybody[chosen]
    with ThreadPoolExecutor(1) as pool:
        saved = pool.submit(save_rough, person, job.output(slots.ROUGH, "/"))
        tables.write_tracks(person.tracks, job.outputs[slots.TRACKS])
        tables.write_landmarks(person.landmarks, job.outputs[slots.LANDMARKS])
        others = {idx: (other.tracks, other.landmarks) for idx, other in enumerate(everybody, 1) if other is not person}
        tables.write_others(others, job.outputs[slots.OTHERS])
        for number, (tracks, landmarks) in seen_beside(person.tracks, others).items():
            if is_in_front(person.landmarks, landmarks, person.tracks, tracks).any():
                folder = other_rough(job.output(slots.ROUGH, "/"), number)
                folder.mkdir(exist_ok=True)
                save_rough(everybody[number - 1], folder)
        write_png(job.outputs[slots.ROSTER], draw_roster(everybody))
        saved.result()
    unseen = int((person.tracks.score <= 0).sum())
    job.facts.update(people=len(everybody), person=chosen + 1, frames_without_the_person=unseen)
    if len(everybody) > 1:
        more = "--person N or --point X,Y takes another; layers/people.png shows them"
        job.note(f"{len(everybody)} people; took number {chosen + 1} ({more})")
    if unseen:
        total = clip.num_frames
        job.note(f"the person is not seen in {unseen} of {total} frames; the character bridges only short gaps")


def read_person(job: Job) -> "Followed":
    """Read the one the layers are about; the job reads tracks, landmarks and rough masks."""
    from engine.people.rough import Followed

    num_frames = tables.read_clip(job.inputs[slots.CLIP]).num_frames
    return Followed(
        tables.read_tracks(job.inputs[slots.TRACKS], num_frames),
        tables.read_landmarks(job.inputs[slots.LANDMARKS], num_frames),
        job.inputs[slots.ROUGH],
    )


def read_others(job: Job) -> "dict[int, Followed]":
    """Read everybody who may be in front of the person; the job reads their table and the rough masks."""
    from engine.people.rough import Followed

    num_frames = tables.read_clip(job.inputs[slots.CLIP]).num_frames
    others = tables.read_others(job.inputs[slots.OTHERS], num_frames).items()
    followed = {k: Followed(*other, other_rough(job.inputs[slots.ROUGH], k)) for k, other in others}
    return {k: one for k, one in followed.items() if one.folder.is_dir()}


def other_rough(folder: Path, number: int) -> Path:
    """Where in the folder of the rough masks those of somebody else are, by number."""
    return folder / f"person-{number}"
