"""The report of a project: what it holds, what was measured, what is worth a look, as one HTML page."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError, MimoError
from engine.types import Camera, ClipInfo, FrameTimes, Motion
from mimo_cli import __version__, console, disk, findings, slots, tables
from mimo_cli.artifacts import Slot
from mimo_cli.licences import parts_of
from mimo_cli.plan import Step

if TYPE_CHECKING:
    from engine.report import Lane, Look, Page
    from mimo_cli.project import Project

FILE = "report.html"
_NUM_SCENES = 30
"""Pictures of the scene where no result has been looked at: it changes slowly, and each costs what ten masks cost."""
_STILL_PX = 420


def write_report(project: "Project", identity: str = "", *, again: bool = True) -> Path:
    """Write `report.html` into a project folder.

    Args:
        project: open.
        identity: of the character; empty takes the one put together last.
        again: also where the page that is there is made from the same.

    Returns:
        Where it lies.

    Raises:
        InputError: the project holds nothing to show yet, or a file of that name that is not ours.
    """
    from engine.report.page import SIGN, write_page

    path = project.root / FILE
    head = _head(path)
    if head and SIGN not in head:
        raise InputError(f"{path} is not a report of mimo and stays.", fix=f"move it: mv {path} {path.stem}-mine.html")
    identity = identity or _last(project)
    steps = project.planner([identity] if identity else []).survey()
    key = _key(project, steps)
    if key in head and not again:
        return path
    page = gather(project, identity, steps, key)
    with disk.plain_errors(project.root):
        write_page(page, path)
    return path


def _head(path: Path) -> str:
    """The first bytes of a file as text; empty where there is none."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        return file.read(400).decode(errors="replace")


def _key(project: "Project", steps: list[Step]) -> str:
    """What the page is made from, in 64 hexadecimal digits: the state of every stage and what it wrote."""
    states = [[step.stage.id, step.action, step.reasons, step.warnings] for step in steps]
    outputs = [
        (found := project.store.find(step.stage.at(slot), step.stage.id)) and found.sha256
        for step in steps
        for slot in step.stage.writes
    ]
    return hashlib.sha256(json.dumps([__version__, states, outputs]).encode()).hexdigest()


def report_run(project: "Project", identity: str = "") -> None:
    """Write the report after a run, once the clip was read; that it cannot be written is worth a note, no failure."""
    if _Places(project, identity).find(slots.FRAMES) is None:
        return
    try:
        write_report(project, identity, again=False)
    except (MimoError, OSError, ValueError) as error:
        console.current().warned(f"no report was written: {getattr(error, 'what', error)}")


@dataclass
class _Clip:
    """What is known of the clip of a project."""

    info: ClipInfo
    times: FrameTimes


def gather(project: "Project", identity: str, steps: list[Step], key: str) -> "Page":
    """Gather all that a report says of one character.

    Raises:
        InputError: the project holds nothing to show yet.
    """
    from engine.report import LookWriter, Page

    places = _Places(project, identity)
    if places.find(slots.CLIP) is None or places.find(slots.FRAMES) is None:
        raise InputError(f"{project.root} holds nothing to show yet.", fix="run mimo decompose, swap or animate first.")
    clip = _Clip(tables.read_clip(places.path(slots.CLIP)), tables.read_frames(places.path(slots.FRAMES)))
    records = _records(project, steps)
    plain = LookWriter(clip.info).without_pictures()
    with ThreadPoolExecutor(1) as pool:
        mask = pool.submit(_look_at_mask, places, clip, plain)
        look = _look(places, clip)
    area = None
    if (seen_mask := mask.result() if look.frames == plain.frames else _look_at_mask(places, clip, look)) is not None:
        look.lanes["human"], area = seen_mask
    seen = _motion(places, clip, look)
    seen.area, seen.confidence = area, _confidence(places, clip)
    seen.series = look.series
    name = (project.sources.get("video") or project.sources.get("motion") or project.root).name
    info, result = clip.info, places.result()
    network = bool(identity) and _uses_network(records, identity)
    return Page(
        title=f"{name} with {identity}" if identity else name,
        key=key,
        facts=_facts(clip, records, identity),
        links={"the result": result.relative_to(project.root).as_posix()} if result else {},
        num_frames=info.num_frames,
        fps=float(info.rate),
        time_s=clip.times.time_s[look.frames].tolist(),
        aspect=round(float(info.width * info.pixel_aspect / info.height), 4),
        look=look,
        lanes=_lanes(places, look, seen),
        joints_px=None if seen.joints_px is None else seen.joints_px[look.frames],
        planted=None if seen.planted is None else seen.planted[look.frames],
        stills=_stills(places),
        plots=findings.plots(seen),
        warnings=findings.warnings(seen, steps, records, places.name, identity, project.root.name, network=network),
        stages=_stages(steps, records),
        licences=_licences(steps, records),
    )


