"""Tensors: the same bits as the reference, gradients of attributes, learned codes, and the CUDA backends."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from engine.errors import MissingError
from engine.raster import Fragments, interpolate, interpolate_samples, rasterize, rasterize_samples
from engine.raster.nvdiffrast_backend import clip_matrices, values_of

torch = pytest.importorskip("torch")


def tensors(blob, device="cpu"):
    vertices, faces, K, size = blob
    return *(torch.as_tensor(a, device=device) for a in (vertices, faces, K)), size


def plain_gradient(fragments, faces, num_vertices, upstream):
    """What every vertex's attribute adds to the picture, one pixel at a time."""
    gradient = np.zeros((num_vertices, upstream.shape[-1]))
    for frame, row, column in np.argwhere(fragments.face_idx >= 0):
        for corner in range(3):
            vertex = faces[fragments.face_idx[frame, row, column], corner]
            gradient[vertex] += fragments.bary[frame, row, column, corner] * upstream[frame, row, column]
    return gradient


def test_gradients_are_the_plain_sums(blob):
    vertices, faces, K, size = tensors(blob)
    found = rasterize(vertices, faces, K, size, backend="torch")
    values = torch.randn(vertices.shape[1], 3, dtype=torch.float64, requires_grad=True)
    image = interpolate(values, found, faces)
    upstream = torch.randn(image.shape, dtype=torch.float64)
    (image * upstream).sum().backward()
    reference = rasterize(*blob, backend="reference")
    want = plain_gradient(reference, blob[1], vertices.shape[1], upstream.numpy())
    assert_allclose(values.grad.numpy(), want, atol=1e-12)  # float64 sums of some hundred float32 weights


