"""Light on a character: read gently from the frames it will stand in."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.threads import map_in_order
from engine.types import Puppet

_PULL = 0.35
"""How far colour and brightness move towards the scene's: a cartoon stays a cartoon."""
_GAIN_RANGE = (0.72, 1.08)
_LEAST_GRAIN = 0.3
"""Noise below this is rounding."""
_MOST_GRAIN = 2.5
"""Where nothing is flat, texture passes for noise; drawings show every grain."""
_GREY = 8
"""Levels between the channels that are no colour yet: what a codec makes of grey."""
_BLOCK_PX = 16
_LUMA = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True)
class Light:
    """How the scene lights the character and how the source was recorded. The default changes nothing."""

    gain_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factor on each colour channel."""
    saturation: float = 1.0
    """0 ... 1: how much of its colour is left."""
    ambient: float = 1.0
    """0 ... 1: brightness of what faces away from the light; 1 is no shading."""
    direction: tuple[float, float, float] = (0.3, 0.8, 0.5)
    """Towards the light, world axes; also where the contact shadow comes from."""
    blur_px: float = 0.0
    """Standard deviation of the blur of the source's own edges."""
    grain: float = 0.0
    """Standard deviation of the source's noise, 0 ... 255; see `engine.grain`."""

    @property
    def fading(self) -> NDArray:
        """(3, 3): what takes their colour from RGB colours; the identity where nothing does."""
        return self.saturation * np.eye(3) + (1 - self.saturation) * _LUMA

    @property
    def colour_matrix(self) -> NDArray:
        """(3, 3): the light on RGB colours."""
        return np.diag(self.gain_rgb) @ self.fading

    @property
    def shades(self) -> bool:
        """Whether surfaces are darker where they face away."""
        return self.ambient < 1.0


@dataclass(frozen=True)
class SceneLight:
    """What a scene looks like around the person, whoever comes in their place."""

    rgb: tuple[float, float, float]
    """Mean colour, 0 ... 1."""
    blur_px: float
    """Standard deviation of the blur of its edges beyond that of a sharp picture, 0 ... 2."""
    grain: float
    """Standard deviation of its noise, 0 ... 255; 0 where it is mere rounding."""
    saturation: float = 1.0
    """0 in a film without colours, else 1."""


def measure_scene(frames: Iterable[NDArray], masks: Iterable[NDArray | None]) -> SceneLight:
    """Measure what makes a character sit in a scene.

    Args:
        frames: some (H, W, 3) RGB uint8 frames of the source, a handful spread over the clip.
        masks: for each, (H, W) uint8: the person, whose surroundings count, or None for the whole frame.

    Returns:
        The median over the frames.
    """
    colours, grains, blurs, tints = zip(*map_in_order(_measure, zip(frames, masks)))
    red, green, blue = np.median(np.array(colours), 0).tolist()
    grain = float(np.clip(np.median(grains), 0.0, _MOST_GRAIN))
    return SceneLight(
        rgb=(red, green, blue),
        blur_px=float(np.clip(np.median(blurs) - 0.55, 0.0, 2.0)),
        grain=grain if grain > _LEAST_GRAIN else 0.0,
        saturation=float(max(tints) > _GREY),
    )


def match_light(scene: SceneLight, puppet: Puppet) -> Light:
    """Light a character as its scene is lit.

    Args:
        scene: of `measure_scene`.
        puppet: the character; line art (a drawing with strokes) is not shaded.

    Returns:
        Light: gain 0.72 ... 1.08 per channel, shading 0.88 for photos and paintings; blur, grain and, in a
        film without colours, greys of the scene.
    """
    colour = np.array(scene.rgb)
    luma = float(colour @ _LUMA)
    cast = colour / max(luma, 1e-3)
    own = puppet.front_rgba[puppet.front_rgba[..., 3] > 128][:, :3]
    own_luma = float((own.mean(0) / 255.0) @ _LUMA) if len(own) else 0.5
    # A scene of middle grey (0.42) is taken as fully lit; pale characters are pulled more than dark ones.
    level = (max(luma, 0.02) / 0.42) ** (_PULL * (0.5 + 0.5 * own_luma))
    gain = np.clip(np.minimum(level, 1.05) * np.clip(cast, 0.5, 2.0) ** (_PULL * 0.6), *_GAIN_RANGE)
    return Light(
        gain_rgb=(float(gain[0]), float(gain[1]), float(gain[2])),
        ambient=1.0 if puppet.stroke_rgb is not None else 0.88,
        blur_px=scene.blur_px,
        grain=scene.grain,
        saturation=scene.saturation,
    )


