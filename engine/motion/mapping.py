"""Which joint of a foreign skeleton plays which joint of ours.

Rig makers disagree about names ("LeftShoulder" is a collar bone in Mixamo and an upper arm in CMU's files), but every
humanoid has a joint where two legs meet a trunk, and one where two arms meet a neck. The two longest bones in a row of
a limb are thigh and shin, or upper arm and forearm. Names decide what the tree cannot: left or right, fingers, and what
to leave out.
"""

import re
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.body.skeleton import Skeleton
from engine.errors import InputError
from engine.types import JOINTS

LEG_WORDS = {
    "leg",
    "thigh",
    "upleg",
    "upperleg",
    "lowerleg",
    "knee",
    "ankle",
    "foot",
    "toe",
    "toes",
    "calf",
    "shin",
    "hipjoint",
}
ARM_WORDS = {
    "arm", "upperarm", "lowerarm", "forearm", "shoulder", "collar", "clavicle", "elbow", "wrist", "hand", "scapula",
}  # fmt: skip
NECK_WORDS = {"neck", "head", "lowerneck", "upperneck"}
# Joints that only share a turn, hold a prop or steer a rig: no part of the chain.
EXTRA_WORDS = {
    "twist", "roll", "ik", "fk", "pole", "ctrl", "target", "helper", "weapon", "prop", "nub", "effector", "jaw",
    "eye", "tongue", "breast", "hair", "skirt", "tail", "cloth", "dummy", "camera",
}  # fmt: skip
FINGERS = {"thumb": "thumb", "index": "index", "middle": "middle", "ring": "ring", "pinky": "pinky", "little": "pinky"}
MAX_JOINTS = 1000
PREFIXES = re.compile(r"^(mixamorig\d*|bip\d+|character\d*|j_bip|def|bn|skeleton|armature)[ _:.\-|]*", re.IGNORECASE)


def words_of(name: str) -> tuple[str, ...]:
    """The words of a joint's name in lower case: "mixamorig:LeftForeArm_01" -> ("left", "fore", "arm", "forearm")."""
    name = PREFIXES.sub("", re.split(r"[:|]", name)[-1])
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    lower = [p.lower() for p in parts]
    pairs = [a + b for a, b in pairwise(lower)]
    return (*lower, *pairs)


def side_of(name: str) -> str | None:
    """ "left", "right" or None, from a joint's name."""
    bare = PREFIXES.sub("", re.split(r"[:|]", name)[-1])
    if re.search(r"left|lft", bare, re.IGNORECASE):
        return "left"
    if re.search(r"right|rgt", bare, re.IGNORECASE):
        return "right"
    found = re.search(r"(?:^|[ _.\-])([lrLR])(?=$|[ _.\-])", bare) or re.match(r"([LR])(?=[A-Z][a-z])", bare)
    if not found:
        known = (
            "hand|foot|arm|leg|thumb|fingers?|hip|knee|ankle|wrist|elbow|shoulder|collar|clavicle|toe|thigh|calf|shin"
        )
        found = re.match(rf"([lr])(?=(?:{known}))", bare, re.IGNORECASE)
    return None if not found else {"l": "left", "r": "right"}[found.group(1).lower()]


