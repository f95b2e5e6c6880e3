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
_ALPHA = np.array([0, 64, 128, 191, 255], np.uint8)


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
    """(h, w, 4) uint8 of `Textures`."""


@dataclass(frozen=True)
class Stroke:
    """The outline of the drawing, drawn again where the figure has turned it away."""

    rgb: tuple[int, int, int]
    width_px: float
    step_m: float
    """Depth between neighbouring pixels from which there is an edge."""


def paint(surface: Surface, size: Size, stroke: Stroke | None) -> tuple[NDArray, NDArray]:
    """Paint a mesh.

    Args:
        surface: the mesh; only faces that look at the camera are painted.
        size: (height, width) of the box, pixels.
        stroke: how to outline; None for drawings without outlines.

    Returns:
        rgb (h, w, 3) uint8 premultiplied and alpha (h, w) uint8.
    """
    height, width = size
    samples = 2 * height, 2 * width
    points = np.ascontiguousarray(surface.points_px.T, np.float64) * 2.0
    triangles = set_up(points, surface.z_m.astype(np.float64), surface.faces, samples, cull_back=True)
    winner = cover(triangles, samples)
    quads = [winner[row::2, column::2] for row in (0, 1) for column in (0, 1)]
    count = sum((quad >= 0).astype(np.uint8) for quad in quads)
    depth = _depth(quads[0], triangles, count)
    edge = _edges(depth, stroke.step_m if stroke else 0.04 * float(np.ptp(surface.z_m) + 0.1))
    one = np.flatnonzero((count == 4) & ~edge)
    many = np.flatnonzero((count > 0) & ((count < 4) | edge))
    colour = np.zeros((height * width, 4), np.uint8)
    _paint_pixels(colour, winner, one, many, triangles, surface)
    alpha = _ALPHA[count]
    rgb = colour[:, :3].reshape(height, width, 3)
    if stroke is not None:
        _outline(rgb, colour[:, 3].reshape(height, width), depth, count > 0, stroke)
    partial = np.flatnonzero((alpha > 0) & (alpha < 255))
    flat = rgb.reshape(-1, 3)
    flat[partial] = (flat[partial] * (alpha.ravel()[partial, None].astype(np.uint16) + 0) + 127) // 255
    return rgb, alpha


def _depth(quad: NDArray, triangles: Triangles, count: NDArray) -> NDArray:
    """(h, w) float32 metres at the first sample of each pixel; far away where less than half is covered."""
    depth = np.full(quad.shape, _FAR_M, np.float32)
    flat, faces = depth.reshape(-1), quad.reshape(-1)
    planes = triangles.planes[:, 0].astype(np.float32)
    seen = np.flatnonzero((faces >= 0) & (count.reshape(-1) >= 2))
    for start in range(0, len(seen), _BLOCK):
        pixel = seen[start : start + _BLOCK]
        row, column = np.divmod(pixel, quad.shape[1])
        plane = np.take(planes, faces[pixel], axis=0)
        inverse = plane[:, 0] * (2 * column + 0.5) + plane[:, 1] * (2 * row + 0.5) + plane[:, 2]
        flat[pixel] = 1 / np.maximum(inverse, 1e-4)
    return depth


def _edges(depth: NDArray, step_m: float) -> NDArray:
    """(h, w) bool: pixels beside which the depth jumps."""
    edge = np.zeros(depth.shape, bool)
    jump = np.abs(depth[:, 1:] - depth[:, :-1]) > step_m
    edge[:, 1:] |= jump
    edge[:, :-1] |= jump
    jump = np.abs(depth[1:] - depth[:-1]) > step_m
    edge[1:] |= jump
    edge[:-1] |= jump
    return edge


