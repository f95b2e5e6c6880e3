"""The torch backend: the runs of pixels of `spans`, depth settled by scatter; all stays where its tensors are.

It does the arithmetic of `triangles`, `spans` and `rasterize` in the same order and precision, so its results have the
same bits on every device.
"""

# Shapes: T frames, V vertices, F faces, N faces that may be seen, P pixels, H W picture.

from typing import Any

from engine.raster.fragments import Fragments
from engine.raster.triangles import FAR_PX, NEAR_M, SUBPIXEL
from engine.types import Size

_HALF = SUBPIXEL // 2


def rasterize_torch(
    points_m: Any,
    faces: Any,
    K: Any,
    size: Size,
    *,
    cull_back: bool,
    test_px: tuple[float, float],
    value_px: tuple[float, float],
) -> Fragments:
    """Rasterize on the device of the tensors; see `engine.raster.rasterize`.

    Args:
        points_m: (T, V, 3) float tensor, camera frame.
        faces: (F, 3) int tensor.
        K: (T, 3, 3) float tensor.
        size: (height, width), pixels.
        cull_back: leave out faces seen from their inside.
        test_px: where in a pixel coverage and depth are tested.
        value_px: where in a pixel barycentric coordinates and depth are taken.

    Returns:
        Fragments of tensors on the same device.
    """
    import torch

    height, width = size
    device, num_frames = points_m.device, len(points_m)
    face_idx = torch.full((num_frames, height * width), -1, dtype=torch.int32, device=device)
    bary = torch.zeros((num_frames, height * width, 3), dtype=torch.float32, device=device)
    depth = torch.full((num_frames, height * width), torch.inf, dtype=torch.float32, device=device)
    shift = torch.tensor([0.5 - test_px[0], 0.5 - test_px[1]], dtype=torch.float64, device=device)
    for frame in range(num_frames):
        xy_px, z_m = project_torch(points_m[frame], K[frame])
        x0, y0, box = _box(xy_px, size)
        origin = torch.tensor([x0, y0], dtype=torch.float64, device=device)
        found, x, y, planes = set_up_torch(xy_px - origin + shift, z_m, faces, box, cull_back=cull_back)
        winner = _cover(x, y, planes[:, 0], box)
        pixel = torch.nonzero(winner >= 0)[:, 0]
        seen = winner[pixel]
        row, column = pixel // max(box[1], 1), pixel % max(box[1], 1)
        target = (row + y0) * width + column + x0
        face_idx[frame, target] = found[seen].int()
        at = column.double() + (value_px[0] - test_px[0]) + 0.5, row.double() + (value_px[1] - test_px[1]) + 0.5
        bary[frame, target], depth[frame, target] = values_at(planes[seen], *at)
    shape = (num_frames, height, width)
    return Fragments(face_idx.reshape(shape), bary.reshape(*shape, 3), depth.reshape(shape))


def project_torch(points_m: Any, K: Any) -> tuple[Any, Any]:
    """(V, 2) float64 pixels and (V,) float64 depths of points (V, 3) before a camera (3, 3)."""
    import torch

    x, y, z = points_m.double().unbind(-1)
    rows = K.double()
    u, v = (rows[k, 0] * x + rows[k, 1] * y + rows[k, 2] * z for k in (0, 1))
    return torch.stack([u, v], -1) / z.clamp(min=NEAR_M)[:, None], z


def set_up_torch(points_px: Any, z_m: Any, faces: Any, size: Size, *, cull_back: bool) -> tuple[Any, Any, Any, Any]:
    """`engine.raster.triangles.set_up` for tensors.

    Args:
        points_px: (V, 2) float64; z_m: (V,) float64; faces: (F, 3) int64.
        size: (height, width), pixels.
        cull_back: leave out the faces seen from their inside.

    Returns:
        face index (N,) int64, x and y (N, 3) int64 in 1/256 pixel, planes (N, 3, 3) float64 as in `Triangles`.
    """
    import torch

    height, width = size
    usable = (z_m > NEAR_M) & (points_px.abs() < FAR_PX).all(-1)
    snapped = torch.round(torch.where(usable[:, None], points_px, 0.0) * float(SUBPIXEL)).long()
    x, y = snapped[:, 0][faces], snapped[:, 1][faces]
    ux, uy, vx, vy = x[:, 1] - x[:, 0], y[:, 1] - y[:, 0], x[:, 2] - x[:, 0], y[:, 2] - y[:, 0]
    area = ux * vy - uy * vx
    keep = usable[faces].all(-1) & ((area < 0) if cull_back else (area != 0))
    keep &= (x.amax(-1) > 0) & (y.amax(-1) > 0)
    keep &= (x.amin(-1) < width * SUBPIXEL) & (y.amin(-1) < height * SUBPIXEL)
    found = torch.nonzero(keep)[:, 0]
    x, y = x[found], y[found]
    return found, x, y, planes_torch(x.double() / SUBPIXEL, y.double() / SUBPIXEL, z_m[faces[found]])


