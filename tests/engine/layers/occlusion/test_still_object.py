import numpy as np

from engine.layers.occlusion.still_object import StillThing, Watch, draw_still
from engine.layers.occlusion.views import View


def test_a_frayed_body_leaves_the_sides_of_a_trunk_straight():
    """A leaning trunk whose right side the body's mask bites, ten rows at a time, by up to a quarter of its width."""
    rows, cols = np.arange(240), np.arange(160)
    left = 60 + rows // 12
    trunk = ((cols >= left[:, None]) & (cols < left[:, None] + 32)).astype(np.uint8) * 255
    reach = np.repeat(np.random.default_rng(0).integers(24, 33, 24), 10)
    reach[:80], reach[160:] = 99, 99
    human = (cols >= (left + reach)[:, None]).astype(np.uint8) * 255
    blank = np.zeros((240, 160), np.uint8)
    view = View(0, 0, np.zeros((240, 160, 3), np.uint8), np.full_like(blank, 200), human, blank, blank)
    drawn = draw_still(np.zeros_like(blank), StillThing(0, 0, trunk), np.eye(3), 1, view, 20.0, is_seen=True)
    width = (drawn > 127).sum(1)
    assert (np.abs(np.diff(width)) <= 1).all()  # a pixel from row to row; the bites jump by 8
    assert not ((drawn > 127) & (human > 0)).any()
    assert width.min() >= 23 and width.max() == 32  # it keeps three quarters, less the pixel that is cut through


def test_a_mask_that_closes_over_a_thin_trunk_leaves_it_whole():
    """A trunk that differs from the place, as it shifts against it, before a body whose mask does not know of it."""
    trunk = np.zeros((240, 160), np.uint8)
    trunk[:, 70:90] = 255
    human = np.zeros_like(trunk)
    human[80:160, 40:84] = 255
    rgb = np.full((240, 160, 3), 150, np.uint8)
    rgb[human > 0], rgb[:, 70:90] = 230, 60
    rgb[110:130, 70:76] = 230  # here the trunk bends, and the body is seen beside it
    blank = np.zeros_like(trunk)
    view = View(0, 0, rgb, np.full_like(blank, 200), human, blank, blank)
    drawn = draw_still(blank, StillThing(0, 0, trunk), np.eye(3), 1, view, 20.0, is_seen=True)
    assert drawn[:, 76:90].all()
    assert drawn[110:130, 70:76].max() < 64  # a side that is cut is smoothed, and loses a part of a pixel


def watch_a_ride(pole: tuple[int, int], until: int = 200) -> StillThing | None:
    """What is seen of a body of 40x100 pixels that moves by 16 a frame, behind what stands in the columns `pole`,
    down to the row `until`: no pixel is behind it in more than three frames."""
    place = np.random.default_rng(0).normal(150, 3, (200, 400, 3)).clip(0, 255).astype(np.uint8)
    place[:, slice(*pole)] = 60
    stands = np.zeros((200, 400), bool)
    stands[:until, slice(*pole)] = True
    watch, nothing, sure = Watch((0, 0, 400, 200), 100.0), np.zeros((200, 400), np.uint8), np.full((200, 400), 255)
    for idx in range(24):
        body = np.zeros_like(stands)
        body[50:150, 16 * idx - 20 : 16 * idx + 20] = True
        body &= ~stands
        human = body.astype(np.uint8) * 255
        view = View(0, 0, np.where(body[..., None], 230, place).astype(np.uint8), human // 2, human, sure, nothing)
        watch.count(300 + idx, view, nothing, nothing, np.eye(3), 20.0)
    return watch.decide(lambda box, _: place[box[1] : box[3], box[0] : box[2]])


def test_a_slot_in_a_fast_body_is_a_thin_pole_in_front():
    thing = watch_a_ride((196, 206))
    assert thing is not None
    cols = np.flatnonzero((thing.mask[60:140] > 0).mean(0) > 0.5)
    assert abs(cols[0] - 196) <= 1 and abs(cols[-1] - 205) <= 1  # an edge lies between two pixels
    assert thing.mask[10:190, 200].all()  # beyond the body, as far as its edges go


def test_no_slot_no_pole():
    """A pole behind the body, and one that hides half of it: legs part, too."""
    assert watch_a_ride((196, 206), until=0) is None
    assert watch_a_ride((196, 206), until=100) is None
