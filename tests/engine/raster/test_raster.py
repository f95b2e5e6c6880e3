import hashlib

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from engine.errors import InputError
from engine.raster import FOUR_PX, draw_samples, interpolate, interpolate_samples, rasterize, rasterize_samples
from engine.raster.antialias import coverage

K = np.array([[100.0, 0, 0], [0, 100.0, 0], [0, 0, 1]])
"""A camera whose image plane at 100 m has one metre per pixel and (0, 0) at the image's corner."""


GRID = (np.arange(12) + 0.5) / 12


def flat(*corners_px, z=100.0):
    """One frame of vertices whose projections are the given pixels."""
    return np.array([[(x * z / 100, y * z / 100, z) for x, y in corners_px]], np.float32)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("cull_back", [False, True])
def test_fast_raster_equals_reference(backend, cull_back, blob):
    want = rasterize(*blob, backend="reference", cull_back=cull_back)
    got = rasterize(*blob, backend=backend, cull_back=cull_back)
    assert (want.face_idx >= 0).sum() > 500
    assert_array_equal(got.face_idx, want.face_idx)  # the same face wins at every pixel
    assert_array_equal(got.bary, want.bary)  # the same planes, read at the same pixels
    assert_array_equal(got.depth, want.depth)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("value_px", [None, (0.5, 0.5)])
def test_every_sample_equals_reference(backend, value_px, blob):
    for test_px in FOUR_PX:
        places = {"test_px": test_px, "value_px": value_px}
        want, got = (rasterize(*blob, backend=b, cull_back=True, **places) for b in ("reference", backend))
        assert_array_equal(got.face_idx, want.face_idx)
        assert_array_equal(got.bary, want.bary)
        assert_array_equal(got.depth, want.depth)


def test_golden(blob):
    """Checksums of integers and rounded numbers from synthetic arrays: they move only when the rasterizer does."""
    found = rasterize(*blob)
    assert hashlib.sha256(found.face_idx.astype("<i4").tobytes()).hexdigest()[:16] == "d96cd044e38cdbd7"
    seen = found.face_idx >= 0
    assert seen.sum() == 1641
    assert_allclose(
        [found.depth[seen].mean(), found.bary[seen].std()], [3.146549, 0.2361026], rtol=1e-5
    )  # float32 sums


def test_a_sample_is_the_picture_moved(blob):
    """Testing at (0.5 + a, 0.5 + b) is drawing the picture moved by (-a, -b)."""
    vertices, faces, K, size = blob
    moved = K - [[0, 0, 0.375], [0, 0, -0.125], [0, 0, 0]]
    want = rasterize(vertices, faces, moved, size)
    got = rasterize(vertices, faces, K, size, test_px=(0.875, 0.375))
    assert_array_equal(got.face_idx, want.face_idx)
    assert_allclose(got.bary, want.bary, atol=1e-5)  # float64 planes of other corners, rounded to float32


def test_antialiased_edges_are_the_share_that_is_covered():
    """A half plane through the middle of a column of pixels, at a slope: coverage against the exact area."""
    wide = flat((3.2, -40), (7.7, 60), (-90, 60), (-90, -40))
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    samples = rasterize_samples(wide, faces, K, (12, 12))
    share = coverage(samples)[0]
    fine = [rasterize_samples(wide, faces, K, (12, 12), samples_px=[(x, y)]) for x in GRID for y in GRID]
    exact = np.mean([coverage(one)[0] for one in fine], axis=0)
    assert set(np.unique(share)) <= {0, 0.25, 0.5, 0.75, 1}
    assert np.abs(share - exact).max() <= 0.26  # four samples: a quarter
    assert np.abs(share - exact).mean() < 0.015
    hard = rasterize(wide, faces, K, (12, 12)).face_idx[0] >= 0
    assert np.abs(hard - exact).mean() > 2 * np.abs(share - exact).mean()
    white = interpolate_samples(np.full((4, 1), 255.0), samples, faces)[0, ..., 0]
    assert_allclose(white, 255 * share, atol=1e-3)  # weights sum to 1 within float32


def test_values_past_the_edge_are_extrapolated_and_clamped():
    ramp = flat((2.7, 0), (12, 0), (2.7, 12))  # of pixel 2, the sample at 2.875 is in and the centre is not
    faces, values = np.array([[0, 1, 2]]), np.array([[0.0], [100.0], [0.0]])
    samples = rasterize_samples(ramp, faces, K, (12, 12), value_at="centre")
    free = interpolate_samples(values, samples, faces)[0, :, 2, 0]
    held = interpolate_samples(values, samples, faces, low=0, high=100)[0, :, 2, 0]
    assert (free <= 0).all() and free.min() < -0.5  # the one sample that is in takes the centre's value
    assert (held == 0).all()


