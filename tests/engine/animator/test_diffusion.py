"""The diffusion animator on tiny networks: any length, any size of figure, killed and gone on, the same every time."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from tiny_networks import write_tiny_mimo

from engine.animator.diffusion import DiffusionAnimator, Shown
from engine.animator.shots import RenderConfig, find_shots, list_tasks
from engine.diffusion.loaded import Folders, LoadedNetwork
from engine.diffusion.prepare import prepare_reference
from engine.diffusion.windows import SamplingConfig
from engine.types import ArraySource, TempChunks
from engine.video import open_layer

SIZE = (96, 128)
UNGUIDED = SamplingConfig(num_steps=2, window=6, overlap=2, guidance_scale=1.0)  # half of the work
CONFIG = RenderConfig(sampling=UNGUIDED)


def reference():
    rgba = np.zeros((60, 40, 4), np.uint8)
    cv2.ellipse(rgba, (20, 30), (14, 28), 0, 0, 360, (200, 80, 60, 255), -1)
    return prepare_reference(rgba)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = write_tiny_mimo(tmp_path_factory.mktemp("weights"))
    return Folders(folder / "mimo", folder / "sd-vae-ft-mse", folder / "image-encoder" / "image_encoder")


@pytest.fixture(scope="module")
def network(folders):
    return LoadedNetwork(folders, reference(), (64, 64))


def body(num_frames, *, absent=(), jump_at=None):
    """A body that walks through the picture; absent in some frames, small and elsewhere from `jump_at` on."""
    frames = np.zeros((num_frames, *SIZE, 3), np.uint8)
    for idx, frame in enumerate(frames):
        if idx in absent:
            continue
        if jump_at is not None and idx >= jump_at:
            cv2.rectangle(frame, (100, 60), (108, 84), (90, 200, 150), -1)
        else:
            cv2.rectangle(frame, (20 + idx, 16), (44 + idx, 88), (200, 120, 80), -1)
    return frames


def shown(frames):
    scene = np.full((len(frames), *SIZE, 3), (90, 120, 140), np.uint8)
    return Shown(ArraySource(frames), ArraySource(scene), np.arange(len(frames)) / 25)


def render(network, frames, config=CONFIG, chunks=None):
    chunks = chunks or TempChunks()
    files = DiffusionAnimator(lambda: network, shown(frames), config).render(chunks)
    return np.concatenate([np.stack(list(open_layer(file, kind="rgba").read())) for file in files])


@pytest.fixture(scope="module")
def sixteen(network):
    return render(network, body(16))


def test_every_frame_has_a_figure_where_the_body_is(sixteen):
    assert sixteen.shape == (16, *SIZE, 4)
    for idx, frame in enumerate(sixteen):
        figure = frame[..., 3] > 0
        assert figure[16:88, 20 + idx : 44 + idx].mean() > 0.5  # random weights paint noise: it differs nearly anywhere
        assert not figure[:, 100:].any()  # farther than 18 % of the body's height
    assert not sixteen[..., :3][sixteen[..., 3] == 0].any()


def test_the_seed_decides(network, sixteen):
    np.testing.assert_array_equal(render(network, body(16)), sixteen)
    other = render(network, body(16), replace(CONFIG, seed=43))
    assert (other != sixteen).any()


class Killed(Exception):
    pass


class Kills(TempChunks):
    """Stops when it is asked for one chunk too many."""

    allowed = 1

    def make(self, name):
        if self.allowed == 0:
            raise Killed
        self.allowed -= 1
        return super().make(name)


@pytest.mark.parametrize("jump_at", [None, 9])
def test_a_killed_run_goes_on(network, jump_at):
    """Killed after each window in turn: the frames of an unbroken run, and nothing is made twice."""
    frames = body(16, jump_at=jump_at)
    want, chunks, kills = render(network, frames), Kills(), 0
    while True:
        try:
            got = render(network, frames, chunks=chunks)
            break
        except Killed:
            kills, chunks.allowed = kills + 1, 1
    assert kills == len(list_tasks(find_shots(ArraySource(frames)), CONFIG)) - 1
    np.testing.assert_array_equal(got, want)


def test_a_figure_that_becomes_small_gets_a_crop_of_its_own(network):
    frames = body(16, jump_at=9)
    shots = find_shots(ArraySource(frames))
    assert len(shots) == 2
    # The published rule looks at earlier boxes alone, hence cuts a frame late; four frames are in both.
    assert (shots[0].stop, shots[1].start, shots[1].stop) == (10, 6, 16)
    assert shots[1].box[1] - shots[1].box[0] < 128
    result = render(network, frames)
    assert all((frame[60:84, 100:108, 3] > 0).mean() > 0.5 for frame in result[9:])


def test_nobody_there(network):
    result = render(network, body(30, absent=range(8, 22)))
    assert not result[8:22].any() and result[7].any() and result[22].any()
    assert len(find_shots(ArraySource(body(30, absent=range(8, 22))))) == 2
    assert len(find_shots(ArraySource(body(30, absent=range(8, 12))))) == 1  # a short gap is no cut
    nothing = render(network, body(3, absent=range(3)))
    assert nothing.shape == (3, *SIZE, 4) and not nothing.any()


def test_the_published_windows(network):
    """The closed loop of windows, with guidance; and the whole crop with a faded border."""
    config = replace(CONFIG, streaming=False, sampling=replace(UNGUIDED, guidance_scale=3.5))
    assert len(list_tasks(find_shots(ArraySource(body(16))), config)) == 1
    result = render(network, body(16), config)
    assert result.shape == (16, *SIZE, 4)
    box = render(network, body(6), replace(CONFIG, whole_box=True))
    (x0, x1, y0, y1) = find_shots(ArraySource(body(6)))[0].box
    assert (box[:, (y0 + y1) // 2, (x0 + x1) // 2, 3] == 255).all()


def test_memory_does_not_grow_with_the_clip(network):
    """No window holds more than its frames, whatever the length: counted where frames are read."""
    held = []

    class Counting(ArraySource):
        def read(self, start=0, stop=None):
            if stop is not None:
                held.append(stop - start)
            return super().read(start, stop)

    frames = body(40)
    source = replace(shown(frames), pose=Counting(frames))
    animator = DiffusionAnimator(lambda: network, source, CONFIG)
    chunks = TempChunks()
    animator.render(chunks)
    assert held and max(held) == CONFIG.sampling.window
    left = [path for path in chunks._folder.rglob("state.safetensors")]
    assert max(path.stat().st_size for path in left) < 40_000  # two frames of 8x8 latents; the last one keeps nothing


def test_the_papers_variant(tmp_path):
    """Codes on the body's vertices instead of a drawn body, scene and occlusion latents beside the noise."""
    from engine.animator.fragments import BodyFragments
    from engine.body.model import load_body
    from engine.types import JOINTS, Camera, Motion

    weights = write_tiny_mimo(tmp_path, name="own", suffix=".safetensors", in_channels=12,
                            num_vertices=len(load_body().vertices))  # fmt: skip
    own = Folders(weights / "own", weights / "sd-vae-ft-mse", weights / "image-encoder" / "image_encoder")
    network = LoadedNetwork(own, reference(), (64, 64))
    assert (network.variant, network.num_layers) == ("paper", 2)
    turn = np.zeros((3, len(JOINTS), 3), np.float32)
    turn[:, 16, 2] = [0, -0.6, -1.2]
    rest = load_body().rest()[1].astype(np.float32)
    motion = Motion(rotvec=turn, root_m=np.repeat(rest[:1], 3, 0), time_s=np.arange(3) / 25, rest_m=rest)
    K = np.array([[150, 0, SIZE[1] / 2], [0, 150, SIZE[0] / 2], [0, 0, 1]], np.float32)
    looks = np.diag([1, -1, -1, 1]).astype(np.float32)  # from before the person, at the height of the pelvis
    looks[:3, 3] = 0, rest[0, 1], 3.5
    camera = Camera(np.repeat(K[None], 3, 0), np.repeat(looks[None], 3, 0))
    drawn = BodyFragments(motion, camera)
    _, face_idx, _ = drawn.draw(0, 3, (0, SIZE[1], 0, SIZE[0]), (128, 128))
    pose = (face_idx[:, 16:112] >= 0).astype(np.uint8)[..., None] * np.uint8([90, 200, 150])
    assert all(one.any() for one in pose)
    told = replace(shown(pose), body=drawn, occlusion=ArraySource(np.zeros((3, *SIZE, 3), np.uint8)))
    chunks, other_chunks = TempChunks(), TempChunks()
    files = DiffusionAnimator(lambda: network, told, CONFIG).render(chunks)
    result = np.stack(list(open_layer(files[0], kind="rgba").read()))
    assert result.shape == (3, *SIZE, 4) and result[..., 3].any()
    still = replace(told, body=BodyFragments(replace(motion, rotvec=0 * turn), camera))
    other = DiffusionAnimator(lambda: network, still, CONFIG).render(other_chunks)
    assert (np.stack(list(open_layer(other[0], kind="rgba").read())) != result).any()  # the motion reaches the picture


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_on_a_gpu(folders, sixteen, precision):
    """The same clip: float32 differs in the order of sums alone, the halves keep 11 and 8 bits of every product."""
    network = LoadedNetwork(folders, reference(), (64, 64), precision=precision, device="cuda")
    got = render(network, body(16)).astype(int)
    apart = np.abs(got - sixteen)[..., :3][sixteen[..., 3] > 0].mean()
    assert apart < {"float32": 2, "float16": 12, "bfloat16": 40}[precision]
    assert torch.cuda.max_memory_allocated() < 1e9


@pytest.mark.gpu
def test_a_gpu_that_is_too_small(folders, sixteen, monkeypatch):
    """Layers fetch their weights: float32 differs from the CPU in the order of sums alone."""
    monkeypatch.setenv("MIMO_OFFLOAD", "memory")
    got = render(LoadedNetwork(folders, reference(), (64, 64), device="cuda"), body(16)).astype(int)
    assert np.abs(got - sixteen)[..., :3][sixteen[..., 3] > 0].mean() < 2
