"""Facts about the SMPL family that need no licensed file: its rest skeleton and the layout of its pose vectors."""

import numpy as np
from numpy.typing import NDArray

from engine.types import BODY_JOINTS, JOINT_PARENTS

# Each joint relative to its parent, SMPL's neutral template (betas zero), metres; the first row is where the
# template has its pelvis. Published with several pose estimators, e.g. HybrIK.
_BONES_M = (
    (-0.0018, -0.2233, 0.0282), (0.0695, -0.0914, -0.0068), (-0.0677, -0.0905, -0.0043), (-0.0025, 0.1090, -0.0267),
    (0.0343, -0.3752, -0.0045), (-0.0383, -0.3826, -0.0089), (0.0055, 0.1352, 0.0011), (-0.0136, -0.3980, -0.0437),
    (0.0158, -0.3984, -0.0423), (0.0015, 0.0529, 0.0254), (0.0264, -0.0558, 0.1193), (-0.0254, -0.0481, 0.1233),
    (-0.0028, 0.2139, -0.0429), (0.0788, 0.1217, -0.0341), (-0.0818, 0.1188, -0.0386), (0.0052, 0.0650, 0.0513),
    (0.0910, 0.0305, -0.0089), (-0.0960, 0.0326, -0.0091), (0.2596, -0.0128, -0.0275), (-0.2537, -0.0133, -0.0214),
    (0.2492, 0.0090, -0.0012), (-0.2553, 0.0078, -0.0056),
)  # fmt: skip

PELVIS_M: tuple[float, float, float] = _BONES_M[0]
"""Where SMPL's neutral template has its pelvis; a published translation is counted from the template's origin."""
SOLE_M = 1.175
"""How far below the template's origin its soles are."""


def smpl_rest() -> NDArray:
    """SMPL's neutral rest joints, (22, 3) float64, metres, in the order of `BODY_JOINTS`, soles on y = 0."""
    joints = np.array(_BONES_M)
    for j in range(1, len(BODY_JOINTS)):
        joints[j] += joints[JOINT_PARENTS[j]]
    return joints + np.array([0.0, SOLE_M, 0.0])
