"""SMPL, SMPL-H and SMPL-X bodies from the user's own files, behind the interface of the embedded body.

Shapes: B frames, V vertices, K joints of the file (24, 52 or 55), S shape components, J = 52 joints of ours.

Source: Loper et al. 2015 (SMPL), Romero et al. 2017 (SMPL-H), Pavlakos et al. 2019 (SMPL-X). The files are licensed by
their authors and never part of mimo.
"""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from engine.body.model import forward_kinematics_torch, load_body, rotvec_to_matrix_torch
from engine.body.pickles import read_npz, read_pickle
from engine.errors import InputError
from engine.types import BODY_JOINTS, HAND_JOINTS, JOINT_PARENTS, JOINTS

if TYPE_CHECKING:
    from torch import Tensor

KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
_SMPL_JOINTS = (*BODY_JOINTS, "left_hand", "right_hand")
_SMPLX_JOINTS = (*BODY_JOINTS, "jaw", "left_eye", "right_eye", *HAND_JOINTS)
LAYOUTS = {"SMPL": _SMPL_JOINTS, "SMPL-H": JOINTS, "SMPL-X": _SMPLX_JOINTS}
"""Joints of each model, in the order of its files."""
_PARENTS = {"left_hand": "left_wrist", "right_hand": "right_wrist"} | dict.fromkeys(
    ("jaw", "left_eye", "right_eye"), "head"
)
_MAX_VERTICES = 200_000


