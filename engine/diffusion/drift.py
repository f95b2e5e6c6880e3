"""Colours over long clips: each window begins where the last one ended, hence small shifts would add up.

The figure's mean latent in the first window, which only knows the reference picture, is the anchor. What later windows
are away from it *in the long run* is taken off; what comes and goes (a turned back, a raised arm) stays.
"""

# Shapes: B batch (always 1), C channels, T frames, H W latent size.

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MEMORY = 8
"""Windows over which a deviation has to last to count as drift."""


@dataclass
class ColorAnchor:
    """Keeps the figure's colours where the reference put them."""

    anchor: list[float] = field(default_factory=list)
    """Mean latent of the figure in the first window, per channel; empty before it."""
    slow: list[float] = field(default_factory=list)
    """The lasting part of the deviation, per channel."""

    def pull(self, latents_BCTHW: Tensor, figure_THW: Tensor) -> Tensor:
        """Take the lasting deviation off the figure of a window.

        Args:
            latents_BCTHW: the window's new frames.
            figure_THW: 0 ... 1, where the figure is.

        Returns:
            Latents of the same shape; the very same before there is anything to take off.
        """
        weight = figure_THW.sum()
        if weight < 1:
            return latents_BCTHW
        mean_C = (latents_BCTHW.float() * figure_THW).sum(dim=(0, 2, 3, 4)) / weight
        if not self.anchor:
            self.anchor, self.slow = mean_C.tolist(), [0.0] * len(mean_C)
            return latents_BCTHW
        away_C = mean_C - torch.tensor(self.anchor, device=mean_C.device)
        slow_C = torch.tensor(self.slow, device=mean_C.device)
        slow_C = slow_C + (away_C - slow_C) / MEMORY
        self.slow = slow_C.tolist()
        shift = slow_C[None, :, None, None, None] * figure_THW
        return latents_BCTHW - shift.to(latents_BCTHW.dtype)


@dataclass
class DriftMeter:
    """Measures how the figure's colour moves over a clip."""

    time_s: list[float] = field(default_factory=list)
    rgb: list[list[float]] = field(default_factory=list)

    def add(self, time_s: float, rgb: NDArray, alpha: NDArray) -> None:
        """Note a frame.

        Args:
            time_s: when.
            rgb: (H, W, 3) uint8.
            alpha: (H, W) uint8, where the figure is.
        """
        weight = alpha.astype(np.float64)
        if weight.sum() >= 255:
            self.time_s.append(time_s)
            self.rgb.append(((rgb * weight[..., None]).sum(axis=(0, 1)) / weight.sum()).tolist())

    def per_minute(self) -> float | None:
        """Levels of 0 ... 255 by which the channel that moves most moves in a minute; None for under two seconds.

        The slope of a straight line through all frames, so that what comes and goes counts little.
        """
        if len(self.time_s) < 3 or self.time_s[-1] - self.time_s[0] < 2:
            return None
        minutes = np.array(self.time_s) / 60
        slopes = np.polyfit(minutes - minutes.mean(), np.array(self.rgb), 1)[0]
        return float(np.abs(slopes).max())