class _Places:
    """Finds the files of a project for one character."""

    def __init__(self, project: "Project", identity: str) -> None:
        self.project, self.identity = project, identity
        self._planner = project.planner([identity] if identity else [])

    def find(self, slot: Slot) -> Path | None:
        """Return the file in a slot, None where there is none."""
        if slot.is_template and not self.identity:
            return None
        found = self._planner.find(slot.bind(self.identity))
        return None if found is None else found.path

    def path(self, slot: Slot) -> Path:
        """Return the file in a slot that is filled."""
        found = self.find(slot)
        assert found is not None, slot.stem
        return found

    def ours(self, slot: Slot) -> bool:
        """True where the file is as mimo wrote it."""
        found = self._planner.find(slot.bind(self.identity))
        return found is not None and found.is_ours

    def name(self, slot: Slot) -> str:
        """Return the file of a slot as a person reads it; empty where there is none."""
        found = self.find(slot)
        return "" if found is None else self.project.store.name(found)

    def result(self) -> Path | None:
        """Return the newest result."""
        found = [path for slot in (slots.OUT, slots.OUT_LOSSLESS, slots.OUT_ALPHA) if (path := self.find(slot))]
        return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def _last(project: "Project") -> str:
    """The character that was put together last, or the first there is."""
    names = project.identities()
    return max(names, key=lambda name: (_written_ns(project, name), name == names[0]), default="")


def _written_ns(project: "Project", identity: str) -> int:
    stages = ("compose", "compose-lossless", "export-alpha", "lift")
    records = (project.store.record(f"{stage}@{identity}") for stage in stages)
    return max((record["written_ns"] for record in records if record), default=0)


def _records(project: "Project", steps: list[Step]) -> dict[str, dict[str, Any]]:
    """Stage id to record, of stages that ran."""
    found = {step.stage.id: project.store.record(step.stage.id) for step in steps}
    return {stage: record for stage, record in found.items() if record is not None}


def _look(places: _Places, clip: _Clip) -> "Look":
    """What was seen while the result was put together; where nothing was, a look at the layers there are."""
    from engine.report import LookWriter, read_look

    found = [path for slot in (slots.LOOK, slots.LOOK_LOSSLESS) if (path := places.find(slot))]
    if found:
        return read_look(max(found, key=lambda path: path.stat().st_mtime_ns))
    if "video" not in places.project.sources:
        return LookWriter(clip.info).without_pictures()
    from engine.report.layers import look_at_layers
    from engine.video import open_clip, open_layer

    source = open_clip(places.project.sources["video"], known=clip.times)
    front = places.find(slots.OCCLUSION)
    size = {"num_frames": clip.info.num_frames, "size": clip.info.size}
    layer = front and open_layer(front, kind="gray8", ours=places.ours(slots.OCCLUSION), **size)
    return look_at_layers(source, _scenes(places, clip), layer)


