"""The filters: each reason with frames made for it, and stretches that end where they should."""

import numpy as np
import pytest

from engine.synth.clip import LayerSource
from engine.training.curation import (
    CurationConfig,
    Observations,
    colours_of,
    judge,
    motion_of,
    sharpness_of,
    text_over_person,
)
from engine.types import LANDMARKS, Landmarks, Tracks

CONFIG = CurationConfig(frames=10)
NUM_FRAMES = 40


def seen(**changes) -> Observations:
    """Forty frames of 640x480 that show a whole, sharp, waving person; then what the test changes."""
    box = np.tile(np.float32([250, 80, 390, 440]), (NUM_FRAMES, 1))
    points = np.tile(np.float32([320, 260]), (NUM_FRAMES, len(LANDMARKS), 1))
    points[:, LANDMARKS.index("nose"), 1] = 90
    points[:, LANDMARKS.index("left_ankle"), 1] = points[:, LANDMARKS.index("right_ankle"), 1] = 430
    points[:, LANDMARKS.index("left_wrist"), 0] += 120 * np.sin(np.arange(NUM_FRAMES))
    values = {
        "box": box,
        "points": points,
        "visibility": np.ones((NUM_FRAMES, len(LANDMARKS)), np.float32),
        "score": np.ones(NUM_FRAMES, np.float32),
        "sharpness": np.full(NUM_FRAMES, 40, np.float32),
        "difference": np.zeros(NUM_FRAMES, np.float32),
        "text": np.zeros(NUM_FRAMES, bool),
    }
    for name, change in changes.items():
        change(values[name])
    landmarks = Landmarks(
        values["points"], np.zeros((NUM_FRAMES, len(LANDMARKS), 3)), values["visibility"], values["score"]
    )
    tracks = Tracks(values["box"], values["score"])
    return Observations(tracks, landmarks, values["sharpness"], values["difference"], values["text"], 25.0, (480, 640))


def test_a_good_video_is_kept_whole():
    kept, dropped = judge(seen(), CONFIG)
    assert kept == [(0, 10), (10, 20), (20, 30), (30, 40)]
    assert not dropped


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"score": lambda a: a.__setitem__(slice(0, 12), 0)}, "no person"),
        ({"visibility": lambda a: a.__setitem__((slice(0, 12), LANDMARKS.index("left_ankle")), 0.1)}, "half a person"),
        ({"points": lambda a: a.__setitem__((slice(0, 12), LANDMARKS.index("nose"), 1), 1)}, "half a person"),
        ({"box": lambda a: a.__setitem__((slice(0, 12), 3), 120)}, "too small"),
        ({"sharpness": lambda a: a.__setitem__(slice(0, 12), 3)}, "low quality"),
        ({"text": lambda a: a.__setitem__(slice(0, 12), True)}, "text over the person"),
    ],
)
def test_bad_frames_are_dropped_with_their_reason(changes, reason):
    kept, dropped = judge(seen(**changes), CONFIG)
    assert kept == [(12, 22), (22, 32)]
    assert dropped == {reason: 12, "too short a stretch": 8}


def test_a_cut_ends_a_clip():
    kept, dropped = judge(seen(difference=lambda a: a.__setitem__(15, 0.9)), CONFIG)
    assert kept == [(0, 10), (15, 25), (25, 35)]
    assert dropped == {"too short a stretch": 10}


def test_standing_still_is_dropped():
    still = seen(points=lambda a: a.__setitem__(slice(None), a[0]))
    assert motion_of(still, slice(0, 10)) == 0
    kept, dropped = judge(still, CONFIG)
    assert kept == [] and dropped == {"too still": 40}


def test_walking_past_is_no_motion_of_the_body():
    """The whole figure slides through the picture: its limbs do not move."""

    def slide(points):
        points[:] = points[0] + 4 * np.arange(NUM_FRAMES)[:, None, None] * np.float32([1, 0])

    assert motion_of(seen(points=slide), slice(0, 10)) == pytest.approx(0, abs=1e-5)


def test_blur_is_seen_at_any_size():
    import cv2

    rng = np.random.default_rng(0)
    rgb = cv2.resize(rng.integers(0, 255, (64, 64, 3), np.uint8), (256, 256), interpolation=cv2.INTER_CUBIC)
    mask = np.zeros((256, 256), np.uint8)
    mask[20:236, 60:200] = 255
    sharp = sharpness_of(rgb, mask)
    assert sharp > CONFIG.min_sharpness > sharpness_of(cv2.GaussianBlur(rgb, (0, 0), 8), mask)
    twice = sharpness_of(cv2.resize(rgb, (512, 512)), cv2.resize(mask, (512, 512)))
    assert twice == pytest.approx(sharp, rel=0.15)  # two ways of scaling
    assert sharpness_of(rgb, np.zeros_like(mask)) == 0


def test_colours_of_one_place_are_alike():
    rng = np.random.default_rng(1)
    one = rng.integers(0, 120, (90, 160, 3), np.uint8)
    moved, other = np.roll(one, 20, 1), 255 - one
    assert np.abs(colours_of(one) - colours_of(moved)).sum() / 2 < 0.05
    assert np.abs(colours_of(one) - colours_of(other)).sum() / 2 > CONFIG.max_difference


@pytest.mark.parametrize("over", [True, False])
def test_words_over_the_person_are_seen_and_a_sign_behind_is_not(over):
    """A figure of two bars walks through a line of words, which stands from frame 24 on."""
    import cv2

    size, num_frames = (360, 480), 72
    legs = {"left": 12, "right": -12}
    points = np.zeros((num_frames, len(LANDMARKS), 2), np.float32)
    for side, dx in legs.items():
        for name, y in (("shoulder", 90), ("hip", 190), ("knee", 250), ("ankle", 318), ("heel", 322)):
            points[:, LANDMARKS.index(f"{side}_{name}")] = [dx, y]
        points[:, LANDMARKS.index(f"{side}_foot_index")] = [dx, 326]
    points[..., 0] += 120 + 4 * np.arange(num_frames)[:, None]
    landmarks = Landmarks(
        points, np.zeros((num_frames, len(LANDMARKS), 3)), np.ones((num_frames, len(LANDMARKS))), np.ones(num_frames)
    )

    blocks = np.random.default_rng(4).uniform(60, 180, (24, 32, 3)).astype(np.uint8)
    wall = cv2.resize(blocks, size[::-1], interpolation=cv2.INTER_LINEAR)

    def draw(idx):
        picture = wall.copy()

        def write():
            for colour, thick in (((255, 255, 255), 9), ((200, 20, 150), 2)) if idx >= 24 else ():
                cv2.putText(picture, "words on top", (8, 300), cv2.FONT_HERSHEY_SIMPLEX, 1.9, colour, thick)

        if not over:
            write()
        for side in legs:
            at = points[idx, [LANDMARKS.index(f"{side}_{name}") for name in ("shoulder", "ankle")]].astype(int)
            cv2.line(picture, at[0].tolist(), at[1].tolist(), (70, 90, 60), 13)
        if over:
            write()
        return picture

    found = text_over_person(LayerSource(num_frames, size, draw), landmarks)
    assert found[24:].all() if over else not found.any()
    assert not found[:13].any()  # looked at every twelfth frame: the first eleven before the words may count as well
