"""fit-motion --preview: the posed body laid over the clip."""

from collections.abc import Iterator
from dataclasses import replace

from numpy.typing import NDArray

from mimo_cli import slots, tables
from mimo_cli.runs.conditions import read_shape
from mimo_cli.runs.motion import read_body
from mimo_cli.runs.source import open_source
from mimo_cli.stage import Job


def preview(job: Job) -> None:
    """Draw the body of the project over its video and write it as H.264, without sound."""
    from engine.video import encode_result

    clip = open_source(job)
    times = tables.read_frames(job.inputs[slots.FRAMES])
    for note in encode_result(_frames(job), clip.info, times, job.outputs[slots.PREVIEW], mode="h264"):
        job.note(note)


def _frames(job: Job) -> Iterator[list[NDArray]]:
    from engine.conditions.surface import pose_body, to_camera
    from engine.motion.contact import find_contact
    from engine.motion.preview import draw_preview
    from engine.video.color import rgb_to_planes

    clip = open_source(job)
    motion = read_body(job, tables.read_frames(job.inputs[slots.FRAMES]).time_s)
    motion = replace(motion, shape=read_shape(job.inputs[slots.SHAPE]))
    camera = tables.read_camera(job.inputs[slots.CAMERA], clip.num_frames)
    contact = find_contact(motion) if motion.contact is None else motion.contact
    for frame, vertices_m in zip(clip.read_frames(), pose_body(motion, 0, len(motion)), strict=True):
        left, right = (bool(stands) for stands in contact[frame.idx])
        seen_m = to_camera(vertices_m, camera.world_to_cam[frame.idx])
        rgb = draw_preview(frame.rgb(), seen_m, camera.K[frame.idx], planted=(left, right))
        yield list(rgb_to_planes(rgb, clip.info))
        job.progress(frame.idx + 1, clip.num_frames)
