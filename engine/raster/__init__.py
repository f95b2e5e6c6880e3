"""The raster room: which face of a mesh every pixel sees, and what it carries there."""

from engine.raster.fragments import Fragments, interpolate
from engine.raster.rasterize import BACKENDS, rasterize

__all__ = ["BACKENDS", "Fragments", "interpolate", "rasterize"]
