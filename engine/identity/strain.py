"""Weights that change no faster than flesh can follow: what bends spreads until nothing is torn or folded over."""

import numpy as np
from numpy.typing import NDArray

from engine.identity.mesh import Sheet, inflate, laplacian
from engine.types import PictureJoints

USUAL_TURN_RAD = {
    "shoulder": 1.5, "elbow": 1.6, "wrist": 0.5, "hip": 1.2, "knee": 1.4, "ankle": 0.6, "foot": 0.3, "head": 0.5,
    "neck": 0.4, "collar": 0.3, "pelvis": 0.3,
}  # fmt: skip
"""How far joints turn against what they hang on in lively motion (95th percentile over walks, dances and jumps), by the
last word of their name; others turn `OTHER_TURN_RAD`."""

OTHER_TURN_RAD = 0.45

MOST_STRAIN = 0.7
"""Growth of an edge, as share of its length, that one joint may cause at its usual turn; at 1 the inner side of a bend
folds over itself."""

FLESH_STRAIN = 0.85
"""The same where weights are a body's own, which bend in fewer places than drawings do."""

NUM_ROUNDS = 24
FIRST_REACH = 0.5
"""Where strain is too high, weights first spread over this many edge lengths, then farther each round."""

MOST_GROWTH = 2.0
"""Spreading grows by at most this factor a round."""


def limit_strain(
    sheet: Sheet, joints: PictureJoints, weights: NDArray, xy: NDArray, most: float = MOST_STRAIN
) -> NDArray:
    """Spread skinning weights where a usual turn of a joint would stretch or fold the figure.

    Args:
        sheet: the silhouette.
        joints: the skeleton.
        weights: (N, K) skinning weights, rows sum to 1.
        xy: (K, 2) joints, pixels of the sheet.
        most: `MOST_STRAIN` or another limit.

    Returns:
        (N, K) weights, rows sum to 1; untouched where nothing strains.

    Source: screened diffusion with a conductivity that grows on strained edges until they are not; an edge of length l
    at distance d from a joint grows by (difference of its ends' shares) x d / l per radian.
    """
    from scipy.sparse import csr_matrix, diags
    from scipy.sparse.linalg import splu

    matrix, area = laplacian(sheet.xy_px, sheet.faces)
    upper = matrix.tocoo()
    keep = (upper.row < upper.col) & (upper.data < 0)
    i, j, conductance = upper.row[keep], upper.col[keep], np.abs(upper.data[keep])
    length = np.linalg.norm(sheet.xy_px[i] - sheet.xy_px[j], axis=1)
    lever = _levers(sheet, joints, xy, i, j) / np.maximum(length, 1e-9)[:, None]
    subtree = _subtrees(joints)
    spread, out, count = np.zeros(len(i)), weights, len(weights)
    for _ in range(NUM_ROUNDS):
        shares = out @ subtree
        ratio = (np.abs(shares[i] - shares[j]) * lever).max(1) / most
        if ratio.max() <= 1.02:
            break
        floor = np.where(ratio > 1, (FIRST_REACH * length) ** 2, 0.0)
        spread = np.maximum(spread, floor) * np.clip(ratio, 1.0, MOST_GROWTH)
        link = conductance * spread
        half = csr_matrix((link, (i, j)), shape=(count, count))
        links = half + half.T
        screened = diags(area + np.asarray(links.sum(1)).ravel()) - links
        out = splu(screened.tocsc()).solve(area[:, None] * weights)
    out = np.where(out < 1e-4, 0, out)
    return out / out.sum(1, keepdims=True)


def _levers(sheet: Sheet, joints: PictureJoints, xy: NDArray, i: NDArray, j: NDArray) -> NDArray:
    """(E, K): distance of edges to joints times the joints' usual turn."""
    middle = (sheet.xy_px[i] + sheet.xy_px[j]) / 2
    depth = inflate(sheet)
    deep = 0.7 * (depth[i] + depth[j]) / 2
    distance = np.sqrt(((middle[:, None] - xy[None]) ** 2).sum(2) + deep[:, None] ** 2)
    turns = [USUAL_TURN_RAD.get(name.rsplit("_", maxsplit=1)[-1], OTHER_TURN_RAD) for name in joints.names]
    return distance * np.array(turns)


def _subtrees(joints: PictureJoints) -> NDArray:
    """(K, K): 1 where the row's joint moves with the column's."""
    moves = np.eye(len(joints.names))
    for k, parent in enumerate(joints.parents):
        if parent >= 0:
            moves[k] += moves[parent]
    moves[:, 0] = 0  # the whole figure: no strain
    return np.minimum(moves, 1)
