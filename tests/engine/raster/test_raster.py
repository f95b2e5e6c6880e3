import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from engine.errors import InputError, MissingError
from engine.raster import interpolate, rasterize

K = np.array([[100.0, 0, 0], [0, 100.0, 0], [0, 0, 1]])
"""A camera whose image plane at 100 m has one metre per pixel and (0, 0) at the image's corner."""


def flat(*corners_px, z=100.0):
    """One frame of vertices whose projections are the given pixels."""
    return np.array([[(x * z / 100, y * z / 100, z) for x, y in corners_px]], np.float32)


@pytest.fixture(scope="module")
def blob():
    """A bumpy closed ball of 2,000 faces before a level camera, posed twice."""
    rng = np.random.default_rng(0)
    rows, columns = 25, 40
    u, v = np.meshgrid(
        np.linspace(0, np.pi, rows + 1), np.linspace(0, 2 * np.pi, columns, endpoint=False), indexing="ij"
    )
    ball = np.stack([np.sin(u) * np.cos(v), np.cos(u), np.sin(u) * np.sin(v)], -1).reshape(-1, 3)
    ball *= rng.uniform(0.7, 1.3, (len(ball), 1))
    idx = np.arange((rows + 1) * columns).reshape(rows + 1, columns)
    a, b = idx[:-1], np.roll(idx[:-1], -1, 1)
    c, d = idx[1:], np.roll(idx[1:], -1, 1)
    faces = np.concatenate([np.stack([a, b, d], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    vertices = np.stack([ball + np.array([0.1, 0.2, 4]), ball * (1, -1, 0.5) + (2, -0.5, 3)]).astype(np.float32)
    return vertices, faces.astype(np.int32), np.array([[60.0, 0, 32], [0, 66.0, 24], [0, 0, 1]]), (48, 64)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("cull_back", [False, True])
def test_fast_raster_equals_reference(backend, cull_back, blob):
    want = rasterize(*blob, backend="reference", cull_back=cull_back)
    got = rasterize(*blob, backend=backend, cull_back=cull_back)
    assert (want.face_idx >= 0).sum() > 500
    assert_array_equal(got.face_idx, want.face_idx)  # the same face wins at every pixel
    assert_array_equal(got.bary, want.bary)  # the same planes, read at the same pixels
    assert_array_equal(got.depth, want.depth)


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


def test_gradients_flow_into_attributes(blob):
    torch = pytest.importorskip("torch")
    vertices, faces, camera, size = blob
    found = rasterize(torch.tensor(vertices), torch.tensor(faces), torch.tensor(camera), size, backend="torch")
    values = torch.ones(vertices.shape[1], 2, requires_grad=True)
    image = interpolate(values, found, torch.tensor(faces))
    image.sum().backward()
    covered = int((found.face_idx >= 0).sum())
    assert values.grad is not None
    # Every covered pixel hands out weights that sum to one, per channel.
    assert_allclose(values.grad.sum().item(), 2 * covered, rtol=1e-5)


def test_wrong_faces_and_backends_are_refused():
    with pytest.raises(InputError, match="vertex 3"):
        rasterize(flat((0, 0), (8, 0), (0, 8)), np.array([[0, 1, 3]]), K, (8, 8))
    with pytest.raises(InputError, match="no raster backend"):
        rasterize(flat((0, 0), (8, 0), (0, 8)), np.array([[0, 1, 2]]), K, (8, 8), backend="glide")


def test_nvdiffrast_says_what_to_install():
    with pytest.raises(MissingError):
        rasterize(flat((0, 0), (8, 0), (0, 8)), np.array([[0, 1, 2]]), K, (8, 8), backend="nvdiffrast")