def soften(rgba: NDArray, light: Light) -> NDArray:
    """Give a picture the softness of the source's edges.

    Args:
        rgba: (h, w, 4) uint8 premultiplied.
        light: whose blur.

    Returns:
        (h, w, 4) uint8 premultiplied; the same array when there is nothing to do.
    """
    return cv2.GaussianBlur(rgba, (0, 0), light.blur_px) if light.blur_px > 0.05 else rgba


def _measure(item: tuple[NDArray, NDArray | None]) -> tuple[NDArray, float, float, float]:
    """Mean colour (3,) 0 ... 1, grain and blur around the person of one frame; the strongest colour of all of it."""
    frame, mask = item
    around = _around(frame, mask)
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    tint = np.percentile(np.ptp(frame, axis=2), 99.9)
    return frame[around].mean(0) / 255.0, _noise(grey, around), _softness(grey, around), float(tint)


def _around(frame: NDArray, mask: NDArray | None) -> NDArray:
    """(H, W) bool: surroundings of the person that are not the person, or everything."""
    everything = np.ones(frame.shape[:2], bool)
    if mask is None or not (mask > 127).any():
        return everything
    reach = max(frame.shape[:2]) // 8 * 2 + 1
    core = (mask > 31).astype(np.uint8)
    near = cv2.boxFilter(core.astype(np.float32), -1, (reach, reach)) > 0
    found = near & (cv2.dilate(core, np.ones((9, 9), np.uint8)) == 0)
    return found if found.sum() > 500 else everything


def _noise(grey: NDArray, where: NDArray) -> float:
    """Standard deviation of the noise, read where the picture is flattest, so that grass is not grain.

    Source: Immerkaer 1996, "Fast noise variance estimation", per block of 16 x 16, the quietest twentieth counts.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    answer = np.abs(cv2.filter2D(grey, -1, kernel))
    rows, columns = (length // _BLOCK_PX * _BLOCK_PX for length in grey.shape)
    shape = rows // _BLOCK_PX, columns // _BLOCK_PX

    def blocks(image: NDArray) -> NDArray:
        return cv2.resize(image[:rows, :columns].astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA)

    if min(shape) == 0:
        return 0.0
    means = blocks(answer)[blocks(where.astype(np.uint8)) > 0.99]
    bright = blocks(grey)[blocks(where.astype(np.uint8)) > 0.99]
    means = means[(bright > 16) & (bright < 240)]  # clipped areas have lost their noise
    return float(np.percentile(means, 5) * np.sqrt(np.pi / 2)) if len(means) >= 10 else 0.0


def _softness(grey: NDArray, where: NDArray) -> float:
    """Standard deviation, pixels, of the sharpest edges: height of an edge over its steepest slope."""
    high = cv2.dilate(grey, np.ones((9, 9), np.uint8)) - cv2.erode(grey, np.ones((9, 9), np.uint8))
    gx, gy = cv2.Sobel(grey, -1, 1, 0) / 8, cv2.Sobel(grey, -1, 0, 1) / 8
    slope = np.hypot(gx, gy)
    strong = where & (high > 60)
    if strong.sum() < 200:
        return 0.55
    steep = np.percentile((slope / np.maximum(high, 1))[strong], 98)
    return float(1 / (np.sqrt(2 * np.pi) * max(steep, 0.05)))
