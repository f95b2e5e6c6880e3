"""Where the body is in the pictures of a clip: the pixels that see it, or a drawn skeleton."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.body.model import forward_kinematics, load_body
from engine.geometry import project, transform
from engine.raster import rasterize
from engine.synth.dataset import skeleton_px
from engine.training.shards import TrainingClip
from engine.types import JOINT_PARENTS, Size

BONES = tuple((parent, joint) for joint, parent in enumerate(JOINT_PARENTS[:22]) if parent >= 0)


@dataclass(frozen=True)
class BodyMap:
    """T frames of H x W; of the drawn body only the P pixels that see it, a tenth of all or less."""

    size: Size
    """(H, W)."""
    pixel_P: NDArray | None = None
    """(P,) int32, rising: place in (T, H, W), counted through."""
    face_P: NDArray | None = None
    """(P,) int32: the face that is seen."""
    bary_P3: NDArray | None = None
    """(P, 3) float16: its weights."""
    skeleton_THW3: NDArray | None = None
    """(T, H, W, 3) uint8."""

    def cut(self, frames: Sequence[int]) -> "BodyMap":
        """Some frames, in the order given."""
        if self.pixel_P is None or self.face_P is None or self.bary_P3 is None:
            assert self.skeleton_THW3 is not None
            return BodyMap(self.size, skeleton_THW3=self.skeleton_THW3[list(frames)])
        area = self.size[0] * self.size[1]
        starts, stops = (np.searchsorted(self.pixel_P, (np.array(frames) + after) * area) for after in (0, 1))
        parts = [slice(start, stop) for start, stop in zip(starts, stops)]
        pixels = [self.pixel_P[part] + (to - frame) * area for to, (frame, part) in enumerate(zip(frames, parts))]
        return BodyMap(
            self.size,
            np.concatenate(pixels).astype(np.int32),
            np.concatenate([self.face_P[part] for part in parts]),
            np.concatenate([self.bary_P3[part] for part in parts]),
        )


def draw_body(clip: TrainingClip, map_side: int, motion: str) -> BodyMap:
    """Rasterize the posed body of every frame at the size the pose encoder reads.

    Args:
        clip: square.
        map_side: pixels.
        motion: "codes" or "skeleton".
    """
    scale = map_side / clip.rgb.shape[1]
    K, size = np.diag([scale, scale, 1.0]) @ clip.camera.K, (map_side, map_side)
    if motion == "skeleton":
        return BodyMap(size, skeleton_THW3=_skeletons(clip, K, size))
    body, pixels, faces, weights = load_body(), [], [], []
    for idx in range(clip.num_frames):
        vertices = body.pose(clip.rotvec[idx], clip.root_m[idx], clip.shape)
        cam = transform(clip.camera.world_to_cam[idx], vertices).astype(np.float32)
        found = rasterize(cam[None], body.faces, K[idx], size, cull_back=True)
        seen = np.flatnonzero(found.face_idx >= 0)
        pixels.append((seen + idx * map_side**2).astype(np.int32))
        faces.append(found.face_idx.reshape(-1)[seen])
        weights.append(found.bary.reshape(-1, 3)[seen].astype(np.float16))
    return BodyMap(size, np.concatenate(pixels), np.concatenate(faces), np.concatenate(weights))


def _skeletons(clip: TrainingClip, K: NDArray, size: Size) -> NDArray:
    rest = load_body().rest(clip.shape)[1]
    joints = forward_kinematics(clip.rotvec, clip.root_m, rest)[0][:, :22]
    joints_px = project(K, transform(clip.camera.world_to_cam, joints))
    return np.stack([skeleton_px(frame, BONES, size) for frame in joints_px])