@dataclass(frozen=True, kw_only=True)
class SmplBody:
    """A body of the SMPL family. Tables are in the file's own frame: y up, facing +z, the origin near the breast."""

    kind: str
    """A key of `LAYOUTS`."""
    template: NDArray
    """(V, 3) float32, metres: the mean person."""
    faces: NDArray
    """(F, 3) int32, counter-clockwise seen from outside."""
    shape_dirs: NDArray
    """(S, V, 3) float32: what one unit of each shape component adds."""
    pose_dirs: NDArray
    """(9 * (K - 1), V * 3) float32: what the elements of every joint's rotation, less the identity, add; (0, V * 3)
    where the file has none."""
    regressor: NDArray
    """(K, V) float32: joints from the vertices of the T-pose."""
    skin: NDArray
    """(V, K) float32 >= 0, rows sum to 1."""
    parents: tuple[int, ...]
    """Index of each joint's parent, -1 for the pelvis."""
    _tables: dict = field(default_factory=dict, repr=False, compare=False)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The K joints in the file's order; those we share have our names."""
        return LAYOUTS[self.kind]

    @property
    def num_shapes(self) -> int:
        """S."""
        return len(self.shape_dirs)

    @property
    def vertices(self) -> NDArray:
        """(V, 3) float32: the mean person, soles on y = 0, pelvis at x = z = 0."""
        return self._mean[0]

    @property
    def joints(self) -> NDArray:
        """(J, 3) float32: joints of the mean person in the order of `JOINTS`, placed likewise."""
        return self._mean[1]

    @cached_property
    def _mean(self) -> tuple[NDArray, NDArray]:
        return self.rest()

    @cached_property
    def own_from_ours(self) -> NDArray:
        """(K,) int64: the index in `JOINTS` of each joint of the file, -1 where we have none (it stays unturned)."""
        return np.array([JOINTS.index(n) if n in JOINTS else -1 for n in self.joint_names])

    def shaped(self, shape: NDArray | None = None) -> tuple[NDArray, NDArray]:
        """The T-pose in the file's own frame.

        Args:
            shape: up to S betas; None is the mean person.

        Returns:
            (V, 3) vertices and (K, 3) joints of the file, float32, metres. A published translation `transl` puts the
            pelvis at `joints[0] + transl`.
        """
        vertices = self.template
        if shape is not None and np.any(shape):
            shape = np.asarray(shape, np.float32)
            assert len(shape) <= self.num_shapes, f"{len(shape)} betas; the file has {self.num_shapes}"
            vertices = vertices + np.tensordot(shape, self.shape_dirs[: len(shape)], 1)
        return vertices, self.regressor @ vertices

    def rest(self, shape: NDArray | None = None) -> tuple[NDArray, NDArray]:
        """The T-pose as ours: (V, 3) float32 vertices and (J, 3) float32 joints, soles on y = 0, pelvis at x = z = 0.

        Args:
            shape: up to S betas; None is the mean person.

        Returns:
            Both, metres. Fingers of SMPL, which has none, are the embedded body's in the size of this hand.
        """
        vertices, own = self.shaped(shape)
        origin = np.array([own[0, 0], vertices[:, 1].min(), own[0, 2]], np.float32)
        ours = np.zeros((len(JOINTS), 3), np.float32)
        has = self.own_from_ours >= 0
        ours[self.own_from_ours[has]] = own[has]
        if self.kind == "SMPL":
            spare = load_body().joints
            for j in range(len(BODY_JOINTS), len(JOINTS)):
                wrist = 20 if JOINTS[j].startswith("left") else 21
                size = np.linalg.norm(own[wrist] - own[wrist - 2]) / np.linalg.norm(spare[wrist] - spare[wrist - 2])
                ours[j] = ours[wrist] + size * (spare[j] - spare[wrist])
        return vertices - origin, ours - origin

    def betas_for(self, rest_m: NDArray, num: int = 10) -> NDArray:
        """The betas whose bones are nearest in length to a person's, the most ordinary ones where bones say nothing.

        Args:
            rest_m: (J, 3), metres: the joints of a T-pose in our order.
            num: how many betas to use.

        Returns:
            (min(num, S),) float64.

        Source: Gauss-Newton on the lengths of the 21 body bones, with a weak prior: one unit of a beta weighs as 2 mm.
        """
        num, count = min(num, self.num_shapes), len(BODY_JOINTS)
        above = list(JOINT_PARENTS[1:count])
        rows = np.asarray(rest_m, np.float64)[:count]
        wanted = np.linalg.norm(rows[1:] - rows[above], axis=1)
        mean = (self.regressor @ self.template)[:count].astype(np.float64)
        ways = np.einsum("kv,svc->skc", self.regressor[:count], self.shape_dirs[:num]).astype(np.float64)
        betas = np.zeros(num)
        for _ in range(20):
            joints = mean + np.tensordot(betas, ways, 1)
            bones, steps = joints[1:] - joints[above], ways[:, 1:] - ways[:, above]
            lengths = np.linalg.norm(bones, axis=1)
            slopes = (steps * (bones / np.maximum(lengths, 1e-9)[:, None])).sum(-1).T
            normal = slopes.T @ slopes + 0.002**2 * np.eye(num)
            betas = betas + np.linalg.solve(normal, slopes.T @ (wanted - lengths) - 0.002**2 * betas)
        return betas

    def pose(self, rotvec: Any, root_m: Any, shape: Any = None) -> Any:
        """Pose the body: shape, pose correctives, linear blend skinning.

        Args:
            rotvec: (B, J, 3) as in `Motion`, or (B, K, 3) for the file's own joints; B may be any leading axes or none;
                radians; numpy, or a torch tensor on any device.
            root_m: (B, 3), where the pelvis joint is, metres; same kind.
            shape: (S,) or (B, S) betas, or fewer than S; same kind or None.

        Returns:
            (B, V, 3) float32 vertices in the world, metres; numpy for numpy, else a tensor, differentiable in all three
            arguments.
        """
        import torch

        if isinstance(rotvec, torch.Tensor):
            return self._pose(rotvec, root_m, shape)
        with torch.no_grad():
            given = [torch.as_tensor(np.asarray(a, np.float32)) for a in (rotvec, root_m)]
            shape = None if shape is None else torch.as_tensor(np.asarray(shape, np.float32))
            return self._pose(given[0], given[1], shape).numpy()

    def _pose(self, rotvec: "Tensor", root_m: "Tensor", shape: "Tensor | None") -> "Tensor":
        import torch

        template, shape_dirs, pose_dirs, regressor, skin = self._on(rotvec.device)
        own = self._own(rotvec.float())
        rest = template
        if shape is not None:
            rest = rest + torch.tensordot(shape.float(), shape_dirs[: shape.shape[-1]], 1)
        joints = regressor @ rest
        vertices = rest
        if len(pose_dirs):
            turned = rotvec_to_matrix_torch(own[..., 1:, :]) - torch.eye(3, device=own.device)
            vertices = rest + (turned.flatten(-3) @ pose_dirs).unflatten(-1, (-1, 3))
        posed, rotations = forward_kinematics_torch(own, root_m.float(), joints, self.parents)
        offsets = posed - (rotations @ joints.expand(posed.shape).unsqueeze(-1)).squeeze(-1)
        moves = torch.cat([rotations, offsets.unsqueeze(-1)], -1)
        blended = torch.einsum("vk,...kn->...vn", skin, moves.flatten(-2)).unflatten(-1, (3, 4))
        return (blended[..., :3] @ vertices.unsqueeze(-1)).squeeze(-1) + blended[..., 3]

    def _own(self, rotvec: "Tensor") -> "Tensor":
        """(..., K, 3) from our joints or the file's own."""
        import torch

        num_own = len(self.joint_names)
        if rotvec.shape[-2] == num_own:
            return rotvec
        assert rotvec.shape[-2] == len(JOINTS), f"{rotvec.shape[-2]} joints; {len(JOINTS)} or {num_own} are wanted"
        still = torch.zeros_like(rotvec[..., :1, :])
        rows = torch.as_tensor(np.where(self.own_from_ours < 0, len(JOINTS), self.own_from_ours), device=rotvec.device)
        return torch.cat([rotvec, still], -2).index_select(-2, rows)

    def _on(self, device: Any) -> tuple:
        """The tables as tensors, moved to a device once."""
        import torch

        if str(device) not in self._tables:
            tables = (self.template, self.shape_dirs, self.pose_dirs, self.regressor, self.skin)
            self._tables[str(device)] = tuple(torch.as_tensor(a, device=device) for a in tables)
        return self._tables[str(device)]


