"""Any humanoid's motion on our joints: axes, scale, rest pose and joint mapping are found, shown, and can be
overruled.

The result keeps the source's proportions: `rest_m` has the source's bone lengths in our T-pose, so that every limb
points where the source's does, feet stay where they were planted, and forward kinematics gives the source's own
joints back.
"""

import numpy as np
from numpy.typing import NDArray

from engine.body.bvh import Bvh
from engine.body.model import forward_kinematics, load_body
from engine.body.skeleton import Animation, Skeleton
from engine.errors import InputError
from engine.geometry import matrix_to_rotvec
from engine.motion.alignment import Alignment, Source, align, axis_name
from engine.motion.contact import contact_of, leg_length
from engine.motion.given import Mapping, MappingTable, nearest_name
from engine.motion.ground import SOLE_JOINTS, floor_drift, placed, sole_height
from engine.motion.mapping import find_mapping
from engine.types import JOINT_PARENTS, JOINTS, Motion

UNITS_M = {
    "metres": 1.0, "centimetres": 0.01, "millimetres": 0.001, "inches": 0.0254, "CMU units": 0.0254 / 0.45,
    "decimetres": 0.1,
}  # fmt: skip
"""Units that motion files are in."""
LEG_RANGE_M = (0.62, 1.05)
"""Hip to ankle along the leg, of adults; a unit is believed when it brings the leg in here."""
_BLOCK = 2048  # frames that are turned at once


def motion_from_bvh(
    bvh: Bvh, mapping: Mapping | None = None, *, name: str = "the motion", place: bool = True
) -> tuple[Motion, MappingTable]:
    """`retarget` of a BVH file."""
    return retarget(bvh.animation(), mapping, name=name, place=place)


def retarget(
    animation: Animation, mapping: Mapping | None = None, *, name: str = "the motion", place: bool = True
) -> tuple[Motion, MappingTable]:
    """Turn a humanoid's animation into a motion on our joints.

    Args:
        animation: from a BVH or any other file, any axes, units, rest pose and names.
        mapping: what is known better.
        name: what to call the file in errors and in the table.
        place: start above the origin and facing +z; False keeps the source's own place and heading. The lowest the feet
            reach is y = 0 either way.

    Returns:
        The motion (times from 0, contacts found, the source's proportions in `rest_m`) and what was found.

    Raises:
        InputError: it is no humanoid; says what is missing.
    """
    mapping = mapping or Mapping()
    joints = _mapped(animation.skeleton, mapping, name)
    source = Source(animation, joints)
    found = align(source, rest_up=mapping.rest_up or None, world_up=mapping.up or None)
    unit, scale = _scale(source, mapping, name)
    rest = _rest(source, found, scale)
    rotvec, root = _carried(animation, joints, found, scale)
    if place:
        rotvec, root = placed(rotvec, root)
    motion, drift = grounded(rotvec, root, animation.time_s, rest, mapping.level_floor)
    used = set(joints.values())
    names = animation.skeleton.names
    table = MappingTable(
        name=name,
        joints={ours: names[theirs] for ours, theirs in joints.items()},
        unused=tuple(n for j, n in enumerate(names) if j not in used),
        up=found.world_up,
        rest_up="" if found.rest_axes is None else axis_name(found.rest_axes[1]),
        forward="" if found.rest_axes is None else axis_name(found.rest_axes[2]),
        rest_pose=found.rest_pose,
        unit=unit,
        metres_per_unit=scale,
        height_m=float(rest[JOINTS.index("head"), 1]),
        drift_m=drift,
    )
    return motion, table


