"""A synthetic footballer with known joints, found once for all tests of the room."""

import pytest

from engine.people import find_people
from engine.types import ArraySource, TempChunks


@pytest.fixture(scope="session")
def frames(walker_film):
    return walker_film[0]


@pytest.fixture(scope="session")
def found(frames):
    chunks = TempChunks()
    yield find_people(ArraySource(frames), chunks=chunks)
    chunks.close()


TRUE_JOINTS = {
    11: "left_shoulder", 12: "right_shoulder", 13: "left_elbow", 14: "right_elbow", 15: "left_wrist", 16: "right_wrist",
    25: "left_knee", 26: "right_knee", 27: "left_ankle", 28: "right_ankle",
}  # fmt: skip


@pytest.fixture(scope="session")
def true_joints():
    """Landmark: name of the body joint at (nearly) the same place."""
    return TRUE_JOINTS
