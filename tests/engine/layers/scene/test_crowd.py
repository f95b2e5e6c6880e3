import numpy as np

from engine.layers.scene.crowd import draw_crowd


def test_who_stands_beside_a_hole_is_drawn_and_the_outline_of_the_hole_is_not(walker_film):
    """The actor, and nearly the same outline missing beside them, in which a body could be found, too."""
    rgb, actor = walker_film[0][0].copy(), walker_film[1][0] > 127
    hole = np.roll(actor, 80, axis=1) & ~actor
    rgb[hole] = 0
    missing = hole.astype(np.uint8) * 255
    crowd = draw_crowd(rgb, missing, 255 - missing) > 0
    assert (crowd & actor).sum() > 0.95 * actor.sum()  # the margin makes up for what a rough mask lacks (a tenth)
    assert (crowd & hole).sum() < 0.1 * actor.sum()  # fingers that touch
    speck = np.zeros_like(missing)
    speck[:8, :8] = 255
    assert not draw_crowd(rgb, speck, 255 - speck).any()
