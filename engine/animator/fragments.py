"""The body's surface in a crop, for the paper's network: which face each pixel sees, and where on it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.body.model import load_body
from engine.conditions.surface import pose_body
from engine.diffusion.clips import Box, round_up
from engine.diffusion.prepare import square_offset
from engine.raster import rasterize
from engine.types import Camera, Motion, Size


@dataclass(frozen=True)
class BodyFragments:
    """Draws the embedded body of a motion."""

    motion: Motion
    camera: Camera

    def draw(self, start: int, stop: int, box: Box, size: Size) -> tuple[NDArray, NDArray, NDArray]:
        """Draw the body in a crop that was padded to a square and resized.

        Args:
            start: first frame.
            stop: frame after the last.
            box: the crop, pixels of the clip.
            size: (height, width) of the picture.

        Returns:
            faces (F, 3) int32; face_idx (T, height, width) int32, -1: none; bary (T, height, width, 3) float32.
        """
        faces, frames = load_body().faces, slice(start, stop)
        world_m = np.stack(list(pose_body(self.motion, start, stop)))
        R, t = self.camera.world_to_cam[frames, :3, :3], self.camera.world_to_cam[frames, :3, 3]
        cam_m = np.einsum("tij,tvj->tvi", R, world_m) + t[:, None]
        drawn = rasterize(cam_m.astype(np.float32), faces, crop_camera(self.camera.K[frames], box, size), size)
        return faces, drawn.face_idx, drawn.bary


def crop_camera(K: NDArray, box: Box, size: Size) -> NDArray:
    """The camera of a crop, padded to a square (`prepare.pad_square`) and resized.

    Args:
        K: (T, 3, 3), pixels of the clip.
        box: the crop.
        size: (height, width) it is resized to.
    """
    x0, x1, y0, y1 = box
    top, left = square_offset((y1 - y0, x1 - x0))
    side = round_up(max(y1 - y0, x1 - x0))
    moved = K.astype(np.float32).copy()
    moved[:, 0, 2] += left - x0
    moved[:, 1, 2] += top - y0
    moved[:, 0] *= size[1] / side
    moved[:, 1] *= size[0] / side
    return moved
