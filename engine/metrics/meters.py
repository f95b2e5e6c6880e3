"""Measures of a clip, frame by frame: each holds at most two frames, and says what its number means.

Shapes: H W picture. Masks are (H, W) bool. A value is NaN where nothing counts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.metrics.mask import boundary_accuracy, region_similarity
from engine.metrics.picture import SSIM_SIDE, SSIM_SIGMA_PX, flicker, psnr_db, seam_energy, ssim
from engine.metrics.warp import WarpError


@dataclass(frozen=True)
class Score:
    """One measure of a whole clip."""

    name: str
    value: float
    unit: str
    protocol: str
    """What was measured, exactly enough to compare it with a number from elsewhere."""
    frames: tuple[float, ...] = ()
    """Of every frame, where it is a measure of frames."""


@dataclass(frozen=True)
class Sight:
    """What a meter sees of one frame."""

    got: NDArray
    """(H, W, 3) uint8 RGB, the result; (H, W) bool for masks."""
    want: NDArray | None = None
    """The true one, of the same kind."""
    mask: NDArray | None = None
    """The pixels that count."""


class Meter(Protocol):
    """Hears a clip frame by frame and says its score."""

    def add(self, sight: Sight) -> None:
        """Measure the next frame."""
        ...

    def score(self) -> Score:
        """The score of what was heard."""
        ...


@dataclass
class FrameMeter:
    """A measure of single frames; its score is their mean, without frames in which nothing counts."""

    name: str
    unit: str
    protocol: str
    measure: Callable[[Sight], float]
    values: list[float] = field(default_factory=list)

    def add(self, sight: Sight) -> None:
        """See `Meter.add`."""
        self.values.append(self.measure(sight))

    def score(self) -> Score:
        """See `Meter.score`."""
        values = np.array(self.values)
        known = values[~np.isnan(values)]
        mean = float(known.mean()) if len(known) else float("nan")
        return Score(self.name, mean, self.unit, self.protocol, tuple(self.values))


class PooledPsnr:
    """PSNR of one mean square error over all frames: a frame that is exactly right does not make it infinite."""

    def __init__(self) -> None:
        self._squares, self._count = 0.0, 0

    def add(self, sight: Sight) -> None:
        """See `Meter.add`."""
        assert sight.want is not None
        squares = np.square(sight.got.astype(np.float64) - sight.want)
        counted = squares if sight.mask is None else squares[sight.mask]
        self._squares, self._count = self._squares + float(counted.sum()), self._count + counted.size

    def score(self) -> Score:
        """See `Meter.score`."""
        mean = self._squares / self._count if self._count else float("nan")
        value = float("inf") if mean == 0 else 10 * float(np.log10(255.0**2 / mean))
        return Score("psnr_pooled", value, "dB", "one mean square error of all frames, peak 255, float64")


class Change:
    """`flicker` of each frame and the one before it."""

    def __init__(self) -> None:
        self._last: Sight | None = None

    def __call__(self, sight: Sight) -> float:
        """Return levels; NaN in the first frame."""
        last, self._last = self._last, sight
        if last is None:
            return float("nan")
        assert sight.want is not None and last.want is not None
        both = None if sight.mask is None or last.mask is None else np.stack([last.mask, sight.mask])
        return flicker(np.stack([last.got, sight.got]), np.stack([last.want, sight.want]), both)


def picture_meters(names: Sequence[str], *, masked: bool) -> list[Meter]:
    """Make the meters of pictures that need no network.

    Args:
        names: of "psnr", "ssim", "flicker", "seam", "warp"; "psnr" is two, the mean and the pooled one.
        masked: only pixels of a mask count, which the protocols say.
    """
    where = "in the mask" if masked else "whole frames"
    window = f"Gaussian {SSIM_SIDE}x{SSIM_SIDE}, sigma {SSIM_SIGMA_PX}"
    warp, change = WarpError(), Change()
    made: dict[str, list[Meter]] = {
        "psnr": [
            FrameMeter("psnr", "dB", f"mean of the frames, 8-bit RGB, peak 255, float64, {where}", _psnr),
            PooledPsnr(),
        ],
        "ssim": [
            FrameMeter("ssim", "", f"{window} inside the picture, mean of R, G, B, no downsampling, {where}", _ssim)
        ],
        "flicker": [
            FrameMeter("flicker", "levels", f"change from frame to frame beside the true one's, {where}", change)
        ],
        "seam": [
            FrameMeter("seam", "levels", "gradient above the true one within 3 pixels of the mask's outline", _seam)
        ],
        "warp": [
            FrameMeter(
                "warp", "", f"mean square, levels 0 to 1, DIS flow, consistency check, {where}",
                lambda sight: warp.add(sight.got, sight.got if sight.want is None else sight.want, sight.mask),
            )
        ],
    }  # fmt: skip
    return [meter for name in names for meter in made[name]]


def mask_meters() -> list[Meter]:
    """Make the meters of masks: J, F and their mean."""
    rule = "DAVIS, mean of all frames"

    def both(sight: Sight) -> float:
        return (_j(sight) + _f(sight)) / 2

    return [
        FrameMeter("J", "", f"region, intersection over union; {rule}", _j),
        FrameMeter("F", "", f"boundary within 0.8 % of the diagonal; {rule}", _f),
        FrameMeter("J&F", "", "mean of J and F", both),
    ]


def lpips_meter(network: str, distance: Callable[[NDArray, NDArray], float]) -> Meter:
    """Make the meter of LPIPS: `distance` takes two (H, W, 3) uint8 pictures."""
    about = f"version 0.1, {network}, whole frames at their own size"

    def measure(sight: Sight) -> float:
        assert sight.want is not None
        return distance(sight.got, sight.want)

    return FrameMeter("lpips", "", about, measure)


def likeness_meter(network: str, likeness: Callable[[NDArray], float]) -> Meter:
    """Make the meter of identity similarity: `likeness` takes a (H, W, 4) uint8 figure on nothing."""

    def measure(sight: Sight) -> float:
        height, width = sight.got.shape[:2]
        mask = np.ones((height, width), bool) if sight.mask is None else sight.mask
        if not mask.any():
            return float("nan")
        return likeness(cv2.merge([*cv2.split(sight.got), mask.astype(np.uint8) * 255]))

    about = f"CLIP-I: cosine of image embeddings of {network}, figure cut out on white"
    return FrameMeter("identity", "", about, measure)


def _psnr(sight: Sight) -> float:
    assert sight.want is not None
    return psnr_db(sight.got, sight.want, sight.mask)


def _ssim(sight: Sight) -> float:
    assert sight.want is not None
    return ssim(sight.got, sight.want, sight.mask)


def _seam(sight: Sight) -> float:
    assert sight.want is not None and sight.mask is not None
    return seam_energy(sight.got, sight.want, sight.mask)


def _j(sight: Sight) -> float:
    assert sight.want is not None
    return region_similarity(sight.got, sight.want)


def _f(sight: Sight) -> float:
    assert sight.want is not None
    return boundary_accuracy(sight.got, sight.want)
