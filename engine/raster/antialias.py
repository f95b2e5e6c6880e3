"""Smooth edges: several samples per pixel, averaged."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from engine.raster.fragments import Fragments, interpolate
from engine.raster.rasterize import CENTRE_PX, box_of, project, rasterize, side_by_side
from engine.types import Size

FOUR_PX: tuple[tuple[float, float], ...] = ((0.375, 0.875), (0.875, 0.625), (0.125, 0.375), (0.625, 0.125))
"""Four samples of a pixel, x right, y down, from its corner: a rotated square, so that edges near the level and the
upright get four steps too. The places the published renderer's driver uses."""


def rasterize_samples(
    vertices_m: Any,
    faces: Any,
    K: Any,
    size: Size,
    *,
    samples_px: Sequence[tuple[float, float]] = FOUR_PX,
    value_at: str = "sample",
    backend: str = "auto",
    cull_back: bool = False,
) -> tuple[Fragments, ...]:
    """Rasterize once per sample of a pixel; `interpolate_samples` reads attributes of the result.

    Args:
        vertices_m: as in `rasterize`, and so are faces, K, size, backend and cull_back.
        faces: (F, 3) int.
        K: (3, 3) or (T, 3, 3) float, pixels.
        size: (height, width), pixels.
        samples_px: where in a pixel the samples are, x right, y down, from its corner.
        value_at: "sample" takes barycentric coordinates where the sample is (supersampling: the true mean); "centre"
            takes them at the pixel's centre, past the face's edge if need be (multisampling, as graphics cards do).
        backend: one of `BACKENDS`.
        cull_back: leave out faces seen from their inside.

    Returns:
        Fragments, one per sample.

    Raises:
        InputError: as `rasterize`.
        MissingError: as `rasterize`.
    """
    assert value_at in ("sample", "centre"), value_at

    def one(idx: int) -> Fragments:
        test_px = samples_px[idx]
        value_px = CENTRE_PX if value_at == "centre" else test_px
        return rasterize(
            vertices_m, faces, K, size, backend=backend, cull_back=cull_back, test_px=test_px, value_px=value_px
        )

    if isinstance(vertices_m, np.ndarray) and len(vertices_m) == 1 and backend in ("auto", "numpy"):
        return tuple(side_by_side(one, len(samples_px)))
    return tuple(one(idx) for idx in range(len(samples_px)))


def interpolate_samples(
    attributes: Any,
    samples: Sequence[Fragments],
    faces: Any,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """Read attributes of the vertices at every pixel, edges mixed with zero by the share of samples that are covered.

    Args:
        attributes: (V, C) or (T, V, C) float, numpy or torch; gradients flow into it when it is a tensor.
        samples: of `rasterize_samples`.
        faces: (F, 3) int, the faces that were rasterized.
        low: least value of a sample; what was extrapolated past a face is clamped.
        high: greatest value of a sample.

    Returns:
        (T, H, W, C) of the attributes' type: the mean over the samples.
    """
    total = None
    for one in samples:
        values = interpolate(attributes, one, faces)
        if low is not None or high is not None:
            values = values.clip(low, high)  # the same word in numpy and torch
        total = values if total is None else total + values
    assert total is not None, "no samples"
    return total / len(samples)


def draw_samples(
    attributes: NDArray,
    vertices_m: NDArray,
    faces: NDArray,
    K: NDArray,
    size: Size,
    *,
    value_at: str = "sample",
    low: float | None = None,
    high: float | None = None,
) -> NDArray:
    """Draw attributes of the vertices of one closed mesh with four samples per pixel, working only where it is.

    Args:
        attributes: (V, C) float.
        vertices_m: (V, 3) float, camera frame.
        faces: (F, 3) int, counter-clockwise seen from outside; the others are not drawn.
        K: (3, 3) float, pixels.
        size: (height, width), pixels.
        value_at: as in `rasterize_samples`.
        low: as in `interpolate_samples`, and so is high.
        high: greatest value of a sample.

    Returns:
        (H, W, C) float32; zeros where empty.
    """
    out = np.zeros((*size, attributes.shape[1]), np.float32)
    points_px, _ = project(vertices_m, np.asarray(K, np.float64))
    x0, y0, (height, width) = box_of(points_px, size)
    if not height or not width:
        return out
    moved = np.array(K, np.float64)
    moved[:2, 2] -= x0, y0
    samples = rasterize_samples(vertices_m[None], faces, moved, (height, width), value_at=value_at, cull_back=True)
    values = interpolate_samples(attributes.astype(np.float32), samples, faces, low=low, high=high)
    out[y0 : y0 + height, x0 : x0 + width] = values[0]
    return out


def coverage(samples: Sequence[Fragments]) -> Any:
    """Share of each pixel that is covered: (T, H, W) float32, 0 ... 1, numpy or torch as the samples are."""
    total = cast(Any, sum((one.face_idx >= 0) * 1.0 for one in samples)) / len(samples)
    return total.astype(np.float32) if isinstance(total, np.ndarray) else total.float()
