"""The normal equations of a fit over time: a block for every frame, coupled to the next frame and the one after.

Shapes: T frames, R residuals of a frame, C unknowns of a frame. The arithmetic is torch's, on the CPU.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


class NormalEquations:
    """Sums of squared residuals r + J x, to be solved for the x (T, C) that makes the sum least."""

    def __init__(self, num_frames: int, num_unknowns: int, *, exact: bool = False) -> None:
        """Make equations without a residual; `exact` reckons in float64, else float32, in half the time."""
        self._dtype = np.float64 if exact else np.float32
        self._gradient = self._zeros(num_frames, num_unknowns)
        self._blocks = [self._zeros(max(0, num_frames - k), num_unknowns, num_unknowns) for k in range(3)]

    def add(self, residual: NDArray, slope: NDArray) -> None:
        """Residuals of single frames: (T, R) and (T, R, C), in units of their deviation."""
        slopes = self._tensor(slope)
        self._blocks[0].baddbmm_(slopes.mT, slopes)
        self._gradient += (slopes.mT @ self._tensor(residual)[..., None])[..., 0]

    def add_diagonal(self, residual: NDArray, stiffness: NDArray) -> None:
        """Residuals that are unknowns themselves, times a constant: both (T, C)."""
        self._blocks[0].diagonal(dim1=1, dim2=2).add_(self._tensor(np.square(stiffness)))
        self._gradient += self._tensor(residual * stiffness)

    def add_over_time(self, residual: NDArray, slope: NDArray, shares: NDArray) -> None:
        """Residuals that combine neighbouring frames with fixed shares.

        Args:
            residual: (T - K + 1, R).
            slope: (T, R, C) float32: of what is combined, in each frame.
            shares: (T - K + 1, K), K 2 or 3: residual n combines frames n ... n + K - 1. Shares may be zero.
        """
        span, count = shares.shape[1], len(residual)
        slopes = self._tensor(slope)
        for k in range(span):
            weighted = self._tensor(residual * shares[:, k, None])
            self._gradient[k : k + count] += (slopes[k : k + count].mT @ weighted[..., None])[..., 0]
        for gap in range(span):
            product = slopes[gap:].mT @ slopes[: len(slopes) - gap]  # the later frame's unknowns are the rows
            weight = np.zeros(len(product))
            for k in range(span - gap):
                weight[k : k + count] += shares[:, k] * shares[:, k + gap]
            self._blocks[gap].addcmul_(product, self._tensor(weight)[:, None, None])

    def add_steps(self, residual: NDArray, stiffness: NDArray) -> None:
        """Residuals that are steps of unknowns from frame to frame, times a constant: both (T - 1, C)."""
        square = self._tensor(np.square(stiffness))
        for frames in (slice(0, -1), slice(1, None)):
            self._blocks[0][frames].diagonal(dim1=1, dim2=2).add_(square)
        self._blocks[1].diagonal(dim1=1, dim2=2).sub_(square)
        pull = self._tensor(residual * stiffness)
        self._gradient[1:] += pull
        self._gradient[:-1] -= pull

    def solve(self, damping: float) -> NDArray:
        """The change (T, C) float64 that makes the sum least.

        Args:
            damping: added to the diagonal, so that what nothing speaks about stays.

        Source: Gauss-Newton; Cholesky by blocks of a band of three blocks (Golub & Van Loan, "Matrix Computations",
        4.3).
        """
        import torch

        self._blocks[0].diagonal(dim1=1, dim2=2).add_(damping)
        diagonal, one_back, two_back = self._blocks  # what frame t shares with itself, t - 1 and t - 2
        factors: list[Tensor] = []
        below: list[tuple[Tensor, Tensor]] = []  # of each frame: its factor's blocks under the frames one and two back
        forward: list[Tensor] = []
        size = diagonal.shape[1]
        none = self._zeros(size, size)
        for t in range(len(diagonal)):
            far = _divided(two_back[t - 2], factors[t - 2]) if t > 1 else none
            near = _divided(one_back[t - 1] - far @ below[t - 1][0].mT, factors[t - 1]) if t > 0 else none
            factors.append(torch.linalg.cholesky(diagonal[t] - near @ near.mT - far @ far.mT))
            below.append((near, far))
            right = -self._gradient[t]
            if t > 0:
                right = right - near @ forward[t - 1]
            if t > 1:
                right = right - far @ forward[t - 2]
            forward.append(torch.linalg.solve_triangular(factors[t], right[:, None], upper=False)[:, 0])
        change = torch.zeros_like(self._gradient)
        for t in reversed(range(len(diagonal))):
            right = forward[t]
            if t + 1 < len(diagonal):
                right = right - below[t + 1][0].mT @ change[t + 1]
            if t + 2 < len(diagonal):
                right = right - below[t + 2][1].mT @ change[t + 2]
            change[t] = torch.linalg.solve_triangular(factors[t].mT, right[:, None], upper=True)[:, 0]
        return change.numpy().astype(np.float64)

    def _zeros(self, *shape: int) -> "Tensor":
        return self._tensor(np.zeros(shape))

    def _tensor(self, array: NDArray) -> "Tensor":
        import torch

        return torch.from_numpy(np.ascontiguousarray(array, self._dtype))


def _divided(block: "Tensor", factor: "Tensor") -> "Tensor":
    """block @ inverse(factor.T) for a lower triangular factor."""
    import torch

    return torch.linalg.solve_triangular(factor.mT, block, upper=True, left=False)
