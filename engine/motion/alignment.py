"""How a foreign skeleton's frames stand against ours.

With A the turn from our rest pose's axes to a source joint's own, R(t) the source's world rotation and C its world
turned to ours, our world rotation is G(t) = C R(t) A. Any constant A keeps the movement; the right one makes G the
identity when the source stands in SMPL's T-pose.

Where the source's rest pose is a standing body (T, A, arms down), A comes from it: limbs are turned from our bone's
direction to the source's, trunk and feet are taken as standing. Some rigs (Bandai, Rokoko) have all bones along one
axis at rest; there A is found from the movement: elbows bend forwards, knees backwards, planted soles are flat, and
the rest follows its parent on average.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from engine.body.bvh import axis_rotation
from engine.body.model import load_body
from engine.body.skeleton import Animation
from engine.geometry import rotation_between
from engine.types import JOINT_PARENTS, JOINTS

# The next joint along each bone whose direction is the same in all skeletons.
BONES = {
    f"{side}_{start}": f"{side}_{end}"
    for side in ("left", "right")
    for start, end in (
        ("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "middle1"),
        *((f"{name}{k}", f"{name}{k + 1}") for name in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2)),
    )
}  # fmt: skip
MAX_FRAMES = 400
"""Frames that averages are taken over (every n-th of a longer clip)."""
AXES = "xyz"


@dataclass
class Alignment:
    """What was found out about a source skeleton."""

    rest_pose: str
    """"T-pose", "A-pose", "arms down" or "found from the movement"."""
    rest_axes: NDArray | None
    """(3, 3): rows are left, up and forward of the source's rest pose; None where it is no standing body."""
    world_up: str
    """Up in the source's world: "x", "-x", "y" ..."""
    to_world: NDArray
    """(3, 3): C, turns the source's world to y up."""
    turns: dict[str, NDArray] = field(default_factory=dict)
    """Joint of ours -> (3, 3) A."""


class Source:
    """A foreign animation seen through its mapping: joints by our names, thinned for averages."""

    def __init__(self, animation: Animation, mapping: dict[str, int]) -> None:
        step = max(1, len(animation.time_s) // MAX_FRAMES)
        thinned = animation.part(0, len(animation.time_s), step)
        self.animation, self.mapping = animation, mapping
        self.places, self.rotations = thinned.world
        self.time_s = thinned.time_s

    def place(self, joint: str) -> NDArray:
        """(T, 3) in the source's world."""
        return self.places[:, self.mapping[joint]]

    def rotation(self, joint: str) -> NDArray:
        """(T, 3, 3) in the source's world."""
        return self.rotations[:, self.mapping[joint]]

    def rest(self, joint: str) -> NDArray:
        """(3,) in the source's rest pose."""
        return self.animation.skeleton.rest[self.mapping[joint]]

    def local(self, joint: str, other: str) -> NDArray:
        """Mean of where another joint is in a joint's frame, (3,): the bone between them, constant in most rigs."""
        return self._mean_local(joint, self.place(other))

    def tip(self, joint: str) -> NDArray | None:
        """Where the last thing that hangs on a joint is in its frame: toes' or fingers' end, (3,), or None."""
        skeleton, at = self.animation.skeleton, self.mapping[joint]
        while skeleton.children[at]:
            at = max(skeleton.children[at], key=lambda c: float(np.linalg.norm(skeleton.offsets[c])))
        end = skeleton.end_of(at)
        place = self.places[:, at] + (0 if end is None else (self.rotations[:, at] @ end))
        local = self._mean_local(joint, place)
        return local if np.linalg.norm(local) > 1e-6 else None

    def _mean_local(self, joint: str, place: NDArray) -> NDArray:
        step = np.swapaxes(self.rotation(joint), 1, 2) @ (place - self.place(joint))[..., None]
        return step[..., 0].mean(0)

    def middle(self, *joints: str) -> NDArray:
        """(T, 3): mean of joints."""
        return np.mean([self.place(j) for j in joints], axis=0)


def align(source: Source, *, rest_up: str | None = None, world_up: str | None = None) -> Alignment:
    """Find out how a source skeleton stands.

    Args:
        source: the animation and its mapping.
        rest_up, world_up: up axis of the rest pose and of the moving world ("y", "-z" ...), None to find them.

    Returns:
        The alignment with a turn for every mapped joint.
    """
    axes = _rest_axes(source, rest_up)
    up = world_up or _world_up(source, None if axes is None else axes[1])
    found = Alignment(
        rest_pose="found from the movement" if axes is None else _arms(source, axes),
        rest_axes=axes,
        world_up=up,
        to_world=to_y_up(up),
    )
    for joint in JOINTS:
        if joint in source.mapping:
            turn = _turn_at_rest if axes is not None else _turn_from_movement
            found.turns[joint] = turn(source, found, joint)
    return found


def axis_vector(axis: str) -> NDArray:
    """ "-z" -> (0, 0, -1)."""
    vector = np.zeros(3)
    vector[AXES.index(axis[-1])] = -1.0 if axis.startswith("-") else 1.0
    return vector


def axis_name(vector: NDArray) -> str:
    """The nearest signed axis of a direction."""
    k = int(np.argmax(np.abs(vector)))
    return ("-" if vector[k] < 0 else "") + AXES[k]


def _unit(v: NDArray) -> NDArray:
    return v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)


