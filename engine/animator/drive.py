"""Body motion to puppet joints: directions come from the source, lengths from the character's own picture.

Every joint gets one rotation, from the picture's pose to the pose of the frame, in world axes:

    trunk       the source's own rotation of that joint, after the picture's trunk was set upright; one that lies, on
                four legs, stays level and turns to where the source faces
    limbs       the smallest turn from the T-pose, joint by joint along the chain, after each bone of the picture was
                turned into the T-pose: a front view stays a front view; thighs spin half as far about themselves as the
                source's, shins half of the rest, arms not at all
    head        most of the source's rotation against the chest
    feet        nearly the source's rotation of the ankle, and its toes' bend; hands go with the forearm and bend half
                as much, fingers as the source's against its wrist
    free parts  the rotation of the joint that drives them
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.animator.fingers import finger_rotations
from engine.body.model import forward_kinematics
from engine.geometry import matrix_to_rotvec, rotation_between, rotvec_to_matrix
from engine.identity.skeleton import LYING_RAD, on_all_fours
from engine.types import JOINT_PARENTS, JOINTS, Motion, Puppet

HEAD_SHARE = 0.75
"""How much of the head's turn against the chest a character makes: big heads look broken before people's do."""
_WRIST_SHARE = 0.5
_SPIN_SHARE = 0.5
"""How much of the source's spin about a thigh, and of the rest about the shin, a leg makes: knees and feet point where
they should, and a front does not go round its side at once."""
_ANKLE_LIMIT_RAD = np.radians(60.0)
"""Feet bend against the shin less and less up to this: drawn ankles are short and thick, and would tear."""
_LEAN_IGNORED_RAD = np.radians(4.0)
_UNSURE_SHARE = 0.15
"""Trunks that lean less than this in their picture are upright: their joints are no better known, and those of wide
bodies are known to this share of the width."""

_PITCH_SHARE = 0.4
"""How much of leaning and twisting a four-legged trunk does; turns about the vertical it does in full."""

LIMBS: tuple[tuple[str, ...], ...] = tuple(
    tuple(f"{side}_{joint}" for joint in chain)
    for side in ("left", "right")
    for chain in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
)
"""Joints of arms and legs, from the trunk outwards."""
TRUNK = ("pelvis", "spine1", "spine2", "spine3", "left_collar", "right_collar", "neck")
_IDX = {name: idx for idx, name in enumerate(JOINTS)}


@dataclass(frozen=True)
class Source:
    """The posed skeleton that drives."""

    joints_m: NDArray
    """(T, 52, 3) float64, world."""
    rotations: NDArray
    """(T, 52, 3, 3) float64, from the T-pose, world axes."""
    rest_m: NDArray
    """(52, 3) float64."""


def read_source(motion: Motion) -> Source:
    """Pose the skeleton of a motion in the world."""
    joints, rotations = forward_kinematics(
        motion.rotvec.astype(np.float64), motion.root_m.astype(np.float64), motion.rest_m.astype(np.float64)
    )
    return Source(joints, rotations, motion.rest_m.astype(np.float64))


def drive_rotations(puppet: Puppet, source: Source) -> NDArray:
    """Find the rotation of every puppet joint in every frame.

    Args:
        puppet: the character.
        source: the skeleton that drives.

    Returns:
        (T, K, 3, 3) float64: rotation of each joint from the picture's pose, world axes.
    """
    found = _body_rotations(puppet, source)
    num_frames = len(source.rotations)
    out = np.empty((num_frames, len(puppet.joint_names), 3, 3))
    for k, (name, driver) in enumerate(zip(puppet.joint_names, puppet.joint_drivers)):
        if name in found:
            out[:, k] = found[name]
        elif driver in found:  # a free part keeps its angle to the part that drives it, or takes its place
            out[:, k] = found[driver] @ (np.eye(3) if driver in puppet.joint_names else _as_limb(puppet, k, source))
        else:
            out[:, k] = source.rotations[:, _IDX[driver]]
    return out


def place_joints(puppet: Puppet, rotations: NDArray, root_m: NDArray, height_m: float) -> NDArray:
    """Where the joints are, given their rotations.

    Args:
        puppet: the character.
        rotations: (T, K, 3, 3).
        root_m: (T, 3) metres: the puppet's pelvis.
        height_m: metres per figure height.

    Returns:
        (T, K, 3) float64, metres, world.
    """
    rest = puppet.joints.astype(np.float64) * height_m
    out = np.empty((*rotations.shape[:2], 3))
    for k, parent in enumerate(puppet.joint_parents):
        if parent < 0:
            out[:, k] = root_m
        else:
            out[:, k] = out[:, parent] + rotations[:, parent] @ (rest[k] - rest[parent])
    return out


def is_free(puppet: Puppet) -> NDArray:
    """(K,) bool: joints that are not part of a person's body (tails, ears)."""
    return np.array([name not in _IDX for name in puppet.joint_names])