@pytest.mark.parametrize("per_frame", [False, True])
def test_gradcheck(per_frame, blob):
    vertices, faces, K, _ = tensors(blob)
    small = rasterize(vertices, faces, K * torch.tensor([[0.2], [0.2], [1]]), (10, 13), backend="torch")
    some = torch.unique(faces[small.face_idx[small.face_idx >= 0].long()])[:12]
    shape = (2, vertices.shape[1], 2) if per_frame else (vertices.shape[1], 2)
    still = torch.randn(shape, dtype=torch.float64)

    def draw(moved):
        values = still.clone()
        values[..., some, :] = moved
        return interpolate(values, small, faces)

    moved = torch.randn((*shape[:-2], len(some), 2), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(draw, (moved,))


def test_numpy_and_torch_interpolate_alike(blob):
    vertices, faces, K, size = blob
    found = rasterize(vertices, faces, K, size)
    values = np.random.default_rng(2).normal(size=(2, vertices.shape[1], 5))
    got = interpolate(torch.tensor(values), found, torch.tensor(faces)).numpy()
    assert_allclose(interpolate(values, found, faces), got, atol=1e-14)  # float64, three products
    assert (got[found.face_idx < 0] == 0).all()


def test_vertex_codes_are_learned_through_the_raster(blob):
    """Codes that drew a feature map come back by gradient descent from the map, where it shows them."""
    vertices, faces, K, size = tensors(blob)
    samples = rasterize_samples(vertices, faces, K, size, backend="torch")
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(vertices.shape[1], 8, generator=generator)
    target = interpolate_samples(true, samples, faces)
    codes = torch.zeros_like(true, requires_grad=True)
    optimiser = torch.optim.Adam([codes], lr=0.3)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = (interpolate_samples(codes, samples, faces) - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-4 * losses[0]  # a linear problem: it goes to zero as far as Adam's steps let it
    weight = plain_gradient(
        Fragments(*(a.numpy() for a in vars(samples[0]).values())), blob[1], len(true), np.ones((2, *size, 1))
    )
    shown = weight[:, 0] > 2  # two whole pixels
    assert shown.sum() > 100
    apart = (codes.detach() - true).abs().mean(1).numpy()
    assert np.median(apart[shown]) < 0.05 and (apart[weight[:, 0] == 0] > 0.1).any()
    assert codes.grad[weight[:, 0] == 0].abs().max() < 1e-3


def test_published_codes_module_draws_the_same(blob):
    from engine.diffusion.pose_encoder import VertexCodes

    vertices, faces, K, size = tensors(blob)
    found = rasterize(vertices, faces, K, size, backend="torch")
    codes = VertexCodes(vertices.shape[1], code_channels=4)
    drawn = codes(faces, found.face_idx[None], found.bary[None])
    want = interpolate(codes.codes, found, faces).permute(3, 0, 1, 2)[None]
    assert_allclose(drawn.detach(), want.detach(), atol=1e-6)  # float32, three products of 0.02


def test_values_of_known_faces_are_the_torch_backends(blob):
    """What the nvdiffrast backend works out itself, on unsnapped corners: 1/256 pixel of a face some pixels wide."""
    vertices, faces, K, size = tensors(blob)
    for cull_back in (False, True):
        found = rasterize(vertices, faces, K, size, backend="torch", cull_back=cull_back)
        K_all = K.double().expand(2, 3, 3)
        got = values_of(found.face_idx, vertices, faces.long(), K_all, (0.5, 0.5), cull_back=cull_back)
        assert_array_equal(got.face_idx, found.face_idx)
        seen = found.face_idx >= 0
        assert_allclose(got.depth[seen], found.depth[seen], rtol=0.01)
        assert torch.quantile((got.bary[seen] - found.bary[seen]).abs().amax(-1), 0.95) < 0.05
        assert torch.isinf(got.depth[~seen]).all() and (got.bary[~seen] == 0).all()


def test_clip_space_is_the_picture(blob):
    """Corners of the picture are corners of clip space: the first row of pixels is y = -1, as nvdiffrast has it."""
    vertices, _, K, size = tensors(blob)
    matrix = clip_matrices(K.double()[None], size)[0]
    points = vertices[0]
    clip = torch.cat([points, torch.ones(len(points), 1)], 1) @ matrix.T
    px = (points.double() @ K.T)[:, :2] / points[:, 2:]
    want = px / torch.tensor([size[1], size[0]]) * 2 - 1
    assert_allclose(clip[:, :2] / clip[:, 3:], want, atol=1e-5)
    assert_allclose(clip[:, 3], points[:, 2], rtol=1e-6)
    depth = (clip[:, 2] / clip[:, 3])[torch.argsort(points[:, 2])]
    assert (depth.diff() >= 0).all() and depth.abs().max() <= 1


def test_nvdiffrast_says_what_to_install_and_its_licence(blob):
    try:
        import nvdiffrast  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        with pytest.raises(MissingError, match="nvdiffrast is not installed") as caught:
            rasterize(*blob, backend="nvdiffrast")
        assert "not commercial" in caught.value.fix and caught.value.exit_code == 4


@pytest.mark.gpu
def test_cuda_equals_reference(blob):
    want = rasterize(*blob, backend="reference")
    vertices, faces, K, size = tensors(blob, "cuda")
    got = rasterize(vertices, faces, K, size)
    assert got.face_idx.is_cuda
    assert_array_equal(got.face_idx.cpu(), want.face_idx)
    assert_allclose(got.bary.cpu(), want.bary, atol=1e-6)  # a GPU may fuse a product and a sum: one ulp
    assert_allclose(got.depth.cpu(), want.depth, rtol=1e-6)


@pytest.mark.gpu
def test_nvdiffrast_equals_reference_off_edges(blob):
    pytest.importorskip("nvdiffrast.torch")
    want = rasterize(*blob, backend="reference", cull_back=True)
    got = rasterize(*blob, backend="nvdiffrast", cull_back=True)
    same = got.face_idx == want.face_idx
    assert same.mean() > 0.98  # 1/16 pixel there, 1/256 here: pixels on edges differ
    seen = same & (want.face_idx >= 0)
    assert_allclose(got.depth[seen], want.depth[seen], rtol=0.02)
