"""The person's shadow goes away with them, even from ground that lies in it most of the time; nobody else's legs do."""

import cv2
import numpy as np
import pytest

from engine.layers.scene.scene import complete_scene
from engine.layers.scene.shadow import find_shadow, lightest, reached
from engine.layers.scene.sun import Bystanders, find_sun
from engine.types import ArraySource, BackgroundMotion, Landmarks

SIZE, NUM = (200, 560), 40
FEET = 170
LEG = slice(156, 172)
"""Columns of somebody else's legs, on which the shadow ends."""


@pytest.fixture(scope="module")
def street():
    """A person with a long shadow, who stands still and takes a step aside only once; it ends on a bystander, whose own
    shadow begins there, and is shorter later.

    Returns frames, masks, what each frame would be without the person, and how often each column is in their shadow.
    """
    rng = np.random.default_rng(0)
    ground = rng.uniform(110, 170, (20, 56, 3)).astype(np.float32)
    ground = cv2.resize(ground, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    ground[140:146] += 40  # a line on the ground, through the shadow
    ground[80 : FEET + 4, LEG] = 25, 25, 30
    frames, masks, places, dark = [], [], [], np.zeros(SIZE[1])
    for t in range(NUM):
        x = 280 + t % 5 + (200 if t >= 32 else 0)
        shade, theirs = np.zeros((2, *SIZE), np.float32)
        cv2.ellipse(shade, (x - 60, FEET - 10), (60, 11), 5, 0, 360, 0.5, -1)
        reach = 60 if t < 20 else 45
        cv2.ellipse(theirs, (LEG.start - reach, FEET - reach // 6), (reach, 11), 5, 0, 360, 0.5, -1)
        shade, theirs = (cv2.GaussianBlur(each, (0, 0), 2) for each in (shade, theirs))
        shade[:, LEG] = theirs[:, LEG] = 0
        place = ground * (1 - theirs[..., None])
        mask = np.zeros(SIZE, np.uint8)
        cv2.rectangle(mask, (x - 12, 50), (x + 12, FEET), 255, -1)
        frame = ground * (1 - np.maximum(shade, theirs)[..., None])
        frame[mask > 0] = 30, 60, 160
        frames.append(np.clip(frame + rng.normal(0, 1.5, frame.shape), 0, 255).astype(np.uint8))
        masks.append(mask)
        places.append(place.astype(np.uint8))
        dark += shade[FEET - 10] > 0.2
    return np.array(frames), np.array(masks), places, dark / NUM


def bystander() -> Landmarks:
    points = np.zeros((NUM, 33, 2), np.float32)
    points[:] = (LEG.start + LEG.stop) / 2, 60
    points[:, 23:27, 1], points[:, 27:, 1] = 110, FEET
    points[:, :11, 1] = 60
    return Landmarks(points, np.zeros((NUM, 33, 3), np.float32), np.ones((NUM, 33), np.float32), np.ones(NUM))


def test_a_shadow_goes_and_others_keep_their_legs_and_theirs(street, chunks):
    frames, masks, places, dark = street
    motion = BackgroundMotion(np.tile(np.eye(3), (NUM, 1, 1)), np.ones(NUM, np.float32))
    layers = complete_scene(ArraySource(frames), ArraySource(masks), motion, chunks=chunks, others=[bystander()])
    assert (dark > 0.7).sum() > 80  # a plain median would show the shadow there
    for layer, rgb, place in zip(layers, frames, places):
        alpha = layer[..., 3:] / np.float32(255)
        shown = layer[..., :3] * alpha + rgb * (1 - alpha)
        away = cv2.blur(np.abs(shown - place).mean(2), (5, 5))
        # Grain and what is added of it leave 2 levels; the shadow is 40 to 100 levels deep, half a per cent of it 1.
        assert away[130:190, LEG.stop + 8 :].max() < 8  # their legs are taken to be a little wider
        assert away[:, LEG.start + 3 : LEG.stop - 3].max() < 8
        assert away[130:190, : LEG.start - 8].max() < 8


def test_the_sun_tells_whose_a_shadow_is():
    lit = np.full((80, 160, 3), 200, np.uint8)
    picture, seen = lit.copy(), np.full((80, 160), 255, np.uint8)
    feet = np.array([[20, 60], [100, 60]], np.float32)
    for x, y in feet.astype(int).tolist():
        cv2.line(picture, (x, y), (x + 50, y - 10), (100, 100, 100), 7)
    sun = find_sun([picture], [seen], lit, [feet], 50)
    assert sun is not None
    assert abs(np.rad2deg(sun) - (360 - 11.3)) <= 4  # the shadow is seven pixels wide: two steps of 2 degrees
    assert find_sun([lit], [seen], lit, [feet], 50) is None
    shade, person = (picture[..., 0] < 150).astype(np.uint8), np.zeros((80, 160), np.uint8)
    person[20:61, 98:103] = 1
    theirs = Bystanders(feet[:1], sun).own(shade, person)
    # The tip of the first shadow is nearer to the person than to whom it belongs.
    np.testing.assert_array_equal(theirs, shade * (np.arange(160) < 85))
    assert (Bystanders(feet[:1], sun).own(shade, np.zeros_like(person)) == shade).all()  # nobody else is there
    assert Bystanders(feet[:1], None).own(shade, person)[50, 68] == 0


def test_a_shadow_goes_on_behind_others():
    place = np.full((60, 160, 3), 150, np.float32)
    frame, person, legs = place.astype(np.uint8), *np.zeros((2, 60, 160), np.uint8)
    frame[44:52, 30:130] = 80
    person[10:50, 20:32] = legs[10:56, 70:86] = 255
    frame[person > 0], frame[legs > 0] = (30, 60, 160), (25, 25, 30)
    given = frame, place, person, legs == 0, 1.0
    ends, goes_on = find_shadow(*given), find_shadow(*given, behind=legs)
    assert (ends[46:50, 40:66] > 0).all() and not ends[:, 92:].any()
    assert (goes_on[46:50, 92:126] > 0).all()
    assert not goes_on[:, 73:83].any()  # the blur of the edge is 2 pixels wide
    np.testing.assert_array_equal(reached(legs, ends), legs)
    assert not reached(legs, np.zeros_like(ends)).any()


def test_the_light_is_what_two_pictures_show_or_one_in_keeping_with_the_surroundings():
    pictures = [np.full((40, 40, 3), 60, np.uint8) for _ in range(5)]
    for lit in pictures[:2]:
        lit[:] = 120
    pictures[1][10:14, 10:14] = 60  # lit in one of five only
    pictures[2][20:30, 20:30] = 240  # a bright thing that passed
    light = lightest(pictures, [np.full((40, 40), 255, np.uint8)] * 5)
    np.testing.assert_array_equal(light, np.full((40, 40, 3), 120))