def facing(puppet: Puppet) -> NDArray:
    """(3, 3): the turn about the vertical that makes a puppet in its picture's pose face +z: none for whoever was drawn
    from the front, a quarter for four-legged bodies, which are drawn from the side."""
    at = dict(zip(puppet.joint_names, puppet.joints))
    if not on_all_fours(at, down=-1.0):
        return np.eye(3)
    right = float(np.sign(at["neck"][0] - at["pelvis"][0]))
    return np.array([[0.0, 0.0, -right], [0.0, 1.0, 0.0], [right, 0.0, 0.0]])


def is_four_legged(puppet: Puppet) -> bool:
    """Whether arms are front legs."""
    return on_all_fours(dict(zip(puppet.joint_names, puppet.joints)), down=-1.0)


def _body_rotations(puppet: Puppet, source: Source) -> dict[str, NDArray]:
    """Rotation (T, 3, 3) from the picture's pose, by body joint, whether the puppet has it or not."""
    turned = facing(puppet)
    picture = {name: turned @ puppet.joints[k].astype(np.float64) for k, name in enumerate(puppet.joint_names)}
    if is_four_legged(puppet):
        found = {name: _pitched(source.rotations[:, _IDX[name]]) for name in TRUNK}
    else:
        upright = _upright(picture, source.rest_m, _unsure_lean(puppet))
        found = {name: source.rotations[:, _IDX[name]] @ upright for name in TRUNK}
    turn = source.rotations[:, _IDX["head"]] @ np.swapaxes(source.rotations[:, _IDX["spine3"]], -1, -2)
    found["head"] = share_of(turn, HEAD_SHARE) @ found["spine3"]
    found["neck"] = share_of(turn, HEAD_SHARE / 2) @ found["spine3"]
    wanted = frozenset((*puppet.joint_names, *puppet.joint_drivers))
    for chain in LIMBS:
        _limb(found, chain, picture, source, wanted)
    return {name: rotation @ turned for name, rotation in found.items()}


def _pitched(rotations: NDArray) -> NDArray:
    """(T, 3, 3): the heading of rotations in full, the rest of them in part."""
    ahead = rotations @ np.array([0.0, 0.0, 1.0])
    heading = np.zeros((len(ahead), 3))
    heading[:, 1] = np.arctan2(ahead[:, 0], ahead[:, 2])
    turn = rotvec_to_matrix(heading)
    return turn @ share_of(np.swapaxes(turn, -1, -2) @ rotations, _PITCH_SHARE)


def _as_limb(puppet: Puppet, k: int, source: Source) -> NDArray:
    """(3, 3): turn of a free bone from the picture to where the T-pose has the bone that drives it.

    A front leg driven by an arm hangs down when the arm does, however it was drawn.
    """
    driver = puppet.joint_drivers[k]
    children = [c for c, parent in enumerate(puppet.joint_parents) if parent == k]
    for chain in LIMBS:
        if driver in chain[:-1] and children:
            at_rest = source.rest_m[_IDX[chain[chain.index(driver) + 1]]] - source.rest_m[_IDX[driver]]
            return rotation_between((puppet.joints[children[0]] - puppet.joints[k]).astype(np.float64), at_rest)
    return np.eye(3)


