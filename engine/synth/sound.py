"""The sound of the example: a marimba tune, the thud of a ball and birds behind the wall. All of it arithmetic."""

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 48_000
_BEAT_S = 0.31
_TUNE = (72, 76, 79, 76, 81, 79, 76, 72, 74, 77, 81, 77, 79, 76, 74, 71)
_BASS = (48, 55, 53, 55)


def make_sound(duration_s: float, touch_s: tuple[float, ...], seed: int = 0) -> NDArray:
    """A soundtrack.

    Args:
        duration_s: its length, seconds.
        touch_s: seconds at which the ball is kicked.
        seed: other birds.

    Returns:
        (N, 2) float32, -1 ... 1, at `RATE_HZ`; left and right.
    """
    num = round(duration_s * RATE_HZ)
    rng = np.random.default_rng([seed, 17])
    sound = np.zeros((num, 2))
    for count in range(int(duration_s / _BEAT_S) + 1):
        _add(sound, count * _BEAT_S, _marimba(_TUNE[count % len(_TUNE)]) * 0.16, 0.35 if count % 2 else 0.65)
        if count % 4 == 0:
            _add(sound, count * _BEAT_S, _marimba(_BASS[count // 4 % len(_BASS)]) * 0.26, 0.5)
    for at in touch_s:
        _add(sound, at, _thud(rng) * 0.55, 0.5)
    for at in np.sort(rng.uniform(0, max(duration_s - 0.4, 0.1), int(duration_s * 1.2))):
        _add(sound, float(at), _chirp(rng) * 0.035, float(rng.uniform(0.1, 0.9)))
    street = np.cumsum(rng.normal(0, 1, (num, 2)), 0)  # far away: noise without its high end
    street -= np.linspace(street[0], street[-1], num)
    sound += 0.010 * street / max(np.abs(street).max(), 1e-9)
    fade = np.minimum(np.arange(num), np.arange(num)[::-1]) / (0.08 * RATE_HZ)
    sound *= np.clip(fade, 0, 1)[:, None]
    return np.tanh(sound).astype(np.float32)


def _add(sound: NDArray, at_s: float, note: NDArray, pan: float) -> None:
    start = round(at_s * RATE_HZ)
    note = note[: max(len(sound) - start, 0)]
    sound[start : start + len(note)] += note[:, None] * np.array([np.cos(pan * np.pi / 2), np.sin(pan * np.pi / 2)])


def _marimba(pitch: int) -> NDArray:
    """A struck bar: its tone, and the fourth partial that dies first."""
    t = np.arange(int(0.9 * RATE_HZ)) / RATE_HZ
    tone = 440 * 2 ** ((pitch - 69) / 12)
    note = np.sin(2 * np.pi * tone * t) * np.exp(-t * 6) + 0.35 * np.sin(2 * np.pi * 3.93 * tone * t) * np.exp(-t * 22)
    return note * np.clip(t / 0.003, 0, 1)


def _thud(rng: np.random.Generator) -> NDArray:
    """Leather: a falling low tone and a short breath of noise."""
    t = np.arange(int(0.25 * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * (85 * t + 70 * (1 - np.exp(-t * 40)) / 40)
    slap = np.convolve(rng.normal(0, 1, len(t)), np.ones(24) / 24, mode="same") * np.exp(-t * 90)
    return (np.sin(phase) * np.exp(-t * 22) + 0.8 * slap) * np.clip(t / 0.001, 0, 1)


def _chirp(rng: np.random.Generator) -> NDArray:
    """A bird: two or three quick glides."""
    t = np.arange(int(0.09 * RATE_HZ)) / RATE_HZ
    low, rise = rng.uniform(2600, 3800), rng.uniform(6000, 14000)
    one = np.sin(2 * np.pi * (low * t + rise * t * t)) * np.sin(np.pi * t / t[-1]) ** 2
    return np.concatenate([one] * int(rng.integers(2, 4)))