def planes_torch(x_px: Any, y_px: Any, z_m: Any) -> Any:
    """(N, 3, 3) float64 planes of `Triangles` from corners (N, 3) float64."""
    import torch

    ux, uy = x_px[:, 1] - x_px[:, 0], y_px[:, 1] - y_px[:, 0]
    vx, vy = x_px[:, 2] - x_px[:, 0], y_px[:, 2] - y_px[:, 0]
    over_area = (1.0 / (ux * vy - uy * vx))[:, None]
    first = torch.stack([vy, -vx, vx * y_px[:, 0] - vy * x_px[:, 0]], 1) * over_area
    second = torch.stack([-uy, ux, uy * x_px[:, 0] - ux * y_px[:, 0]], 1) * over_area
    inverse = 1.0 / z_m.double()
    depth = first * (inverse[:, 1:2] - inverse[:, 0:1]) + second * (inverse[:, 2:3] - inverse[:, 0:1])
    depth[:, 2] += inverse[:, 0]
    return torch.stack([depth, first * inverse[:, 1:2], second * inverse[:, 2:3]], 1)


def values_at(planes: Any, x_px: Any, y_px: Any) -> tuple[Any, Any]:
    """Barycentric coordinates (P, 3) and depth (P,), float32, of planes (P, 3, 3) at places (P,) float64."""
    import torch

    inverse, first, second = (planes[:, k, 0] * x_px + planes[:, k, 1] * y_px + planes[:, k, 2] for k in range(3))
    z = 1.0 / inverse
    first, second, z = (first * z).float(), (second * z).float(), z.float()
    return torch.stack([1.0 - first - second, first, second], -1), z


def _box(xy_px: Any, size: Size) -> tuple[int, int, Size]:
    """The part of the image that the points can touch: x0, y0, (height, width)."""
    import torch

    limit = torch.tensor([size[1], size[0]], dtype=torch.float64, device=xy_px.device)
    low = torch.minimum(torch.floor(xy_px.amin(0)).clamp(min=0), limit)
    high = torch.minimum((torch.ceil(xy_px.amax(0)) + 1).clamp(min=0), limit)
    x0, y0, x1, y1 = (int(value) for value in torch.cat([low, high]).tolist())
    return x0, y0, (max(y1 - y0, 0), max(x1 - x0, 0))


def _cover(x: Any, y: Any, depth_plane: Any, size: Size) -> Any:
    """(H * W,) int64: which triangle is nearest at each pixel, -1: none; of equally near ones the first."""
    import torch

    height, width = size
    tri, row, x0, x1 = _runs(x, y, size)
    length = x1 - x0
    owner = torch.repeat_interleave(tri, length)
    offset = row * width + x0 - (torch.cumsum(length, 0) - length)
    pixel = torch.arange(len(owner), device=x.device) + torch.repeat_interleave(offset, length)
    plane = depth_plane[owner]
    column, row = (a.double() + 0.5 for a in (pixel % max(width, 1), pixel // max(width, 1)))
    nearness = plane[:, 0] * column + plane[:, 1] * row + plane[:, 2]
    nearest = torch.zeros(height * width, dtype=torch.float64, device=x.device)
    nearest.scatter_reduce_(0, pixel, nearness, "amax", include_self=False)
    best = nearness == nearest[pixel]
    winner = torch.full((height * width,), len(x), dtype=torch.int64, device=x.device)
    winner.scatter_reduce_(0, pixel[best], owner[best], "amin")
    return torch.where(winner == len(x), -1, winner)


def _runs(x: Any, y: Any, size: Size) -> tuple[Any, ...]:
    """Rows of pixels inside each triangle: triangle, row, first column, column past the last."""
    import torch

    height, width = size
    y, by_y = torch.sort(y.double(), dim=1, stable=True)
    x = torch.gather(x.double(), 1, by_y)
    first, last = (torch.ceil((y[:, k] - _HALF) / SUBPIXEL).clamp(0, height).long() for k in (0, 2))
    num_rows = (last - first).clamp(min=0)
    idx = torch.repeat_interleave(torch.arange(len(x), device=x.device), num_rows)
    start = first - (torch.cumsum(num_rows, 0) - num_rows)
    row = torch.arange(len(idx), device=x.device) + torch.repeat_interleave(start, num_rows)
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