def _paint_pixels(
    colour: NDArray, winner: NDArray, one: NDArray, many: NDArray, triangles: Triangles, surface: Surface
) -> None:
    """Texture pixels: those of `one` at their middle, those of `many` as the mean of their covered samples."""
    width = winner.shape[1] // 2
    table = _attribute_planes(triangles, surface)
    row, column = np.divmod(one, width)
    sample = (2 * row) * winner.shape[1] + 2 * column
    colour[one] = _texture(table[0], winner.reshape(-1)[sample], 2 * column, 2 * row, surface)
    if not len(many):
        return
    row, column = np.divmod(many, width)
    rows = (2 * row[:, None] + (0, 0, 1, 1)).ravel()
    columns = (2 * column[:, None] + (0, 1, 0, 1)).ravel()
    faces = winner[rows, columns]
    seen = np.flatnonzero(faces >= 0)
    each = np.zeros((len(faces), 4), np.uint16)
    each[seen] = _texture(table[1], faces[seen], columns[seen], rows[seen], surface)
    num = (faces >= 0).reshape(-1, 4).sum(1).astype(np.uint16)
    colour[many] = (each.reshape(-1, 4, 4).sum(1, dtype=np.uint16) + (num // 2)[:, None]) // num[:, None]


def _attribute_planes(triangles: Triangles, surface: Surface) -> tuple[NDArray, NDArray]:
    """Planes (N, 3, A) float32 of the attributes: read half a sample on (the middle of the pixel), and as they are."""
    corners = surface.attributes[triangles.face_idx]
    screen = triangles.screen.astype(np.float64)
    along = corners[:, 1:].astype(np.float64) - corners[:, :1]
    plane = np.einsum("nkc,nka->nca", screen, along)
    plane[:, 2] += corners[:, 0]
    plane[:, 2] += 0.5 * (plane[:, 0] + plane[:, 1])  # sample centres
    # The middle of the pixel may lie outside a narrow face: go there no further than the texture is smooth.
    shift = 0.5 * (plane[:, 0] + plane[:, 1])
    shift[:, :2] = np.clip(shift[:, :2], -_SHIFT_LIMIT_TEXELS, _SHIFT_LIMIT_TEXELS)
    shift[:, 2:] = 0
    middle = plane.copy()
    middle[:, 2] += shift
    return middle.astype(np.float32), plane.astype(np.float32)


def _texture(table: NDArray, faces: NDArray, columns: NDArray, rows: NDArray, surface: Surface) -> NDArray:
    """(P, 4) uint8 colours, and in the fourth channel how far the drawing's own outline is there."""
    num, num_attributes = len(faces), table.shape[2]
    padded = -(-max(num, 1) // _ROW) * _ROW
    values = np.zeros((num_attributes, padded), np.float32)
    for start in range(0, num, _BLOCK):
        block = slice(start, min(start + _BLOCK, num))
        plane = np.take(table, faces[block], axis=0)
        x, y = (axis[block].astype(np.float32)[:, None] for axis in (columns, rows))
        values[:, block] = (plane[:, 0] * x + plane[:, 1] * y + plane[:, 2]).T
    values = values.reshape(num_attributes, -1, _ROW)
    u, v = values[0] - 0.5, values[1] - 0.5
    share = np.clip(values[2], 0, 1)
    front, fill = (
        cv2.remap(t, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for t in (surface.front, surface.fill)
    )
    colour = cv2.blendLinear(front, fill, share, 1 - share)
    if num_attributes > 3:
        rgb = colour.reshape(-1, 4)
        rgb[:, :3] = np.clip(rgb[:, :3] * values[3:].reshape(num_attributes - 3, -1).T + 0.5, 0, 255)
    return colour.reshape(-1, 4)[:num]


def _outline(rgb: NDArray, drawn: NDArray, depth: NDArray, covered: NDArray, stroke: Stroke) -> None:
    """Draw strokes along depth steps, on the near side, where the drawing does not show its own."""
    edge = _near_edges(depth, stroke.step_m)
    if not edge.any():
        return
    distance, nearest = cv2.distanceTransformWithLabels(
        (~edge).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    pixel = np.flatnonzero((distance < stroke.width_px) & covered)
    # What lies behind the edge is not outlined; pixels less than half covered have no depth and go with the edge.
    edge_depth = depth[edge][nearest.reshape(-1)[pixel] - 1]
    own_depth = depth.reshape(-1)[pixel]
    pixel = pixel[(own_depth - edge_depth < stroke.step_m) | (own_depth >= _FAR_M)]
    strength = np.clip(stroke.width_px - distance.reshape(-1)[pixel], 0, 1) * (1 - drawn.reshape(-1)[pixel] / 255.0)
    flat = rgb.reshape(-1, 3)
    line = np.array(stroke.rgb, np.float32)
    flat[pixel] = flat[pixel] + (line - flat[pixel]) * strength[:, None] + 0.5


def _near_edges(depth: NDArray, step_m: float) -> NDArray:
    """(h, w) bool: pixels with a neighbour much farther away."""
    edge = np.zeros(depth.shape, bool)
    step = depth[:, 1:] - depth[:, :-1]
    edge[:, :-1] |= step > step_m
    edge[:, 1:] |= step < -step_m
    step = depth[1:] - depth[:-1]
    edge[:-1] |= step > step_m
    edge[1:] |= step < -step_m
    return edge