def _scenes(places: _Places, clip: _Clip) -> Iterator[tuple[int, list[NDArray]]]:
    """Some overlays of the scene, with their frames."""
    from engine.report import LookWriter
    from engine.video import pick_overlays

    path = places.find(slots.SCENE)
    if path is None:
        return
    pictured = LookWriter(clip.info).without_pictures().frames
    some = pictured[:: -(-len(pictured) // _NUM_SCENES)]
    yield from zip(some, pick_overlays(path, clip.info, some, ours=places.ours(slots.SCENE)))


def _look_at_mask(places: _Places, clip: _Clip, look: "Look") -> "tuple[Lane, NDArray] | None":
    """The lane of the person's mask in the pictured frames of a look, and its area."""
    path = places.find(slots.HUMAN_MASK)
    if path is None:
        return None
    from engine.report.layers import look_at_mask
    from engine.video import open_layer

    size = {"num_frames": clip.info.num_frames, "size": clip.info.size}
    mask = open_layer(path, kind="gray8", ours=places.ours(slots.HUMAN_MASK), **size)
    return look_at_mask(mask, look.frames, look.size)


def _motion(places: _Places, clip: _Clip, look: "Look") -> findings.Seen:
    """Where the bones are, and how planted feet slide."""
    seen = findings.Seen(num_frames=clip.info.num_frames)
    if (path := places.find(slots.BODY)) is None:
        return seen
    from engine.motion.rig import read_motion
    from engine.report.bones import foot_slide_mm, joints_in_picture, pose_joints

    motion: Motion = read_motion(path, time_s=clip.times.time_s)
    camera: Camera | None = None
    if (there := places.find(slots.CAMERA)) is not None:
        camera = tables.read_camera(there, clip.info.num_frames)
    joints_m = pose_joints(motion)
    scale = look.size[0] / clip.info.height
    seen.joints_px = joints_in_picture(joints_m, camera, clip.info.size) * scale
    seen.planted = motion.contact
    if motion.contact is not None:
        seen.slide_mm = foot_slide_mm(joints_m, motion.contact, clip.times.time_s)
    return seen


def _confidence(places: _Places, clip: _Clip) -> NDArray | None:
    """How sure the tracker and the landmarks are in every frame, 0 ... 1."""
    if (path := places.find(slots.LANDMARKS)) is None:
        return None
    return tables.read_landmark_scores(path, clip.info.num_frames)


def _uses_network(records: Mapping[str, dict], identity: str) -> bool:
    return records.get(f"animate@{identity}", {}).get("params", {}).get("animator") == "diffusion"


def _facts(clip: _Clip, records: Mapping[str, dict], identity: str) -> list[str]:
    info, times = clip.info, clip.times
    length_s = float(times.time_s[-1] + times.duration_s[-1] - times.time_s[0])
    facts = [f"{info.width}×{info.height}", f"{info.num_frames} frames", f"{length_s:.1f} s"]
    animated = records.get(f"animate@{identity}")
    if animated:
        facts.append("MIMO network" if _uses_network(records, identity) else "puppet")
    changed = records.get(f"compose@{identity}", {}).get("facts", {}).get("changed")
    if changed is not None:
        facts.append(f"{100 * changed:.1f} % of the pixels changed")
    total_s = sum(record["took_s"] for record in records.values())
    facts.append(f"{console.clock(total_s)} of work")
    last = max(records.values(), key=lambda record: record["written_ns"], default=None)
    if last:
        facts.append(f"mimo {last['mimo']}, {last['device']}")
    return facts


_LANES = {
    "source": ("Source", slots.VIDEO),
    "human": ("Human", slots.HUMAN_MASK),
    "scene": ("Scene", slots.SCENE),
    "front": ("Occlusion", slots.OCCLUSION),
    "motion": ("Motion", slots.BODY),
    "result": ("Result", slots.OUT),
}


def _lanes(places: _Places, look: "Look", seen: findings.Seen) -> dict[str, tuple[str, str]]:
    lanes = {}
    for name, (title, slot) in _LANES.items():
        if name in look.lanes or (name == "motion" and seen.joints_px is not None):
            found = places.name(slot) if name != "result" else ""
            if name == "result" and (made := places.result()):
                found = places.project.store.name(made)
            lanes[name] = (title, Path(found).name if name == "source" else found)
    return lanes


def _stills(places: _Places) -> list[tuple[str, str, bytes]]:
    """The canonical picture of the character."""
    import cv2

    path = places.find(slots.CANONICAL)
    picture = None if path is None else cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        return []
    scale = min(1.0, _STILL_PX / max(picture.shape[:2]))
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    done, data = cv2.imencode(".png", cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    return [("Canonical identity", places.name(slots.CANONICAL), data.tobytes())] if done else []


def _stages(steps: list[Step], records: Mapping[str, dict]) -> list[dict[str, Any]]:
    """What ran, in order."""
    rows = []
    for step in steps:
        record = records.get(step.stage.id)
        if record is None and step.action != "yours":
            continue
        notes = [*([step.reason] if step.action != "fresh" else []), *(record or {}).get("notes", ())]
        took = console.clock(record["took_s"]) if record else ""
        rows.append(
            {"stage": step.stage.id, "about": step.stage.about, "state": step.action, "took": took, "notes": notes}
        )
    return rows


def _licences(steps: list[Step], records: Mapping[str, dict]) -> list[dict[str, str]]:
    """Every part that took part, and in which stages."""
    used: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        if step.stage.id in records:
            for part in parts_of(step.stage.name, records[step.stage.id].get("weights", ())):
                used.setdefault((part.name, part.licence), []).append(step.stage.name)
    rows = [{"part": name, "licence": licence, "for": ", ".join(users)} for (name, licence), users in used.items()]
    for row in rows[:1]:
        row["for"] = "everything"  # mimo itself
    return [
        *rows,
        {"part": "your video, motion and character", "licence": "yours to know", "for": "see docs/consent.md"},
    ]
