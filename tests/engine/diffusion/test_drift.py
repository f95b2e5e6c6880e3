"""Colours over long clips: what lasts is taken off, what comes and goes stays."""

import numpy as np
import torch

from engine.diffusion.drift import ColorAnchor, DriftMeter

FIGURE = torch.zeros(4, 8, 8)
FIGURE[:, 2:6, 2:6] = 1


def walk(*, anchor: bool, num_windows: int = 60, push: float = 0.02) -> list[float]:
    """A network that pushes every window's figure a little further from where the window before ended."""
    color, seen, held = 0.5, [], ColorAnchor()
    for _ in range(num_windows):
        latents = torch.zeros(1, 4, 4, 8, 8) + (color + push) * FIGURE
        latents = held.pull(latents, FIGURE) if anchor else latents
        color = float(latents[0, 0, 0, 3, 3])
        seen.append(color)
        assert not latents[..., 0, 0].any()  # around the figure nothing is touched
    return seen


def test_a_steady_push_does_not_add_up():
    free, held = walk(anchor=False), walk(anchor=True)
    assert abs(free[-1] - free[0]) > 1.1  # 59 pushes of 0.02
    assert max(abs(color - held[0]) for color in held) < 0.1  # 8 windows of memory times 0.02, less what is taken off
    assert abs(held[-1] - held[0]) < 0.02


def test_what_comes_and_goes_stays():
    held, turned = ColorAnchor(), []
    for window in range(40):
        latents = torch.zeros(1, 4, 4, 8, 8) + (1.0 if window % 2 else 0.0) * FIGURE
        turned.append(float(held.pull(latents, FIGURE)[0, 0, 0, 3, 3]))
    assert abs((turned[-1] - turned[-2]) - 1.0) < 0.2  # front and back are still as far apart


def test_drift_is_measured_in_levels_a_minute():
    meter, alpha = DriftMeter(), np.full((8, 8), 255, np.uint8)
    for idx in range(120):  # four seconds: red climbs three levels a second, green swings
        rgb = np.zeros((8, 8, 3), np.uint8)
        rgb[..., 0], rgb[..., 1] = 50 + idx // 10, 100 + 20 * (idx % 2)
        meter.add(idx / 30, rgb, alpha)
        meter.add(idx / 30, rgb, np.zeros_like(alpha))  # a frame without a figure does not count
    assert abs(meter.per_minute() - 180) < 5
    assert DriftMeter().per_minute() is None
