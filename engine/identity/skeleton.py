"""The skeleton every picture gets: SMPL's 22 body joints, in the picture."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engine.types import BODY_JOINTS, JOINT_PARENTS, PictureJoints

BODY_PARENTS: tuple[int, ...] = JOINT_PARENTS[: len(BODY_JOINTS)]

SPINE: tuple[str, ...] = ("pelvis", "spine1", "spine2", "spine3", "neck")
"""The trunk, from below."""

LIMBS: dict[str, tuple[str, ...]] = {
    f"{side}_{limb}": tuple(f"{side}_{joint}" for joint in joints)
    for limb, joints in (("arm", ("shoulder", "elbow", "wrist")), ("leg", ("hip", "knee", "ankle", "foot")))
    for side in ("left", "right")
}
"""Joints of each limb, from the trunk outwards."""

_SPINE_SHARES = {"spine1": 0.22, "spine2": 0.47, "spine3": 0.68}
"""How far up from pelvis to neck the joints of the spine are (SMPL's .21, .48, .58, the last one spread out)."""

LYING_RAD = np.radians(55.0)
"""Trunks that lean more than this in their picture lie."""

FOOT_SHARE = 0.16
"""Length of a foot as share of its leg, where the picture does not say."""


def complete_body(
    points: dict[str, NDArray],
    *,
    confidence: float,
    source: str,
    size: tuple[int, int] | None = None,
    hidden: tuple[str, ...] = (),
    extras: tuple[NDArray, ...] = (),
) -> PictureJoints:
    """Fill in the joints between the ones that were found.

    Args:
        points: (2,) float pixels by joint name; needs pelvis, neck, and shoulder, elbow, wrist, hip, knee, ankle of
            both sides; spine, collars, head and feet are made where they are missing.
        confidence: 0 ... 1.
        source: as in `PictureJoints`.
        size: (height, width) of the picture; joints stay inside where it is given.
        hidden: names of joints that the picture does not show.
        extras: (M, 2) pixels from root to tip of parts a body does not have; they hang on the pelvis.

    Returns:
        The 22 joints of `BODY_JOINTS`, in that order, then "tail1", "tail2", ... of each extra part.
    """
    xy = {name: np.asarray(value, np.float64) for name, value in points.items()}
    pelvis, neck = xy["pelvis"], xy["neck"]
    for name, share in _SPINE_SHARES.items():
        xy.setdefault(name, pelvis + share * (neck - pelvis))
    xy.setdefault("head", neck + 0.15 * (neck - pelvis))
    for side in ("left", "right"):
        root = 0.35 * xy["spine3"] + 0.65 * neck
        xy.setdefault(f"{side}_collar", root + 0.35 * (xy[f"{side}_shoulder"] - root))
        hip, knee, ankle = (xy[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle"))
        length = np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee)
        shin = (ankle - knee) / max(np.linalg.norm(ankle - knee), 1e-6)
        xy.setdefault(f"{side}_foot", ankle + FOOT_SHARE * length * shin)
    table = np.stack([xy[name] for name in BODY_JOINTS])
    if size is not None:
        table = np.clip(table, 0.5, np.array([size[1], size[0]]) - 0.5)
    names, parents = list(BODY_JOINTS), list(BODY_PARENTS)
    for number, line in enumerate(extras):
        letter = "" if len(extras) == 1 else "abcdefgh"[number % 8]
        for k in range(len(line)):
            parents.append(0 if k == 0 else len(names) - 1)
            names.append(f"tail{letter}{k + 1}")
        table = np.concatenate([table, line])
    return PictureJoints(
        names=tuple(names),
        parents=tuple(parents),
        xy_px=table.astype(np.float32),
        drivers=BODY_JOINTS + ("pelvis",) * (len(names) - len(BODY_JOINTS)),
        hidden=hidden,
        confidence=float(confidence),
        source=source,
    )


def faces_away(joints: PictureJoints) -> bool:
    """Whether the picture shows the character's back: its left is on the left of the picture."""
    at = {name: joints.xy_px[k] for k, name in enumerate(joints.names)}
    if on_all_fours(at):
        return False
    pairs = [(f"left_{part}", f"right_{part}") for part in ("shoulder", "hip")]
    spans = [at[left][0] - at[right][0] for left, right in pairs if left in at and right in at]
    return sum(spans) < 0


def on_all_fours(at: Mapping[str, NDArray], *, down: float = 1.0) -> bool:
    """Whether a skeleton is that of a four-legged body seen from its side: the trunk lies, and all limbs hang from it.

    Args:
        at: where the joints are, (2,) or more numbers each, by name.
        down: 1 where y grows downwards, as in pictures; -1 where it grows upwards, as in puppets.
    """
    feet = [f"{side}_{joint}" for side in ("left", "right") for joint in ("wrist", "ankle")]
    if not {"pelvis", "neck", *feet} <= set(at):
        return False
    along, rise = (float(at["neck"][axis] - at["pelvis"][axis]) for axis in (0, 1))
    lowest = max(down * float(at[name][1]) for name in ("pelvis", "neck"))
    return abs(rise) < abs(along) / np.tan(LYING_RAD) and all(down * at[name][1] > lowest for name in feet)
