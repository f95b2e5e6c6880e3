import cv2
import numpy as np
import pytest

from engine.layers.scene.inpaint import inpaint
from engine.layers.scene.median import masked_median, sorting_network
from engine.layers.scene.plate import INPAINTED, build_plate
from engine.layers.scene.scene import complete_scene
from engine.types import ArraySource, BackgroundMotion, TempChunks


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    error = (a.astype(float) - b.astype(float))[where]
    return float(10 * np.log10(255**2 / max(np.mean(error**2), 1e-9)))


def motion_of(walk) -> BackgroundMotion:
    return BackgroundMotion(walk.to_first, np.ones(len(walk.to_first), np.float32))


def over(scene: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    alpha = scene[..., 3:].astype(np.float32) / 255
    return (scene[..., :3] * alpha + rgb * (1 - alpha)).round().astype(np.uint8)


@pytest.mark.parametrize("kind", ["static_walk", "pan_walk"])
def test_scene_is_what_was_behind_the_person(kind, request, chunks):
    walk = request.getfixturevalue(kind)
    layers = list(complete_scene(walk.clip, walk.human, motion_of(walk), chunks=chunks))
    frames = list(walk.clip.read())
    scores, ghosts = [], []
    for layer, rgb, truth, human, ball in zip(layers, frames, walk.scene, walk.human.read(), walk.ball):
        assert layer.dtype == np.uint8
        assert (layer[..., :3][layer[..., 3] == 0] == 0).all()
        assert (layer[..., 3][human > 127] == 255).all()
        inside = (human > 0) & (cv2.dilate(ball, np.ones((9, 9), np.uint8)) == 0)
        scores.append(psnr(over(layer, rgb), truth, inside))
        # A ghost is the figure's outline left outside the mask: there the picture must be the place, too. The ball is
        # left alone: it is no person. The shadow may leave some levels.
        rim = (cv2.dilate(human, np.ones((11, 11), np.uint8)) > 0) & ~(human > 0)
        rim &= cv2.dilate(ball, np.ones((25, 25), np.uint8)) == 0
        ghosts.append(psnr(over(layer, rgb), truth, rim))
    assert np.mean(scores) >= 30, scores
    assert np.min(scores) >= 26, scores
    assert np.mean(ghosts) >= 28, ghosts


def test_plate_does_not_flicker(static_walk, chunks):
    plate = build_plate(static_walk.clip, static_walk.human, motion_of(static_walk), chunks=chunks)
    one, _ = plate.render(10, (100, 40, 300, 240))
    two, _ = plate.render(11, (100, 40, 300, 240))
    np.testing.assert_array_equal(one, two)  # a tripod, one window: the same bytes


def test_exposure_follows_the_frame(make_walk, chunks):

    walk = make_walk("static", 48, gain=0.4)
    layers = list(complete_scene(walk.clip, walk.human, motion_of(walk), chunks=chunks))
    for idx in (0, 24, 47):
        human = next(walk.human.read(idx))
        where = (cv2.erode(human, np.ones((5, 5), np.uint8)) > 0) & (walk.ball[idx] == 0)
        # 24 dB is an error of 16 levels; with one fixed plate the ends are 12 to 25 levels off everywhere.
        assert psnr(layers[idx][..., :3], walk.scene[idx], where) > 24
        bias = (layers[idx][..., :3].astype(float) - walk.scene[idx])[where].mean()
        assert abs(bias) < 4


def test_never_seen_is_inpainted_once(static_walk, chunks):
    """A figure that stands still hides a part in every frame; that part is the same in all frames."""
    rgb, human = next(static_walk.clip.read(20)), next(static_walk.human.read(20))
    clip, mask = ArraySource(np.stack([rgb] * 12)), ArraySource(np.stack([human] * 12))
    still = BackgroundMotion(np.tile(np.eye(3), (12, 1, 1)), np.ones(12, np.float32))
    plate = build_plate(clip, mask, still, chunks=chunks)
    first, state = plate.render(0, (0, 0, 480, 270))
    assert (state[human > 127] == INPAINTED).all()
    np.testing.assert_array_equal(first, plate.render(11, (0, 0, 480, 270))[0])


def test_what_one_frame_shows_is_better_than_paint(chunks):
    """A dozen frames hide a piece of a picture that nobody can guess; one shows it."""
    rng = np.random.default_rng(0)
    place = cv2.resize(rng.integers(0, 256, (24, 32, 3), np.uint8), (256, 192), interpolation=cv2.INTER_CUBIC)
    masks = np.zeros((12, 192, 256), np.uint8)
    masks[:, 60:130, 90:150] = 255
    masks[5] = 0
    masks[5, 60:130, 20:60] = 255
    frames = np.where(masks[..., None] > 0, np.uint8(0), place)
    motion = BackgroundMotion(np.tile(np.eye(3), (12, 1, 1)), np.ones(12, np.float32))
    scenes = list(complete_scene(ArraySource(frames), ArraySource(masks), motion, chunks=chunks))
    shown = over(scenes[0], frames[0])
    assert psnr(shown, place, masks[0] > 0) > 35  # painted, it has 9 dB


def test_a_ribbon_that_the_mask_lacks_goes_and_somebody_beside_stays(chunks):
    """What is thin and hangs on the person goes before quiet ground; somebody whom they touch is too large."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.uniform(100, 150, (12, 40, 3)).astype(np.float32), (400, 120))
    frames, masks = [], []
    for t in range(20):
        x = 40 + 16 * t
        frame, mask = ground + rng.normal(0, 1, ground.shape), np.zeros((120, 400), np.uint8)
        cv2.rectangle(mask, (x - 12, 20), (x + 12, 110), 255, -1)
        cv2.line(frame, (x, 60), (x - 32, 52), (240, 240, 240), 3)
        if t == 19:
            cv2.rectangle(frame, (x + 12, 30), (x + 56, 110), (240, 240, 240), -1)
        frame[mask > 0] = 30, 60, 160
        frames.append(np.clip(frame, 0, 255).astype(np.uint8))
        masks.append(mask)
    motion = BackgroundMotion(np.tile(np.eye(3), (20, 1, 1)), np.ones(20, np.float32))
    layers = list(complete_scene(ArraySource(np.array(frames)), ArraySource(np.array(masks)), motion, chunks=chunks))
    for layer, rgb in list(zip(layers, frames))[4:]:
        away = np.abs(over(layer, rgb) - ground).mean(2)[40:70, :330]
        assert away.max() < 20  # of 110: grain, and half a pixel at the softened end
    assert (over(layers[-1], frames[-1])[60:100, 394:] > 230).all()  # some nodes beside the person go with them


def test_no_person_means_nothing_to_do(chunks):
    clip = ArraySource(np.full((3, 40, 50, 3), 90, np.uint8))
    still = BackgroundMotion(np.tile(np.eye(3), (3, 1, 1)), np.ones(3, np.float32))
    for layer in complete_scene(clip, ArraySource(np.zeros((3, 40, 50), np.uint8)), still, chunks=chunks):
        assert not layer.any()


def test_whole_frame_hidden_does_not_crash(chunks):
    clip = ArraySource(np.full((3, 40, 50, 3), 90, np.uint8))
    still = BackgroundMotion(np.tile(np.eye(3), (3, 1, 1)), np.ones(3, np.float32))
    layers = list(complete_scene(clip, ArraySource(np.full((3, 40, 50), 255, np.uint8)), still, chunks=chunks))
    assert len(layers) == 3


def test_resumed_plate_equals_unbroken_one(pan_walk):
    whole, broken = TempChunks(), TempChunks()
    motion = motion_of(pan_walk)
    want = list(complete_scene(pan_walk.clip, pan_walk.human, motion, chunks=whole))

    class KilledError(Exception):
        pass

    def kill(done: int, total: int) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        build_plate(pan_walk.clip, pan_walk.human, motion, chunks=broken, progress=kill)
    got = list(complete_scene(pan_walk.clip, pan_walk.human, motion, chunks=broken))
    np.testing.assert_array_equal(got, want)
    whole.close()
    broken.close()


@pytest.mark.parametrize("num", [1, 2, 5, 8, 16, 24, 31])
def test_masked_median_equals_sorting(num):
    rng = np.random.default_rng(num)
    samples = [rng.integers(0, 256, (9, 11, 3), dtype=np.uint8) for _ in range(num)]
    visible = [(rng.random((9, 11)) < 0.6).astype(np.uint8) * 255 for _ in range(num)]
    got = masked_median(samples, visible)
    for y, x in np.ndindex(9, 11):
        seen = np.sort([s[y, x] for s, v in zip(samples, visible) if v[y, x]], axis=0)
        if len(seen):
            middles = seen[(len(seen) - 1) // 2], seen[len(seen) // 2]
            assert all(got[y, x, c] in (middles[0][c], middles[1][c]) for c in range(3))


def test_sorting_network_sorts_every_pattern():
    """The 0-1 principle (Knuth 5.3.4): a network that sorts all zeros and ones sorts everything."""
    for num in range(1, 11):
        for bits in range(2**num):
            values = [bits >> i & 1 for i in range(num)]
            for low, high in sorting_network(num):
                values[low], values[high] = min(values[low], values[high]), max(values[low], values[high])
            assert values == sorted(values)


def test_inpaint_continues_a_texture():
    """A hole in stripes is filled with stripes, not with grey: the fill varies as much as its surroundings."""
    x = np.arange(240)
    stripes = (128 + 90 * np.sign(np.sin(2 * np.pi * (x + 0.5) / 16)))[None, :, None]
    picture = np.broadcast_to(stripes, (160, 240, 3)).astype(np.uint8).copy()
    hole = np.zeros((160, 240), np.uint8)
    hole[40:120, 90:140] = 255
    broken = np.where(hole[..., None] > 0, 0, picture).astype(np.uint8)
    filled = inpaint(broken, hole, 255 - hole)
    np.testing.assert_array_equal(filled[hole == 0], broken[hole == 0])
    assert filled[hole > 0].std() > 0.7 * picture[hole > 0].std()


def test_inpaint_leaves_things_that_stand_afar_where_they_are():
    """Ground that grows lighter to the left, where posts stand: none of them is put up again in the hole, as one was
    when sources in the same row cost the same near and far."""
    x, grain = np.arange(480), np.random.default_rng(0).normal(0, 3, (300, 480, 1))
    ground = np.repeat(150 - 0.1 * x[None, :, None] + grain, 3, 2)
    for left in range(20, 260, 40):
        ground[60:200, left : left + 6] = 20
    ground[40:60] = 60  # the foot of a wall, at the hole's top
    hole = np.zeros((300, 480), np.uint8)
    hole[50:270, 300:400] = 255
    filled = inpaint(np.where(hole[..., None] > 0, 0, ground).astype(np.uint8), hole, 255 - hole)
    assert filled[hole > 0].min() > 40  # posts are 20, the darkest ground 50
