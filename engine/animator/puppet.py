"""The puppet animator: a lifted character, driven by a motion, seen by a camera, frame by frame."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from engine.animator.light import Light, soften
from engine.animator.paint import Stroke, Surface, paint
from engine.animator.pose import PosedPuppet, pose_puppet
from engine.animator.shadow import ground_shadow, project_ground
from engine.animator.texture import Textures
from engine.geometry import eased
from engine.raster.triangles import NEAR_M
from engine.threads import map_in_order
from engine.types import Camera, Motion, Patch, Puppet, Size

_TURNED = (0.08, 0.35)
"""Front texture fades to fill as the normal's z grows by this much over what it was in the drawing."""
_RIM, _PROFILE = 0.5, 0.35
"""What was seen at less than the first in the drawing (the normal's z) shows fill instead of its drawn outline when the
figure is turned to its profile, nearer than the second (cosine); all of the front does when that is turned away."""
_STEP_SHARE = 0.04
"""A depth step of this share of the character's height is an edge."""


class PuppetAnimator:
    """Renders a character; frames can be asked for in any order and are always the same bytes."""

    def __init__(
        self,
        puppet: Puppet,
        motion: Motion,
        camera: Camera,
        size: Size,
        *,
        scale: float = 1.0,
        offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0),
        travel: str = "person",
        stiff: bool = False,
        light: Light | None = None,
        shadow: float = 0.6,
        posed: PosedPuppet | None = None,
    ) -> None:
        """Pose the character for the whole motion.

        Args:
            puppet: the character.
            motion: T frames.
            camera: T frames, or one for all.
            size: (height, width) of the frames, pixels.
            scale: height of the character over the height of the person.
            offset_m: moves the character, world axes.
            travel: "person" or "stride", see `pose_puppet`.
            stiff: tails and ears do not swing.
            light: of `match_light`; None changes no colour.
            shadow: 0 none ... 1 dark.
            posed: of `pose_puppet` with the same puppet and motion, where it is already there.
        """
        self.posed = posed or pose_puppet(puppet, motion, scale=scale, travel=travel, stiff=stiff)
        self.num_frames = len(self.posed)
        self.size = size
        self._puppet, self._camera = puppet, camera
        self._offset = np.array(offset_m, np.float32)[:, None]
        self._light, self._shadow = light or Light(), shadow
        self._textures = Textures(puppet, self._light.colour_matrix)
        self._faces = np.ascontiguousarray(puppet.faces, np.int32)
        self._side = _side_of_picture(puppet)
        self._drawn_z = self.posed.skin.normals[2] * self._side
        self._at_rim = 1 - eased(self._drawn_z / _RIM)
        self._front_corner = np.repeat(~puppet.is_back[:, None], 3, 1).astype(np.float32)
        self._shadow_idx = np.arange(0, len(puppet.vertices), 2)

    def render_range(self, start: int = 0, stop: int | None = None) -> Iterator[Patch]:
        """Render frames start ... stop-1 in order, two at a time; the bytes are those of `render`."""
        yield from map_in_order(self.render, range(start, self.num_frames if stop is None else stop))

    def render(self, frame_idx: int) -> Patch:
        """Render one frame.

        Returns:
            Patch inside the frame: premultiplied colour of the figure, and its shadow; 1x1 and empty where the figure
            cannot be seen.
        """
        which = frame_idx if len(self._camera) > 1 else 0
        K = self._camera.K[which].astype(np.float64)
        world_to_cam = self._camera.world_to_cam[which].astype(np.float64)
        vertices, normals = self.posed.vertices_m(frame_idx)
        vertices = vertices + self._offset
        in_camera = (world_to_cam[:3, :3] @ vertices + world_to_cam[:3, 3:]).astype(np.float64)
        z = in_camera[2]
        points = (K[:2] @ in_camera) / np.maximum(z, NEAR_M)
        pixels_per_height = self._pixels_per_height(K, z)
        stroke = self._stroke(pixels_per_height)
        box = self._box(points, z, 2 + (stroke.width_px if stroke else 0.0))
        rgba = np.zeros((0, 0, 4), np.uint8)
        if box is not None:
            x0, y0, x1, y1 = box
            front, fill = self._textures.at(pixels_per_height)
            surface = Surface(
                points_px=points - [[x0], [y0]],
                z_m=z,
                faces=self._faces,
                attributes=self._attributes(frame_idx, vertices, normals, world_to_cam, front.shape),
                front=front,
                fill=fill,
            )
            rgba = soften(paint(surface, (y1 - y0, x1 - x0), stroke), self._light)
        return _patch(box, rgba, self._ground_shadow(vertices, K, world_to_cam))

    def _pixels_per_height(self, K: NDArray, z: NDArray) -> float:
        return float(K[1, 1] * self.posed.height_m / max(float(np.median(z)), 0.05))

    def _stroke(self, pixels_per_height: float) -> Stroke | None:
        if self._puppet.stroke_rgb is None:
            return None
        width = self._puppet.stroke_px * pixels_per_height / self._textures.texels_per_height
        red, green, blue = np.rint(self._light.fading @ self._puppet.stroke_rgb).astype(int).tolist()
        return Stroke((red, green, blue), max(width, 0.8), _STEP_SHARE * self.posed.height_m)

    def _box(self, points: NDArray, z: NDArray, margin: float) -> tuple[int, int, int, int] | None:
        """The part of the frame the figure is in: x0, y0, x1, y1, pixels."""
        seen = points if z.min() > NEAR_M else points[:, z > NEAR_M]
        if not seen.size:
            return None
        limit = np.array([self.size[1], self.size[0]])
        low = np.clip(np.floor(seen.min(1) - margin), 0, limit).astype(int)
        high = np.clip(np.ceil(seen.max(1) + margin), 0, limit).astype(int)
        return (int(low[0]), int(low[1]), int(high[0]), int(high[1])) if (high > low).all() else None

    def _attributes(
        self,
        frame_idx: int,
        vertices: NDArray,
        normals: NDArray,
        world_to_cam: NDArray,
        texture_shape: tuple[int, ...],
    ) -> NDArray:
        """(F, 3, A) float32, see `Surface.attributes`."""
        eye = (-world_to_cam[:3, :3].T @ world_to_cam[:3, 3]).astype(np.float32)[:, None]
        to_eye = eye - vertices
        facing = (normals * to_eye).sum(0) / np.sqrt((to_eye * to_eye).sum(0))
        share = 1 - eased((facing - self._drawn_z - _TURNED[0]) / (_TURNED[1] - _TURNED[0]))
        frontal = self._frontal(frame_idx, to_eye.mean(1)) / _PROFILE
        share *= (1 - self._at_rim * (1 - eased(frontal))) * eased(1 + frontal)
        scale = np.array([texture_shape[1], texture_shape[0]], np.float32)
        columns = [*(self._puppet.uv * scale).T, share]
        if self._light.shades:
            towards = np.array(self._light.direction) / np.linalg.norm(self._light.direction)
            soft = np.clip(0.5 + 0.5 * (towards.astype(np.float32) @ normals), 0, 1)  # wrapped: no hard terminator
            columns.append(self._light.ambient + (1 - self._light.ambient) * np.minimum(soft * 1.25, 1))
        out = np.stack(columns, -1).astype(np.float32)[self._faces]
        out[..., 2] *= self._front_corner
        out[..., 0] += texture_shape[1] * (1 - self._front_corner)  # the back lies on the right of the sides
        return out

    def _frontal(self, frame_idx: int, to_eye: NDArray) -> NDArray:
        """(V,) float32: cosine between where the side of the picture looks, as its bones carry it, and a way (3,)."""
        w, x, y, z = (self.posed.transforms[frame_idx, :, k] for k in range(4))
        ahead = np.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], 1)
        return self.posed.skin.weights @ (ahead @ (self._side * to_eye / np.linalg.norm(to_eye)))

    def _ground_shadow(self, vertices: NDArray, K: NDArray, world_to_cam: NDArray) -> tuple[int, int, NDArray]:
        if self._shadow <= 0:
            return 0, 0, np.zeros((0, 0), np.uint8)
        shadow, place = ground_shadow(vertices[:, self._shadow_idx], self.posed.standing_m, self._light.direction)
        return project_ground(np.minimum(shadow * self._shadow, 1), place, K, world_to_cam, self.size)


