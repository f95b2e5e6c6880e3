"""What a homography cannot say: small local shifts between pictures of one place."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.layers.membrane import extrapolate
from engine.layers.scene.detail import Sample
from engine.layers.scene.median import masked_median
from engine.layers.scene.warp import warp_picture
from engine.types import Size

_NOISE_FLOW_PX = 0.4
"""Flow between two noisy pictures of one place is up to 0.3 pixels."""
_MAX_FLOW_PX = 6.0
"""Local alignment corrects at most this much; more is a thing that moves."""


def align(samples: Sequence[Sample], size: Size) -> tuple[list[NDArray | None], float]:
    """Find what a homography cannot: small local shifts (parallax, rolling shutter) between samples and their median.

    Args:
        samples: what the mosaic is made from.
        size: of the mosaic.

    Returns:
        Per sample (h/2, w/2, 2) float32: mosaic pixels to add before the matrix is applied; smooth, at most 6 pixels.
        All None where the shifts are no more than what noise makes: then a homography alone is sharper. And how large
        a sample's largest shifts are, pixels.

    Source: dense inverse search flow, Kroeger et al. 2016.
    """
    half = np.diag([2.0, 2.0, 1.0])
    small = (max(16, size[0] // 2), max(16, size[1] // 2))
    warped = [warp_picture(rgb, visible, matrix @ half, small) for rgb, visible, matrix in samples]
    middle = cv2.cvtColor(masked_median([a for a, _ in warped], [b for _, b in warped]), cv2.COLOR_RGB2GRAY)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flows: list[NDArray | None] = []
    for rgb, visible in warped:
        gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        gray = np.where(visible > 0, gray, middle)
        flow = 2 * dis.calc(middle, gray, None)  # type: ignore[call-overload]
        flows.append(smooth_flow(flow, visible))
    sizes = [float(np.quantile(np.abs(flow), 0.95)) for flow in flows if flow is not None]
    off_px = float(np.median(sizes)) if sizes else _MAX_FLOW_PX
    return ([None] * len(flows) if off_px < _NOISE_FLOW_PX else flows), off_px


def smooth_flow(flow: NDArray, visible: NDArray) -> NDArray:
    """Keep of a flow field what is small, seen and shared by a neighbourhood, continued smoothly over the rest.

    Args:
        flow: (h, w, 2) float32, full-size pixels.
        visible: (h, w) uint8, 0 where the flow means nothing.
    """
    weight = ((visible > 0) & (np.abs(flow).max(2) < _MAX_FLOW_PX)).astype(np.float32)
    size = (max(2, flow.shape[1] // 4), max(2, flow.shape[0] // 4))
    share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    value = cv2.resize(flow * weight[..., None], size, interpolation=cv2.INTER_AREA)
    value = value / np.maximum(share, 1e-6)[..., None]
    smooth = extrapolate(value, 0.3 * np.where(share > 0.3, share, 0).astype(np.float32))
    return cv2.resize(smooth, flow.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def keep_shifts(flows: Sequence[NDArray]) -> NDArray:
    """The flows of samples, four times smaller, to be kept with the mosaic: (S, h / 8, w / 8, 2) float16."""
    size = (max(2, flows[0].shape[1] // 4), max(2, flows[0].shape[0] // 4))
    return np.stack([cv2.resize(flow, size, interpolation=cv2.INTER_AREA) for flow in flows]).astype(np.float16)


def shift_at(shifts: NDArray, frames: NDArray, frame: int) -> NDArray:
    """The shift of a frame between samples, (h / 8, w / 8, 2) float32; of the nearest sample, before and after all.

    Args:
        shifts: of `keep_shifts`.
        frames: (S,) int: the samples' frames, in order.
        frame: whose.
    """
    at = float(np.interp(frame, frames, np.arange(len(frames))))
    low, share = int(at), at - int(at)
    high = min(low + 1, len(frames) - 1)
    return cv2.addWeighted(shifts[low].astype(np.float32), 1 - share, shifts[high].astype(np.float32), share, 0)