def _limb(
    found: dict[str, NDArray],
    chain: tuple[str, ...],
    picture: dict[str, NDArray],
    source: Source,
    wanted: frozenset[str],
) -> None:
    """Add the rotations of one arm or leg, and of those fingers that are wanted."""
    swing = source.rotations[:, JOINT_PARENTS[_IDX[chain[0]]]]
    bend = np.eye(3)
    for name, end in pairwise(chain):
        at_rest = source.rest_m[_IDX[end]] - source.rest_m[_IDX[name]]
        now = source.joints_m[:, _IDX[end]] - source.joints_m[:, _IDX[name]]
        swing = rotation_between(swing @ at_rest, now) @ swing
        if chain[-1].endswith("ankle"):
            swing = _spun(swing, source.rotations[:, _IDX[name]], now)
        if name in picture and end in picture:
            drawn = picture[end] - picture[name]
            if np.linalg.norm(drawn) > 1e-6:
                bend = rotation_between(drawn, at_rest)
        found[name] = swing @ bend
    tip = chain[-1]
    if tip.endswith("wrist"):
        local = np.swapaxes(source.rotations[:, _IDX[chain[-2]]], -1, -2) @ source.rotations[:, _IDX[tip]]
        hand = swing @ share_of(local, _WRIST_SHARE)
        found[tip] = hand @ bend
        found |= finger_rotations(tip.partition("_")[0], wanted, picture, hand, bend, source.rotations)
    else:
        # A foot stays as it was drawn where the leg stands; where the leg is drawn raised, the foot goes with it.
        raised = matrix_to_rotvec(bend)
        angle = np.linalg.norm(raised)
        share = np.clip((angle - np.radians(20)) / np.radians(25), 0, 1)
        local = matrix_to_rotvec(np.swapaxes(swing, -1, -2) @ source.rotations[:, _IDX[tip]])
        size = np.linalg.norm(local, axis=-1, keepdims=True)
        local *= _ANKLE_LIMIT_RAD * np.tanh(size / _ANKLE_LIMIT_RAD) / np.maximum(size, 1e-9)
        ankle, raise_ = swing @ rotvec_to_matrix(local), rotvec_to_matrix(raised * share)
        toes = tip.replace("ankle", "foot")
        flex = np.swapaxes(source.rotations[:, _IDX[tip]], -1, -2) @ source.rotations[:, _IDX[toes]]
        found[tip], found[toes] = ankle @ raise_, ankle @ flex @ raise_


def _spun(swing: NDArray, wanted: NDArray, bone: NDArray) -> NDArray:
    """(T, 3, 3): a rotation, spun about a bone (T, 3) part of the way to another one."""
    along = bone / np.maximum(np.linalg.norm(bone, axis=-1, keepdims=True), 1e-9)
    spin = (matrix_to_rotvec(wanted @ np.swapaxes(swing, -1, -2)) * along).sum(-1, keepdims=True)
    return rotvec_to_matrix(_SPIN_SHARE * spin * along) @ swing


def _unsure_lean(puppet: Puppet) -> float:
    """Radians that a trunk may seem to lean in its picture by error alone."""
    trunk = [k for k, name in enumerate(puppet.joint_names) if name in TRUNK]
    own = puppet.vertices[puppet.weights[:, trunk].sum(1) > 0.5]
    if "neck" not in puppet.joint_names or len(own) < 3:
        return float(_LEAN_IGNORED_RAD)
    along = (puppet.joints[puppet.joint_names.index("neck")] - puppet.joints[0])[:2].astype(np.float64)
    length = max(float(np.linalg.norm(along)), 1e-6)
    across = (own[:, :2] - puppet.joints[0, :2]) @ np.array([along[1], -along[0]]) / length
    width = float(np.ptp(np.percentile(across, (5, 95))))
    return max(float(_LEAN_IGNORED_RAD), float(np.arctan(_UNSURE_SHARE * width / length)))


def _upright(picture: dict[str, NDArray], rest_m: NDArray, ignored_rad: float) -> NDArray:
    """(3, 3): turn in the picture that sets a trunk upright which leans by more than `ignored_rad`; one that lies
    stays."""
    if "neck" not in picture:
        return np.eye(3)
    drawn = (picture["neck"] - picture["pelvis"]) * (1, 1, 0)
    wanted = (rest_m[_IDX["neck"]] - rest_m[_IDX["pelvis"]]) * (1, 1, 0)
    if np.linalg.norm(drawn) < 1e-6:
        return np.eye(3)
    turn = matrix_to_rotvec(rotation_between(drawn, wanted))
    angle = np.linalg.norm(turn)
    if angle > LYING_RAD:
        return np.eye(3)
    return rotvec_to_matrix(turn * (max(angle - ignored_rad, 0.0) / max(angle, 1e-9)))


def share_of(rotation: NDArray, share: float) -> NDArray:
    """A part of a rotation, about the same axis: (..., 3, 3)."""
    return rotvec_to_matrix(matrix_to_rotvec(rotation) * share)
