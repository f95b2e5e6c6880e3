"""What a report finds worth a look: each thing is found where it was put, and nothing where nothing is."""

import numpy as np

from mimo_cli import slots
from mimo_cli.findings import Seen, drift_of, plots, warnings
from mimo_cli.plan import Step
from mimo_cli.stages import ANIMATE, COMPOSE

NUM = 60


def name(slot) -> str:
    return slot.stem


def good() -> Seen:
    wave = 1 + 0.1 * np.sin(np.arange(NUM) / 5)
    series = {
        "changed": np.full(NUM, 0.2, np.float32),
        "outside": np.zeros(NUM, np.float32),
        "flicker": (3 * wave).astype(np.float32),
        "flicker_source": (2 * wave).astype(np.float32),
        "color": np.tile(np.float32([120, 90, 60]), (NUM, 1)),
    }
    seen = Seen(num_frames=NUM, area=0.08 * wave, confidence=np.full(NUM, 0.95), slide_mm=2 * wave)
    seen.series = series
    return seen


def said(seen, steps=(), records=None, **more):
    return warnings(seen, steps, records or {}, name, "cat", "my game.mimo", **more)


def test_a_good_clip_is_left_in_peace():
    assert said(good()) == []
    assert [plot.title for plot in plots(good())] == [
        "Mask area", "Confidence", "Changed outside the edit", "Changed pixels", "Flicker", "Foot slide", "Drift"
    ]  # fmt: skip


def test_each_fault_is_found_in_its_frame_with_the_file_to_edit():
    faults = {
        "area": (31, lambda seen: seen.area.__setitem__(31, 0.02), "less than around it in frame 31", "human.mask"),
        "guess": (20, lambda seen: seen.confidence.__setitem__(slice(18, 23), [0.4, 0.4, 0.2, 0.4, 0.4]),
                  "guess in frames 18 to 22", "motion/body"),
        "nobody": (40, lambda seen: seen.confidence.__setitem__(slice(40, 50), 0), "in frames 40 to 49", "human.mask"),
        "slide": (12, lambda seen: seen.slide_mm.__setitem__(12, 44), "slides 44 mm", "motion/body"),
        "flicker": (50, lambda seen: seen.series["flicker"].__setitem__(50, 30), "jumps in frame 50", "human.mask"),
        "outside": (7, lambda seen: seen.series["outside"].__setitem__(7, 1e-5), "bug of mimo", ""),
    }  # fmt: skip
    for fault, (frame, spoil, words, file) in faults.items():
        seen = good()
        spoil(seen)
        (found,) = said(seen)
        assert (found.frame, words in found.text, found.file.endswith(file)) == (frame, True, True), (fault, found)


def test_only_the_longest_few_of_a_kind():
    seen = good()
    for start, length in ((2, 1), (8, 4), (20, 2), (30, 5), (45, 3)):
        seen.confidence[start : start + length] = 0.1
    assert [warning.frame for warning in said(seen)] == [8, 30, 45]


def test_states_of_the_project_come_first():
    compose, animate = COMPOSE.bind("cat"), ANIMATE.bind("cat")
    edited = ("layers/scene.mkv is yours and older than its inputs; delete it to have it made again",)
    steps = [Step(animate, "fresh", (), edited), Step(compose, "run", ("layers/scene is yours",))]
    records = {
        "compose@cat": {"weights": {}},
        "animate@cat": {"weights": {"mimo": "0" * 64}},
        "joints@cat": {"facts": {"confidence": 0.31}},
    }
    texts = [(warning.text, warning.file, warning.command) for warning in said(good(), steps, records)]
    assert texts[0][1] == "layers/scene.mkv" and texts[0][0].startswith("Layers/scene.mkv is yours")
    assert (
        "older than what it is made from" in texts[1][0]
        and texts[1][2] == "mimo swap --project 'my game.mimo' --character cat"
    )
    assert "a guess (confidence 0.31)" in texts[2][0] and texts[2][1] == slots.JOINTS.stem
    assert texts[2][2] == "mimo edit 'my game.mimo' joints --character cat"
    assert "not for commercial use" in texts[3][0] and "animate@cat used it" in texts[3][0]


def test_drift_by_hand():
    seen = good()
    seen.series["color"][30:, 0] += 12
    seen.series["color"][40] = np.nan  # nobody there
    away = drift_of(seen)
    np.testing.assert_allclose(away[[0, 29, 30, 59]], [0, 0, 12, 12])
    assert np.isnan(away[40])
    assert said(seen) == []  # a puppet takes on the light of the scene
    (found,) = said(seen, network=True)
    assert found.frame == 30 and "drifts in frames 30 to 59 (by 12 levels)" in found.text and "--seed" in found.command