def _mapped(skeleton: Skeleton, mapping: Mapping, name: str) -> dict[str, int]:
    """The found mapping with a person's own entries over it."""
    given: dict[str, int] = {}
    for ours, theirs in mapping.joints.items():
        if theirs and theirs not in skeleton.names:
            raise InputError(
                f'{name} has no joint "{theirs}" (mapped to {ours}).', nearest_name(theirs, skeleton.names)
            )
        if theirs:
            given[ours] = skeleton.names.index(theirs)
    limbs = [f"{s}_{p}" for s in ("left", "right") for p in ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")]
    if all(joint in given for joint in ("pelvis", *limbs)):
        found = {}
    else:
        found = find_mapping(skeleton, name)
    found = {o: t for o, t in found.items() if o not in mapping.joints and t not in given.values()} | given
    missing = [joint for joint in ("pelvis", *limbs) if joint not in found]
    if missing:
        raise InputError(f"{name}: nothing is mapped to {', '.join(missing)}.", "map these joints too.")
    return {joint: found[joint] for joint in JOINTS if joint in found}


def _scale(source: Source, mapping: Mapping, name: str) -> tuple[str, float]:
    """Unit and metres per unit, from the length of the legs."""
    if mapping.metres_per_unit:
        return "given", float(mapping.metres_per_unit)
    bones = [
        np.linalg.norm(source.local(f"{side}_{a}", f"{side}_{b}"))
        for side in ("left", "right")
        for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    leg = float(sum(bones)) / 2
    if leg < 1e-6:
        raise InputError(f"{name}: its legs have no length.", "give metres_per_unit in a mapping file.")
    low, high = LEG_RANGE_M
    for unit, scale in UNITS_M.items():
        if low <= leg * scale <= high:
            return unit, scale
    return "no unit fits: taken as a body of ordinary size", leg_length(load_body().joints) / leg


def _rest(source: Source, found: Alignment, scale: float) -> NDArray:
    """Our T-pose in the source's proportions, (52, 3) float32, metres, soles on y = 0, pelvis at x = z = 0."""
    body = load_body().joints.astype(np.float64)
    mapped = source.mapping
    lengths = {joint: np.linalg.norm(source.local(f"{joint}_hip", f"{joint}_knee")) for joint in ("left", "right")}
    ours = np.linalg.norm(body[JOINTS.index("left_knee")] - body[JOINTS.index("left_hip")])
    size = scale * float(np.mean(list(lengths.values()))) / ours
    rest = np.zeros((len(JOINTS), 3))
    placed = [True] + [False] * (len(JOINTS) - 1)
    for j, joint in enumerate(JOINTS):
        if placed[j] or joint not in mapped:
            continue
        way = [j]  # unmapped joints of ours between this one and the nearest mapped one above
        while JOINTS[JOINT_PARENTS[way[-1]]] not in mapped:
            way.append(JOINT_PARENTS[way[-1]])
        above = JOINT_PARENTS[way[-1]]
        step = scale * (found.turns[JOINTS[above]].T @ source.local(JOINTS[above], joint))
        steps = np.linalg.norm([body[k] - body[JOINT_PARENTS[k]] for k in way[::-1]], axis=1)
        for k, share in zip(way[::-1], np.cumsum(steps) / steps.sum(), strict=True):
            if not placed[k]:
                rest[k] = rest[above] + share * step
                placed[k] = True
    for j in range(1, len(JOINTS)):
        if not placed[j]:
            rest[j] = rest[JOINT_PARENTS[j]] + size * (body[j] - body[JOINT_PARENTS[j]])
    feet = list(SOLE_JOINTS)
    rest[:, 1] -= (rest[feet, 1] - size * body[feet, 1]).min()  # ankles and balls stand above the sole as ours do
    return rest.astype(np.float32)


def _carried(animation: Animation, joints: dict[str, int], found: Alignment, scale: float) -> tuple[NDArray, NDArray]:
    """All frames on our joints: (T, 52, 3) float64, radians, relative to our parents, and the root (T, 3), metres."""
    num_frames = len(animation.time_s)
    rotvec, root = np.empty((num_frames, len(JOINTS), 3)), np.empty((num_frames, 3))
    for start in range(0, num_frames, _BLOCK):
        places, rotations = animation.part(start, start + _BLOCK).world
        world = np.empty((len(places), len(JOINTS), 3, 3))
        for j, joint in enumerate(JOINTS):
            if joint in joints:
                world[:, j] = found.to_world @ rotations[:, joints[joint]] @ found.turns[joint]
            else:
                world[:, j] = world[:, JOINT_PARENTS[j]]
        local = world.copy()
        local[:, 1:] = np.swapaxes(world[:, list(JOINT_PARENTS[1:])], 2, 3) @ world[:, 1:]
        rotvec[start : start + _BLOCK] = matrix_to_rotvec(local)
        root[start : start + _BLOCK] = scale * places[:, joints["pelvis"]] @ found.to_world.T
    return rotvec, root


def grounded(rotvec: NDArray, root: NDArray, time_s: NDArray, rest: NDArray, level: bool) -> tuple[Motion, float]:
    """Put the soles on the ground.

    Args:
        rotvec: (T, 52, 3) float64, radians, and root: (T, 3) float64, metres, y up.
        time_s: (T,) float64, seconds.
        rest: (52, 3) float32, metres.
        level: take out a slow drift of the floor, as `floor_drift` finds it.

    Returns:
        The motion with its contacts, and how far the source's floor drifted, metres.
    """
    joints, _ = forward_kinematics(rotvec, root, rest)
    # The lowest two hundredths of the frames may sink in: footfalls of noisy captures do.
    height = np.full(len(root), np.percentile(sole_height(joints, rest), 2))
    joints[..., 1] -= height[:, None]
    drift = floor_drift(joints, rest, time_s) if level else np.zeros(len(root))
    joints[..., 1] -= drift[:, None]
    root = root.copy()
    root[:, 1] -= height + drift
    motion = Motion(
        rotvec=rotvec.astype(np.float32),
        root_m=root.astype(np.float32),
        time_s=np.asarray(time_s, np.float64),
        rest_m=rest,
        contact=contact_of(joints, rest, time_s),
    )
    return motion, float(drift.max())
