"""decompose: the human, the scene, the occlusion, and how the background moves."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from engine.config import nearest
from engine.errors import RecipeError
from engine.types import BackgroundMotion, ClipInfo, FrameSource, Landmarks, Tracks
from mimo_cli import slots, tables
from mimo_cli.artifacts import Slot
from mimo_cli.runs.people import read_others, read_person
from mimo_cli.runs.source import open_source
from mimo_cli.stage import Job

if TYPE_CHECKING:
    from engine.layers.scene.plate import Plate


STAGE_OF_LAYER = {"mask": "segment", "scene": "scene", "depth": "depth"}
"""Layer, as `--backend` names it, to the stage that makes it."""
PROPS = ("drop", "keep")
"""What can become of a bicycle when its rider is taken away."""
BACKENDS = {
    "segment": ("embedded", "sam2", "mask2former"),
    "scene": ("embedded", "propainter"),
    "depth": ("embedded", "depth-anything"),
}
"""Stage to what can do its work."""


def _check_backend(stage: str, backend: str) -> None:
    if backend not in BACKENDS[stage]:
        raise RecipeError(f"{stage}.backend is {backend}.", fix=nearest(backend, BACKENDS[stage], "backends"))


@dataclass(frozen=True, kw_only=True)
class SegmentParams:
    """What cuts the person out."""

    backend: str = "embedded"
    """"embedded", "sam2" (SAM 2 video) or "mask2former" (instances; see `mimo weights`): what cuts the person out."""

    def __post_init__(self) -> None:
        _check_backend("segment", self.backend)


@dataclass(frozen=True, kw_only=True)
class OcclusionParams:
    """What becomes of the things that the person holds or rides."""

    props: str = "drop"
    """"drop": they go away with the person (props.mask); "keep": they stay in front (occlusion.mask)."""

    def __post_init__(self) -> None:
        if self.props not in PROPS:
            raise RecipeError(f"occlusion.props is {self.props}.", fix=nearest(self.props, PROPS, "choices"))


@dataclass(frozen=True, kw_only=True)
class SceneParams:
    """What fills in what the person hides."""

    backend: str = "embedded"
    """"embedded" (borrowed from other frames) or "propainter" (not for commercial use; see `mimo weights`)."""

    def __post_init__(self) -> None:
        _check_backend("scene", self.backend)


@dataclass(frozen=True, kw_only=True)
class DepthParams:
    """What says how far away things are."""

    backend: str = "embedded"
    """"embedded" (coarse: layers in order) or "depth-anything" (Depth Anything V2 Small; see `mimo weights`)."""

    def __post_init__(self) -> None:
        _check_backend("depth", self.backend)


def network_weights(params: SegmentParams | SceneParams) -> tuple[str, ...]:
    """Return the weights that a mask or a scene of these settings uses: they are called as the backend is."""
    return () if params.backend == "embedded" else (params.backend,)


def segment(job: Job) -> None:
    """Cut the person out of every frame."""
    from engine.layers.human.mask2former import detected_mask
    from engine.layers.human.matte import CHUNK, human_mask
    from engine.layers.human.rivals import find_rivals
    from engine.layers.human.sam2 import network_mask
    from engine.layers.scene.likeness import find_likenesses
    from engine.people.rough import Silhouettes
    from engine.threads import run_ahead

    clip, person = open_source(job), read_person(job)
    motion, plate = _background(job, slots.FIRST_PLATE)
    folders = [job.weights(name).folder for name in network_weights(job.params)]
    if job.params.backend == "sam2":
        masks = network_mask(clip, person, *folders, chunks=job.chunks, progress=job.progress)
    else:
        find = detected_mask if job.params.backend == "mask2former" else human_mask
        others = tables.read_others(job.inputs[slots.OTHERS], clip.num_frames)
        rough = Silhouettes(person, clip.size)
        looks = find_likenesses(clip, rough, plate, motion, (person.tracks, person.landmarks), others)
        plate.populate = looks.lay
        known = {"plate": plate, "rivals": find_rivals(clip, person, others, motion, looks)}
        # A chunk's masks come at once; while they are written, the next chunk is worked on.
        masks = run_ahead(find(clip, person, *folders, chunks=job.chunks, progress=job.progress, **known), CHUNK)
    _write(job, slots.HUMAN_MASK, "gray8", clip, masks)


def background(job: Job) -> None:
    """Follow the still part of the picture."""
    from engine.layers.background_motion import track_background, tracking_scale
    from engine.people.rough import Silhouettes

    clip = open_source(job)
    masks = Silhouettes(read_person(job), clip.size, tracking_scale(clip.size))
    motion = track_background(clip, masks, chunks=job.chunks, progress=job.progress)
    tables.write_background(motion, job.outputs[slots.BACKGROUND])


def gather(job: Job) -> None:
    """Gather the place outside of the rough masks from the frames that show it."""
    from engine.layers.scene.plate import build_plate, save_plate
    from engine.people.rough import Silhouettes

    clip = open_source(job)
    motion = tables.read_background(job.inputs[slots.BACKGROUND], clip.num_frames)
    person = read_person(job)
    masks, others = _with_passers(job, Silhouettes(person, clip.size), person.tracks, person.landmarks)
    people = {"landmarks": person.landmarks, "others": others}
    found = build_plate(clip, masks, motion, chunks=job.chunks, progress=job.progress, **people)
    save_plate(found, job.output(slots.FIRST_PLATE, "/"))


def plate(job: Job) -> None:
    """Take the place that was gathered, or gather it anew where the mask has more of the person than was known then."""
    from engine.layers.scene.cover import is_covered
    from engine.layers.scene.plate import build_plate, save_plate
    from engine.people.rough import Silhouettes

    clip, (motion, found) = open_source(job), _background(job, slots.FIRST_PLATE)
    masks, person = _mask(job), read_person(job)
    if not is_covered(masks, Silhouettes(person, clip.size, 0.5), motion):
        masks, others = _with_passers(job, masks, person.tracks, person.landmarks)
        people = {"landmarks": person.landmarks, "others": others}
        found = build_plate(clip, masks, motion, chunks=job.chunks, progress=job.progress, **people)
    save_plate(found, job.output(slots.PLATE, "/"))


def scene(job: Job) -> None:
    """Fill in what the person hides."""
    from engine.layers.scene.likeness import find_likenesses
    from engine.layers.scene.propainter import network_scene
    from engine.layers.scene.removal import Together
    from engine.layers.scene.scene import complete_scene
    from engine.video import overlay_kind, to_overlay

    clip, (motion, plate) = open_source(job), _background(job)
    gone = Together(_mask(job), _layer(job, slots.PROPS, "gray8", clip.num_frames))
    if job.params.backend == "propainter":
        job.note("ProPainter is for non-commercial use only (--backend scene=embedded is free)")
        folder = job.weights("propainter").folder
        frames = network_scene(clip, gone, motion, folder, chunks=job.chunks, progress=job.progress)
    else:
        tracks = tables.read_tracks(job.inputs[slots.TRACKS], clip.num_frames)
        landmarks = tables.read_landmarks(job.inputs[slots.LANDMARKS], clip.num_frames)
        others = tables.read_others(job.inputs[slots.OTHERS], clip.num_frames)
        plate.populate = find_likenesses(clip, gone, plate, motion, (tracks, landmarks), others).lay
        known = {"plate": plate, "others": [landmarks for _, landmarks in others.values()]}
        frames = complete_scene(clip, gone, motion, chunks=job.chunks, progress=job.progress, **known)
    kind = overlay_kind(clip.info)
    if kind == "rgba":
        _write(job, slots.SCENE, kind, clip, frames)
    else:
        _write(job, slots.SCENE, kind, clip, (to_overlay(rgba, clip.info) for rgba in frames), clip.info)


def occlusion(job: Job) -> None:
    """Find what is in front of the person, and what goes or stays with them."""
    from engine.layers.human.props import find_props
    from engine.layers.occlusion.occlusion import find_occlusion
    from engine.layers.occlusion.passer_by import seen_beside
    from engine.layers.scene.removal import sort_out
    from engine.video import LayerWriter

    clip, (motion, plate) = open_source(job), _background(job)
    landmarks = tables.read_landmarks(job.inputs[slots.LANDMARKS], clip.num_frames)
    tracks = tables.read_tracks(job.inputs[slots.TRACKS], clip.num_frames)
    others = seen_beside(tracks, tables.read_others(job.inputs[slots.OTHERS], clip.num_frames))
    given = clip, _mask(job), motion, landmarks, tracks
    near = read_others(job)
    fronts = find_occlusion(*given, chunks=job.chunks, progress=job.progress, plate=plate, others=near)
    props = find_props(*given, chunks=job.chunks, plate=plate, others=others)
    writers = [LayerWriter(job.outputs[slot], clip.size, "gray8") for slot in (slots.OCCLUSION, slots.PROPS)]
    seen = 0
    for front, held in zip(fronts, props):
        pair = sort_out(front, held, keep=job.params.props == "keep")
        for writer, mask in zip(writers, pair):
            writer.write(mask)
        seen += bool(held.any())
    for writer in writers:
        writer.close()
    if seen:
        other = {"drop": "they go with the person (--keep-props leaves them in front)", "keep": "they stay in front"}
        job.note(f"the person holds or rides things in {seen} of {clip.num_frames} frames; {other[job.params.props]}")


def _background(job: Job, plate: Slot = slots.PLATE) -> "tuple[BackgroundMotion, Plate]":
    from engine.layers.scene.plate import open_plate

    info = tables.read_clip(job.inputs[slots.CLIP])
    motion = tables.read_background(job.inputs[slots.BACKGROUND], info.num_frames)
    return motion, open_plate(job.inputs[plate], motion, info.size)


def depth_weights(params: DepthParams) -> tuple[str, ...]:
    """Return the weights that a depth layer of these settings uses."""
    return ("depth-anything-v2-small",) if params.backend == "depth-anything" else ()


def depth(job: Job) -> None:
    """Say how far away everything is, coarsely or as a network measures it."""
    from engine.layers.depth import NEAREST_M, coarse_depth

    info = tables.read_clip(job.inputs[slots.CLIP])
    tracks = tables.read_tracks(job.inputs[slots.TRACKS], info.num_frames)
    landmarks = tables.read_landmarks(job.inputs[slots.LANDMARKS], info.num_frames)
    front = _layer(job, slots.OCCLUSION, "gray8", info.num_frames)
    if job.params.backend == "depth-anything":
        from engine.layers.depth_anything import network_depth

        folder = job.weights("depth-anything-v2-small").folder
        clip = open_source(job)
        frames = network_depth(clip, landmarks, tracks, _mask(job), folder, chunks=job.chunks, progress=job.progress)
    else:
        frames = coarse_depth(landmarks, tracks, _mask(job), front, info.size, progress=job.progress)
    _write(job, slots.DEPTH, "gray16", front, frames)
    job.facts["metres"] = f"{NEAREST_M} * 65535 / value"


def _with_passers(
    job: Job, mask: FrameSource, tracks: Tracks, landmarks: Landmarks
) -> tuple[FrameSource, list[Landmarks]]:
    """The mask with whoever stands in front of the person, and the landmarks of everybody else."""
    from engine.layers.scene.hiding import WithPassers

    others = tables.read_others(job.inputs[slots.OTHERS], mask.num_frames)
    return WithPassers(mask, tracks, landmarks, others), [points for _, points in others.values()]


def _mask(job: Job) -> FrameSource:
    info = tables.read_clip(job.inputs[slots.CLIP])
    return _layer(job, slots.HUMAN_MASK, "gray8", info.num_frames)


def _layer(job: Job, slot: Slot, kind: str, num_frames: int) -> FrameSource:
    from engine.video import open_layer

    return open_layer(job.inputs[slot], kind=kind, ours=job.ours(slot), num_frames=num_frames)


def _write(
    job: Job,
    slot: Slot,
    kind: str,
    clip: FrameSource,
    frames: Iterable[NDArray] | Iterable[list[NDArray]],
    info: ClipInfo | None = None,
) -> None:
    """Write a video whose frames come in order from an engine that keeps its own chunks."""
    from engine.video import LayerWriter

    writer = LayerWriter(job.outputs[slot], clip.size, kind, info=info)
    for frame in islice(frames, clip.num_frames):
        writer.write(frame)
    writer.close()
