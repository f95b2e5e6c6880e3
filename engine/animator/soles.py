"""What a puppet stands on."""

import numpy as np
from numpy.typing import NDArray

from engine.animator.skinning import Skin, pose_points
from engine.types import Puppet

SINK_SHARE = 0.015
"""Heels and tips of shoes may go this share of the figure's height below the ground while a foot rolls over it: its
joints are then as high as the source's, and the body does not bob for the length of its shoes."""


class Soles:
    """Finds how low a posed puppet reaches.

    Args:
        puppet: the character.
        skin: of `make_skin`, metres.
        height_m: metres per figure height.
        standing: (3, V) vertices and (K, 3) joints in the T-pose, figure heights.
        extremes: (E,) vertices that can be the lowest in some pose.
    """

    def __init__(
        self, puppet: Puppet, skin: Skin, height_m: float, standing: tuple[NDArray, NDArray], extremes: NDArray
    ) -> None:
        self._skin, self._sink_m = skin.subset(extremes), SINK_SHARE * height_m
        vertices, joints = standing
        index = {name: k for k, name in enumerate(puppet.joint_names)}
        on_feet = np.zeros(len(puppet.vertices), bool)
        feet, above = [], []
        for side in ("left", "right"):
            own = [index[name] for name in (f"{side}_ankle", f"{side}_foot") if name in index]
            foot = puppet.weights[:, own].sum(1) > 0.5
            if not foot.any():
                continue
            on_feet |= foot
            feet += own
            above += [(joints[k, 1] - vertices[1, foot].min()) * height_m for k in own]
        self._feet, self._above = feet, np.array(above)
        self._on_feet = on_feet[extremes]

    def lowest(self, joints_m: NDArray, transforms: NDArray) -> NDArray:
        """Where the ground would be under a puppet in the air.

        Args:
            joints_m: (T, K, 3) metres; transforms: (T, K, 8) of `dual_quaternions`.

        Returns:
            (T,) metres: y of the lowest sole as it is under ankles and toes, or of what else reaches lower.
        """
        found, feet = np.empty(len(transforms)), np.empty(len(transforms))
        for t, frame in enumerate(transforms):
            y = pose_points(self._skin, frame)[1]
            found[t] = y[~self._on_feet].min(initial=np.inf)
            feet[t] = y[self._on_feet].min(initial=np.inf)
        if self._feet:
            soles = (joints_m[:, self._feet, 1] - self._above).min(1)
            found = np.minimum(found, np.clip(soles, feet, feet + self._sink_m))
        return found
