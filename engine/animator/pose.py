"""A whole motion for one puppet: scale, joints, feet and root, before anything is drawn."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.animator.clearance import push_out
from engine.animator.drive import drive_rotations, is_four_legged, place_joints, read_source
from engine.animator.ground import (
    character_height,
    clearance,
    keep_planted,
    leg_length,
    person_height,
    planted_feet,
    travel_root,
)
from engine.animator.hold import lay_hands
from engine.animator.reach import join_hands, touch_head
from engine.animator.skinning import Skin, dual_quaternions, make_skin, pose_points, pose_skin
from engine.animator.soles import Soles
from engine.animator.sway import sway
from engine.types import JOINTS, Motion, Puppet

_BLOCK = 64
_ARM = ("shoulder", "elbow", "wrist")


@dataclass(frozen=True)
class PosedPuppet:
    """A puppet in every frame of a motion."""

    puppet: Puppet
    height_m: float
    """Metres per figure height."""
    skin: Skin
    transforms: NDArray
    """(T, K, 8) float32: dual quaternions from the picture, in metres, to the world."""
    joints_m: NDArray
    """(T, K, 3) float64, world."""
    rotations: NDArray
    """(T, K, 3, 3) float64, from the picture's pose."""
    standing_m: float
    """Height of the character standing straight, metres."""

    def __len__(self) -> int:
        return len(self.transforms)

    def vertices_m(self, frame_idx: int) -> tuple[NDArray, NDArray]:
        """Vertices (3, V) metres and normals (3, V) of one frame, world, float32."""
        return pose_skin(self.skin, self.transforms[frame_idx])

    def points_m(self, frame_idx: int) -> NDArray:
        """The vertices of `vertices_m` alone."""
        return pose_points(self.skin, self.transforms[frame_idx])


def pose_puppet(
    puppet: Puppet, motion: Motion, *, scale: float = 1.0, travel: str = "person", stiff: bool = False
) -> PosedPuppet:
    """Move a puppet as a motion says, in its own proportions.

    Height: as tall as the person of the motion times `scale`; see `ground.character_height` for wide characters.
    Root: the lowest point of the character is as high above the ground as the lowest foot of the source, so jumps fly
    as high; over the ground the pelvis is where the source's is, or, with its own steps, as far as its legs carry it.
    Feet that stand are held by bending the legs; hands that meet or touch head, body or legs, by bending the arms.

    Args:
        puppet: the character.
        motion: what the source does.
        scale: > 0.
        travel: "person": the pelvis stays over the source's; "stride": steps are scaled by the length of the legs.
        stiff: tails and ears do not swing.

    Returns:
        The posed puppet; every frame depends on the whole motion, nothing on how frames are asked for.
    """
    assert travel in ("person", "stride"), travel
    source = read_source(motion)
    standing, standing_joints = _standing(puppet)
    arms = [k for k, name in enumerate(puppet.joint_drivers) if name.endswith(_ARM)]
    is_arm = puppet.weights[:, arms].sum(1) > 0.5
    height_m = character_height(standing.T, is_arm, person_height(motion)) * scale
    skin = make_skin(puppet, height_m)
    rotations = drive_rotations(puppet, source)
    root = source.joints_m[:, 0].copy()
    legs = leg_length(source.rest_m, JOINTS), leg_length(puppet.joints * height_m, puppet.joint_names)
    if travel == "stride" and min(legs) > 0:
        root[:, [0, 2]] = travel_root(source, legs[1] / legs[0])
    four = is_four_legged(puppet)
    if four:  # the middle of the body is where the person is, not its tail end
        trunk = puppet.joints[puppet.joint_names.index("neck")] - puppet.joints[0]
        root[:, [0, 2]] -= (rotations[:, 0] @ (0.5 * height_m * trunk.astype(np.float64)))[:, [0, 2]]
    if not stiff:
        rotations = sway(puppet, rotations, root, height_m, motion.time_s)
    if not four:
        rotations = push_out(puppet, rotations, root, height_m)
        person_m = person_height(motion)
        rotations, laid = lay_hands(puppet, rotations, root, height_m, source, person_m, motion.time_s)
        rotations = touch_head(puppet, rotations, root, height_m, source, person_m)
        rotations = join_hands(puppet, rotations, root, height_m, source, person_m, laid)
    soles = Soles(puppet, skin, height_m, (standing, standing_joints), _extremes(puppet))
    planted = planted_feet(motion, source)
    above, steps = clearance(source, planted, motion.time_s), np.zeros(len(motion), bool)
    for keep in (False, True):  # bending a leg moves its sole a little, so the height is found again
        if keep:
            rotations, steps = keep_planted(puppet, rotations, root, height_m, planted, motion.time_s)
        joints = place_joints(puppet, rotations, root, height_m)
        transforms = dual_quaternions(puppet, rotations, joints, height_m)
        lift = above - soles.lowest(joints, transforms)
        if steps.any() and not steps.all():  # a foot in the air does not carry
            lift[steps] = np.interp(motion.time_s[steps], motion.time_s[~steps], lift[~steps])
        root[:, 1] += lift
    joints[..., 1] += lift[:, None]
    return PosedPuppet(
        puppet=puppet,
        height_m=height_m,
        skin=skin,
        transforms=dual_quaternions(puppet, rotations, joints, height_m),
        joints_m=joints,
        rotations=rotations,
        standing_m=float(np.ptp(standing[1][~is_arm] if (~is_arm).any() else standing[1])) * height_m,
    )


def rest_motion(num_frames: int = 1) -> Motion:
    """A person of ordinary build who stands in the T-pose and faces +z."""
    from engine.body.model import load_body

    _, joints = load_body().rest(np.zeros(10, np.float32))
    return Motion(
        rotvec=np.zeros((num_frames, len(JOINTS), 3), np.float32),
        root_m=np.tile(joints[0], (num_frames, 1)).astype(np.float32),
        time_s=np.arange(num_frames) / 30.0,
        rest_m=joints.astype(np.float32),
    )


def _standing(puppet: Puppet) -> tuple[NDArray, NDArray]:
    """(3, V) vertices and (K, 3) joints of the puppet standing in the T-pose, figure heights."""
    rotations = drive_rotations(puppet, read_source(rest_motion()))
    joints = place_joints(puppet, rotations, np.zeros((1, 3)), 1.0)
    return pose_points(make_skin(puppet, 1.0), dual_quaternions(puppet, rotations, joints, 1.0)[0]), joints[0]


def _extremes(puppet: Puppet) -> NDArray:
    """Vertices that can be the lowest in some pose: of each part, the farthest along 62 directions."""
    golden = np.pi * (3 - np.sqrt(5))
    z = np.linspace(-1, 1, 62)
    around = np.sqrt(1 - z**2)
    directions = np.stack([around * np.cos(golden * np.arange(62)), around * np.sin(golden * np.arange(62)), z], 1)
    owner = puppet.weights.argmax(1)
    found = [np.zeros(0, np.int64)]
    for k in np.unique(owner):
        own = np.flatnonzero(owner == k)
        found.append(own[np.argmax(puppet.vertices[own].astype(np.float64) @ directions.T, axis=0)])
    return np.unique(np.concatenate(found))
