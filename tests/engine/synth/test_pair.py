import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from engine.synth.clip import ClipSpec
from engine.synth.pair import draw_reference, make_pair

SPEC = ClipSpec(size=(120, 160), num_frames=6, fps=12, seed=3)


def test_only_the_actor_differs():
    pair = make_pair(SPEC, 6)
    for frame in (0, 3):
        source, truth = pair.source.frame(frame), pair.truth.frame(frame)
        assert_array_equal(source.human_full, truth.human_full)  # the same build in the same pose
        assert_array_equal(source.scene, truth.scene)
        assert_array_equal(source.occluder, truth.occluder)
        assert_array_equal(source.shadow, truth.shadow)
        apart = np.abs(source.rgb.astype(int) - truth.rgb).max(-1)
        assert not apart[source.human_full == 0].any()
        assert np.median(apart[source.human_full == 255]) > 20  # other clothes


def test_another_build_stands_on_the_same_ground():
    pair = make_pair(SPEC, 3, other_build=True)
    source, truth = pair.source, pair.truth
    assert_array_equal(source.frame(2).occluder[..., 3] > 0, truth.frame(2).occluder[..., 3] > 0)
    assert (source.frame(2).human_full != truth.frame(2).human_full).any()
    assert_array_equal(source.motion.rotvec, truth.motion.rotvec)
    feet = [clip.joints_world_m[:, [7, 8], 1].min(1) for clip in (source, truth)]
    assert_allclose(feet[0], feet[1], atol=0.04)  # ankles of bodies of other leg lengths, at the same angles


def test_the_picture_is_a_whole_figure_on_nothing():
    picture = draw_reference(6, np.zeros(10, np.float32), (192, 160))
    alpha = picture[..., 3]
    assert picture.shape == (192, 160, 4) and alpha.max() == 255
    assert not (alpha[0].any() or alpha[-1].any() or alpha[:, 0].any() or alpha[:, -1].any())
    rows = np.nonzero(alpha.any(1))[0]
    assert abs((rows[-1] - rows[0] + 1) / 192 - 0.86) < 0.02
    assert abs(int((alpha[:, :80] > 0).sum()) - int((alpha[:, 80:] > 0).sum())) < 0.06 * (alpha > 0).sum()
    assert (picture[alpha == 0] == 0).all()
