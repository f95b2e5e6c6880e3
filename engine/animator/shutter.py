"""Motion blur: how long the source's shutter was open, and a character smeared as much."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.animator.drive import read_source
from engine.animator.pose import PosedPuppet
from engine.animator.puppet import PuppetAnimator
from engine.animator.skinning import pose_points
from engine.types import JOINTS, Camera, Motion, Patch, Puppet, Size

LEAST_SHUTTER, MOST_SHUTTER = 0.15, 0.6
"""Less of a frame than this is sharp; more is not believed (films have a half)."""

FAST_PX, SLOW_PX = 8.0, 2.0
"""Limbs that move by more than the first each frame show the shutter, those slower than the second do not."""

LEAST_STEP, MOST_LENGTH_PX = 40.0, 60.0
"""Least step in brightness from limb to surroundings that is read, and farthest to either side."""

LEAST_READINGS = 12
STEP_PX, MOST_SAMPLES = 2.0, 6
"""Moments of a frame are drawn so that nothing moves farther than this between them, up to so many."""

_EVERY = 16
"""Every so many vertices are looked at to find how far a frame smears."""


def limbs_in_picture(motion: Motion, camera: Camera) -> tuple[NDArray, float]:
    """(T, 8, 2) pixels: where elbows, wrists, knees and ankles of the source are seen; and its usual height, pixels."""
    joints = read_source(motion).joints_m
    rows = np.minimum(np.arange(len(joints)), len(camera) - 1)
    seen = np.einsum("tij,tkj->tki", camera.world_to_cam[rows, :3, :3].astype(np.float64), joints)
    seen += camera.world_to_cam[rows, None, :3, 3]
    image = np.einsum("tij,tkj->tki", camera.K[rows].astype(np.float64), seen)
    image = image[..., :2] / np.maximum(image[..., 2:], 0.05)
    tall = float(np.median(np.ptp(image[..., 1], axis=1)))
    names = [f"{side}_{joint}" for side in ("left", "right") for joint in ("elbow", "wrist", "knee", "ankle")]
    return image[:, [JOINTS.index(name) for name in names]], tall


def estimate_shutter(
    frames: list[tuple[NDArray, NDArray]], limbs_px: list[NDArray], steps_px: list[NDArray], radius_px: float
) -> float:
    """Estimate how long the shutter was open from how soft the edges of fast limbs are.

    Args:
        frames: pictures (H, W, 3) RGB uint8 and masks of the person (H, W) uint8.
        limbs_px: for each, (L, 2): where parts of limbs are.
        steps_px: for each, (L, 2): how far they move from one frame to the next.
        radius_px: how far from those points the person's outline is read.

    Returns:
        0 ... 0.6 of the time between frames; 0 where the source is sharp or too little of it moves.

    Source: an edge of an even object, smeared evenly over a length, is a ramp of that length; what slow limbs show is
    the softness of the lens, and squares of lengths add. Ramps are measured between a tenth and nine tenths of the
    step, along the motion.
    """
    fast, slow = [], []
    for (rgb, mask), points, steps in zip(frames, limbs_px, steps_px):
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
        for point, step in zip(points, steps):
            speed = float(np.linalg.norm(step))
            if speed >= FAST_PX:
                fast += [length / speed for length in _ramps(grey, mask, point, step / speed, radius_px)]
            elif speed <= SLOW_PX:
                slow += _ramps(grey, mask, point, step / max(speed, 1e-6), radius_px)
    if len(fast) < LEAST_READINGS:
        return 0.0
    still = float(np.median(slow)) if len(slow) >= LEAST_READINGS else 2.0
    speeds = [float(np.linalg.norm(step)) for steps in steps_px for step in steps if np.linalg.norm(step) >= FAST_PX]
    shutter = float(np.sqrt(max(np.median(fast) ** 2 - (still / np.median(speeds)) ** 2, 0.0)))
    return min(shutter, MOST_SHUTTER) if shutter >= LEAST_SHUTTER else 0.0


def _ramps(grey: NDArray, mask: NDArray, point: NDArray, along: NDArray, radius_px: float) -> list[float]:
    """Lengths, pixels, of the ramps across the outline near a point, where it lies across the motion."""
    height, width = mask.shape
    x0, y0 = (int(max(value - radius_px, 0)) for value in point)
    x1, y1 = int(min(point[0] + radius_px + 1, width)), int(min(point[1] + radius_px + 1, height))
    if x1 - x0 < 3 or y1 - y0 < 3:
        return []
    soft = cv2.GaussianBlur(mask[y0:y1, x0:x1].astype(np.float32), (0, 0), 1.5)
    gx, gy = cv2.Sobel(soft, -1, 1, 0), cv2.Sobel(soft, -1, 0, 1)
    size = np.hypot(gx, gy)
    across = np.abs(gx * along[0] + gy * along[1]) > 0.85 * size
    rows, columns = np.nonzero((np.abs(soft - 127) < 60) & (size > 50) & across)
    reach = np.arange(-MOST_LENGTH_PX, MOST_LENGTH_PX + 1)
    found = []
    for row, column in zip(rows[::3], columns[::3]):
        inward = np.sign(gx[row, column] * along[0] + gy[row, column] * along[1]) * along
        xs = (x0 + column + reach * inward[0]).astype(np.float32)
        ys = (y0 + row + reach * inward[1]).astype(np.float32)
        line = cv2.remap(grey, xs[None], ys[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
        length = _ramp(line)
        if length is not None:
            found.append(length)
    return found


def _ramp(line: NDArray) -> float | None:
    """Length of the ramp in the middle of a line of brightness; None where there is no clean one."""
    middle = len(line) // 2
    slope = np.convolve(line, [0.25, 0.5, 0.25], mode="same")
    slope = np.diff(slope)
    near = slope[middle - 6 : middle + 6]
    peak = middle - 6 + int(np.argmax(np.abs(near)))
    sign = np.sign(slope[peak])
    low = high = peak
    while low > 0 and sign * slope[low - 1] > 0.12 * abs(slope[peak]):
        low -= 1
    while high < len(slope) - 1 and sign * slope[high + 1] > 0.12 * abs(slope[peak]):
        high += 1
    start, end = float(line[low]), float(line[high + 1])
    if abs(end - start) < LEAST_STEP:
        return None
    share = (line[low : high + 2] - start) / (end - start)
    tenth, most = (float(np.interp(level, np.maximum.accumulate(share), np.arange(len(share)))) for level in (0.1, 0.9))
    return (most - tenth) / 0.8


class SmearedAnimator:
    """Renders a character as a shutter would see it: the mean of several moments, where something moves fast."""

    def __init__(
        self, puppet: Puppet, motion: Motion, camera: Camera, size: Size, *, shutter: float, posed: PosedPuppet, **stand
    ) -> None:
        """Decide which moments to draw.

        Args:
            puppet, motion, camera, size, posed: as for `PuppetAnimator`.
            shutter: share of the time between frames that the shutter is open, about the time of the frame.
            stand: the other arguments of `PuppetAnimator`.
        """
        self.num_frames = len(posed)
        moments = _moments(posed, camera, shutter)
        self._starts = np.concatenate([[0], np.cumsum([len(each) for each in moments])]).tolist()
        at = np.concatenate(moments)
        many = replace(posed, transforms=_between(posed.transforms, at))
        if len(camera) > 1:
            camera = Camera(_between(camera.K, at), _rigid(_between(camera.world_to_cam, at), at % 1 > 0))
        self._animator = PuppetAnimator(puppet, motion, camera, size, posed=many, **stand)

    def render_range(self, start: int = 0, stop: int | None = None) -> Iterator[Patch]:
        """Render frames start ... stop-1 in order."""
        stop = self.num_frames if stop is None else stop
        patches = self._animator.render_range(self._starts[start], self._starts[stop])
        for first, after in pairwise(self._starts[start : stop + 1]):
            yield mean_patch(list(islice(patches, after - first)))


def mean_patch(patches: list[Patch]) -> Patch:
    """The mean of patches of one frame."""
    if len(patches) == 1:
        return patches[0]
    x0, y0 = min(patch.x0 for patch in patches), min(patch.y0 for patch in patches)
    x1 = max(patch.x0 + patch.shadow.shape[1] for patch in patches)
    y1 = max(patch.y0 + patch.shadow.shape[0] for patch in patches)
    rgba, shadow = np.zeros((y1 - y0, x1 - x0, 4), np.uint16), np.zeros((y1 - y0, x1 - x0), np.uint16)
    for patch in patches:
        height, width = patch.shadow.shape
        window = np.s_[patch.y0 - y0 : patch.y0 - y0 + height, patch.x0 - x0 : patch.x0 - x0 + width]
        rgba[window] += patch.rgba
        shadow[window] += patch.shadow
    half, count = len(patches) // 2, len(patches)
    return Patch(x0, y0, ((rgba + half) // count).astype(np.uint8), ((shadow + half) // count).astype(np.uint8))


def _moments(posed: PosedPuppet, camera: Camera, shutter: float) -> list[NDArray]:
    """For each frame, the moments to draw, counted in frames."""
    points = _seen(posed, camera)
    speed = np.zeros(len(points))
    if len(points) > 1:
        step = np.linalg.norm(np.gradient(points, axis=0), axis=-1)
        speed = np.percentile(np.where(np.isfinite(step), step, 0), 98, axis=1)
    counts = np.clip(np.ceil(shutter * speed / STEP_PX), 1, MOST_SAMPLES).astype(int)
    return [
        np.clip(frame + shutter * ((np.arange(count) + 0.5) / count - 0.5), 0, len(points) - 1)
        for frame, count in enumerate(counts)
    ]


def _seen(posed: PosedPuppet, camera: Camera) -> NDArray:
    """(T, N, 2) pixels: where some vertices are."""
    some = posed.skin.subset(np.arange(0, posed.skin.vertices.shape[1], _EVERY))
    out = np.empty((len(posed), some.vertices.shape[1], 2))
    for frame, transforms in enumerate(posed.transforms):
        K, pose = (each[frame if len(camera) > 1 else 0].astype(np.float64) for each in (camera.K, camera.world_to_cam))
        seen = pose[:3, :3] @ pose_points(some, transforms) + pose[:3, 3:]
        out[frame] = ((K[:2] @ seen) / np.maximum(seen[2], 0.05)).T
    return out


def _between(values: NDArray, at: NDArray) -> NDArray:
    """Values (T, ...) at moments (M,) between frames, linearly; dual quaternions take the short way round."""
    low = np.minimum(at.astype(int), max(len(values) - 2, 0))
    high = np.minimum(low + 1, len(values) - 1)
    share = (at - low).reshape(-1, *[1] * (values.ndim - 1)).astype(values.dtype)
    first, second = values[low], values[high]
    if values.shape[-1] == 8:
        turned = np.sum(first[..., :4] * second[..., :4], -1, keepdims=True) < 0
        second = np.where(turned, -second, second)
    return np.where(share > 0, first + share * (second - first), first)


def _rigid(poses: NDArray, between: NDArray) -> NDArray:
    """(M, 4, 4) with the nearest rotation in those that lie between two (M,)."""
    out = poses.copy()
    u, _, vt = np.linalg.svd(poses[between, :3, :3].astype(np.float64))
    out[between, :3, :3] = u @ vt
    return out
