"""Places where a limb hangs on what it only touches in the picture: feet side by side, a hand on a bar."""

import numpy as np
from numpy.typing import NDArray

from engine.identity.mesh import Sheet, face_links, rim_edges, split_fans
from engine.identity.skeleton import LIMBS
from engine.types import PictureJoints

TORN = 4.5
"""Strain of an edge, per radian of its joint, that is a tear (measured: 0.5 ... 4.3 where limbs bend as they should,
7.6 ... 11.9 where feet touch or a hand holds a bar)."""

BEYOND = 0.75
"""A slit runs where the parts meet at this share of the distance from the joint to the nearest tear, and farther."""

FEWEST = 3
"""Torn edges that make a bridge; one or two are the mesh's own unevenness."""


def cut_bridges(sheet: Sheet, joints: PictureJoints, weights: NDArray, xy: NDArray) -> Sheet:
    """Slit a sheet where a moving limb would tear it; one limb at a time, as that changes the others' weights.

    Args:
        sheet: the silhouette.
        joints: the skeleton.
        weights: (N, K) skinning weights on the sheet.
        xy: (K, 2) joints, pixels of the sheet.

    Returns:
        The sheet with slits, in one piece; the same object where nothing tears.

    Source: an edge of length l at the distance d from a joint, whose ends follow the joint to shares that differ by w,
    grows by w d / l when the joint turns by a radian.
    """
    edges = np.unique(_sides(sheet.faces), axis=0)
    length = np.linalg.norm(np.diff(sheet.xy_px[edges], axis=1)[:, 0], axis=1)
    middle = sheet.xy_px[edges].mean(1)
    for joint in (joints.names.index(name) for limb in LIMBS.values() for name in limb if name in joints.names):
        share = weights[:, _carried(joints, joint)].sum(1)
        reach = np.linalg.norm(middle - xy[joint], axis=1)
        strain = np.abs(np.diff(share[edges], axis=1)[:, 0]) * reach / np.maximum(length, 1e-9)
        if (strain > TORN).sum() >= FEWEST:
            far = np.linalg.norm(sheet.xy_px - xy[joint], axis=1) > BEYOND * reach[strain > TORN].min()
            slitted = slit(sheet, _between(sheet, share[sheet.faces].mean(1) > 0.5, far))
            if slitted is not sheet:
                return slitted
    return sheet


def slit(sheet: Sheet, cut: set[tuple[int, int]]) -> Sheet:
    """Open a sheet along inner edges.

    Args:
        sheet: to be opened.
        cut: edges (a < b) of two faces each. Those that would part a piece from the rest stay closed.

    Returns:
        A sheet in one piece, in which both sides of a slit lie on each other.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(sheet.xy_px)
    links = face_links(sheet.faces, count).tocoo()
    i, j = links.row, links.col
    edges = np.array([sorted(set(sheet.faces[a].tolist()) & set(sheet.faces[b].tolist())) for a, b in zip(i, j)])
    is_cut = np.isin(edges[:, 0] * count + edges[:, 1], [a * count + b for a, b in cut])
    while True:
        kept = coo_matrix((np.ones((~is_cut).sum()), (i[~is_cut], j[~is_cut])), shape=links.shape)
        piece = connected_components(kept, directed=False)[1]
        sizes = np.bincount(piece)
        if len(sizes) == 1:
            break
        # the smallest piece stays with the neighbour it shares most edges with
        around = np.flatnonzero(is_cut & (piece[i] == sizes.argmin()) & (piece[j] != sizes.argmin()))
        if not len(around):
            return sheet  # a crumb that hangs on nothing: this sheet is better left alone
        home = np.bincount(piece[j[around]]).argmax()
        is_cut &= ~(np.isin(piece[i], (sizes.argmin(), home)) & np.isin(piece[j], (sizes.argmin(), home)))
    if not is_cut.any():
        return sheet
    points, faces, source = split_fans(sheet.xy_px, sheet.faces, {(int(a), int(b)) for a, b in edges[is_cut]})
    return Sheet(points, faces, rim_edges(faces), sheet.spacing_px, sheet.part[source])


def _carried(joints: PictureJoints, joint: int) -> list[int]:
    """A joint and all that hangs on it."""
    found = [joint]
    for k, parent in enumerate(joints.parents):
        if parent in found:
            found.append(k)
    return found


def _between(sheet: Sheet, mine: NDArray, far: NDArray) -> set[tuple[int, int]]:
    """Edges (a < b) with both ends far from a joint, between faces that follow it and faces that do not."""
    count = len(sheet.xy_px)
    edges = _sides(sheet.faces)
    key, owner = edges[:, 0] * count + edges[:, 1], np.tile(mine, 3)
    both = np.intersect1d(key[owner], key[~owner])
    a, b = both // count, both % count
    return {(int(u), int(v)) for u, v in zip(a, b) if far[u] and far[v]}


def _sides(faces: NDArray) -> NDArray:
    """(3F, 2): the edges of each face, lower vertex first."""
    return np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
