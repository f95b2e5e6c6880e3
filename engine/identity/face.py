"""Where the face is: what must not be seen when the character turns its back."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.identity.skeleton import faces_away, on_all_fours
from engine.identity.texture import Strokes, bleed, dark_spots
from engine.types import PictureJoints

CROWN_SHARE = 0.68
"""Where the face ends and the crown begins, from the head joint to the top of the head."""

NO_NECK = 0.8
"""A head whose neck is wider than this share of it is one with the body."""

OTHER_COLOUR = 17.0
"""How far a colour is from that of hair or fur to be something else, CIE Lab units (an eye's white is 20 to 60 from a
coloured drawing's fur, skin 25 and more from hair, crayon 5 to 12 from itself)."""

CELL_SHARES = (0.004, 0.12)
"""What lines enclose is a part of a face from the first share of the figure on (less lies between the strokes of a
crayon) up to the second."""

TOUCHES = 0.15
"""Share of a part in another colour that has to lie in the face for all of it to belong to the face."""


@dataclass(frozen=True)
class Face:
    """Two parts of the picture, each (H, W) bool or None."""

    area: NDArray | None
    """What is not seen from behind; None without a head or when the picture shows the back."""
    head: NDArray | None
    """The head where it is on a neck: its back is hair alone. None where head and body are one."""


def find_face(picture: NDArray, strokes: Strokes, joints: PictureJoints, xy: NDArray, on_head: NDArray) -> Face:
    """Find the face of a character.

    On a neck that is all of the head below its crown, so that hair comes down at the back. A head that is one with the
    body loses its middle. Parts that begin there in another colour than hair or fur (eyes, a forehead) go with it.

    Args:
        picture: (H, W, 4) uint8 straight RGBA.
        strokes: its lines.
        joints: its skeleton.
        xy: (K, 2) joints, pixels of `picture`.
        on_head: (H, W) bool: what the head joint carries.
    """
    if "head" not in joints.names or faces_away(joints) or on_all_fours(dict(zip(joints.names, xy))):
        return Face(None, None)
    solid = picture[..., 3] >= 128
    dist = cv2.distanceTransform(np.pad(solid, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    head = above_head(joints, xy, solid.shape) & solid & on_head
    if not head.any():
        return Face(None, None)
    if neck_ratio(joints, xy, dist) > NO_NECK:
        face = head & (dist > 0.22 * dist[head].max())
        rim = head & ~face
        cells = _cells(strokes, solid, face)
        return Face(face | cells | _other_parts(picture, strokes, solid, face, rim, most=0.55), None)
    k = joints.names.index("head")
    up = xy[k] - xy[joints.parents[k]]
    ys, xs = np.nonzero(head)
    height = ((xs + 0.5 - xy[k, 0]) * up[0] + (ys + 0.5 - xy[k, 1]) * up[1]) / max(np.linalg.norm(up), 1e-6)
    face, top = np.zeros(solid.shape, bool), np.zeros(solid.shape, bool)
    low, high = height < CROWN_SHARE * np.percentile(height, 98), height > np.percentile(height, 88)
    face[ys[low], xs[low]] = True
    top[ys[high], xs[high]] = True
    return Face(face | _other_parts(picture, strokes, head, face, top, most=0.95), head)


def find_features(picture: NDArray, face: Face) -> NDArray | None:
    """(H, W) bool: eyes, brows and mouth of a face; None without one. A head in profile has a cheek, but not these."""
    if face.area is None:
        return None
    solid = picture[..., 3] >= 128
    height = int(np.ptp(np.nonzero(solid.any(1))[0])) + 1 if solid.any() else 1
    return dark_spots(picture, solid, height) & face.area


def neck_ratio(joints: PictureJoints, xy: NDArray, dist: NDArray) -> float:
    """Width of the figure at the head joint over the greatest width above it; 1 without a head.

    Args:
        joints: the skeleton.
        xy: (K, 2) joints, pixels.
        dist: (H, W) float32, distance to the silhouette, pixels.
    """
    if "head" not in joints.names:
        return 1.0
    k = joints.names.index("head")
    above = above_head(joints, xy, dist.shape)
    inside = (xy[k] >= 0).all() and xy[k, 0] < dist.shape[1] and xy[k, 1] < dist.shape[0]
    if not inside or not above.any():
        return 1.0
    return float(np.clip(dist[int(xy[k, 1]), int(xy[k, 0])] / max(dist[above].max(), 1e-6), 0, 1))


def above_head(joints: PictureJoints, xy: NDArray, size: tuple[int, ...]) -> NDArray:
    """(H, W) bool: what is beyond the head joint, seen from the neck."""
    k = joints.names.index("head")
    head, neck = xy[k], xy[joints.parents[k]]
    up = head - neck if np.linalg.norm(head - neck) > 1e-6 else np.array([0.0, -1.0])
    ys, xs = np.mgrid[: size[0], : size[1]]
    return (xs + 0.5 - head[0]) * up[0] + (ys + 0.5 - head[1]) * up[1] > 0


def _other_parts(
    picture: NDArray, strokes: Strokes, where: NDArray, face: NDArray, hair: NDArray, *, most: float
) -> NDArray:
    """(H, W) bool: parts of a figure that begin in the face and have not the colour that `hair` mostly has, with their
    edges; nothing where that would be more than a share `most` of the hair."""
    none = np.zeros_like(where)
    height = np.ptp(np.nonzero(face.any(1))[0]) + 1 if face.any() else 1
    soft = cv2.GaussianBlur(bleed(picture)[..., :3], (0, 0), max(0.012 * height, 0.8))
    lab = cv2.cvtColor(soft.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    ink = strokes.mask if strokes.rgb is not None else none
    plain = hair & ~ink
    if plain.sum() < 20:
        return none
    gap = np.linalg.norm(lab - _commonest(lab[plain]), axis=2)
    other = where & (gap > OTHER_COLOUR) & ~ink
    count, labels = cv2.connectedComponents(other.astype(np.uint8), connectivity=4)
    size = np.bincount(labels.ravel(), minlength=count)
    within = np.bincount(labels[face], minlength=count)
    chosen = (within > TOUCHES * size) & (np.arange(count) > 0)
    reach = 2 * max(round(0.03 * height), 1) + 1
    found = cv2.dilate(_filled(chosen[labels]), np.ones((reach, reach), np.uint8)) > 0
    return found & where if (found & hair).sum() <= most * hair.sum() else none


def _cells(strokes: Strokes, solid: NDArray, face: NDArray) -> NDArray:
    """(H, W) bool: what lines of the drawing enclose and what begins in the face, with the lines around it: the whites
    of eyes that stand out beside a head, a beak."""
    if strokes.rgb is None:
        return np.zeros_like(solid)
    width = 2 * max(round(0.3 * strokes.width_px), 1) + 1
    closed = cv2.dilate(strokes.mask.astype(np.uint8), np.ones((width, width), np.uint8)) > 0
    count, labels = cv2.connectedComponents((solid & ~closed).astype(np.uint8), connectivity=4)
    size = np.bincount(labels.ravel(), minlength=count)
    within = np.bincount(labels[face], minlength=count)
    large = (size > CELL_SHARES[0] * solid.sum()) & (size < CELL_SHARES[1] * solid.sum())
    chosen = (within > TOUCHES * size) & large & (np.arange(count) > 0)
    reach = 2 * width + 1 + 2 * int(strokes.width_px)
    return (cv2.dilate(_filled(chosen[labels]), np.ones((reach, reach), np.uint8)) > 0) & solid


def _commonest(colours: NDArray) -> NDArray:
    """(3,) the colour that most of (N, 3) Lab colours are near to."""
    some = colours[:: max(len(colours) // 400, 1)]
    near = (np.linalg.norm(some[:, None] - some[None], axis=2) < 0.6 * OTHER_COLOUR).sum(1)
    middle = some[near.argmax()]
    return np.median(colours[np.linalg.norm(colours - middle, axis=1) < OTHER_COLOUR], axis=0)


def _filled(area: NDArray) -> NDArray:
    """(H, W) uint8 0 or 1: an area with its holes, such as the pupil of an eye."""
    loops, _ = cv2.findContours(area.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(area.shape, np.uint8), loops, -1, 1, cv2.FILLED)