def _ours(joint: str) -> NDArray:
    return load_body().joints[JOINTS.index(joint)].astype(np.float64)


def _rest_axes(source: Source, rest_up: str | None) -> NDArray | None:
    """Left, up, forward of the rest pose as rows, or None where it is no standing body."""
    hips = (source.rest("left_hip") + source.rest("right_hip")) / 2
    shoulders = (source.rest("left_shoulder") + source.rest("right_shoulder")) / 2
    ankles = (source.rest("left_ankle") + source.rest("right_ankle")) / 2
    across = [source.rest(f"left_{j}") - source.rest(f"right_{j}") for j in ("hip", "shoulder", "knee", "ankle")]
    trunk, legs = _unit(shoulders - hips), _unit(ankles - hips)
    left = _unit(across[0] + across[1])
    straight = trunk @ legs < -0.85 and abs(left @ trunk) < 0.4 and all(_unit(a) @ left > 0.8 for a in across)
    limbs = [source.rest(f"{s}_knee") - source.rest(f"{s}_hip") for s in ("left", "right")]
    if not straight or any(_unit(limb) @ trunk > -0.75 for limb in limbs):
        return None
    up = axis_vector(rest_up) if rest_up else _snapped(trunk - legs)
    left = _snapped(left - (left @ up) * up)
    left = _unit(left - (left @ up) * up)
    return np.stack([left, up, np.cross(left, up)])


def _snapped(direction: NDArray) -> NDArray:
    """The nearest coordinate axis if it is within 20 degrees, else the direction itself, as a unit vector."""
    direction = _unit(direction)
    axis = axis_vector(axis_name(direction))
    return axis if axis @ direction > np.cos(np.radians(20)) else direction


def _arms(source: Source, axes: NDArray) -> str:
    """Name of a standing rest pose, from how far its arms hang."""
    drops = []
    for side in ("left", "right"):
        arm = axes @ _unit(source.rest(f"{side}_wrist") - source.rest(f"{side}_shoulder"))
        drops.append(np.degrees(np.arcsin(np.clip(-arm[1], -1, 1))))
    drop = float(np.mean(drops))
    return "T-pose" if abs(drop) < 20 else "A-pose" if 0 < drop < 65 else "arms down" if drop > 0 else "arms up"


def _world_up(source: Source, rest_up: NDArray | None) -> str:
    """Up in the moving world: where shoulders are above ankles most of the time; the rest pose's up when in doubt."""
    body = source.middle("left_shoulder", "right_shoulder") - source.middle("left_ankle", "right_ankle")
    mean = _unit(body).mean(0)
    if rest_up is not None and (mean @ rest_up > 0.5 or np.abs(mean).max() < 0.3):
        return axis_name(rest_up)
    return axis_name(mean)


def to_y_up(up: str) -> NDArray:
    """The turn (3, 3) of a world with another up axis to y up; z up as Blender does it: (x, y, z) -> (x, z, -y)."""
    if up == "y":
        return np.eye(3)
    if up == "z":
        return np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    if up == "-z":
        return np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    if up == "-y":
        return np.diag([1.0, -1, -1])
    return rotation_between(axis_vector(up), np.array([0.0, 1.0, 0.0]))


def _bone(source: Source, joint: str) -> tuple[NDArray, NDArray] | None:
    """A limb bone's direction in our rest pose and in the source joint's frame; None where they are no match."""
    follower = BONES.get(joint)
    if follower in source.mapping:
        local = source.local(joint, follower)
    elif joint[-1] == "3" and "spine" not in joint:
        follower, local = joint[:-1] + "2", source.tip(joint)
        if local is None:
            return None
        return _ours(joint) - _ours(follower), local
    elif follower and follower.endswith("middle1"):
        tip = source.tip(joint)
        local = np.zeros(3) if tip is None else tip
    else:
        return None
    if np.linalg.norm(local) < 1e-6:
        return None
    return _ours(follower) - _ours(joint), local