def find_mapping(skeleton: Skeleton, name: str = "the skeleton") -> dict[str, int]:
    """Match a foreign skeleton to ours.

    Args:
        skeleton: any skeleton.
        name: what to call it in the error.

    Returns:
        joint of `JOINTS` -> index of the source joint that turns that part. Always holds pelvis, hips, knees,
        ankles, shoulders, elbows and wrists; others where the source has them.

    Raises:
        InputError: it is no humanoid; names what is missing.
    """
    if len(skeleton.names) > MAX_JOINTS:
        raise InputError(
            f"{name} has {len(skeleton.names)} joints; a body with all its helpers has up to {MAX_JOINTS}.",
            "export only the skeleton that moves the body.",
        )
    tree = _Tree(skeleton)
    pelvis, legs = tree.find_legs()
    missing = [] if len(legs) == 2 else ["two legs with knee and ankle"]
    chest, arms, neck, trunk = tree.find_arms(pelvis, legs) if legs else tree.find_arms(0, [])
    if len(arms) != 2:
        missing.append("two arms with elbow and wrist")
    if missing:
        listed = ", ".join(skeleton.names[:8]) + (", ..." if len(skeleton.names) > 8 else "")
        raise InputError(
            f"{name} is no humanoid: no {' and no '.join(missing)} among its {len(skeleton.names)} joints ({listed}).",
            "map its joints by hand in a mapping file, or use another motion file.",
        )
    found = {"pelvis": pelvis}
    left = _left(skeleton, chest, legs)
    for chain, side in zip(legs, _sides(skeleton, legs, left), strict=True):
        hip, knee, ankle = _limb(tree, chain)
        found.update({f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle})
        toe = next((j for j in chain[chain.index(ankle) + 1 :] if tree.length[j] > 0), None)
        if toe is not None and "end" not in words_of(skeleton.names[toe]):
            found[f"{side}_foot"] = toe
    for chain, side in zip(arms, _sides(skeleton, arms, left), strict=True):
        shoulder, elbow, wrist = _limb(tree, chain)
        found.update({f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_wrist": wrist})
        before = chain[: chain.index(shoulder)]
        if before:
            found[f"{side}_collar"] = before[-1]
        found.update(_fingers(tree, side, wrist))
    found.update(_spine(trunk))
    found.update(_neck(tree, neck))
    return {joint: found[joint] for joint in JOINTS if joint in found}


class _Tree:
    """A skeleton without the joints that are no part of a body."""

    def __init__(self, skeleton: Skeleton) -> None:
        num = len(skeleton.names)
        self.skeleton = skeleton
        self.length = np.linalg.norm(skeleton.offsets, axis=1)
        self.words = [set(words_of(n)) for n in skeleton.names]
        self.extra = [bool(w & EXTRA_WORDS) for w in self.words]
        self.children: list[list[int]] = [[] for _ in range(num)]
        """Children of each joint; those of a left-out joint move up."""
        self.reach = [0.0] * num
        """Length of the longest way outwards, the joint's own bone included."""
        self.num_bones = [0] * num
        """Bones beyond the joint along that way."""
        self.spoken = [set(w) for w in self.words]
        """Words of the names of a joint and of all that hangs on it."""
        for joint in range(num - 1, -1, -1):  # parents come before their children
            for child in skeleton.children[joint]:
                self.children[joint] += self.children[child] if self.extra[child] else [child]
            self._measure(joint)

    def _measure(self, joint: int) -> None:
        end = self.skeleton.end_of(joint)
        tip = 0.0 if end is None else 0.01 * float(np.linalg.norm(end))
        self.reach[joint] = float(self.length[joint]) + max([tip, *(self.reach[c] for c in self.children[joint])])
        if self.children[joint]:
            far = self._farthest(joint)
            self.num_bones[joint] = self.num_bones[far] + int(self.length[far] > 0)
        for child in self.children[joint]:
            self.spoken[joint] |= self.spoken[child]

    def _farthest(self, joint: int) -> int:
        return max(self.children[joint], key=self.reach.__getitem__)

    def under(self, joint: int) -> list[int]:
        """A joint and everything that hangs on it, first branch first."""
        found, waiting = [], [joint]
        while waiting:
            found.append(waiting.pop())
            waiting += reversed(self.children[found[-1]])
        return found

    def chain(self, joint: int) -> list[int]:
        """From a joint outwards, always along the branch whose bones reach farthest."""
        found = [joint]
        while self.children[found[-1]]:
            found.append(self._farthest(found[-1]))
        return found

    def votes(self, joint: int) -> set[str]:
        """Which body parts the names under a joint speak of."""
        parts = {"leg": LEG_WORDS, "arm": ARM_WORDS, "neck": NECK_WORDS}
        return {part for part, known in parts.items() if self.spoken[joint] & known}

    def find_legs(self) -> tuple[int, list[list[int]]]:
        """The pelvis and two leg chains (empty when there are none)."""
        for joint in range(len(self.children)):
            if self.extra[joint]:
                continue
            limbs = [c for c in self.children[joint] if self._is_limb(c)]
            trunks = [c for c in self.children[joint] if c not in limbs and self._is_trunk(c)]
            named = [c for c in limbs if "leg" in self.votes(c) and "arm" not in self.votes(c)]
            pair = _pair(self, named if len(named) >= 2 else limbs)
            if trunks and pair:
                return self._pelvis(joint), [self.chain(c) for c in pair]
        return 0, []

    def _pelvis(self, joint: int) -> int:
        """The joint itself, or the named pelvis just above it that has no other branch (3ds Max's Biped)."""
        parent = self.skeleton.parents[joint]
        if parent >= 0 and len(self.children[parent]) == 1 and self.words[parent] & {"pelvis", "hips"}:
            return parent
        return joint

    def _is_limb(self, joint: int) -> bool:
        """Has two bones in a row, and no arms further out."""
        return self.num_bones[joint] >= 2 and not self._is_trunk(joint)

    def _is_trunk(self, joint: int) -> bool:
        """Somewhere out there two branches with two bones each part."""
        for j in self.under(joint):
            pair = _pair(self, [c for c in self.children[j] if self.num_bones[c] >= 2])
            # Fingers part too, but a hand's branches are short against the way to them.
            if pair and min(self.reach[c] for c in pair) > 0.6 * sum(self.length[k] for k in self._way(joint, j)):
                return True
        return False

    def _way(self, start: int, end: int) -> list[int]:
        way = []
        while end != start:
            way.append(end)
            end = self.skeleton.parents[end]
        return way

    def find_arms(self, pelvis: int, legs: list[list[int]]) -> tuple[int, list[list[int]], list[int], list[int]]:
        """The chest, two arm chains, the neck's chain (may be empty), and the trunk between pelvis and chest."""
        used = {chain[0] for chain in legs}
        start = pelvis
        if legs and self.skeleton.parents[legs[0][0]] != pelvis and not self.extra[self.skeleton.parents[legs[0][0]]]:
            start = self.skeleton.parents[legs[0][0]]
        for joint in self.under(start):
            branches = [c for c in self.children[joint] if c not in used and not self._in_legs(c, legs)]
            limbs = [c for c in branches if self._is_limb(c)]
            named = [c for c in limbs if "arm" in self.votes(c)]
            pair = _pair(self, named if len(named) >= 2 else limbs)
            if not pair:
                continue
            others = [c for c in branches if c not in pair]
            necks = [c for c in others if "neck" in self.votes(c)] or sorted(others, key=self.reach.__getitem__)[-1:]
            neck = self.chain(necks[0]) if necks else []
            trunk = self._way(pelvis, joint)[::-1]
            return joint, [self.chain(c) for c in pair], neck, [j for j in trunk if not self.extra[j]]
        return 0, [], [], []

    def _in_legs(self, joint: int, legs: list[list[int]]) -> bool:
        return any(joint in self.under(chain[0]) for chain in legs)


def _pair(tree: _Tree, branches: list[int]) -> list[int]:
    """The two branches that are most alike in length, if they are alike within a quarter."""
    best: tuple[float, list[int]] = (0.25, [])
    for k, a in enumerate(branches):
        for b in branches[k + 1 :]:
            one, other = tree.reach[a], tree.reach[b]
            sides = {side_of(tree.skeleton.names[a]), side_of(tree.skeleton.names[b])}
            unlike = abs(one - other) / max(one, other, 1e-9) - (0.1 if sides == {"left", "right"} else 0.0)
            if unlike < best[0]:
                best = (unlike, [a, b])
    return best[1]


def _limb(tree: _Tree, chain: list[int]) -> tuple[int, int, int]:
    """Root, middle and end of a limb: up to the named wrist or ankle, else around the two longest bones in a row."""
    solid = [chain[0], *(j for j in chain[1:] if tree.length[j] > 0)]
    for k, joint in enumerate(solid):
        if k >= 2 and tree.words[joint] & {"wrist", "ankle", "hand", "foot"}:
            return solid[k - 2], solid[k - 1], joint
    bones = [tree.length[j] for j in solid[1:]]
    best = max(range(len(bones) - 1), key=lambda k: min(bones[k], bones[k + 1]))
    return solid[best], solid[best + 1], solid[best + 2]


def _sides(skeleton: Skeleton, chains: list[list[int]], left: NDArray | None) -> list[str]:
    """ "left" or "right" for each of two chains, by name, else by where they are in the rest pose."""
    for k in range(min(len(c) for c in chains)):
        named = [side_of(skeleton.names[c[k]]) for c in chains]
        if set(named) == {"left", "right"}:
            return [n for n in named if n]
    if left is None:
        return ["left", "right"]
    rest = skeleton.rest
    across = rest[chains[0][-1]] - rest[chains[1][-1]]
    return ["left", "right"] if across @ left > 0 else ["right", "left"]


def _left(skeleton: Skeleton, chest: int, legs: list[list[int]]) -> NDArray | None:
    """The direction of the body's left in the rest pose: up crossed with where the toes point."""
    rest = skeleton.rest
    up = rest[chest] - rest[legs[0][-1]]
    toes = np.zeros(3)
    for chain in legs:
        end = skeleton.end_of(chain[-1])
        toes += rest[chain[-1]] - rest[chain[-2]] + (0 if end is None else end)
    left = np.cross(up, toes)
    return left if np.linalg.norm(left) > 1e-6 else None


def _spine(trunk: list[int]) -> dict[str, int]:
    """Spread what the source has between pelvis and chest over our three."""
    if len(trunk) >= 3:
        return {"spine1": trunk[0], "spine2": trunk[round((len(trunk) - 1) / 2)], "spine3": trunk[-1]}
    return dict(zip(("spine1", "spine3"), trunk, strict=False))


def _neck(tree: _Tree, chain: list[int]) -> dict[str, int]:
    if len(chain) > 2 and tree.length[chain[0]] == 0:
        chain = chain[1:]  # CMU's "lowerneck" sits in the chest
    if not chain:
        return {}
    if len(chain) == 1:
        return {"head": chain[0]}
    named = [j for j in chain if "head" in tree.words[j] and not {"end", "top", "site"} & tree.words[j]]
    head = named[0] if named else chain[1]
    return {"head": head} if head == chain[0] else {"neck": chain[0], "head": head}


def _fingers(tree: _Tree, side: str, wrist: int) -> dict[str, int]:
    """Finger joints by name: the last three of each finger that carry a bone."""
    chains: dict[str, list[int]] = {}
    for joint in tree.under(wrist)[1:]:
        finger = next((FINGERS[w] for w in FINGERS if w in tree.words[joint]), None)
        if finger and tree.length[joint] > 0:
            chains.setdefault(finger, []).append(joint)
    found = {}
    for finger, joints in chains.items():
        # The joints of one finger hang on each other; a metacarpal in the palm is the first of four.
        solid = [j for j in joints if not tree.words[j] & {"end", "4"}]
        if len(solid) == 4:
            solid = solid[1:]
        for k, joint in enumerate(solid[:3], start=1):
            found[f"{side}_{finger}{k}"] = joint
    return found
