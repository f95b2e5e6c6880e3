from dataclasses import replace

import numpy as np
import pytest

from engine.errors import InputError
from engine.people import choose_person
from engine.types import Tracks

SIZE = (240, 320)


@pytest.fixture(scope="module")
def people(found):
    left = np.tile(np.array([10, 10, 60, 200], np.float32), (24, 1))
    right = np.tile(np.array([200, 60, 240, 200], np.float32), (24, 1))
    ones = np.ones(24, np.float32)
    return [replace(found[0], tracks=Tracks(box, ones)) for box in (left, right)]


def test_the_most_important_by_default(people):
    assert choose_person(people, SIZE) == 0


def test_by_number_from_one(people):
    assert choose_person(people, SIZE, person=2) == 1


@pytest.mark.parametrize(("point", "want"), [((30.0, 100.0), 0), ((220.0, 190.0), 1), ((246.0, 100.0), 1)])
def test_by_point(people, point, want):
    assert choose_person(people, SIZE, point_px=point) == want


@pytest.mark.parametrize("options", [{"person": 3}, {"person": 0}, {"point_px": (500, 10)}, {"point_px": (319, 5)}])
def test_what_is_not_there_is_refused(people, options):
    with pytest.raises(InputError) as caught:
        choose_person(people, SIZE, **options)
    assert caught.value.fix


def test_nobody_is_said_plainly():
    with pytest.raises(InputError, match="no person found"):
        choose_person([], SIZE)