def _turn_at_rest(source: Source, found: Alignment, joint: str) -> NDArray:
    """A from a standing rest pose."""
    assert found.rest_axes is not None
    standing = found.rest_axes.T
    if joint.endswith(("ankle", "foot")):
        return _foot_at_rest(source, found, joint.partition("_")[0])
    if joint.startswith(("left_", "right_")) and not joint.endswith(("collar", "shoulder", "hip")):
        standing = found.turns[
            _mapped_parent(found, joint)
        ]  # along a limb each bone starts from where the last one leads
    bone = _bone(source, joint)
    if bone is None:
        return standing
    ours, theirs = bone
    return rotation_between(standing @ ours, theirs) @ standing


def _foot_at_rest(source: Source, found: Alignment, side: str) -> NDArray:
    """A of ankle and toes: soles flat, or at right angles to the shin, whichever makes planted soles flatter."""
    assert found.rest_axes is not None
    standing = found.rest_axes.T
    knee = found.turns[f"{side}_knee"]
    level = np.array([1.0, 0.0, 1.0])
    ours = (_ours(f"{side}_foot") - _ours(f"{side}_ankle")) * level
    tips = [source.local(f"{side}_ankle", f"{side}_foot")] if f"{side}_foot" in source.mapping else []
    tip = source.tip(f"{side}_ankle")
    if tip is not None:
        tips.append(tip)
    candidates = []
    for stance in (standing, knee):
        headings = [(stance.T @ tip) * level for tip in tips]
        # Some rigs have the toes' joint straight below the ankle: then their end says where the foot points.
        clear = [h for h, tip in zip(headings, tips, strict=True) if np.linalg.norm(h) > 0.4 * np.linalg.norm(tip)]
        candidates.append(stance @ rotation_between(ours, clear[0]) if clear else stance)
    planted = _planted(source, found, side)
    up = np.array([0.0, 1.0, 0.0])
    tilt = []
    for turn in candidates:
        world = found.to_world @ source.rotation(f"{side}_ankle")[planted] @ turn
        tilt.append(np.arccos(np.clip(world[:, 1] @ up, -1, 1)).mean() if len(planted) else 0.0)
    return candidates[0] if tilt[0] <= tilt[1] + np.radians(3) else candidates[1]


def _planted(source: Source, found: Alignment, side: str) -> NDArray:
    """Frames in which an ankle is low and slow, indices."""
    ankle = source.place(f"{side}_ankle") @ found.to_world.T
    leg = np.linalg.norm(source.local(f"{side}_knee", f"{side}_ankle"))
    if len(ankle) < 3:
        return np.arange(0)
    speed = np.linalg.norm(np.gradient(ankle, source.time_s, axis=0), axis=1)
    half = max(
        1, round(1.0 / float(np.median(np.diff(source.time_s))))
    )  # the floor of suits drifts: low within two seconds
    around = np.lib.stride_tricks.sliding_window_view(np.pad(ankle[:, 1], half, mode="edge"), 2 * half + 1)
    return np.flatnonzero((ankle[:, 1] < around.min(1) + 0.08 * leg) & (speed < 0.5 * leg))


def _turn_from_movement(source: Source, found: Alignment, joint: str) -> NDArray:
    """A where the rest pose says nothing."""
    side, _, part = joint.partition("_")
    if joint == "pelvis":
        return _pelvis_turn(source)
    follow = _following(source, found, joint)
    if part in {"shoulder", "elbow", "hip", "knee"}:
        return _hinge_turn(source, joint, side, part, follow)
    if part == "wrist" and f"{side}_index1" in source.mapping and f"{side}_pinky1" in source.mapping:
        return _palm_turn(source, side)
    if part == "ankle":
        return _foot_turn(source, found, side, follow)
    if part == "foot":
        return follow
    turn = _axis_aligned(follow, 35.0)
    bone = _bone(source, joint) if part != "wrist" else None
    return turn if bone is None else rotation_between(turn @ bone[0], bone[1]) @ turn


def _pelvis_turn(source: Source) -> NDArray:
    left = source.local("pelvis", "left_hip") - source.local("pelvis", "right_hip")
    spine = next(j for j in ("spine1", "spine2", "spine3", "neck", "head", "left_shoulder") if j in source.mapping)
    hips = (source.local("pelvis", "left_hip") + source.local("pelvis", "right_hip")) / 2
    left = _unit(left)
    up = source.local("pelvis", spine) - hips
    up = _unit(up - (up @ left) * left)
    return _axis_aligned(np.stack([left, up, np.cross(left, up)], axis=1), 20.0)


def _following(source: Source, found: Alignment, joint: str) -> NDArray:
    """The turn with which a joint goes along with its parent on average."""
    parent = _mapped_parent(found, joint)
    above = source.rotation(parent) @ found.turns[parent]
    return _mean_rotation(np.swapaxes(source.rotation(joint), 1, 2) @ above)