def load_smpl(path: str | os.PathLike) -> SmplBody:
    """Read an SMPL, SMPL-H or SMPL-X model file.

    Args:
        path: .npz, or .pkl as first published (chumpy's arrays included); a pickle is read without executing anything.

    Returns:
        The body. Of SMPL-X's components the expressions are left out.

    Raises:
        InputError: the file is missing, damaged, or no body of the family; says which table is wrong.
    """
    path = Path(path)
    data = read_npz(path, KEYS) if path.suffix.lower() == ".npz" else read_pickle(path)
    if not isinstance(data, dict) or "v_template" not in data:
        raise _wrong(path, "it holds no body (no v_template)")
    missing = [key for key in KEYS if key not in data and key != "posedirs"]
    if missing:
        raise _wrong(path, f"it has no {', '.join(missing)}")
    parents = _parents(path, _numbers(path, data, "kintree_table", "iu"))
    kind = _kind(path, parents)
    num = len(parents)
    template = _numbers(path, data, "v_template").reshape(-1, 3)
    size = len(template)
    if not 0 < size <= _MAX_VERTICES:
        raise _wrong(path, f"v_template has {size} vertices")
    shapes = _shaped(path, data, "shapedirs", (size, 3, None))
    if kind == "SMPL-X" and shapes.shape[2] in (20, 400):
        shapes = shapes[..., : {20: 10, 400: 300}[shapes.shape[2]]]  # the rest are expressions of the face
    poses = _shaped(path, data, "posedirs", (size, 3, 9 * (num - 1))) if "posedirs" in data else np.zeros((size, 3, 0))
    faces = _numbers(path, data, "f", "iu")
    if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces) or faces.min() < 0 or faces.max() >= size:
        raise _wrong(path, f"f is {faces.shape} and reaches to {faces.max() if faces.size else 0} of {size} vertices")
    skin = _shaped(path, data, "weights", (size, num))
    if skin.min() < -1e-6 or np.abs(skin.sum(1) - 1).max() > 1e-2:
        raise _wrong(path, "the rows of weights do not sum to 1")
    return SmplBody(
        kind=kind,
        template=template.astype(np.float32),
        faces=faces.astype(np.int32),
        shape_dirs=np.ascontiguousarray(shapes.transpose(2, 0, 1), np.float32),
        pose_dirs=np.ascontiguousarray(poses.reshape(3 * size, -1).T, np.float32),
        regressor=_shaped(path, data, "J_regressor", (num, size)).astype(np.float32),
        skin=skin.astype(np.float32),
        parents=parents,
    )


def _numbers(path: Path, data: dict, key: str, kinds: str = "iuf") -> NDArray:
    value = np.asarray(data[key])
    if value.dtype.kind not in kinds or (value.dtype.kind == "f" and not np.isfinite(value).all()):
        raise _wrong(path, f"{key} ({value.dtype} {value.shape}) holds something else than numbers")
    return value


def _shaped(path: Path, data: dict, key: str, shape: tuple[int | None, ...]) -> NDArray:
    value = _numbers(path, data, key)
    if value.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, value.shape)):
        raise _wrong(path, f"{key} is {value.shape}, not {tuple('any' if n is None else n for n in shape)}")
    return value


def _parents(path: Path, table: NDArray) -> tuple[int, ...]:
    if table.ndim != 2 or len(table) != 2 or not 1 <= table.shape[1] <= 200:
        raise _wrong(path, f"kintree_table is {table.shape}, not (2, joints)")
    above = table[0].astype(np.int64)
    return tuple(-1 if j == 0 else int(above[j]) for j in range(len(above)))  # the root's is written as 2**32 - 1


def _kind(path: Path, parents: tuple[int, ...]) -> str:
    kind = next((kind for kind, names in LAYOUTS.items() if len(names) == len(parents)), None)
    if kind is None:
        known = ", ".join(f"{kind} {len(names)}" for kind, names in LAYOUTS.items())
        raise _wrong(path, f"it has {len(parents)} joints ({known})")
    names = LAYOUTS[kind]
    for j, name in enumerate(names[1:], start=1):
        above = _PARENTS.get(name) or JOINTS[JOINT_PARENTS[JOINTS.index(name)]]
        if parents[j] != names.index(above):
            raise _wrong(path, f"its joint {j} hangs on joint {parents[j]}, not on {above} as in {kind}")
    return kind


def _wrong(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: {reason}.", "give a model file of SMPL, SMPL-H or SMPL-X, .npz or .pkl.")
