"""A flat silhouette as triangles, and the closed solid made of two such sheets."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.identity.layers import Cuts


@dataclass(frozen=True)
class Sheet:
    """A triangulated silhouette."""

    xy_px: NDArray
    """(N, 2) float64, pixels (x right, y down; the centre of the top-left pixel is (0.5, 0.5))."""
    faces: NDArray
    """(F, 3) int64, counter-clockwise with y up (so clockwise on the screen's y down)."""
    rim: NDArray
    """(E, 2) int64: edges with one face, in that face's direction."""
    spacing_px: float
    part: NDArray
    """(N,) int: number of the cut part (`layers.Cuts`) a vertex belongs to, 0 for the body."""

    @property
    def on_rim(self) -> NDArray:
        """(N,) bool."""
        flags = np.zeros(len(self.xy_px), bool)
        flags[self.rim.ravel()] = True
        return flags


def triangulate(mask: NDArray, cuts: Cuts | None = None, *, num_vertices: int = 2600) -> Sheet:
    """Cover a silhouette with triangles that are small where it is thin.

    Args:
        mask: (H, W) uint8, 255 inside; one connected figure; grey values place the edge between pixels.
        cuts: where the sheet is slit open; both sides of a slit lie on each other.
        num_vertices: about how many vertices to make.

    Returns:
        A sheet in which every edge has one or two faces and every vertex one fan of faces.

    Source: Delaunay triangulation of the contour, a hexagonal grid and the ridge of the distance transform; triangles
    with their centre outside are dropped.
    """
    from scipy.spatial import Delaunay

    inside = (mask >= 128).astype(np.uint8)
    dist = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    area = float(inside.sum())
    # half of the vertices go to the grid; the rest is contour and thin parts
    spacing = max(np.sqrt(area / (0.866 * 0.62 * num_vertices)), 2.0)
    thickness = _local_thickness(dist)
    contour = _contour_points(mask, thickness, spacing)
    if cuts is not None and cuts.roots:
        seam = _seam_points(cuts, dist, spacing)
        seam = seam[_far_from(seam, contour, np.full(len(seam), 0.35 * spacing))]
        contour = np.concatenate([contour, seam])
    inner = _inner_points(dist, thickness, spacing)
    clear = _far_from(inner, contour, 0.45 * np.minimum(spacing, _sample(thickness, inner)))
    points = np.concatenate([contour, inner[clear]])
    faces = Delaunay(points).simplices.astype(np.int64)
    faces = faces[_is_inside(inside, points, faces)]
    faces = _drop_slivers(points, faces, 1e-3 * spacing**2)
    faces = _largest_piece(faces, len(points))
    points, faces = _orient(points, faces)
    part, cut = _cut_edges(points, faces, cuts)
    points, faces, _ = split_fans(points, faces, cut)
    points, faces = _compact(points, faces)
    of_vertex = np.zeros(len(points), np.int64)
    for k in range(3):
        np.maximum.at(of_vertex, faces[:, k], part)
    return Sheet(points, faces, rim_edges(faces), spacing, of_vertex)


def rim_edges(faces: NDArray) -> NDArray:
    """The directed edges (E, 2) that only one face has."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    size = int(faces.max()) + 1
    forward = edges[:, 0] * size + edges[:, 1]
    backward = edges[:, 1] * size + edges[:, 0]
    return edges[~np.isin(forward, backward)]


def laplacian(xy: NDArray, faces: NDArray):
    """Cotangent Laplacian of a flat sheet and the area of each vertex.

    Returns:
        (N, N) sparse matrix, symmetric, positive semi-definite; (N,) areas in squared units of `xy`. Negative
        cotangents are set to nearly zero, so that harmonic functions stay between their boundary values.
    """
    from scipy.sparse import csr_matrix, diags

    corners = xy[faces]
    total = np.zeros(len(xy))
    rows, cols, values = [], [], []
    doubled = np.abs(_cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    for k in range(3):
        i, j = faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        u, v = corners[:, (k + 1) % 3] - corners[:, k], corners[:, (k + 2) % 3] - corners[:, k]
        cot = np.maximum((u * v).sum(1) / np.maximum(doubled, 1e-9), 1e-3)
        rows += [i, j]
        cols += [j, i]
        values += [cot / 2, cot / 2]
        np.add.at(total, faces[:, k], doubled / 6)
    weights = csr_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))), shape=(len(xy), len(xy))
    )
    return (diags(np.asarray(weights.sum(1)).ravel()) - weights).tocsr(), total


def inflate(sheet: Sheet) -> NDArray:
    """Half the thickness a round body with this silhouette has.

    Returns:
        (N,) float64 pixels: 0 at the rim, R in the middle of a disc of radius R, 1.41 w in the middle of a strip of
        half width w.

    Source: square root of the solution of Poisson's equation, -laplace(h) = 4 inside, h = 0 at the rim.
    """
    from scipy.sparse.linalg import splu

    matrix, area = laplacian(sheet.xy_px, sheet.faces)
    free = np.flatnonzero(~sheet.on_rim)
    height = np.zeros(len(sheet.xy_px))
    if len(free):
        height[free] = splu(matrix[free][:, free].tocsc()).solve(4 * area[free])
    return np.sqrt(np.maximum(height, 0))


def close_solid(sheet: Sheet, front_z: NDArray, back_z: NDArray) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Join a front and a back sheet by a wall along their rim.

    Args:
        sheet: the silhouette.
        front_z, back_z: (N,) float, pixels towards the viewer; front_z > back_z everywhere.

    Returns:
        vertices (2N, 3) float64: x, y pixels of the sheet, z; faces (F, 3) int32, outward with x right, y down, z
        towards the viewer seen as x right, y up (see `Sheet.faces`); is_back (F,) bool: back sheet and wall; and
        (2N,) int64: the vertex of the sheet each vertex comes from.
    """
    n = len(sheet.xy_px)
    source = np.concatenate([np.arange(n), np.arange(n)])
    vertices = np.concatenate([np.c_[sheet.xy_px, front_z], np.c_[sheet.xy_px, back_z]])
    a, b = sheet.rim[:, 0], sheet.rim[:, 1]
    wall = np.concatenate([np.stack([b, a, a + n], 1), np.stack([b, a + n, b + n], 1)])
    back = sheet.faces[:, ::-1] + n
    faces = np.concatenate([sheet.faces, back, wall]).astype(np.int32)
    is_back = np.arange(len(faces)) >= len(sheet.faces)
    return vertices, faces, is_back, source


def _cross(u: NDArray, v: NDArray) -> NDArray:
    return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]


