"""The torch backend: the same runs of pixels as `spans`, depth settled by scatter; runs where its tensors are."""

from typing import Any

from engine.raster.triangles import SUBPIXEL, Triangles
from engine.types import Size

_HALF = SUBPIXEL // 2


def cover(triangles: Triangles, size: Size, device: Any = "cpu") -> Any:
    """Find the nearest triangle of every pixel; see `engine.raster.spans.cover`.

    Args:
        triangles: of `set_up`.
        size: (height, width), pixels.
        device: torch device to work on.

    Returns:
        (H, W) int32 tensor on the device. The same on every device: smallest of the nearest, no order of writing.
    """
    import torch

    height, width = size
    tri, row, x0, x1 = _runs(triangles, size, device)
    length = x1 - x0
    owner = torch.repeat_interleave(tri, length)
    offset = row * width + x0 - (torch.cumsum(length, 0) - length)
    pixel = torch.arange(len(owner), device=device) + torch.repeat_interleave(offset, length)
    plane = torch.as_tensor(triangles.planes[:, 0], device=device)[owner]
    nearness = plane[:, 0] * (pixel % width + 0.5) + plane[:, 1] * (pixel // width + 0.5) + plane[:, 2]
    nearest = torch.zeros(height * width, dtype=torch.float64, device=device)
    nearest.scatter_reduce_(0, pixel, nearness, "amax", include_self=False)
    best = nearness == nearest[pixel]
    num = len(triangles.face_idx)
    winner = torch.full((height * width,), num, dtype=torch.int64, device=device)
    winner.scatter_reduce_(0, pixel[best], owner[best], "amin")
    return torch.where(winner == num, -1, winner).to(torch.int32).reshape(height, width)


def _runs(triangles: Triangles, size: Size, device: Any) -> tuple[Any, ...]:
    """Rows of pixels inside each triangle: triangle, row, first column, column past the last."""
    import torch

    height, width = size
    x, y = (torch.as_tensor(a, device=device).double() for a in (triangles.x, triangles.y))
    y, by_y = torch.sort(y, dim=1, stable=True)
    x = torch.gather(x, 1, by_y)
    first, last = (torch.ceil((y[:, k] - _HALF) / SUBPIXEL).clamp(0, height).long() for k in (0, 2))
    num_rows = (last - first).clamp(min=0)
    idx = torch.repeat_interleave(torch.arange(len(x), device=device), num_rows)
    start = first - (torch.cumsum(num_rows, 0) - num_rows)
    row = torch.arange(len(idx), device=device) + torch.repeat_interleave(start, num_rows)
    y_row = (row * SUBPIXEL + _HALF).double()
    is_lower = (y_row >= y[idx, 1]).long()
    ends = []
    for a, b in ((torch.zeros_like(is_lower), torch.full_like(is_lower, 2)), (is_lower, is_lower + 1)):
        xa, ya, xb, yb = x[idx, a], y[idx, a], x[idx, b], y[idx, b]
        dx, dy = xb - xa, yb - ya
        ends.append(torch.ceil(((xa - _HALF) * dy - ya * dx + dx * y_row) / torch.where(dy == 0, 1.0, SUBPIXEL * dy)))
    x0 = torch.minimum(*ends).clamp(0, width).long()
    x1 = torch.maximum(*ends).clamp(0, width).long()
    some = x1 > x0
    return idx[some], row[some], x0[some], x1[some]
