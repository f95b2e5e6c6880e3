"""A skeleton of any kind, and its animation: what BVH, glTF and FBX files have in common."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """Joints in a tree. Every joint comes after its parent; joint 0 is the only root."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    """Index of each joint's parent, -1 for the root."""
    offsets: NDArray
    """(J, 3) float64, file units: where each joint is in its parent's frame when nothing is turned."""
    ends: tuple[tuple[int, tuple[float, float, float]], ...] = ()
    """Tips without a joint ("End Site"): the joint they hang on and their offset in its frame, file units."""

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """The children of each joint, in file order."""
        found: list[list[int]] = [[] for _ in self.names]
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                found[parent].append(joint)
        return tuple(tuple(c) for c in found)

    @cached_property
    def rest(self) -> NDArray:
        """(J, 3) float64, file units: joints with all rotations zero, the root at its offset."""
        places = np.array(self.offsets, np.float64)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                places[joint] += places[parent]
        return places

    def end_of(self, joint: int) -> NDArray | None:
        """The tip that hangs on a joint, (3,) float64 in its frame, file units, or None."""
        return next((np.array(offset) for owner, offset in self.ends if owner == joint), None)


@dataclass(frozen=True, kw_only=True)
class Animation:
    """A skeleton that moves."""

    skeleton: Skeleton
    rotations: NDArray
    """(T, J, 3, 3) float64: each joint relative to its parent."""
    positions: NDArray
    """(T, J, 3) float64, file units: each joint in its parent's frame (its offset, where the file does not move it)."""
    time_s: NDArray
    """(T,) float64, seconds."""

    def part(self, start: int, stop: int, step: int = 1) -> "Animation":
        """Some of its frames."""
        keep = slice(start, stop, step)
        return Animation(
            skeleton=self.skeleton,
            rotations=self.rotations[keep],
            positions=self.positions[keep],
            time_s=self.time_s[keep],
        )

    @cached_property
    def world(self) -> tuple[NDArray, NDArray]:
        """Joints (T, J, 3), file units, and rotations (T, J, 3, 3), both float64, in the file's own world."""
        rotations = np.empty_like(self.rotations)
        places = np.empty_like(self.positions)
        for joint, parent in enumerate(self.skeleton.parents):
            if parent < 0:
                rotations[:, joint] = self.rotations[:, joint]
                places[:, joint] = self.positions[:, joint]
                continue
            rotations[:, joint] = rotations[:, parent] @ self.rotations[:, joint]
            step = rotations[:, parent] @ self.positions[:, joint, :, None]
            places[:, joint] = places[:, parent] + step[..., 0]
        return places, rotations


def animation_of(
    names: tuple[str, ...],
    parents: tuple[int, ...],
    *,
    rest: tuple[NDArray, NDArray],
    world: tuple[NDArray, NDArray],
    time_s: NDArray,
    ends: tuple[tuple[int, NDArray], ...] = (),
) -> Animation:
    """Make an animation of a rig whose joints are turned at rest, as glTF's and FBX's are.

    Args:
        names, parents: the joints, parents first, one root.
        rest: positions (J, 3) and rotations (J, 3, 3) of the rest pose in the file's world.
        world: positions (T, J, 3) and rotations (T, J, 3, 3) of every frame in the file's world.
        time_s: (T,) float64, seconds.
        ends: joint and the world's position (3,) at rest of a tip that hangs on it.

    Returns:
        The animation with all turns counted from the rest pose, in which every joint's axes are the world's.
    """
    stand, turned_at_rest = rest
    places, rotations = world
    turned = rotations @ np.swapaxes(turned_at_rest, -1, -2)
    offsets, local, positions = stand.copy(), turned.copy(), places.copy()
    for joint, parent in enumerate(parents):
        if parent >= 0:
            back = np.swapaxes(turned[:, parent], -1, -2)
            offsets[joint] = stand[joint] - stand[parent]
            local[:, joint] = back @ turned[:, joint]
            positions[:, joint] = (back @ (places[:, joint] - places[:, parent])[..., None])[..., 0]
    tips = tuple((joint, tuple(float(v) for v in tip - stand[joint])) for joint, tip in ends)
    skeleton = Skeleton(names=names, parents=parents, offsets=offsets, ends=tips)  # type: ignore[arg-type]
    return Animation(skeleton=skeleton, rotations=local, positions=positions, time_s=time_s)
