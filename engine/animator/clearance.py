"""Arms kept outside an inflated trunk and head: elbows and wrists that would sink in are pushed out of it."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.animator.drive import place_joints
from engine.geometry import rotation_between
from engine.types import Puppet

_TRUNK_PREFIXES = ("pelvis", "spine", "neck", "head")
_NUM_SLICES = 32
_GAP = 0.012
"""Distance kept between an arm's middle line and the trunk beyond the arm's own radius, figure heights."""


_SINK = 0.25
"""At the side an arm keeps this share of its radius outside: drawn arms start on the trunk's edge, half in it."""


@dataclass(frozen=True)
class _Trunk:
    """Elliptic slices of the trunk in the pose of the picture, figure heights."""

    y: NDArray
    """(S,) where they are."""
    centre: NDArray
    """(S,) x of their middle."""
    half_width: NDArray
    half_depth: NDArray
    """(S,)"""


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
    trunk = _slices(puppet)
    index = {name: k for k, name in enumerate(puppet.joint_names)}
    chest = index.get("spine2", index.get("spine3", 0))
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
            moved = _outside(trunk, local, puppet.joints[lower].astype(np.float64), _radius(puppet, upper))
            wanted = joints[:, chest] + (out[:, chest] @ ((moved - puppet.joints[chest]) * height_m)[..., None])[..., 0]
            turn = rotation_between(joints[:, lower] - joints[:, upper], wanted - joints[:, upper])
            below = _descendants(puppet, upper)
            out[:, below] = turn[:, None] @ out[:, below]
    return out


def _outside(trunk: _Trunk, points: NDArray, drawn: NDArray, radius: float) -> NDArray:
    """Points (T, 3) of the trunk's own frame, pushed out of its slices."""

    def around(p: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        y = p[..., 1]
        inside = np.clip((y - trunk.y[0]) / 0.03 + 1, 0, 1) * np.clip((trunk.y[-1] - y) / 0.03 + 1, 0, 1)
        width = np.interp(y, trunk.y, trunk.half_width) * inside + _SINK * radius
        depth = np.interp(y, trunk.y, trunk.half_depth) * inside + radius + _GAP
        across = np.stack([(p[..., 0] - np.interp(y, trunk.y, trunk.centre)) / width, p[..., 2] / depth], -1)
        return across, width, depth

    across, width, depth = around(points)
    level = np.linalg.norm(across, axis=-1)
    drawn_level = float(np.linalg.norm(around(drawn)[0]))
    wanted = np.maximum(level, min(drawn_level, 1.0) * np.ones_like(level))
    across = across * (wanted / np.maximum(level, 0.05))[..., None]
    out = points.copy()
    out[..., 0] = across[..., 0] * width + np.interp(points[..., 1], trunk.y, trunk.centre)
    out[..., 2] = across[..., 1] * depth
    return np.where((level < wanted)[..., None], out, points)


def _slices(puppet: Puppet) -> _Trunk | None:
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
    return _Trunk(((edges[:-1] + edges[1:]) / 2)[kept], (low + high) / 2, (high - low) / 2, deep)


def _radius(puppet: Puppet, joint: int) -> float:
    """Half the thickness of the limb that hangs on a joint, figure heights."""
    own = puppet.vertices[puppet.weights[:, joint] > 0.6]
    return float(np.percentile(np.abs(own[:, 2]), 90)) if len(own) >= 8 else 0.02


def _descendants(puppet: Puppet, joint: int) -> list[int]:
    found = [joint]
    for k, parent in enumerate(puppet.joint_parents):
        if parent in found:
            found.append(k)
    return found
