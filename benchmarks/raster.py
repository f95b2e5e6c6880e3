"""The rasterizer: frames a second for a body of 14,000 triangles, and which pixels see another face than they should.

    python benchmarks/raster.py [--frames 32] [--device cpu]

Two truths: the plain reference backend (one face, one pixel at a time, the same corners snapped to 1/256 pixel), which
has to be met at every pixel; and rays cast through pixel centres at the unsnapped body, met at every pixel that is not
within 1/100 pixel of an edge and does not see two surfaces within 0.1 mm of each other.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.body.model import load_body
from engine.conditions.surface import draw_colors
from engine.raster import rasterize
from engine.types import JOINTS

NUM_FACES = 14_000
EDGE_PX, TIE_M = 0.01, 1e-4
VIEWS = {"512x512": ((512, 512), 500.0, 120), "1280x720": ((720, 1280), 800.0, 60)}
"""Size, focal length with which the body fills the height, frames per second aimed at."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--device", default="cpu", help="of the torch backend")
    args = parser.parse_args()
    vertices, faces = dancer(args.frames)
    print(f"{len(faces)} triangles, {args.frames} frames; best of three rounds")
    for name, (size, focal, aim) in VIEWS.items():
        K = np.array([[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]])
        for backend in ("numpy", "torch"):
            rate, cpu_ms = speed(backend, vertices, faces, K, size, args.device)
            mark = f" (aim {aim}: {'met' if rate >= aim else 'MISSED'})" if backend == "numpy" else ""
            print(f"{name:9} {backend:6} {rate:7.1f} frames/s{mark}, {cpu_ms:.1f} ms of CPU a frame")
        colors = np.full((vertices.shape[1], 3), 200, np.float32)
        started = time.perf_counter()
        for frame in vertices[:8]:
            draw_colors(frame, faces, colors, K, size)
        print(f"{name:9} four samples, colours: {8 / (time.perf_counter() - started):7.1f} frames/s")
    size, focal, _ = VIEWS["512x512"]
    agreement(vertices[:2], faces, np.array([[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]]), size)


def dancer(num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """The embedded body thinned to 14,000 faces, turning and waving: (T, V, 3) float32 before the camera, (F, 3)."""
    body = load_body()
    rotvec = np.zeros((num_frames, len(JOINTS), 3), np.float32)
    rotvec[:, 0, 1] = np.linspace(0, 2 * np.pi, num_frames, endpoint=False)
    rotvec[:, JOINTS.index("left_shoulder"), 2] = np.linspace(-1.2, 1.0, num_frames)
    rotvec[:, JOINTS.index("right_shoulder"), 2] = np.linspace(1.2, 0.3, num_frames)
    posed = body.pose(rotvec, np.tile(body.joints[0], (num_frames, 1)))
    low, high = 1e-3, 5e-2
    for _ in range(30):  # merge the vertices of a grid's cells; look for the grid
        cell = np.unique(np.floor(body.vertices / ((low * high) ** 0.5)).astype(int), axis=0, return_inverse=True)[1]
        faces = cell.ravel()[body.faces]
        faces = faces[(faces != np.roll(faces, 1, axis=1)).all(1)]
        low, high = ((low * high) ** 0.5, high) if len(faces) > NUM_FACES else (low, (low * high) ** 0.5)
    count = np.bincount(cell.ravel())
    thin = np.zeros((num_frames, len(count), 3))
    np.add.at(thin, (slice(None), cell.ravel()), posed)
    return (thin / count[:, None] * [1, -1, -1] + [0, 0.85, 2.0]).astype(np.float32), faces.astype(np.int32)


def speed(backend, vertices, faces, K, size, device) -> tuple[float, float]:
    """Frames per second of wall time, and milliseconds of CPU time a frame."""
    args = vertices, faces, K
    if backend == "torch":
        import torch

        args = tuple(torch.as_tensor(a, device=device) for a in args)
    best, cpu_s = np.inf, np.inf
    for _ in range(4):  # the first warms up
        started, cpu_started = time.perf_counter(), time.process_time()
        for first in range(0, len(vertices), 8):
            found = rasterize(args[0][first : first + 8], args[1], args[2], size, backend=backend)
        if device != "cpu" and backend == "torch":
            found.face_idx.sum().item()  # wait for it
        best, cpu_s = min(best, time.perf_counter() - started), min(cpu_s, time.process_time() - cpu_started)
    return len(vertices) / best, 1e3 * cpu_s / len(vertices)


def agreement(vertices, faces, K, size) -> None:
    """Print the share of pixels with the same face as both truths."""
    want = rasterize(vertices, faces, K, size, backend="reference").face_idx
    for backend in ("numpy", "torch"):
        got = rasterize(vertices, faces, K, size, backend=backend).face_idx
        print(f"{backend}: {(got != want).sum()} of {want.size} pixels see another face than in the reference")
    rays = [cast(frame, faces, K, size) for frame in vertices]
    hit, unsure = (np.stack(a) for a in zip(*rays))
    print(
        f"rays at the unsnapped body: {((want != hit) & ~unsure).sum()} of {(~unsure).sum()} pixels see another face; "
        f"{((want != hit) & unsure).sum()} of {unsure.sum()} on edges ({EDGE_PX} px) and ties ({1e3 * TIE_M} mm)"
    )


def cast(points, faces, K, size) -> tuple[np.ndarray, np.ndarray]:
    """Möller-Trumbore through pixel centres, face by face: the nearest face (H, W), and where edges and ties are."""
    winner, nearest, second = np.full(size, -1), np.full(size, 1e9), np.full(size, 2e9)
    near_edge = np.zeros(size, bool)
    points = points.astype(np.float64)
    inverse = np.linalg.inv(K)
    for idx, corners in enumerate(points[faces]):
        px = (corners @ K.T)[:, :2] / corners[:, 2:]
        x0, y0 = np.maximum(np.floor(px.min(0) - 0.5).astype(int), 0)
        x1, y1 = np.minimum(np.ceil(px.max(0) + 0.5).astype(int), (size[1], size[0]))
        if x1 <= x0 or y1 <= y0:
            continue
        columns, rows = np.meshgrid(np.arange(x0, x1) + 0.5, np.arange(y0, y1) + 0.5)
        rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ inverse.T
        a, b, c = corners
        p = np.cross(rays, c - a)
        det = p @ (b - a)
        det = np.where(np.abs(det) < 1e-15, np.nan, det)
        u = -(p @ a) / det
        q = np.cross(-a, b - a)
        v, depth = (rays @ q) / det, ((c - a) @ q) / det
        inside = (u >= 0) & (v >= 0) & (u + v <= 1)
        window = np.s_[y0:y1, x0:x1]
        closer = inside & (depth < nearest[window])
        behind = np.where(closer, nearest[window], depth)
        second[window][inside] = np.minimum(second[window], behind)[inside]
        winner[window][closer], nearest[window][closer] = idx, depth[closer]
        for start, end in ((px[0], px[1]), (px[1], px[2]), (px[2], px[0])):
            along = end - start
            share = ((columns - start[0]) * along[0] + (rows - start[1]) * along[1]) / max(along @ along, 1e-30)
            share = np.clip(share, 0, 1)
            away = np.hypot(columns - start[0] - share * along[0], rows - start[1] - share * along[1])
            near_edge[window] |= away < EDGE_PX
    return winner, near_edge | (second - nearest < TIE_M)


if __name__ == "__main__":
    main()
