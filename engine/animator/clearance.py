"""Arms kept outside an inflated trunk and head: elbows and wrists that would sink in are pushed out of it."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.animator.drive import place_joints
from engine.geometry import rotation_between, rotvec_to_matrix
from engine.types import Puppet

_TRUNK_PREFIXES = ("pelvis", "spine", "neck", "head")
_NUM_SLICES = 32
GAP = 0.012
"""Distance kept between an arm's middle line and the trunk beyond the arm's own radius, figure heights."""


_SINK = 0.25
"""At the side an arm keeps this share of its radius outside: drawn arms start on the trunk's edge, half in it."""
_SWIVEL_RAD = np.radians(np.arange(-100.0, 101.0, 10.0))
_SWIVEL_COST = 0.02
"""Elbows turn by one radian to come this much farther out of the trunk, figure heights."""


@dataclass(frozen=True)
class Trunk:
    """Elliptic slices of the trunk in the pose of the picture, figure heights."""

    y: NDArray
    """(S,) where they are."""
    centre: NDArray
    """(S,) x of their middle."""
    half_width: NDArray
    half_depth: NDArray
    """(S,)"""

    def around(self, points: NDArray, radius: float) -> tuple[NDArray, NDArray, NDArray]:
        """Where points (..., 3) of the trunk's own frame are in its slices, for a limb of some radius: x and z
        (..., 2), on the unit circle where the limb touches; and half the width and depth of that circle (...)."""
        y = points[..., 1]
        inside = np.clip((y - self.y[0]) / 0.03 + 1, 0, 1) * np.clip((self.y[-1] - y) / 0.03 + 1, 0, 1)
        width = np.interp(y, self.y, self.half_width) * inside + _SINK * radius
        depth = np.interp(y, self.y, self.half_depth) * inside + radius + GAP
        aside = (points[..., 0] - np.interp(y, self.y, self.centre)) / width
        return np.stack([aside, points[..., 2] / depth], -1), width, depth


def push_out(puppet: Puppet, rotations: NDArray, root_m: NDArray, height_m: float) -> NDArray:
    """Turn arms so that elbows and wrists stay outside the trunk.

    Each is pushed straight away from the axis of the trunk, in the slice of the trunk it is in, as far as an ellipse
    around that slice: hands before the belly come forward, arms at the side go outward, and the way between is smooth.
    An arm drawn over its own trunk may stay as deep as it was drawn.

    Args:
        puppet: the character.
        rotations: (T, K, 3, 3) from the picture's pose.
        root_m: (T, 3) metres.
        height_m: metres per figure height.

    Returns:
        (T, K, 3, 3) with changed rotations of the arms.
    """
    trunk = trunk_slices(puppet)
    index = {name: k for k, name in enumerate(puppet.joint_names)}
    chest = chest_joint(puppet)
    if trunk is None:
        return rotations
    out = rotations.copy()
    for side in ("left", "right"):
        names = [f"{side}_{joint}" for joint in ("shoulder", "elbow", "wrist")]
        if not all(name in index for name in names):
            continue
        chain = [index[name] for name in names]
        for upper, lower in pairwise(chain):
            joints = place_joints(puppet, out, root_m, height_m)
            local = np.swapaxes(out[:, chest], -1, -2) @ (joints[:, lower] - joints[:, chest])[..., None]
            local = local[..., 0] / height_m + puppet.joints[chest]
            moved = outside(trunk, local, puppet.joints[lower].astype(np.float64), limb_radius(puppet, upper))
            wanted = joints[:, chest] + (out[:, chest] @ ((moved - puppet.joints[chest]) * height_m)[..., None])[..., 0]
            turn = rotation_between(joints[:, lower] - joints[:, upper], wanted - joints[:, upper])
            below = descendants(puppet, upper)
            out[:, below] = turn[:, None] @ out[:, below]
    return out


