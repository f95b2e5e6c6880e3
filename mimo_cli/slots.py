"""Every place of a project folder, by name. The stages between them are in `mimo_cli/stages.py`."""

from collections.abc import Mapping
from pathlib import Path

from engine.errors import InputError
from mimo_cli.artifacts import FOLDER, Slot, check_columns, data_slot, picture_slot, source_slot, video_slot

VIDEO = source_slot("video")
"""The clip to edit."""
MOTION = source_slot("motion")
"""A motion file (BVH, glTF, FBX, AMASS and its kin) to animate."""
MAPPING = source_slot("mapping")
"""What a person knows better about that file: a small TOML file."""
BACKDROP = source_slot("scene")
"""A picture or a video to stand behind an animation."""

CLIP = data_slot("clip/clip", ".toml")
FRAMES = data_slot("clip/frames", ".csv", check=check_columns("frame_idx", "pts", "time_s", "duration_s"))


def _fits_the_clip(path: Path, others: Mapping[Slot, Path]) -> None:
    """A layer has as many frames as the clip, of the same size."""
    from engine.video import open_layer
    from mimo_cli.tables import read_clip

    if CLIP not in others:
        return
    info = read_clip(others[CLIP])
    layer = open_layer(path, kind="rgba")
    if layer.num_frames != info.num_frames:
        raise InputError(
            f"{path} has {layer.num_frames} frames; the clip has {info.num_frames}.",
            f"export it again with {info.num_frames} frames, or delete it and mimo makes a new one.",
        )
    if layer.size != info.size:
        raise InputError(
            f"{path} is {layer.size[1]}x{layer.size[0]}; the clip is {info.width}x{info.height}.",
            f"export it again at {info.width}x{info.height}, or delete it and mimo makes a new one.",
        )


def _layer(stem: str) -> Slot:
    return video_slot(stem, check=_fits_the_clip, check_with=(CLIP,))


TRACKS = data_slot("layers/tracks", ".csv", check=check_columns("frame_idx", "x0_px", "y0_px", "x1_px", "y1_px"))
LANDMARKS = data_slot("layers/landmarks", ".csv", check=check_columns("frame_idx", "score", "nose.x_px"))
OTHERS = data_slot("layers/others", ".csv", check=check_columns("person", "frame_idx", "score", "nose.x_px"))
"""Tracks and landmarks of everybody whom the layers are not about."""
ROSTER = picture_slot("layers/people")
"""Small pictures of everybody with their numbers, for `--person N`."""
ROUGH = Slot("layers/rough", (FOLDER,))
"""The network's small masks of the person whom the layers are about, before they are refined."""
HUMAN_MASK = _layer("layers/human.mask")
BACKGROUND = data_slot("layers/background", ".csv", check=check_columns("frame_idx", "h00", "inliers"))
FIRST_PLATE = Slot("layers/first-plate", (FOLDER,))
"""The place outside of the rough masks: what differs from it is the person's."""
PLATE = Slot("layers/plate", (FOLDER,))
"""The place without the person, as mosaics of some dozens of frames each."""
SCENE = _layer("layers/scene")
OCCLUSION = _layer("layers/occlusion.mask")
PROPS = _layer("layers/props.mask")
"""What the person holds or rides and takes along."""
DEPTH = _layer("layers/depth")
SCENE_LIGHT = data_slot("layers/light", ".toml")
"""Colour, blur and grain of the scene around the person."""
SHUTTER = data_slot("layers/shutter", ".toml")
"""How long the source's shutter was open."""

BODY = data_slot("motion/body", ".bvh")
SHAPE = data_slot("motion/shape", ".toml")
PEOPLE = Slot("motion/people", (FOLDER,))
"""A folder for each person: `person-1/body.bvh`, `shape.toml` and `camera.csv`."""
CAMERA = data_slot("motion/camera", ".csv", check=check_columns("frame_idx", "fx_px", "fy_px", "rx_rad", "tx_m"))
PREVIEW = Slot("motion/preview", (".mp4", ".mov", ".m4v"))
"""The posed body over the clip, half transparent."""
SURFACE = _layer("motion/surface")
"""The posed embedded body, every point of it in a colour of its own, unlit, on black."""
SDC = _layer("motion/sdc")
"""The posed SMPL body as the published network was shown it."""
SKELETON = _layer("motion/skeleton")
"""The person's landmarks as a coloured skeleton, as Moore-AnimateAnyone's network was shown it."""

REFERENCE = picture_slot("identity/{name}/reference")
MASK = picture_slot("identity/{name}/mask")
"""A person's own mask of the reference: white is the character."""
BACK = picture_slot("identity/{name}/back")
"""A person's own picture of the character from behind."""
PROFILE = picture_slot("identity/{name}/side")
"""A person's own picture of the character from its side, facing the picture's left."""
CUTOUT = picture_slot("identity/{name}/cutout")
JOINTS = data_slot("identity/{name}/joints", ".toml", ".yaml", ".yml")
PUPPET = data_slot("identity/{name}/puppet", ".npz")
CANONICAL = picture_slot("identity/{name}/canonical")

HUMAN = video_slot("render/{name}/human", check=_fits_the_clip, check_with=(CLIP,))
SHADOW = video_slot("render/{name}/shadow", check=_fits_the_clip, check_with=(CLIP,))
LIGHT = data_slot("render/{name}/light", ".toml")
"""How scene and source look to the character; `grain` is laid on when everything is put together."""
LOOK = data_slot("render/{name}/look", ".npz")
"""Small pictures and measures of the result before it is encoded, for the report."""
LOOK_LOSSLESS = data_slot("render/{name}/look.lossless", ".npz")
OUT = Slot("out/{name}", (".mp4", ".mov", ".m4v"), result=True)
OUT_LOSSLESS = Slot("out/{name}.lossless", (".mkv",), result=True)
OUT_ALPHA = Slot("out/{name}.alpha", (".mov", ".webm", ".mkv", ".gif", FOLDER), result=True)
