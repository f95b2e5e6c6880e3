"""The colours of the vertices, found again from a published pose video and the motion it was drawn from.

A pixel inside the body is a known mix of three vertex colours: over all frames a sparse linear least squares problem,
held together by the smoothness of the colours over the mesh where no frame shows a vertex.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.raster import Fragments, rasterize
from engine.types import Progress, Size, quiet

GREY = 10
"""Brighter than this is the body, in the published code."""
_EDGE_PX = 2
"""Pixels this near to an edge are left out: mixed with black, and H.264 keeps colour at half the resolution."""
_DEPTH_JUMP_M = 0.03
_SMOOTH = 0.5
"""Weight of smoothness, in pixels: far below one vertex seen in one frame."""
_MIN_OVERLAP = 0.8
_SEEN_PX = 1.0


@dataclass(frozen=True)
class Recovered:
    """A table of colours and how well it is known."""

    colors: NDArray
    """(V, 3) float32 RGB, 0 ... 255."""
    seen_px: NDArray
    """(V,) float32: pixels that a vertex had a say in, over all frames, weighted by its share."""
    residual: float
    """Root of the mean square difference of the table's picture from the video, over the pixels used, levels."""
    overlap: float
    """Intersection over union of the drawn body and the video's, mean of the frames used."""
    num_used: int
    """Frames whose bodies fit."""
    num_frames: int

    @property
    def coverage(self) -> float:
        """Share of the vertices that at least one whole pixel was seen of; the others are filled in."""
        return float((self.seen_px >= _SEEN_PX).mean())


def recover_colors(
    frames: Iterable[NDArray],
    vertices_m: Iterable[NDArray],
    faces: NDArray,
    K: NDArray,
    size: Size,
    *,
    num_frames: int,
    progress: Progress = quiet,
) -> Recovered:
    """Find the colour of every vertex from a video of the body drawn with them.

    Args:
        frames: T times (H, W, 3) uint8 RGB: the body on black.
        vertices_m: T times (V, 3) float, before the camera.
        faces: (F, 3) int.
        K: (3, 3) float, pixels: `published_camera(size)` for a published video.
        size: (height, width), pixels.
        num_frames: T.
        progress: told after every frame.

    Returns:
        The table, and how well it is known.

    Raises:
        InputError: the motion is not the video's: in no frame do the two bodies overlap by 80 %.
    """
    sums: _Sums | None = None
    overlaps = []
    for done, (rgb, posed) in enumerate(zip(frames, vertices_m, strict=True), start=1):
        sums = sums or _Sums(len(posed), faces)
        fragments = rasterize(posed[None].astype(np.float32), faces, K, size, cull_back=True)
        theirs = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY) > GREY
        ours = fragments.face_idx[0] >= 0
        both, either = (ours & theirs).sum(), (ours | theirs).sum()
        overlaps.append(both / either if either else 1.0)
        if both and overlaps[-1] >= _MIN_OVERLAP:
            sums.add(rgb, fragments, _inside(fragments, theirs))
        progress(done, num_frames)
    used = [overlap for overlap in overlaps if overlap >= _MIN_OVERLAP]
    if sums is None or not sums.num_pixels:
        best = f"{100 * max(overlaps, default=0.0):.0f} %"
        raise InputError(
            f"the body of the motion does not lie on that of the video: they overlap by {best} at best, not by 80 %.",
            "give the motion that the video was drawn from, frame for frame, before the published camera.",
        )
    colors, residual = sums.solve()
    return Recovered(colors, sums.seen_px, residual, float(np.mean(used)), len(used), len(overlaps))


def _inside(fragments: Fragments, theirs: NDArray) -> NDArray:
    """(H, W) bool: pixels of both bodies away from their outlines and from edges where one limb hides another."""
    depth = fragments.depth[0]
    near = np.ones((3, 3), np.uint8)
    inside = ((fragments.face_idx[0] >= 0) & theirs).astype(np.uint8)
    filled = np.where(np.isfinite(depth), depth, 0)
    farthest, nearest = cv2.dilate(filled, near), cv2.erode(np.where(np.isfinite(depth), depth, 1e9), near)
    inside[farthest - nearest > _DEPTH_JUMP_M] = 0
    return cv2.erode(inside, near, iterations=_EDGE_PX, borderValue=1).astype(bool)


class _Sums:
    """The normal equations, summed pixel by pixel: memory does not grow with the video."""

    def __init__(self, num_vertices: int, faces: NDArray) -> None:
        self._faces, self._num = np.asarray(faces), num_vertices
        self._mixes = np.zeros((6, len(faces)))
        self._targets = np.zeros((num_vertices, 3))
        self._square = 0.0
        self.seen_px = np.zeros(num_vertices, np.float32)
        self.num_pixels = 0

    def add(self, rgb: NDArray, fragments: Fragments, inside: NDArray) -> None:
        """Add the pixels of one frame that are `inside`."""
        face_idx, bary = fragments.face_idx[0][inside], fragments.bary[0][inside].astype(np.float64)
        levels = rgb[inside].astype(np.float64)
        for place, (i, j) in enumerate(_PAIRS):
            self._mixes[place] += np.bincount(face_idx, bary[:, i] * bary[:, j], len(self._faces))
        corners = self._faces[face_idx]
        for corner in range(3):
            self.seen_px += np.bincount(corners[:, corner], bary[:, corner], self._num).astype(np.float32)
            for channel in range(3):
                weighted = bary[:, corner] * levels[:, channel]
                self._targets[:, channel] += np.bincount(corners[:, corner], weighted, self._num)
        self._square += float((levels**2).sum())
        self.num_pixels += len(levels)

    def solve(self) -> tuple[NDArray, float]:
        """Colours (V, 3) float32, 0 ... 255, and the root mean square residual, levels."""
        from scipy.sparse import coo_matrix, csr_matrix, diags, eye
        from scipy.sparse.linalg import splu

        shape = (self._num, self._num)
        data = csr_matrix(shape)
        for row, (i, j) in zip(self._mixes, _PAIRS):
            a, b = self._faces[:, i], self._faces[:, j]
            part = coo_matrix((row, (a, b)), shape)
            data = data + (part if i == j else part + part.T)
        ends = np.concatenate([self._faces[:, [0, 1]], self._faces[:, [1, 2]], self._faces[:, [2, 0]]])
        link = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape).tocsr()
        link = ((link + link.T) > 0).astype(np.float64)
        laplacian = diags(np.asarray(link.sum(1)).ravel()) - link
        mean = self._targets.sum(0) / self.num_pixels
        tiny = 1e-6  # vertices without a face get the mean
        system = (data + _SMOOTH * laplacian + tiny * eye(self._num)).tocsc()
        colors = splu(system).solve(self._targets + tiny * mean)
        colors = np.clip(colors, 0, 255)
        left = self._square - 2 * (colors * self._targets).sum() + (colors * (data @ colors)).sum()
        return colors.astype(np.float32), float(np.sqrt(max(left, 0.0) / (3 * self.num_pixels)))


_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0))
