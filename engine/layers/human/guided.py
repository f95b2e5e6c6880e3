"""The guided filter: smoothing that stops at the edges of a picture (He, Sun, Tang 2013)."""

import cv2
import numpy as np
from numpy.typing import NDArray


class GuidedFilter:
    """The filter for one colour picture; what depends on the picture alone is worked out once."""

    def __init__(self, rgb: NDArray, *, radius: int, eps: float, step: int = 1) -> None:
        """Prepare the filter.

        Args:
            rgb: (h, w, 3) uint8.
            radius: of the window, pixels.
            eps: variance of colour (0 ... 1 per channel) below which the picture counts as flat.
            step: the coefficients are worked out on a copy so many times smaller (He, Sun 2015).
        """
        self._whole = self._planes = split_01(rgb)
        self._size = (max(1, rgb.shape[1] // step), max(1, rgb.shape[0] // step))
        if step > 1:
            self._planes = [self._reduce(plane) for plane in self._whole]
        self._window = (2 * (radius // step) + 1,) * 2
        self._means = [self._mean(plane) for plane in self._planes]
        (r, g, b), (mr, mg, mb) = self._planes, self._means
        rr, gg, bb = self._mean(r * r) - mr * mr + eps, self._mean(g * g) - mg * mg + eps, self._mean(b * b) - mb * mb
        rg, rb, gb = self._mean(r * g) - mr * mg, self._mean(r * b) - mr * mb, self._mean(g * b) - mg * mb
        bb += eps
        c00, c01, c02 = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
        c11, c12, c22 = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
        det = np.maximum(rr * c00 + rg * c01 + rb * c02, 1e-12)
        self._inverse = [[c00 / det, c01 / det, c02 / det], [c01 / det, c11 / det, c12 / det]]
        self._inverse.append([c02 / det, c12 / det, c22 / det])

    def _mean(self, plane: NDArray) -> NDArray:
        return cv2.blur(plane, self._window, borderType=cv2.BORDER_REFLECT)

    def _reduce(self, plane: NDArray) -> NDArray:
        return cv2.resize(plane, self._size, interpolation=cv2.INTER_AREA)

    def coefficients(self, values: NDArray) -> list[NDArray]:
        """Four float32 planes, `step` times smaller than the picture: what red, green, blue and one are multiplied with
        to give the smoothed values.

        Args:
            values: (h, w) float32.
        """
        if self._whole is not self._planes:
            values = self._reduce(values)
        level = self._mean(values)
        cov = [self._mean(plane * values) - mean * level for plane, mean in zip(self._planes, self._means)]
        slopes = [sum(c * k for c, k in zip(cov, row)) for row in self._inverse]
        offset = level - sum(slope * mean for slope, mean in zip(slopes, self._means))
        return [self._mean(np.asarray(each)) for each in (*slopes, offset)]

    def smooth(self, values: NDArray) -> NDArray:
        """(h, w) float32: the values, smoothed.

        Args:
            values: (h, w) float32.
        """
        found = self.coefficients(values)
        if self._whole is not self._planes:
            found = [cv2.resize(plane, values.shape[::-1], interpolation=cv2.INTER_LINEAR) for plane in found]
        return apply(self._whole, found)


def split_01(rgb: NDArray) -> list[NDArray]:
    """The planes (h, w) float32, 0 ... 1, of a picture (h, w, 3) uint8."""
    return [plane.astype(np.float32) * np.float32(1 / 255) for plane in cv2.split(rgb)]


def apply(planes: list[NDArray], coefficients: list[NDArray]) -> NDArray:
    """Use the coefficients on the three planes (0 ... 1) of a picture of their size.

    Args:
        planes: three (h, w) float32.
        coefficients: from `GuidedFilter.coefficients`, possibly enlarged (He, Sun 2015: the fast guided filter).
    """
    out = coefficients[3].copy()
    for plane, slope in zip(planes, coefficients):
        cv2.add(out, cv2.multiply(plane, slope), dst=out)
    return out
