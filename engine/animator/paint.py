"""One posed puppet to pixels: 2x2 samples at edges, one inside, texture, outline.

Which face every sample sees is found at twice the resolution. A pixel whose four samples lie on one surface is textured
once; a pixel at an edge is textured at each of its samples. That is a quarter of the texturing for the same picture.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.raster.spans import cover
from engine.raster.triangles import Triangles, set_up
from engine.types import Size

_BLOCK = 8192
_ROW = 256
_FAR_M = np.float32(1e4)
_SHIFT_LIMIT_TEXELS = 1.5
_ALPHA = np.zeros(256, np.uint8)
_ALPHA[:5] = 0, 64, 128, 191, 255


@dataclass(frozen=True)
class Surface:
    """A projected mesh and what it carries."""

    points_px: NDArray
    """(2, V) float, pixels of the box to be painted."""
    z_m: NDArray
    """(V,) float, metres from the camera."""
    faces: NDArray
    """(F, 3) int32."""
    attributes: NDArray
    """(F, 3, A) float32 per corner: u, v in texels (centres at 0.5), share of the front texture, and, where there is
    light, its brightness."""
    front: NDArray
    fill: NDArray
    """(h, w, 4) and (h, 2 w, 4) uint8 of `Textures`."""


@dataclass(frozen=True)
class Stroke:
    """The outline of the drawing, drawn again where the figure has turned it away."""

    rgb: tuple[int, int, int]
    width_px: float
    step_m: float
    """Depth between neighbouring pixels from which there is an edge."""


def paint(surface: Surface, size: Size, stroke: Stroke | None) -> NDArray:
    """Paint a mesh.

    Args:
        surface: the mesh; only faces that look at the camera are painted.
        size: (height, width) of the box, pixels.
        stroke: how to outline; None for drawings without outlines.

    Returns:
        (h, w, 4) uint8 premultiplied RGBA.
    """
    height, width = size
    samples = 2 * height, 2 * width
    points = np.ascontiguousarray(surface.points_px.T, np.float64) * 2.0
    triangles = set_up(points, surface.z_m.astype(np.float64), surface.faces, samples, cull_back=True)
    winner = cover(triangles, samples)
    seen = (winner >= 0).view(np.uint8)
    first = np.ascontiguousarray(seen[::2, ::2])
    count = first + seen[::2, 1::2] + seen[1::2, ::2] + seen[1::2, 1::2]
    tables = _attribute_planes(triangles, surface)
    # First every pixel is read at its middle, on the face its first sample sees; then edges are read again, finer.
    pixel = np.flatnonzero(first)
    row, column = (np.broadcast_to(line, size)[first.view(bool)] for line in _lines(size))
    colour, depth = np.zeros(size, np.uint32), np.full(size, _FAR_M, np.float32)
    faces = np.ascontiguousarray(winner[::2, ::2]).reshape(-1).take(pixel)
    colour.reshape(-1)[pixel], depth.reshape(-1)[pixel] = _read(tables[0], faces, column, row, surface)
    depth[count < 2] = _FAR_M
    near, far = _edges(depth, stroke.step_m if stroke else 0.04 * float(np.ptp(surface.z_m) + 0.1))
    pixel = np.flatnonzero((count > 0) & ((count < 4) | near | far))
    colour.reshape(-1)[pixel] = _mean_of_samples(winner, *np.divmod(pixel, width), tables[1], surface)
    rgba = colour.view(np.uint8).reshape(height, width, 4)
    if stroke is not None and near.any():
        _outline(rgba, depth, near, count > 0, stroke)
    rgba[..., 3] = cv2.LUT(count, _ALPHA)
    pixel, flat = np.flatnonzero((count > 0) & (count < 4)), rgba.reshape(-1, 4)
    partial = flat[pixel].astype(np.uint16)
    flat[pixel, :3] = (partial[:, :3] * partial[:, 3:] + 127) // 255
    return rgba


def _lines(size: Size) -> tuple[NDArray, NDArray]:
    """Row (h, 1) and column (w,) of the first sample of each pixel, float32: chosen from these by a mask, the places of
    pixels take a tenth of the time of `nonzero`."""
    rows, columns = (np.arange(0, 2 * length, 2, dtype=np.float32) for length in size)
    return rows[:, None], columns


def _edges(depth: NDArray, step_m: float) -> tuple[NDArray, NDArray]:
    """Pixels beside which the depth jumps, each (h, w) bool: those in front of the jump, and those behind it."""
    near, far = np.zeros(depth.shape, bool), np.zeros(depth.shape, bool)
    for before, after in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        step = depth[after] - depth[before]
        down, up = step > step_m, step < -step_m
        near[before] |= down
        far[after] |= down
        near[after] |= up
        far[before] |= up
    return near, far


def _attribute_planes(triangles: Triangles, surface: Surface) -> tuple[NDArray, NDArray]:
    """Planes (N, 3, 1 + A) float32 of depth and the attributes: to be read at the middle of the pixel,
    and at the sample itself."""
    num, faces = len(triangles.face_idx), surface.faces[triangles.face_idx]
    corners = np.empty((1 + surface.attributes.shape[2], 3, num))  # long lines: numpy is slow along short ones
    corners[0] = surface.z_m[faces.T]
    corners[1:] = surface.attributes[triangles.face_idx].transpose(2, 1, 0)
    rise, screen = corners[:, 1:] - corners[:, :1], triangles.screen.transpose(1, 2, 0)
    plane = np.empty((3, len(corners), num))
    for k in range(3):
        np.multiply(screen[0, k], rise[:, 0], out=plane[k])
        plane[k] += screen[1, k] * rise[:, 1]
    step = 0.5 * (plane[0] + plane[1])
    plane[2] += corners[:, 0] + step  # sample centres
    sample = np.ascontiguousarray(plane.transpose(2, 0, 1), np.float32)
    # The middle of the pixel may lie outside a narrow face: go there no further than the texture is smooth.
    middle = sample.copy()
    middle[:, 2, 1:3] = (plane[2, 1:3] + np.clip(step[1:3], -_SHIFT_LIMIT_TEXELS, _SHIFT_LIMIT_TEXELS)).T
    return middle, sample


def _read(table: NDArray, faces: NDArray, columns: NDArray, rows: NDArray, surface: Surface) -> tuple[NDArray, NDArray]:
    """Colour (P,) uint32, how far the drawing's own outline is there in its fourth byte, and depth (P,) float32."""
    colour, depth = np.empty(len(faces), np.uint32), np.empty(len(faces), np.float32)
    values = np.zeros((table.shape[2], _BLOCK), np.float32)
    for start in range(0, len(faces), _BLOCK):  # a block stays in cache; fresh megabytes cost more than the arithmetic
        block = slice(start, min(start + _BLOCK, len(faces)))
        num = block.stop - start
        plane = np.take(table, faces[block], axis=0)
        x, y = columns[block].astype(np.float32), rows[block].astype(np.float32)
        for k in range(table.shape[2]):
            values[k, :num] = plane[:, 0, k] * x + plane[:, 1, k] * y + plane[:, 2, k]
        depth[block] = values[0, :num]
        colour[block] = _texture(values[:, : -(-num // _ROW) * _ROW].reshape(len(values), -1, _ROW), surface)[:num]
    return colour, depth


def _texture(values: NDArray, surface: Surface) -> NDArray:
    """(rows x 256,) uint32: colours of attributes (1 + A, rows, 256)."""
    u, v, share = values[1] - 0.5, values[2] - 0.5, np.clip(values[3], 0, 1)
    front, fill = (
        cv2.remap(texture, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for texture in (surface.front, surface.fill)
    )
    colour = cv2.blendLinear(front, fill, share, 1 - share)
    if len(values) > 4:
        bright = values[4]
        colour = cv2.multiply(colour, cv2.merge([bright, bright, bright, np.ones_like(bright)]), dtype=cv2.CV_8U)
    return colour.reshape(-1, 4).view(np.uint32).reshape(-1)


def _mean_of_samples(winner: NDArray, row: NDArray, column: NDArray, table: NDArray, surface: Surface) -> NDArray:
    """(P,) uint32: mean colour of the covered samples of pixels."""
    rows = (2 * row[:, None] + np.array([0, 0, 1, 1])).ravel()
    columns = (2 * column[:, None] + np.array([0, 1, 0, 1])).ravel()
    faces = winner[rows, columns]
    seen = np.flatnonzero(faces >= 0)
    each = np.zeros(len(faces), np.uint32)
    each[seen], _ = _read(table, faces[seen], columns[seen], rows[seen], surface)
    total = each.view(np.uint8).reshape(-1, 4, 4).sum(1, dtype=np.uint16)
    num = (faces >= 0).reshape(-1, 4).sum(1).astype(np.uint16)[:, None]
    return ((total + num // 2) // np.maximum(num, 1)).astype(np.uint8).view(np.uint32).reshape(-1)


def _outline(rgba: NDArray, depth: NDArray, edge: NDArray, covered: NDArray, stroke: Stroke) -> None:
    """Draw strokes along edges, on the near side, where the drawing does not show its own (fourth channel)."""
    distance, nearest = cv2.distanceTransformWithLabels(
        (~edge).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    pixel = np.flatnonzero((distance < stroke.width_px) & covered)
    # What lies behind the edge is not outlined; pixels less than half covered have no depth and go with the edge.
    edge_depth = depth[edge].take(np.asarray(nearest, np.int32).reshape(-1).take(pixel) - 1)
    own_depth = depth.reshape(-1)[pixel]
    pixel = pixel[(own_depth - edge_depth < stroke.step_m) | (own_depth >= _FAR_M)]
    flat = rgba.reshape(-1, 4)  # a view: rgba is contiguous
    colour = flat[pixel].astype(np.float32)
    strength = np.clip(stroke.width_px - distance.reshape(-1)[pixel], 0, 1) * (1 - colour[:, 3] / 255)
    colour[:, :3] += (np.array(stroke.rgb, np.float32) - colour[:, :3]) * strength[:, None]
    flat[pixel] = np.rint(colour).astype(np.uint8)