def _local_thickness(dist: NDArray) -> NDArray:
    """(H, W) float32: about the radius of the biggest disc inside that covers a pixel, by growing the ridge."""
    thick = dist.copy()
    for size in (3, 5, 9, 17, 33, 65):
        grown = cv2.dilate(thick, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
        reach = size / 2
        thick = np.maximum(thick, np.where(grown >= reach, grown, 0))
        if reach > dist.max():
            break
    return thick


def _contour_points(mask: NDArray, thickness: NDArray, spacing: float) -> NDArray:
    """(N, 2) points on the edge of the silhouette, denser where it is thin."""
    big = cv2.resize(mask, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR)
    loops, tree = cv2.findContours((big >= 128).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    points = []
    for loop, links in zip(loops, tree[0] if tree is not None else []):
        smallest = (0.6 * spacing) ** 2 if links[3] >= 0 else 4.0
        xy = (loop[:, 0].astype(np.float64) + 0.5) / 2
        if len(xy) < 8 or cv2.contourArea(loop) / 4 < smallest:
            continue
        xy = _smooth_loop(xy, sigma=2.0)
        step = np.clip(0.75 * _sample(thickness, xy), min(0.3 * spacing, 2.0), 0.8 * spacing)
        length = np.linalg.norm(np.diff(xy, axis=0, append=xy[:1]), axis=1)
        density = np.concatenate([[0], np.cumsum(length / step)])
        count = max(round(density[-1]), 6)
        at = np.interp(np.arange(count) * density[-1] / count, density, np.arange(len(xy) + 1))
        closed = np.concatenate([xy, xy[:1]])
        low = np.minimum(at.astype(int), len(xy) - 1)
        points.append(closed[low] + (at - low)[:, None] * (closed[low + 1] - closed[low]))
    merged = np.concatenate(points)
    return merged[_first_of_close(merged, 0.5)]


def _smooth_loop(xy: NDArray, sigma: float) -> NDArray:
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(xy, sigma, axis=0, mode="wrap")


def _sample(image: NDArray, xy: NDArray) -> NDArray:
    rows = np.clip(xy[:, 1].astype(int), 0, image.shape[0] - 1)
    cols = np.clip(xy[:, 0].astype(int), 0, image.shape[1] - 1)
    return image[rows, cols].astype(np.float64)


def _inner_points(dist: NDArray, thickness: NDArray, spacing: float) -> NDArray:
    """(N, 2) points inside: a hexagonal grid in the thick parts, finer grids and the ridge in the thin ones."""
    height, width = dist.shape
    layers = []
    step, limit = spacing, np.inf
    for _ in range(3):
        rows = np.arange(0.5, height, step * 0.866)
        xs, ys = np.meshgrid(np.arange(0.5, width, step), rows)
        xs[1::2] += step / 2
        grid = np.stack([xs.ravel(), ys.ravel()], 1)
        keep = (_sample(dist, grid) > 0.55 * step) & (_sample(thickness, grid) < limit)
        layers.append(grid[keep])
        step, limit = step / 2, 1.6 * step
    ridge = (dist >= cv2.dilate(dist, np.ones((3, 3))) - 0.35) & (dist > 0.9) & (thickness < 1.6 * spacing)
    ys, xs = np.nonzero(ridge)
    points = np.stack([xs + 0.5, ys + 0.5], 1)
    order = np.argsort(-dist[ys, xs], kind="stable")
    kept = _thin_out(points[order], 0.9 * np.clip(dist[ys, xs][order], 1.5, spacing))
    layers.insert(0, points[order][kept])
    merged = np.concatenate(layers)
    return merged[_thin_out(merged, 0.6 * np.clip(_sample(thickness, merged), 1.5, spacing))]


def _thin_out(points: NDArray, radius: NDArray) -> NDArray:
    """Indices of points, first come first kept, none within `radius` (N,) of one kept before."""
    from scipy.spatial import KDTree

    if not len(points):
        return np.zeros(0, np.int64)
    tree = KDTree(points)
    dropped = np.zeros(len(points), bool)
    kept = []
    for i, near in enumerate(tree.query_ball_point(points, radius)):
        if dropped[i]:
            continue
        kept.append(i)
        dropped[near] = True
    return np.array(kept, np.int64)


def _first_of_close(points: NDArray, radius: float) -> NDArray:
    return np.sort(_thin_out(points, np.full(len(points), radius)))


def _far_from(points: NDArray, others: NDArray, radius: NDArray) -> NDArray:
    from scipy.spatial import KDTree

    if not len(points):
        return np.zeros(0, bool)
    return KDTree(others).query(points)[0] > radius


def _is_inside(inside: NDArray, points: NDArray, faces: NDArray) -> NDArray:
    """Which faces lie inside: centre and most of a few more points."""
    corners = points[faces]
    shares = np.array([[1, 1, 1], [4, 1, 1], [1, 4, 1], [1, 1, 4], [2, 2, 0.5], [0.5, 2, 2], [2, 0.5, 2]], float)
    shares /= shares.sum(1, keepdims=True)
    hits = np.sum([_sample(inside, np.einsum("k,fkc->fc", share, corners)) for share in shares], axis=0)
    return hits >= 5


def _drop_slivers(points: NDArray, faces: NDArray, smallest: float) -> NDArray:
    """Remove flat faces that have an edge on the rim."""
    while len(faces):
        corners = points[faces]
        doubled = np.abs(_cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
        rim = rim_edges(faces)
        size = len(points)
        keys = rim[:, 0] * size + rim[:, 1]
        on_rim = np.zeros(len(faces), bool)
        for k in range(3):
            on_rim |= np.isin(faces[:, k] * size + faces[:, (k + 1) % 3], keys)
        bad = on_rim & (doubled < 2 * smallest)
        if not bad.any():
            break
        faces = faces[~bad]
    return faces


def _largest_piece(faces: NDArray, count: int) -> NDArray:
    """Faces of the largest piece that hangs together by edges."""
    from scipy.sparse.csgraph import connected_components

    label = connected_components(face_links(faces, count), directed=False)[1]
    return faces[label == np.bincount(label).argmax()]


def face_links(faces: NDArray, count: int):
    """(F, F) sparse: which faces share an edge."""
    from scipy.sparse import csr_matrix

    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    owner = np.tile(np.arange(len(faces)), 3)
    key = edges[:, 0] * count + edges[:, 1]
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order][1:] == key[order][:-1])
    a, b = owner[order][same], owner[order][same + 1]
    return csr_matrix((np.ones(len(a)), (a, b)), shape=(len(faces), len(faces)))


def _orient(points: NDArray, faces: NDArray) -> tuple[NDArray, NDArray]:
    """Make every face counter-clockwise with y up."""
    corners = points[faces]
    doubled = _cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return points, np.where((doubled > 0)[:, None], faces[:, ::-1], faces)


def _seam_points(cuts: Cuts, dist: NDArray, spacing: float) -> NDArray:
    """(N, 2) points along the cuts, so that edges of faces follow them."""
    ys, xs = np.nonzero(cuts.blocked() & (dist > 1.5))
    points = np.stack([xs + 0.5, ys + 0.5], 1)
    return points[_thin_out(points, np.full(len(points), 0.6 * spacing))]


def _cut_edges(points: NDArray, faces: NDArray, cuts: Cuts | None) -> tuple[NDArray, set[tuple[int, int]]]:
    """(F,) part of each face, and edges (a < b) between faces of different parts, outside the parts' roots."""
    if cuts is None or not cuts.roots:
        return np.zeros(len(faces), np.int64), set()
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    part = _sample(cuts.labels, points[faces].mean(1)).astype(int)
    links = face_links(faces, len(points)).tocoo()
    i, j = links.row, links.col
    edges = np.array([sorted(set(faces[a].tolist()) & set(faces[b].tolist())) for a, b in zip(i, j)])
    middle = points[edges].mean(1)
    for _ in range(4):
        is_cut = part[i] != part[j]
        for number, (centre, radius) in cuts.roots.items():
            near = np.linalg.norm(middle - centre, axis=1) <= radius
            is_cut &= ~(near & ((part[i] == number) | (part[j] == number)))
        kept = coo_matrix((np.ones((~is_cut).sum()), (i[~is_cut], j[~is_cut])), shape=links.shape)
        piece = connected_components(kept, directed=False)[1]
        crumb = piece != np.bincount(piece).argmax()
        if not crumb.any():
            break
        # a crumb that the cuts would part from the figure joins what lies beside it
        for a, b in ((i, j), (j, i)):
            beside = is_cut & crumb[a] & ~crumb[b]
            part[a[beside]] = part[b[beside]]
    else:
        is_cut &= ~(crumb[i] | crumb[j])
    return part, {(int(a), int(b)) for a, b in edges[is_cut]}


def split_fans(points: NDArray, faces: NDArray, cut: set[tuple[int, int]]) -> tuple[NDArray, NDArray, NDArray]:
    """Give every fan of faces its own copy of a vertex where several fans touch, or where cuts part them; the last
    result is the vertex that each is a copy of."""
    rim = rim_edges(faces)
    starts = np.bincount(rim[:, 0], minlength=len(points))
    several = set(np.flatnonzero(starts > 1).tolist()) | {vertex for edge in cut for vertex in edge}
    original, faces, extra = faces, faces.copy(), []
    for vertex in sorted(several):
        around = np.flatnonzero((original == vertex).any(1))
        for fan in _fans(original[around], vertex, cut)[1:]:
            new = len(points) + len(extra)
            extra.append(vertex)
            rows = around[fan]
            faces[rows] = np.where(original[rows] == vertex, new, faces[rows])
    source = np.concatenate([np.arange(len(points)), np.array(extra, np.int64)])
    return points[source], faces, source


def _fans(faces: NDArray, vertex: int, cut: set[tuple[int, int]]) -> list[list[int]]:
    """Group faces around a vertex by the uncut edges they share there."""
    rings = [
        {v for v in face.tolist() if v != vertex and (min(v, vertex), max(v, vertex)) not in cut} for face in faces
    ]
    left, fans = list(range(len(faces))), []
    while left:
        fan = [left.pop(0)]
        spokes = set(rings[fan[0]])
        grown = True
        while grown:
            grown = False
            for k in list(left):
                if rings[k] & spokes:
                    fan.append(k)
                    left.remove(k)
                    spokes |= rings[k]
                    grown = True
        fans.append(fan)
    return fans


def _compact(points: NDArray, faces: NDArray) -> tuple[NDArray, NDArray]:
    used, faces = np.unique(faces, return_inverse=True)
    return points[used], faces.reshape(-1, 3)
