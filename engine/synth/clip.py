"""Clips that know their own truth, drawn frame by frame when they are asked for."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.body.model import forward_kinematics, load_body
from engine.geometry import project, rotvec_to_matrix, transform
from engine.raster import rasterize
from engine.synth.actor import Actor, flatten_to_ground, make_costume
from engine.synth.motions import Act, make_act
from engine.synth.props import Ball, Pole, Prop, bouncing_path, outline_mask
from engine.synth.scene import Plate, make_plate
from engine.types import BackgroundMotion, Camera, Motion, Size

_CAMERA_M = (0.0, 1.0, 4.6)
_PERSON_SHARE = 0.70
"""Share of the picture's height that the mean adult takes."""
_SHADOW_STRENGTH = 0.56
_PASSES_AT = np.array([0.0, 0.0, 0.9], np.float32)
"""Where a passer-by is in the middle of the clip, metres from the origin."""
_KEPT_BYTES = 48e6
"""Drawn frames are kept up to this much: a short, small clip is drawn once, a long one as often as it is walked."""


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """What to film; equal specs give equal bytes."""

    size: Size = (240, 320)
    num_frames: int = 24
    fps: float = 24.0
    camera: Literal["static", "pan", "handheld", "zoom", "follow"] = "pan"
    """The camera stands still and turns or zooms: the still world of any two frames is related by a homography.
    "follow" keeps the actor's pelvis near the middle, with an unsteady hand."""
    camera_m: tuple[float, float, float] = _CAMERA_M
    """Where the camera stands, world, metres."""
    occluder: Literal["ball", "pole", "passer-by", "none"] = "ball"
    """A ball moves in front of the actor; a pole stands in front of them and is part of the scene; somebody in other
    clothes walks past in front."""
    motion: str | Motion = "juggle"
    """A key of `engine.synth.motions.MOTIONS`, or a motion of `num_frames` frames, of a body of its `shape`."""
    seed: int = 0
    """The place."""
    actor_seed: int = 0
    """Skin, hair and clothes, and the shape of the body (0: the mean adult)."""
    noise: float = 1.5
    """Standard deviation of the camera's noise, 8-bit steps."""
    exposure: tuple[float, float] = (1.0, 1.0)
    """Gain of the first and the last frame."""
    pan_deg: float = 9.0
    """How far "pan" turns in the whole clip."""
    supersample: int = 2
    """Samples per pixel and axis."""


@dataclass(frozen=True)
class SynthFrame:
    """One frame and everything it is made of."""

    rgb: NDArray
    """(H, W, 3) uint8: what the camera saw."""
    scene: NDArray
    """(H, W, 3) uint8: the same moment without actor, shadow, ball and noise."""
    human: NDArray
    """(H, W, 4) uint8 straight RGBA: the part of the actor that is seen."""
    human_full: NDArray
    """(H, W) uint8: the whole actor, also behind the occluder."""
    occluder: NDArray
    """(H, W, 4) uint8 straight RGBA: the part of the occluder that is seen."""
    shadow: NDArray
    """(H, W) uint8: 255 takes all light of the scene."""
    depth_m: NDArray
    """(H, W) float32 metres along z of what is nearest in each pixel."""


class LayerSource:
    """A `FrameSource` over one layer of a clip."""

    def __init__(self, num_frames: int, size: Size, draw: Callable[[int], NDArray]) -> None:
        self.num_frames, self.size, self._draw = num_frames, size, draw

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray]:
        """Yield frames start ... stop-1."""
        for idx in range(*slice(start, stop).indices(self.num_frames)):
            yield self._draw(idx)


