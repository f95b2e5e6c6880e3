"""Cutting a generated figure out: what differs from the scene, near the body, and nothing else."""

import numpy as np

from engine.diffusion.matte import box_matte, figure_matte

H, W = 160, 120


def pictures():
    rng = np.random.default_rng(0)
    scene = np.full((H, W, 3), (90, 120, 80), np.uint8)
    noisy = np.clip(scene + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8)  # a VAE's errors
    body = np.zeros((H, W), np.uint8)
    body[40:140, 50:70] = 255
    return scene, noisy, body


def test_the_figure_and_nothing_else():
    scene, generated, body = pictures()
    generated[30:140, 45:75] = (200, 40, 40)  # wider and taller than the body: hair and a skirt
    alpha = figure_matte(generated, scene, body)
    assert (alpha[36:134, 49:71] == 255).all()
    assert (alpha[:20] == 0).all() and (alpha[:, :35] == 0).all() and (alpha[:, 85:] == 0).all()


def test_far_from_the_body_nothing_counts():
    scene, generated, body = pictures()
    generated[:, 100:] = (255, 0, 0)
    assert not figure_matte(generated, scene, body)[:, 100:].any()
    assert not figure_matte(generated, scene, np.zeros_like(body)).any()


def test_specks_go():
    scene, generated, body = pictures()
    generated[40:140, 50:70] = (200, 40, 40)
    generated[90, 78] = (255, 255, 255)
    assert not figure_matte(generated, scene, body)[86:95, 76:].any()


def test_holes_are_closed_where_another_scene_comes_behind():
    scene, generated, body = pictures()
    generated[40:140, 50:70] = (200, 40, 40)
    generated[80:100, 55:65] = scene[80:100, 55:65]  # a badge in the colour of the scene
    assert figure_matte(generated, scene, body)[90, 60] == 0
    assert figure_matte(generated, scene, body, fill=True)[90, 60] == 255


def test_the_whole_box_fades_but_not_at_the_borders_of_the_picture():
    alpha = box_matte((0, 60, 20, 100), (H, W))
    assert alpha.shape == (80, 60)
    assert (alpha[20:60, 0] == 255).all() and alpha[40, -1] < 128 and alpha[0, 10] < 128 and alpha[-1, 10] < 128
