"""Fingers that a picture shows and its skeleton names."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from engine.types import HAND_JOINTS, JOINTS

_IDX = {name: idx for idx, name in enumerate(JOINTS)}
_FROM_THUMB = ("index", "middle", "ring", "pinky")


def finger_rotations(
    side: str,
    wanted: Iterable[str],
    picture: dict[str, NDArray],
    hand: NDArray,
    bend: NDArray,
    rotations: NDArray,
) -> dict[str, NDArray]:
    """Bend the fingers of one hand as the source's bend against its wrist.

    In the T-pose a palm looks down; fingers that can be told apart in a picture lie side by side in its plane, so the
    drawn hand is rolled about its forearm until its thumb is where the picture has it: up, where the picture does not
    say, with the palm towards the viewer.

    Args:
        side: "left" or "right".
        wanted: names of joints; those that are no finger of that hand are left out.
        picture: (3,) joints of the puppet by name.
        hand: (T, 3, 3) rotation of the wrist, from the T-pose.
        bend: (3, 3) rotation of the drawn forearm into the T-pose.
        rotations: (T, 52, 3, 3) of the source, from the T-pose.

    Returns:
        (T, 3, 3) by joint name: rotations from the picture's pose.
    """
    names = [name for name in HAND_JOINTS if name in set(wanted) and name.startswith(side)]
    if not names:
        return {}
    thumb_up = 1.0 if (bend @ _to_thumb(side, picture))[1] >= 0 else -1.0
    roll = np.array([[1.0, 0, 0], [0, 0, thumb_up], [0, -thumb_up, 0]])  # z, where the thumb is at rest, becomes +-y
    back = np.swapaxes(rotations[:, _IDX[f"{side}_wrist"]], -1, -2)
    return {name: hand @ roll @ back @ rotations[:, _IDX[name]] @ roll.T @ bend for name in names}


def _to_thumb(side: str, picture: dict[str, NDArray]) -> NDArray:
    """(3,) from the little finger's side of a drawn hand to its thumb's; zero where too few fingers are named."""
    there = [f"{side}_{finger}1" for finger in _FROM_THUMB if f"{side}_{finger}1" in picture]
    thumb = f"{side}_thumb1"
    if thumb in picture and there:
        return picture[thumb] - np.mean([picture[name] for name in there], axis=0)
    return picture[there[0]] - picture[there[-1]] if len(there) > 1 else np.zeros(3)