@pytest.mark.parametrize("value_at", ["sample", "centre"])
def test_drawing_in_the_box_is_drawing_the_whole(value_at, blob):
    vertices, faces, camera, size = blob
    colors = np.random.default_rng(1).uniform(0, 255, (vertices.shape[1], 3)).astype(np.float32)
    samples = rasterize_samples(vertices, faces, camera, size, value_at=value_at, cull_back=True)
    whole = interpolate_samples(colors, samples, faces, low=0, high=255)
    for frame in range(2):
        got = draw_samples(colors, vertices[frame], faces, camera, size, value_at=value_at, low=0, high=255)
        assert_allclose(got, whole[frame], atol=0.02)  # levels: float32 weights of planes in another frame of reference
    assert not draw_samples(colors, vertices[0] - [0, 0, 50], faces, camera, size).any()


def test_frames_side_by_side_are_frames_one_by_one(blob):
    vertices, faces, camera, size = blob
    many = np.concatenate([vertices] * 4)
    together = rasterize(many, faces, camera, size)
    for frame in range(8):
        alone = rasterize(many[frame : frame + 1], faces, camera, size)
        assert_array_equal(together.face_idx[frame], alone.face_idx[0])
        assert_array_equal(together.bary[frame], alone.bary[0])


def test_pixel_centres_lie_at_one_half():
    found = rasterize(flat((2, 1), (5, 1), (2, 4)), np.array([[0, 1, 2]]), K, (6, 8))
    rows, columns = np.nonzero(found.face_idx[0] >= 0)
    # Centres with x + y < 6 (the slanted edge is at the right: centres on it are out), x > 2, y > 1.
    want = [(r, c) for r in range(6) for c in range(8) if c + 0.5 > 2 and r + 0.5 > 1 and r + c + 1 < 6]
    assert list(zip(rows, columns)) == want


@pytest.mark.parametrize("backend", ["numpy", "torch", "reference"])
def test_shared_edges_belong_to_one_face(backend):
    # A square cut along its diagonal: every pixel once, corners on pixel centres so that edges hit centres.
    square = flat((1.5, 1.5), (5.5, 1.5), (5.5, 5.5), (1.5, 5.5))
    first, second = (
        rasterize(square, np.array([f]), K, (8, 8), backend=backend).face_idx[0] == 0 for f in ([0, 1, 2], [0, 2, 3])
    )
    assert not (first & second).any()
    want = np.zeros((8, 8), bool)
    want[1:5, 1:5] = True  # top and left edges are in, bottom and right edges are out
    assert_array_equal(first | second, want)


def test_bary_and_depth_are_perspective_correct():
    # A plane that recedes: x = 0 at z = 1, x = 1 at z = 3. At image x the truth is on the ray through the pixel.
    vertices = np.array([[(0, 0, 1), (1, 0, 3), (0, 1, 1), (1, 1, 3)]], np.float32)
    faces = np.array([[0, 1, 2], [1, 3, 2]])
    focal = np.array([[30.0, 0, 0], [0, 30.0, 0], [0, 0, 1]])
    found = rasterize(vertices, faces, focal, (10, 10))
    place = interpolate(vertices, found, faces)[0, 4, :]
    slope = (np.arange(10) + 0.5) / 30  # x = slope * z and z = 1 + 2 x
    want_z = 1 / (1 - 2 * slope)
    inside = (slope * want_z < 1) & (found.face_idx[0, 4] >= 0)
    assert inside.sum() == 10
    assert_allclose(found.depth[0, 4], want_z, rtol=5e-3)  # corners are snapped to 1/256 px of 10 px
    assert_allclose(place[:, 0], slope * want_z, atol=5e-3)
    assert_allclose(found.bary.sum(-1)[found.face_idx >= 0], 1, atol=1e-6)  # float32


def test_nearest_face_wins_and_ties_go_to_the_first():
    near, far = flat((0, 0), (8, 0), (0, 8), z=2.0), flat((0, 0), (8, 0), (0, 8), z=3.0)
    both = np.concatenate([far, near, near], 1)
    found = rasterize(both, np.arange(9).reshape(3, 3), K, (8, 8))
    assert set(np.unique(found.face_idx)) == {-1, 1}
    assert_allclose(found.depth[found.face_idx >= 0], 2.0, rtol=1e-6)  # float32
    assert np.isinf(found.depth[found.face_idx < 0]).all()


def test_faces_behind_the_camera_and_outside_are_left_out():
    behind = flat((0, 0), (8, 0), (0, 8)) * (1, 1, -1)
    assert (rasterize(behind, np.array([[0, 1, 2]]), K, (8, 8)).face_idx < 0).all()
    aside = flat((-20, 0), (-10, 0), (-20, 8))
    assert (rasterize(aside, np.array([[0, 1, 2]]), K, (8, 8)).face_idx < 0).all()


def test_wrong_faces_and_backends_are_refused():
    with pytest.raises(InputError, match="vertex 3"):
        rasterize(flat((0, 0), (8, 0), (0, 8)), np.array([[0, 1, 3]]), K, (8, 8))
    with pytest.raises(InputError, match="no raster backend"):
        rasterize(flat((0, 0), (8, 0), (0, 8)), np.array([[0, 1, 2]]), K, (8, 8), backend="glide")
