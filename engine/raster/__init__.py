"""The raster room: which face of a mesh every pixel sees, and what it carries there."""

from engine.raster.antialias import FOUR_PX, draw_samples, interpolate_samples, rasterize_samples
from engine.raster.fragments import Fragments, interpolate
from engine.raster.rasterize import BACKENDS, rasterize

__all__ = [
    "BACKENDS",
    "FOUR_PX",
    "Fragments",
    "draw_samples",
    "interpolate",
    "interpolate_samples",
    "rasterize",
    "rasterize_samples",
]