class SynthClip:
    """A clip and its truth. Layers are `FrameSource`s; walking several together draws each frame once."""

    def __init__(self, spec: ClipSpec) -> None:
        self.spec = spec
        self.times_s: NDArray = np.arange(spec.num_frames) / spec.fps
        """(T,) float64."""
        shape = spec.motion.shape if isinstance(spec.motion, Motion) else actor_shape(spec.actor_seed)
        self.act = _act(spec, self.times_s, shape)
        self.motion: Motion = self.act.motion
        self.camera: Camera = _camera(spec, self.times_s, self.motion.root_m)
        joints = forward_kinematics(self.motion.rotvec, self.motion.root_m, self.motion.rest_m)[0]
        self.joints_world_m: NDArray = joints[:, :22]
        """(T, 22, 3) float32."""
        self.joints_px: NDArray = project(self.camera.K, transform(self.camera.world_to_cam, self.joints_world_m))
        """(T, 22, 2) float32, pixels."""
        self.background_motion = BackgroundMotion(_to_first(self.camera), np.ones(spec.num_frames, np.float32))
        self._actor = Actor(make_costume(spec.actor_seed), shape)
        self._prop = _prop(spec, self.act, self.times_s)
        self._passer_by = _PasserBy(spec, self.times_s) if spec.occluder == "passer-by" else None
        self._plate: Plate | None = None
        self._kept: OrderedDict[int, SynthFrame] = OrderedDict()
        self.rgb = self._layer(lambda frame: frame.rgb)
        self.scene = self._layer(lambda frame: frame.scene)
        self.human_mask = self._layer(lambda frame: frame.human[..., 3])
        self.human_full_mask = self._layer(lambda frame: frame.human_full)
        self.occluder_mask = self._layer(lambda frame: frame.occluder[..., 3])
        self.shadow = self._layer(lambda frame: frame.shadow)
        self.depth_m = self._layer(lambda frame: frame.depth_m)
        """float32 metres, unlike the pictures."""

    def _layer(self, pick: Callable[[SynthFrame], NDArray]) -> LayerSource:
        return LayerSource(self.spec.num_frames, self.spec.size, lambda idx: pick(self.frame(idx)))

    def frame(self, frame_idx: int) -> SynthFrame:
        """Draw a frame with all its layers; the same bytes in whatever order frames are drawn.

        Raises:
            IndexError: there is no such frame.
        """
        if not 0 <= frame_idx < self.spec.num_frames:
            raise IndexError(f"frame {frame_idx} of {self.spec.num_frames}")
        if frame_idx not in self._kept:
            self._kept[frame_idx] = self._draw(frame_idx)
            each = sum(layer.nbytes for layer in vars(self._kept[frame_idx]).values())
            while len(self._kept) > max(3, _KEPT_BYTES // each):
                self._kept.popitem(last=False)
        return self._kept[frame_idx]

    def _draw(self, frame_idx: int) -> SynthFrame:
        spec, more = self.spec, self.spec.supersample
        K, world_to_cam = self.camera.K[frame_idx].astype(float), self.camera.world_to_cam[frame_idx].astype(float)
        K_big, big = np.diag([more, more, 1.0]) @ K, (spec.size[0] * more, spec.size[1] * more)
        scene, scene_depth = self._still(K, world_to_cam)
        vertices = self._actor.pose(self.motion, frame_idx)
        actor_rgb, actor_mask, depth = self._actor.draw(vertices, K_big, world_to_cam, big)
        prop_rgb, prop_depth = self._draw_prop(frame_idx, K_big, world_to_cam, big)
        in_front = np.isfinite(prop_depth) & (prop_depth < depth)
        human = _shrink(actor_rgb, actor_mask & ~in_front, more)
        occluder = _shrink(prop_rgb, in_front, more)
        shadow = self._shadow(frame_idx, vertices, K, world_to_cam)
        light = 1 - shadow.astype(np.float32)[..., None] / 255
        if self._prop is not None and not self._prop.moves:
            scene = scene * (1 - occluder[1]) + occluder[0]
        rgb = scene * light * (1 - human[1] - occluder[1]) + human[0] + occluder[0]
        gain = spec.exposure[0] + (spec.exposure[1] - spec.exposure[0]) * frame_idx / max(spec.num_frames - 1, 1)
        noise = np.random.default_rng([spec.seed, 7, frame_idx]).normal(0, 1, rgb.shape).astype(np.float32)
        near = np.minimum(depth, prop_depth).reshape(spec.size[0], more, spec.size[1], more).min((1, 3))
        return SynthFrame(
            rgb=_bytes(rgb * gain + spec.noise * noise),
            scene=_bytes(scene * gain),
            human=_straight(human, gain),
            human_full=_bytes(255 * _shrink(actor_rgb, actor_mask, more)[1][..., 0]),
            occluder=_straight(occluder, gain),
            shadow=shadow,
            depth_m=np.minimum(near, scene_depth),
        )

    def _still(self, K: NDArray, world_to_cam: NDArray) -> tuple[NDArray, NDArray]:
        """The still world in one frame: (H, W, 3) float32 and its depth (H, W) float32."""
        if self._plate is None:
            self._plate = _plate(self.spec, self.camera)
        plate, more, (height, width) = self._plate, self.spec.supersample, self.spec.size
        to_plate = plate.K @ plate.world_to_cam[:3, :3] @ world_to_cam[:3, :3].T @ np.linalg.inv(K)
        plate_index = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1.0]])
        scale = np.diag([1 / more, 1 / more, 1.0])
        index = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        big = cv2.warpPerspective(
            plate.rgb,
            plate_index @ to_plate @ scale @ index,
            (width * more, height * more),
            flags=flags,
            borderMode=cv2.BORDER_REPLICATE,
        )
        scene = cv2.resize(big, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        depth = cv2.warpPerspective(
            plate.depth_m, plate_index @ to_plate @ index, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        # the plate's depth is along its own z; a ray of length 1 along this camera's has this one along it
        rows, cols = np.mgrid[:height, :width] + 0.5
        rays = np.stack([cols, rows, np.ones_like(rows)], -1) @ np.linalg.inv(K).T
        along = rays @ (plate.world_to_cam[:3, :3] @ world_to_cam[:3, :3].T)[2]
        return scene, (depth / along).astype(np.float32)

    def _draw_prop(self, frame_idx: int, K: NDArray, world_to_cam: NDArray, size: Size) -> tuple[NDArray, NDArray]:
        rgb, depth = np.zeros((*size, 3), np.float32), np.full(size, np.inf, np.float32)
        if self._passer_by is not None:
            rgb, covered, depth = self._passer_by.draw(frame_idx, K, world_to_cam, size)
            return rgb, np.where(covered, depth, np.inf).astype(np.float32)
        if self._prop is None:
            return rgb, depth
        x0, y0, x1, y1 = self._prop.window(frame_idx, K, world_to_cam, size)
        rows, cols = np.mgrid[y0:y1, x0:x1] + 0.5
        rays = np.stack([cols, rows, np.ones_like(rows)], -1) @ np.linalg.inv(K).T @ world_to_cam[:3, :3]
        center = -world_to_cam[:3, :3].T @ world_to_cam[:3, 3]
        rgb[y0:y1, x0:x1], depth[y0:y1, x0:x1] = self._prop.draw(frame_idx, rays, center)
        return rgb, depth

    def _shadow(self, frame_idx: int, vertices: NDArray, K: NDArray, world_to_cam: NDArray) -> NDArray:
        """(H, W) uint8: soft shadows of actor and ball on the ground."""
        size, focal = self.spec.size, K[0, 0]
        ground = flatten_to_ground(vertices)
        cam = transform(world_to_cam, ground).astype(np.float32)
        covered = rasterize(cam[None], self._actor.faces, K, size).face_idx[0] >= 0
        soft = cv2.GaussianBlur(covered.astype(np.float32), (0, 0), 0.016 * focal / self.spec.camera_m[2] + 0.3)
        outline = None if self._prop is None else self._prop.shadow_outline(frame_idx)
        if outline is not None:
            ball = outline_mask(project(K, transform(world_to_cam, outline)), size)
            blur = cv2.GaussianBlur(ball, (0, 0), 0.028 * focal / self.spec.camera_m[2] + 0.3)
            soft = 1 - (1 - soft) * (1 - blur)
        return _bytes(255 * _SHADOW_STRENGTH * soft)


class _PasserBy:
    """Somebody who walks across between camera and actor, and is in the middle in the middle of the clip."""

    def __init__(self, spec: ClipSpec, times_s: NDArray) -> None:
        walk = make_act("walk", load_body().rest(np.zeros(10, np.float32))[1], times_s).motion
        middle = walk.root_m[len(walk) // 2]
        self._motion = Motion(**{**vars(walk), "root_m": walk.root_m - (middle * (1, 0, 1)) + _PASSES_AT})
        self._actor = Actor(make_costume(spec.actor_seed + 2), np.zeros(10, np.float32))

    def draw(self, frame_idx: int, K: NDArray, world_to_cam: NDArray, size: Size) -> tuple[NDArray, NDArray, NDArray]:
        """See `Actor.draw`."""
        return self._actor.draw(self._actor.pose(self._motion, frame_idx), K, world_to_cam, size)


def make_clip(spec: ClipSpec) -> SynthClip:
    """Set up a clip that knows its own truth; nothing is drawn before it is asked for.

    Args:
        spec: what to film.

    Returns:
        SynthClip; drawing a frame of 320x240 takes about 0.1 s and no more than a few pictures of memory.

    Raises:
        KeyError: no motion of that name.
    """
    return SynthClip(spec)


def actor_shape(actor_seed: int) -> NDArray:
    """(10,) float32: the shape of an actor's body, standard deviations; 0 is the mean adult."""
    if actor_seed == 0:
        return np.zeros(10, np.float32)
    return np.clip(np.random.default_rng([actor_seed, 11]).normal(0, 0.7, 10), -1.3, 1.3).astype(np.float32)


def _act(spec: ClipSpec, times_s: NDArray, shape: NDArray) -> Act:
    if isinstance(spec.motion, Motion):
        assert len(spec.motion) == spec.num_frames, (len(spec.motion), spec.num_frames)
        return Act(spec.motion)
    act = make_act(spec.motion, load_body().rest(shape)[1], times_s)
    shaped = Motion(**{**vars(act.motion), "shape": shape})
    return Act(shaped, act.ball_m, act.touch_s)


def _prop(spec: ClipSpec, act: Act, times_s: NDArray) -> Prop | None:
    if spec.occluder == "ball":
        return Ball(bouncing_path(times_s) if act.ball_m is None else act.ball_m, times_s)
    return Pole() if spec.occluder == "pole" else None


def _camera(spec: ClipSpec, times_s: NDArray, root_m: NDArray) -> Camera:
    """A camera that stands still and turns or zooms; root_m (T, 3) is what "follow" looks at."""
    num, (height, width) = spec.num_frames, spec.size
    share = np.arange(num) / max(num - 1, 1)
    focal = np.full(num, focal_px(height))
    turn = np.zeros((num, 3))
    if spec.camera == "pan":
        turn[:, 1] = np.deg2rad(spec.pan_deg) * (share - 0.5)
    elif spec.camera in ("handheld", "follow"):
        rng = np.random.default_rng([spec.seed, 13])
        for rate_hz in (0.35, 0.8, 1.7):
            phase, size = rng.uniform(0, 2 * np.pi, 3), np.deg2rad([0.45, 0.55, 0.25]) * (0.35 / rate_hz) ** 0.7
            turn += size * np.sin(2 * np.pi * rate_hz * times_s[:, None] + phase)
        if spec.camera == "follow":
            turn[:, :2] += _aim(root_m - np.array(spec.camera_m), spec.fps)
    elif spec.camera == "zoom":
        focal *= 1 + 0.22 * share
    K = np.zeros((num, 3, 3))
    K[:, 0, 0] = K[:, 1, 1] = focal
    K[:, 0, 2], K[:, 1, 2], K[:, 2, 2] = width / 2, height / 2, 1
    rotation = rotvec_to_matrix(turn) @ np.diag([1.0, -1.0, -1.0])
    world_to_cam = np.tile(np.eye(4), (num, 1, 1))
    world_to_cam[:, :3, :3] = rotation
    world_to_cam[:, :3, 3] = -rotation @ np.array(spec.camera_m)
    return Camera(K.astype(np.float32), world_to_cam.astype(np.float32))


def focal_px(height: int) -> float:
    """Focal length of every clip that does not zoom, pixels, of its picture's height."""
    return _PERSON_SHARE * height * _CAMERA_M[2] / 1.71


def _aim(target_m: NDArray, fps: float) -> NDArray:
    """(T, 2) radians: turns about the camera's x and y axes towards a target (T, 3) seen from a level camera."""
    # A hand lags behind nothing here but does not follow every step: a mean over half a second, edges held.
    half = max(1, round(fps / 4))
    padded = np.pad(target_m.astype(np.float64), ((half, half), (0, 0)), mode="edge")
    x, y, z = (np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0).mean(-1) * [1, -1, -1]).T
    return np.stack([0.3 * np.arctan2(y, z), np.arctan2(-x, z)], 1)


def _to_first(camera: Camera) -> NDArray:
    """(T, 3, 3) float64: a camera that only turns and zooms sees the still world through homographies."""
    K, rotation = camera.K.astype(np.float64), camera.world_to_cam[:, :3, :3].astype(np.float64)
    to_first = K[0] @ rotation[0] @ np.swapaxes(rotation, 1, 2) @ np.linalg.inv(K)
    return to_first / to_first[:, 2:, 2:]


def _plate(spec: ClipSpec, camera: Camera) -> Plate:
    """The still world as wide as all frames together, with as many pixels as the samples of the closest frame."""
    world_to_cam = np.eye(4)
    world_to_cam[:3, :3] = np.diag([1.0, -1.0, -1.0])
    world_to_cam[:3, 3] = -world_to_cam[:3, :3] @ np.array(spec.camera_m)
    (height, width), focal = spec.size, float(camera.K[:, 0, 0].max()) * spec.supersample
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float)
    rays = corners @ np.swapaxes(np.linalg.inv(camera.K.astype(float)), 1, 2) @ camera.world_to_cam[:, :3, :3]
    flat = (rays @ world_to_cam[:3, :3].T).reshape(-1, 3)
    flat = flat[:, :2] / flat[:, 2:]
    low, high = np.floor(flat.min(0) * focal) - 4, np.ceil(flat.max(0) * focal) + 4
    K = np.array([[focal, 0, -low[0]], [0, focal, -low[1]], [0, 0, 1.0]])
    cols, rows = (high - low).astype(int).tolist()
    return make_plate(K, world_to_cam, (rows, cols), spec.seed)


def _shrink(rgb: NDArray, mask: NDArray, factor: int) -> tuple[NDArray, NDArray]:
    """Average samples: premultiplied (H, W, 3) float32 0 ... 255 and coverage (H, W, 1) float32 0 ... 1."""
    height, width = mask.shape[0] // factor, mask.shape[1] // factor
    samples = np.concatenate([rgb * mask[..., None], mask[..., None].astype(np.float32)], -1)
    small = samples.reshape(height, factor, width, factor, 4).mean((1, 3))
    return small[..., :3], small[..., 3:]


def _straight(layer: tuple[NDArray, NDArray], gain: float) -> NDArray:
    rgb, alpha = layer
    return np.concatenate([_bytes(gain * rgb / np.maximum(alpha, 1e-6)), _bytes(255 * alpha)], -1)


def _bytes(values: NDArray) -> NDArray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