def _mapped_parent(found: Alignment, joint: str) -> str:
    parent = JOINT_PARENTS[JOINTS.index(joint)]
    while JOINTS[parent] not in found.turns:
        parent = JOINT_PARENTS[parent]
    return JOINTS[parent]


def _mean_rotation(matrices: NDArray) -> NDArray:
    u, _, vt = np.linalg.svd(matrices.mean(0))
    return u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt


def _axis_aligned(turn: NDArray, within_deg: float) -> NDArray:
    """The nearest turn that maps axes to axes, if it is that near: such rigs lay their frames along the bones."""
    traces = np.einsum("kab,ab->k", _axis_turns(), turn)
    best = int(np.argmax(traces))
    return _axis_turns()[best] if traces[best] > 1 + 2 * np.cos(np.radians(within_deg)) else turn


@lru_cache(maxsize=1)
def _axis_turns() -> NDArray:
    """The 24 rotations that map coordinate axes to coordinate axes, (24, 3, 3)."""
    axes = [sign * v for v in np.eye(3) for sign in (1, -1)]
    pairs = [(a, b) for a in axes for b in axes if a @ b == 0]
    return np.array([np.stack([a, b, np.cross(a, b)], axis=1) for a, b in pairs])


def _hinge_turn(source: Source, joint: str, side: str, part: str, follow: NDArray) -> NDArray:
    """A limb's turn from which way its hinge bends: elbows forwards, knees backwards in our rest pose."""
    upper = part in {"shoulder", "hip"}
    arm = part in {"shoulder", "elbow"}
    start, middle, end = (f"{side}_{p}" for p in (("shoulder", "elbow", "wrist") if arm else ("hip", "knee", "ankle")))
    own = source.local(joint, middle if upper else end)
    other = source.place(end) - source.place(middle) if upper else source.place(middle) - source.place(start)
    other = (np.swapaxes(source.rotation(joint), 1, 2) @ _unit(other)[..., None])[..., 0]
    axis = _unit(own)
    across = (other - (other @ axis)[:, None] * axis).mean(0)
    ours = _ours(middle if upper else end) - _ours(start if upper else middle)
    if np.linalg.norm(across) < 0.05:  # never bends: three degrees on average
        return rotation_between(follow @ ours, own) @ follow
    # Seen from the inner bone the outer one bends towards `across`; seen from the outer one the inner lies on the
    # other side.
    bends = np.array([0.0, 0.0, 1.0 if arm else -1.0]) * (1 if upper else -1)
    turn = _frame(own, across) @ _frame(ours, bends).T
    near = _axis_aligned(turn, 25.0)
    return rotation_between(near @ ours, own) @ near


def _frame(first: NDArray, second: NDArray) -> NDArray:
    x = _unit(first)
    y = _unit(second - (second @ x) * x)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _palm_turn(source: Source, side: str) -> NDArray:
    """The wrist's turn from its knuckles: the palm of our rest pose looks down."""
    wrist, index, pinky = f"{side}_wrist", f"{side}_index1", f"{side}_pinky1"
    middle = f"{side}_middle1" if f"{side}_middle1" in source.mapping else index
    theirs = _frame(source.local(wrist, middle), source.local(wrist, index) - source.local(wrist, pinky))
    return theirs @ _frame(_ours(middle) - _ours(wrist), _ours(index) - _ours(pinky)).T


def _foot_turn(source: Source, found: Alignment, side: str, follow: NDArray) -> NDArray:
    """The ankle's turn from frames in which a foot is planted: flat where heels are down, heading where toes are."""
    frames = {s: _planted(source, found, s) for s in ("left", "right")}
    tips = {s: source.tip(f"{s}_ankle") for s in ("left", "right")}
    pitches = {}
    for s, tip in tips.items():
        if tip is not None and len(frames[s]):
            world = _unit(found.to_world @ source.rotation(f"{s}_ankle")[frames[s]] @ tip)
            pitches[s] = (np.arcsin(np.clip(-world[:, 1], -1, 1)), np.arctan2(world[:, 0], world[:, 2]))
    if side not in pitches or len(frames[side]) < 3:
        return follow
    # Dancers stand on their toes: the flat foot is the one whose toes point down least, apart from a few heel strikes.
    flat = np.percentile(np.concatenate([p for p, _ in pitches.values()]), 20)
    pitch, heading = pitches[side]
    ours = _ours(f"{side}_foot") - _ours(f"{side}_ankle")
    turns = axis_rotation(1, heading) @ axis_rotation(0, pitch - flat)
    turns = turns @ axis_rotation(1, np.array(-np.arctan2(ours[0], ours[2])))
    rotations = found.to_world @ source.rotation(f"{side}_ankle")[frames[side]]
    return _mean_rotation(np.swapaxes(rotations, 1, 2) @ turns)
