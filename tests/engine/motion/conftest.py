"""A motion of ours, and foreign rigs made from it so that the truth is known."""

import numpy as np
import pytest

from engine.body.model import forward_kinematics, load_body
from engine.body.skeleton import Animation, Skeleton
from engine.geometry import rotvec_to_matrix
from engine.motion.contact import find_contact
from engine.types import JOINT_PARENTS, JOINTS, Motion


@pytest.fixture(scope="session")
def foreign():
    return make_foreign


@pytest.fixture(scope="session")
def lowered_arms():
    return make_lowered_arms


@pytest.fixture(scope="session")
def walk():
    """Three steps in place of a body of ours, everything bending a little; soles on the ground at frame 0."""
    frames = 40
    t = np.linspace(0, 4 * np.pi, frames)
    rotvec = np.zeros((frames, len(JOINTS), 3))
    at = {name: k for k, name in enumerate(JOINTS)}
    for side, sign, phase in (("left", 1, 0.0), ("right", -1, np.pi)):
        swing = np.sin(t + phase)
        rotvec[:, at[f"{side}_hip"], 0] = -0.4 * swing
        rotvec[:, at[f"{side}_knee"], 0] = 0.5 * (1 - np.cos(t + phase))
        rotvec[:, at[f"{side}_ankle"], 0] = 0.1 * swing
        rotvec[:, at[f"{side}_shoulder"], 2] = -sign * 1.1
        rotvec[:, at[f"{side}_shoulder"], 0] = 0.3 * swing
        rotvec[:, at[f"{side}_elbow"], 1] = -sign * (0.5 + 0.3 * swing)
        for k in (1, 2, 3):
            rotvec[:, at[f"{side}_index{k}"], 2] = -sign * 0.3
    rotvec[:, at["spine2"], 1] = 0.1 * np.sin(t)
    rotvec[:, at["head"], 0] = 0.2 * np.cos(t)
    rest = load_body().joints
    root = np.tile(rest[0], (frames, 1)) + np.stack([0 * t, 0.02 * np.cos(2 * t) - 0.02, 0.1 * t], 1)
    motion = Motion(
        rotvec=rotvec.astype(np.float32), root_m=root.astype(np.float32), time_s=np.arange(frames) / 25, rest_m=rest
    )
    return Motion(**{**vars(motion), "contact": find_contact(motion)})


def depth_first():
    order = []

    def walk(joint):
        order.append(joint)
        for child, parent in enumerate(JOINT_PARENTS):
            if parent == joint:
                walk(child)

    walk(0)
    return order


def make_foreign(motion, *, rename=None, world=None, unit_m=0.01, rest=None, keep=None):
    """A motion as another rig would hold it.

    Args:
        motion: the truth.
        rename: our joint -> foreign name.
        world: (3, 3), turns our world to the file's; the rest pose goes with it.
        unit_m: metres per unit.
        rest: our joint -> (3, 3): its world turn in the foreign rest pose, against our T-pose.
        keep: joints that the rig has; children of left-out ones are left out too.
    """
    world = np.eye(3) if world is None else world
    rest = rest or {}
    order = [j for j in depth_first() if keep is None or JOINTS[j] in keep]
    joints, turned = forward_kinematics(motion.rotvec.astype(float), motion.root_m.astype(float), motion.rest_m)
    stand = [rest.get(name, np.eye(3)) for name in JOINTS]
    # In the foreign rest pose joint j is turned by `stand`; its zero is our `stand`, so its world rotation is ours
    # undone.
    there = np.stack([world @ turned[:, j] @ stand[j].T @ world.T for j in range(len(JOINTS))], axis=1)
    rotations, positions, offsets, parents = [], [], [], []
    for j in order:
        parent = JOINT_PARENTS[j]
        if parent < 0:
            rotations.append(there[:, j])
            positions.append(joints[:, 0] @ world.T / unit_m)
            offsets.append(world @ motion.rest_m[0] / unit_m)
            parents.append(-1)
            continue
        bone = world @ stand[parent] @ (motion.rest_m[j] - motion.rest_m[parent]).astype(float) / unit_m
        rotations.append(np.swapaxes(there[:, parent], 1, 2) @ there[:, j])
        positions.append(np.tile(bone, (len(motion), 1)))
        offsets.append(bone)
        parents.append(order.index(parent))
    ends = []
    for k, j in enumerate(order):
        if k not in parents:  # a tip that goes on as the last bone does; feet's point forwards
            bone = motion.rest_m[j] - motion.rest_m[JOINT_PARENTS[j]]
            tip = np.array([0, 0, 0.07]) if "foot" in JOINTS[j] else 0.2 * bone
            ends.append((k, tuple(world @ stand[j] @ tip / unit_m)))
    return Animation(
        skeleton=Skeleton(
            names=tuple((rename or {}).get(JOINTS[j], JOINTS[j]) for j in order),
            parents=tuple(parents),
            offsets=np.array(offsets),
            ends=tuple(ends),
        ),
        rotations=np.stack(rotations, axis=1),
        positions=np.stack(positions, axis=1),
        time_s=motion.time_s,
    )


def make_lowered_arms(angle_deg, legs_deg=0.0):
    """A foreign rest pose: arms hang by an angle, legs are spread by another."""
    rest = {}
    for side, sign in (("left", 1), ("right", -1)):
        arm = rotvec_to_matrix(np.array([0, 0, -sign * np.radians(angle_deg)]))
        leg = rotvec_to_matrix(np.array([0, 0, sign * np.radians(legs_deg)]))
        for name in JOINTS:
            if name.startswith(side):
                part = name.split("_")[1]
                if part in {"shoulder", "elbow", "wrist"} or part[:-1] in {"index", "middle", "ring", "pinky", "thumb"}:
                    rest[name] = arm
                elif part in {"hip", "knee"}:
                    rest[name] = leg
    return rest
