"""Make the example files again: cat.png, game.mp4 and dance.bvh. `python examples/make_examples.py [--out FOLDER]`

Everything in them is drawn, filmed and played by this script; nothing is taken from anybody.
They are under the project's licence.
"""

import argparse
import io
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from cat_drawing import draw_cat  # noqa: E402

from engine.body.bvh import Bvh, write_bvh  # noqa: E402
from engine.body.model import load_body  # noqa: E402
from engine.body.skeleton import Skeleton  # noqa: E402
from engine.geometry import rotvec_to_matrix  # noqa: E402
from engine.synth.clip import ClipSpec, make_clip  # noqa: E402
from engine.synth.motions import make_act  # noqa: E402
from engine.synth.sound import RATE_HZ, make_sound  # noqa: E402
from engine.types import BODY_JOINTS, JOINT_PARENTS  # noqa: E402

CHARACTER = HERE.parent / "engine" / "assets" / "characters" / "cat.png"
"""The packaged sample character: the same bytes as examples/cat.png."""
GAME = ClipSpec(
    size=(480, 848),
    num_frames=125,
    fps=25,
    camera="pan",
    occluder="ball",
    motion="juggle",
    seed=1,
    noise=1.2,
    pan_deg=8,
    supersample=3,
)
DANCE_FPS, DANCE_S = 24, 8.5
TIPS_CM = {
    "left_foot": (2, 0, 8),
    "right_foot": (-2, 0, 8),
    "head": (0, 18, 0),
    "left_wrist": (17, 0, 0),
    "right_wrist": (-17, 0, 0),
}
_GOP, _CRF, _AAC_FRAME = 50, 18, 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: examples/)")
    parser.add_argument("--only", choices=("cat", "game", "dance"), help="make one of them")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.only in (None, "cat"):
        data = cat_png()
        (args.out / "cat.png").write_bytes(data)
        if args.out == HERE:
            CHARACTER.write_bytes(data)
    if args.only in (None, "dance"):
        write_dance(args.out / "dance.bvh")
    if args.only in (None, "game"):
        write_game(args.out / "game.mp4")


def cat_png() -> bytes:
    """The cat as PNG bytes."""
    file = io.BytesIO()
    Image.fromarray(draw_cat()).save(file, "PNG", optimize=True)
    return file.getvalue()


def write_dance(path: Path) -> None:
    """Eight and a half seconds of our own dance on the body's skeleton, in centimetres."""
    rest_m = load_body().joints
    motion = make_act("dance", rest_m, np.arange(round(DANCE_S * DANCE_FPS)) / DANCE_FPS).motion
    num = len(BODY_JOINTS)
    parents = JOINT_PARENTS[:num]
    rest_cm = 100 * rest_m[:num].astype(float)
    offsets = np.array([rest_cm[j] - (rest_cm[p] if p >= 0 else 0) for j, p in enumerate(parents)])
    ends = tuple((BODY_JOINTS.index(name), tip) for name, tip in TIPS_CM.items())
    euler_deg = np.degrees(euler_zxy(rotvec_to_matrix(motion.rotvec[:, :num].astype(float))))
    turns = ("Zrotation", "Xrotation", "Yrotation")
    channels = tuple(("Xposition", "Yposition", "Zposition", *turns) if j == 0 else turns for j in range(num))
    values = np.concatenate([100 * motion.root_m, euler_deg.reshape(len(motion), -1)], 1)
    skeleton = Skeleton(names=BODY_JOINTS, parents=parents, offsets=offsets, ends=ends)
    write_bvh(Bvh(skeleton=skeleton, channels=channels, frame_time_s=1 / DANCE_FPS, values=np.round(values, 3)), path)


def euler_zxy(matrix: np.ndarray) -> np.ndarray:
    """(..., 3) radians about z, x, y of rotations (T, ..., 3, 3) = Rz Rx Ry, without jumps of a full turn."""
    x = np.arcsin(np.clip(matrix[..., 2, 1], -1, 1))
    y = np.arctan2(-matrix[..., 2, 0], matrix[..., 2, 2])
    z = np.arctan2(-matrix[..., 0, 1], matrix[..., 1, 1])
    return np.unwrap(np.stack([z, x, y], -1), axis=0)


def write_game(path: Path) -> None:
    """Film the game: H.264 and AAC in MP4, the same bytes on every run of one machine."""
    clip = make_clip(GAME)
    sound = make_sound(GAME.num_frames / GAME.fps, clip.act.touch_s)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart", "fflags": "+bitexact"}) as file:
        video = file.add_stream("libx264", rate=Fraction(GAME.fps))
        video.height, video.width = GAME.size
        video.pix_fmt = "yuv420p"
        video.time_base = Fraction(1, GAME.fps)
        context = video.codec_context
        # without cpu-independent x264's bytes differ from run to run on a busy machine with AVX-512 (measured, 1 in 3)
        context.options = {
            "crf": str(_CRF),
            "preset": "slow",
            "x264-params": f"threads=2:keyint={_GOP}:cpu-independent=1",
        }
        context.color_range, context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1, 1
        audio = file.add_stream("aac", rate=RATE_HZ, layout="stereo")
        audio.bit_rate = 112_000
        for stream in (video, audio):
            stream.codec_context.flags |= av.codec.context.Flags.bitexact
        at = 0
        for idx, rgb in enumerate(clip.rgb.read()):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
            frame.pts, frame.time_base = idx, Fraction(1, GAME.fps)
            file.mux(video.encode(frame))
            at = _mux_sound(file, audio, sound, at, round((idx + 1) / GAME.fps * RATE_HZ))
            print(f"\rgame.mp4 {idx + 1}/{GAME.num_frames}", end="", file=sys.stderr)
        print(file=sys.stderr)
        _mux_sound(file, audio, sound, at, None)
        file.mux(video.encode(None))
        file.mux(audio.encode(None))


def _mux_sound(
    file: av.container.OutputContainer, stream: av.AudioStream, sound: np.ndarray, at: int, stop: int | None
) -> int:
    """Encode whole AAC frames up to sample `stop` (None: all that is left); returns where it stopped."""
    while at < len(sound) and (stop is None or at + _AAC_FRAME <= stop):
        block = np.ascontiguousarray(sound[at : at + _AAC_FRAME].T)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, at, Fraction(1, RATE_HZ)
        file.mux(stream.encode(frame))
        at += block.shape[1]
    return at


if __name__ == "__main__":
    main()