def swivel(trunk: Trunk, arms: NDArray, radius: float) -> NDArray:
    """How far bent arms have to turn about the line from shoulder to wrist for elbow and forearm to be outside a trunk.

    Args:
        trunk: of `trunk_slices`.
        arms: (T, 3, 3) shoulder, elbow, wrist in the trunk's own frame, figure heights.
        radius: half the thickness of the arm, figure heights.

    Returns:
        (T,) radians, the smallest turn of the best ones.
    """
    shoulder, elbow, wrist = arms[:, 0], arms[:, 1], arms[:, 2]
    axis = wrist - shoulder
    axis = axis / np.maximum(np.linalg.norm(axis, axis=-1, keepdims=True), 1e-9)
    turns = rotvec_to_matrix(axis[:, None] * _SWIVEL_RAD[:, None])
    turned = shoulder[:, None] + (turns @ (elbow - shoulder)[:, None, :, None])[..., 0]
    shares = np.array([0.3, 0.6])[:, None]
    upper = shoulder[:, None, None] + np.array([[0.7]]) * (turned - shoulder[:, None])[:, :, None]
    lower = turned[:, :, None] + shares * (wrist[:, None] - turned)[:, :, None]
    across, width, depth = trunk.around(np.concatenate([upper, turned[:, :, None], lower], 2), radius)
    sunk = np.maximum(1 - np.linalg.norm(across, axis=-1), 0) * np.minimum(width, depth)
    cost = (sunk**2).sum(-1) + (_SWIVEL_COST * _SWIVEL_RAD) ** 2
    return _SWIVEL_RAD[np.argmin(cost, axis=1)]


def outside(trunk: Trunk, points: NDArray, drawn: NDArray, radius: float) -> NDArray:
    """Points (T, 3) of the trunk's own frame, pushed out of its slices, for a limb of some radius; one drawn over its
    own trunk, at (3,), may stay as deep as it was drawn."""
    across, width, depth = trunk.around(points, radius)
    level = np.linalg.norm(across, axis=-1)
    drawn_level = float(np.linalg.norm(trunk.around(drawn, radius)[0]))
    wanted = np.maximum(level, min(drawn_level, 1.0) * np.ones_like(level))
    across = across * (wanted / np.maximum(level, 0.05))[..., None]
    out = points.copy()
    out[..., 0] = across[..., 0] * width + np.interp(points[..., 1], trunk.y, trunk.centre)
    out[..., 2] = across[..., 1] * depth
    return np.where((level < wanted)[..., None], out, points)


def trunk_slices(puppet: Puppet) -> Trunk | None:
    """Slice the trunk and head of a puppet; None where there is next to nothing of them."""
    part = [k for k, name in enumerate(puppet.joint_names) if name.startswith(_TRUNK_PREFIXES)]
    own = puppet.vertices[puppet.weights[:, part].sum(1) > 0.7].astype(np.float64)
    if len(own) < 50 or np.ptp(own[:, 1]) < 1e-3:
        return None
    edges = np.linspace(own[:, 1].min(), own[:, 1].max(), _NUM_SLICES + 1)
    which = np.clip(np.digitize(own[:, 1], edges) - 1, 0, _NUM_SLICES - 1)
    rows = [own[which == s] for s in range(_NUM_SLICES)]
    kept = [s for s, row in enumerate(rows) if len(row) >= 3]
    low = np.array([rows[s][:, 0].min() for s in kept])
    high = np.array([rows[s][:, 0].max() for s in kept])
    deep = np.array([np.abs(rows[s][:, 2]).max() for s in kept])
    return Trunk(((edges[:-1] + edges[1:]) / 2)[kept], (low + high) / 2, (high - low) / 2, deep)


def chest_joint(puppet: Puppet) -> int:
    """The joint in whose frame the slices of the trunk are."""
    found = [puppet.joint_names.index(name) for name in ("spine2", "spine3") if name in puppet.joint_names]
    return found[0] if found else 0


def limb_radius(puppet: Puppet, joint: int) -> float:
    """Half the thickness of the limb that hangs on a joint, figure heights."""
    own = puppet.vertices[puppet.weights[:, joint] > 0.6]
    return float(np.percentile(np.abs(own[:, 2]), 90)) if len(own) >= 8 else 0.02


def descendants(puppet: Puppet, joint: int) -> list[int]:
    """A joint and all that hangs on it."""
    found = [joint]
    for k, parent in enumerate(puppet.joint_parents):
        if parent in found:
            found.append(k)
    return found
