"""Video in and out: clips, layers, still pictures, colour.

Everything a person gives comes in here, upright and in exact time; everything they get goes out here.
"""

from engine.video.clip import Clip, Frame, open_clip
from engine.video.encode import container_for, encode_result
from engine.video.layer import LayerWriter, concat_layers
from engine.video.layer_source import open_layer
from engine.video.mark import draw_mark
from engine.video.overlay import overlay_kind, pick_overlays, read_overlays, to_overlay
from engine.video.still import read_image, write_png

__all__ = [
    "Clip",
    "Frame",
    "LayerWriter",
    "concat_layers",
    "container_for",
    "draw_mark",
    "encode_result",
    "open_clip",
    "open_layer",
    "overlay_kind",
    "pick_overlays",
    "read_image",
    "read_overlays",
    "to_overlay",
    "write_png",
]
