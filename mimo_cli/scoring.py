"""What `mimo eval` does with each kind of file: pictures, masks, motions, folders of videos."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError, MissingError, UsageError
from engine.types import FrameSource
from mimo_cli import console

if TYPE_CHECKING:
    from engine.metrics.meters import Meter, Score
    from engine.types import Motion

PICTURES = ("psnr", "ssim", "lpips", "flicker", "warp", "seam", "identity")
SETS = ("fvd",)
MOTIONS = ("mpjpe", "pa_mpjpe", "w_mpjpe", "wa_mpjpe", "accel", "slide", "jitter")
MASKS = ("J", "F", "J&F")
VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".gif"}
_NEEDS_TRUTH = {"psnr", "ssim", "lpips", "flicker", "seam"}
_MIN_SIDE_PX = {"ssim": 11, "warp": 16, "lpips": 64}
_FEW_VIDEOS = 256
"""Below this FVD says more about the number of videos than about the videos."""


def score_pictures(
    result: Path,
    truth: Path | None,
    mask: Path | None,
    identity: Path | None,
    metrics: Sequence[str] | None,
    network: str,
) -> list["Score"]:
    """Measure a video or picture against the true one, frame by frame.

    Args:
        result, truth: anything `open_clip` reads, of one size and length; without a truth only what needs none.
        mask: the pixels that count, white; a layer of the same size and length.
        identity: a picture of the character, for identity similarity.
        metrics: of `PICTURES`; None: all that can be measured.
        network: of LPIPS, "alex" or "vgg".

    Raises:
        UsageError: a measure was named that what was given does not allow.
        InputError: the files do not fit each other, or a measure was named for which they are too small.
        MissingError: a measure was named whose weights are not here.
    """
    from engine.video import open_clip, open_layer

    got = open_clip(result)
    want = None if truth is None else open_clip(truth)
    if want is not None:
        check_fit(result, got, truth, want)
        if abs(float(got.info.rate / want.info.rate) - 1) > 0.01:
            console.current().warned(
                f"{result} is shown at {float(got.info.rate):.4g} frames/s, the truth at {float(want.info.rate):.4g}: "
                "frames are compared by their numbers"
            )
    layer = None
    if mask is not None:
        layer = open_layer(mask, kind="gray8", ours=False, num_frames=got.num_frames, size=got.size)
    meters = _picture_meters(got.size, want is not None, layer is not None, identity, metrics, network)
    hear(meters, _sights(got, want, layer), got.num_frames)
    return [meter.score() for meter in meters]


def score_masks(result: Path, truth: Path) -> list["Score"]:
    """Measure a mask against the true one: DAVIS's J and F."""
    from engine.metrics.meters import Sight, mask_meters
    from engine.video import open_layer

    got, want = (open_layer(path, kind="gray8", ours=False) for path in (result, truth))
    check_fit(result, got, truth, want)
    meters = mask_meters()
    pairs = zip(got.read(), want.read(), strict=True)
    hear(meters, (Sight(ours > 127, theirs > 127) for ours, theirs in pairs), got.num_frames)
    return [meter.score() for meter in meters]


def score_motions(result: Path, truth: Path | None, mapping: Path | None) -> list["Score"]:
    """Measure a motion file against the true one; without one only how smooth it is."""
    from engine.metrics import motion as metrics
    from engine.metrics.meters import Score
    from mimo_cli.motions import read_file

    got = read_file(result, mapping, place=False).motion
    rate = _rate(got, result)
    joints, feet = _joints_and_feet(got)
    jitter = Score("jitter", metrics.jitter_m_s3(joints, rate) / 10, "10 m/s^3", "third differences, 22 joints, world")
    if truth is None:
        return [jitter]
    want = read_file(truth, mapping, place=False).motion
    if len(got) != len(want):
        raise InputError(
            f"{result} has {len(got)} frames; {truth} has {len(want)}.", fix="export both with the same frames."
        )
    if abs(rate / _rate(want, truth) - 1) > 0.01:
        raise InputError(
            f"{result} has {rate:.4g} frames per second; {truth} has {_rate(want, truth):.4g}.",
            fix="export both at the same rate, or say the right one in a --mapping file (frame_rate = 30).",
        )
    true, true_feet = _joints_and_feet(want)
    skeleton = "22 SMPL joints"
    rows = (
        ("mpjpe", 1e3 * metrics.mpjpe_m(joints, true), "mm", f"{skeleton}, pelvis aligned, axes of the files"),
        ("pa_mpjpe", 1e3 * metrics.pa_mpjpe_m(joints, true), "mm", f"{skeleton}, Procrustes with scale, each frame"),
        (
            "w_mpjpe", 1e3 * metrics.world_mpjpe_m(joints, true, align=2), "mm",
            f"{skeleton}, 100-frame stretches, Procrustes of their first two frames",
        ),
        (
            "wa_mpjpe", 1e3 * metrics.world_mpjpe_m(joints, true, align=None), "mm",
            f"{skeleton}, 100-frame stretches, Procrustes of all their frames",
        ),
        ("accel", metrics.acceleration_error_m_s2(joints, true, rate), "m/s^2", f"{skeleton}, second differences"),
        (
            "slide", 1e3 * metrics.foot_slide_m(feet, true_feet, rate), "mm",
            "heels and toes in a 1/30 s in which they truly move below 0.3 m/s",
        ),
    )  # fmt: skip
    return [*(Score(*row) for row in rows), jitter]