def seen_offset(camera: Camera, offset_m: tuple[float, float, float]) -> tuple[float, float, float]:
    """Turn a shift as it is seen in the first frame into one of the world.

    Args:
        camera: of the motion.
        offset_m: to the right and, over the ground, towards the viewer (first and last), and up; metres.

    Returns:
        The same in world axes, metres.
    """
    right, _, away = camera.world_to_cam[0, :3, :3].astype(np.float64)
    across, closer = (axis * (1.0, 0.0, 1.0) for axis in (right, -away))
    across, closer = (axis / max(float(np.linalg.norm(axis)), 1e-6) for axis in (across, closer))
    x, _, z = offset_m[0] * across + offset_m[2] * closer
    return float(x), float(offset_m[1]), float(z)


def _side_of_picture(puppet: Puppet) -> float:
    """1 where the picture is on the front of the puppet; -1 where it shows the character from behind."""
    a, b, c = (puppet.vertices[puppet.faces[~puppet.is_back, k], :2].astype(np.float64) for k in range(3))
    u, v = b - a, c - a
    return 1.0 if np.sum(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]) >= 0 else -1.0


def _patch(box: tuple[int, int, int, int] | None, figure: NDArray, shadow: tuple[int, int, NDArray]) -> Patch:
    """Put figure and shadow into one crop."""
    sx, sy, dark = shadow
    boxes = [box] if box is not None else []
    if dark.size:
        boxes.append((sx, sy, sx + dark.shape[1], sy + dark.shape[0]))
    if not boxes:
        return Patch(0, 0, np.zeros((1, 1, 4), np.uint8), np.zeros((1, 1), np.uint8))
    x0, y0 = min(b[0] for b in boxes), min(b[1] for b in boxes)
    x1, y1 = max(b[2] for b in boxes), max(b[3] for b in boxes)
    rgba = np.zeros((y1 - y0, x1 - x0, 4), np.uint8)
    shade = np.zeros((y1 - y0, x1 - x0), np.uint8)
    if box is not None:
        rgba[box[1] - y0 : box[3] - y0, box[0] - x0 : box[2] - x0] = figure
    if dark.size:
        shade[sy - y0 : sy - y0 + dark.shape[0], sx - x0 : sx - x0 + dark.shape[1]] = dark
    return Patch(x0, y0, rgba, shade)