def score_sets(result: Path, truth: Path) -> list["Score"]:
    """Measure a folder of videos against a folder of true ones: FVD.

    Raises:
        InputError: a folder holds fewer than two videos, or a video is too short.
        MissingError: the network is not here.
    """
    from engine.metrics.frechet import frechet_distance
    from engine.metrics.meters import Score
    from engine.weights import find
    from engine.weights.remember import digests

    lists = [list_videos(folder) for folder in (result, truth)]
    found = find("i3d")
    if min(map(len, lists)) < _FEW_VIDEOS:
        console.current().warned(
            f"FVD of {len(lists[0])} and {len(lists[1])} videos reads too high; compare it only with others of as many"
        )
    from engine.metrics.i3d import NUM_FRAMES, SIDE_PX, load_i3d

    network = load_i3d(found.files[0])
    voice, done, looks = console.current(), 0, []
    voice.started("eval", "looking at the videos")
    for videos in lists:
        rows = []
        for video in videos:
            rows.append(network.look(_first_frames(video, NUM_FRAMES)))
            voice.progressed("eval", done := done + 1, sum(map(len, lists)))
        looks.append(np.stack(rows))
    voice.stop()
    about = (
        f"I3D {found.files[0].name} (sha256 {digests(found)[0][:8]}), logits, first {NUM_FRAMES} frames, "
        f"{SIDE_PX}x{SIDE_PX} bilinear, {len(lists[0])} against {len(lists[1])} videos"
    )
    return [Score("fvd", frechet_distance(looks[0], looks[1]), "", about)]


def is_set(path: Path) -> bool:
    """Whether a path is a folder of videos, not of pictures."""
    return path.is_dir() and any(file.suffix.lower() in VIDEO_SUFFIXES for file in path.iterdir())


def list_videos(folder: Path) -> list[Path]:
    """Return the videos of a folder, by name.

    Raises:
        InputError: it is no folder, or has fewer than two.
    """
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    videos = [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES and not file.name.startswith(".")]
    if len(videos) < 2:
        raise InputError(
            f"{folder} holds {len(videos)} videos; FVD compares two folders of many.",
            fix="give two folders of videos; for one video use psnr, ssim and lpips.",
        )
    return videos


def check_fit(result: Path, got: FrameSource, truth: Path | None, want: FrameSource) -> None:
    """Refuse two clips of different sizes or lengths.

    Raises:
        InputError: with both numbers.
    """
    if got.size != want.size:
        raise InputError(
            f"{result} is {got.size[1]}x{got.size[0]}; {truth} is {want.size[1]}x{want.size[0]}.",
            fix="export both at the same size: mimo resizes nothing, for that would change the numbers.",
        )
    if got.num_frames != want.num_frames:
        raise InputError(
            f"{result} has {got.num_frames} frames; {truth} has {want.num_frames}.",
            fix="cut both to the same frames.",
        )


def hear(meters: Sequence["Meter"], sights: Iterator, total: int) -> None:
    """Let every meter hear every frame, with a bar."""
    voice = console.current()
    voice.started("eval", "comparing")
    for done, sight in enumerate(sights, 1):
        for meter in meters:
            meter.add(sight)
        voice.progressed("eval", done, total)
    voice.stop()


def _sights(got: FrameSource, want: FrameSource | None, layer: FrameSource | None) -> Iterator:
    from engine.metrics.meters import Sight

    nothing: list[None] = [None] * got.num_frames
    truths, masks = (nothing if source is None else source.read() for source in (want, layer))
    for rgb, true, mask in zip(got.read(), truths, masks, strict=True):
        yield Sight(rgb, true, None if mask is None else mask > 127)


def _picture_meters(
    size: tuple[int, int],
    has_truth: bool,
    has_mask: bool,
    identity: Path | None,
    metrics: Sequence[str] | None,
    network: str,
) -> list["Meter"]:
    from engine.metrics.meters import picture_meters

    meters: list[Meter] = []
    for name in metrics or PICTURES:
        try:
            _check(name, size, has_truth, has_mask, identity)
            if name == "lpips":
                meters.append(_lpips(network))
            elif name == "identity":
                assert identity is not None
                meters.append(_likeness(identity))
            else:
                meters += picture_meters([name], masked=has_mask)
        except (UsageError, MissingError, InputError) as error:
            if metrics or (name == "identity" and identity is not None):
                raise
            if name not in ("seam", "identity") and (has_truth or name not in _NEEDS_TRUTH):
                why = "its weights are not here" if isinstance(error, MissingError) else error.what.rstrip(".")
                console.current().say(f"{name} is left out: {why} ({error.fix.rstrip('.')})")
    return meters


def _check(name: str, size: tuple[int, int], has_truth: bool, has_mask: bool, identity: Path | None) -> None:
    """Refuse a measure that what was given does not allow."""
    if name in _NEEDS_TRUTH and not has_truth:
        raise UsageError(f"{name} compares with the true video.", fix="give it: --truth FILE")
    if name == "seam" and not has_mask:
        raise UsageError("seam looks along the outline of a mask.", fix="give the edited region: --mask FILE")
    if name == "identity" and identity is None:
        raise UsageError("identity compares with a picture of the character.", fix="give it: --identity FILE")
    if min(size) < _MIN_SIDE_PX.get(name, 1):
        raise InputError(
            f"{name} needs frames of at least {_MIN_SIDE_PX[name]} pixels; these are {size[1]}x{size[0]}.",
            fix="name the other measures with --metric.",
        )


def _lpips(network: str) -> "Meter":
    from engine.weights import find, look

    names = {"alex": "alexnet", "vgg": "vgg16"}[network], f"lpips-{network}"
    missing = [name for name in names if look(name) is None]
    if missing:
        raise MissingError(
            f"LPIPS ({network}) needs weights that are not here: {' and '.join(missing)}.",
            fix=f"mimo weights pull {' '.join(missing)}",
        )
    backbone, heads = (find(name) for name in names)
    from engine.metrics.lpips import load_lpips
    from engine.metrics.meters import lpips_meter

    return lpips_meter(network, load_lpips(network, backbone.files[0], heads.files[0]).distance)


def _likeness(picture: Path) -> "Meter":
    from engine.metrics.meters import likeness_meter
    from engine.video import read_image
    from engine.weights import find

    rgba = read_image(picture)
    if not rgba[..., 3].any():
        raise InputError(f"{picture} is wholly transparent.", fix="give a picture of the character.")
    found = find("image-encoder")
    from engine.metrics.likeness import Likeness

    return likeness_meter(found.name, Likeness(found.files[0].parent, rgba).of)


def _first_frames(video: Path, count: int) -> NDArray:
    from engine.video import open_clip

    clip = open_clip(video)
    if clip.num_frames < count:
        raise InputError(f"{video} has {clip.num_frames} frames; FVD needs {count}.", fix="take it out of the folder.")
    return np.stack(list(islice(clip.read(0, count), count)))


def _rate(motion: "Motion", path: Path) -> float:
    if len(motion) < 4:
        raise InputError(f"{path} has {len(motion)} frames; measuring motion needs 4.", fix="give a longer motion.")
    return (len(motion) - 1) / float(motion.time_s[-1] - motion.time_s[0])


def _joints_and_feet(motion: "Motion") -> tuple[NDArray, NDArray]:
    """(T, 22, 3) and (T, 4, 3) float64, metres, world: SMPL's joints; heels and toes."""
    from engine.body.model import forward_kinematics, load_body
    from engine.motion.person import SOLES
    from engine.types import BODY_JOINTS

    posed = forward_kinematics(motion.rotvec.astype(float), motion.root_m.astype(float), motion.rest_m)
    return posed[0][:, : len(BODY_JOINTS)], load_body().landmarks_of(*posed, motion.shape)[:, SOLES]
