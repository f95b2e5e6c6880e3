"""From decoded frames to planes: which working format a source gets, and turning its pictures upright."""

from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import ClipInfo
from engine.video.color import PlaneLayout, plane_layout, planes_to_rgb, to_8_bits

MATRICES: dict[int, str] = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 7: "bt709", 9: "bt2020", 10: "bt2020"}
"""ISO/IEC 23091 matrix coefficients to the names of `ClipInfo.color_space`."""

MATRIX_TAGS: dict[str, int] = {"bt601": 6, "bt709": 1, "bt2020": 9, "rgb": 0}
"""The names of `ClipInfo.color_space` to ISO/IEC 23091 matrix coefficients."""

REPACKED: dict[str, str] = {
    "nv12": "yuv420p", "nv21": "yuv420p", "nv16": "yuv422p", "nv24": "yuv444p", "nv42": "yuv444p",
    "yuyv422": "yuv422p", "uyvy422": "yuv422p", "yvyu422": "yuv422p",
    "p010le": "yuv420p10le", "p210le": "yuv422p10le", "p410le": "yuv444p10le", "p012le": "yuv420p12le",
    "monob": "gray", "monow": "gray",
    "rgb48le": "gbrp16le", "rgb48be": "gbrp16le", "bgr48le": "gbrp16le", "bgr48be": "gbrp16le",
}  # fmt: skip
"""Formats that hold the same samples as a working format in another order."""

UNEVEN: dict[str, tuple[int, int]] = {"yuv440p": (1, 2), "yuv411p": (4, 1), "yuv410p": (4, 4)}
"""Rare subsamplings (columns, rows per chroma sample); they become yuv444p by repeating each sample."""

WHITE = 255
"""What shows behind transparent pixels: a page, as in browsers and in FFmpeg's GIF decoder."""


@dataclass(frozen=True)
class Orientation:
    """What makes a stored picture upright: transpose, then mirror."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def rotation_deg(self) -> int:
        """The clockwise turn, where it is one; of a mirrored picture, that of its unmirrored twin."""
        if self.transpose:
            return 90 if self.mirror_x else 270
        return 180 if self.mirror_y else 0

    def apply(self, plane: NDArray) -> NDArray:
        """Turn one plane, (H, W) or (H, W, C), upright."""
        if self.transpose:
            plane = cv2.transpose(plane)
        if self.mirror_x or self.mirror_y:
            plane = cv2.flip(plane, -1 if self.mirror_x and self.mirror_y else 1 if self.mirror_x else 0)
        return plane


def read_orientation(frame: "av.VideoFrame") -> Orientation:
    """The orientation a frame asks for with its display matrix (ISO/IEC 14496-12, 8.3.2), to the nearest quarter."""
    try:
        side_data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV cannot list side data newer than itself (Exif); the angle alone still works
        quarter = round(-frame.rotation / 90) % 4
        return (
            Orientation(),
            Orientation(transpose=True, mirror_x=True),
            Orientation(mirror_x=True, mirror_y=True),
            Orientation(transpose=True, mirror_y=True),
        )[quarter]
    if side_data is None:
        return Orientation()
    a, b, _, c, d, *_ = np.frombuffer(side_data, np.int32)[:9].tolist()
    if abs(a) + abs(d) < abs(b) + abs(c):  # x' = c y, y' = b x
        return Orientation(transpose=True, mirror_x=c < 0, mirror_y=b < 0)
    return Orientation(mirror_x=a < 0, mirror_y=d < 0)


def working_format(frame: "av.VideoFrame", orientation: Orientation) -> str:
    """The working pixel format that holds a frame without loss after it has been turned upright."""
    name = frame.format.name.replace("yuvj", "yuv").removesuffix("be")
    name = name if name == frame.format.name.replace("yuvj", "yuv") else f"{name}le"
    if name in UNEVEN:
        return "yuv444p"
    name = REPACKED.get(name, name)
    layout = plane_layout(name)
    if layout is None:
        return "gbrp"
    odd = frame.width % layout.sub_x or frame.height % layout.sub_y
    turned = orientation.transpose and layout.sub_x != layout.sub_y
    if layout.family == "yuv" and (turned or (odd and orientation != Orientation())):
        bits = "" if layout.bits == 8 else f"{layout.bits}le"  # samples of an odd edge would move to the other side
        return f"yuv444p{bits}"
    return name


def read_planes(frame: "av.VideoFrame", pix_fmt: str, orientation: Orientation) -> list[NDArray]:
    """The upright planes of a decoded frame in its working format, as arrays of their own.

    Pictures with transparency come over white.
    """
    layout = plane_layout(pix_fmt)
    assert layout is not None
    name = frame.format.name.replace("yuvj", "yuv")
    if name in UNEVEN:
        planes = _repeat(copy_planes(frame, np.uint8), UNEVEN[name], frame)
    elif name == pix_fmt:
        planes = copy_planes(frame, layout.dtype)
    elif layout.family == "rgb" and layout.bits == 8:
        planes = _over_white(frame)
    else:
        planes = _repacked(frame, pix_fmt, layout)
    return [orientation.apply(p) for p in planes] if orientation != Orientation() else planes


def copy_planes(frame: "av.VideoFrame", dtype: type[np.unsignedinteger]) -> list[NDArray]:
    """All planes of a decoded frame as they are, arrays of their own."""
    item = np.dtype(dtype).itemsize
    return [
        np.frombuffer(p, dtype).reshape(p.height, p.line_size // item)[:, : p.width].copy()  # type: ignore[arg-type]
        for p in frame.planes
    ]


def _repeat(planes: list[NDArray], steps: tuple[int, int], frame: "av.VideoFrame") -> list[NDArray]:
    """Repeat chroma samples until the planes are as large as luma."""
    step_x, step_y = steps
    grown = [p.repeat(step_y, 0).repeat(step_x, 1)[: frame.height, : frame.width] for p in planes[1:]]
    return [planes[0], *(np.ascontiguousarray(p) for p in grown)]


def _repacked(frame: "av.VideoFrame", pix_fmt: str, layout: PlaneLayout) -> list[NDArray]:
    """The same samples in another order, and subsampled chroma repeated where the working format is 4:4:4."""
    if layout.family == "yuv" and layout.sub_x == 1:
        bits = pix_fmt.removeprefix("yuv444p")
        packed = REPACKED.get(frame.format.name, frame.format.name.replace("yuvj", "yuv"))
        inner = packed if packed.startswith("yuv444p") else f"{packed[:7]}{bits}"
        if inner != pix_fmt:
            small = plane_layout(inner)
            assert small is not None
            same = frame if frame.format.name.replace("yuvj", "yuv") == inner else frame.reformat(format=inner)
            return _repeat(copy_planes(same, small.dtype), (small.sub_x, small.sub_y), frame)
    return copy_planes(frame.reformat(format=pix_fmt), layout.dtype)


def _over_white(frame: "av.VideoFrame") -> list[NDArray]:
    """Packed RGB, palettes and anything with alpha: 8-bit G, B, R."""
    has_alpha = frame.format.name.startswith(("rgba", "bgra", "argb", "abgr", "pal8", "yuva", "gbrap", "ya"))
    rgb = over_white(frame_rgba(frame)) if has_alpha else frame_rgb(frame)
    red, green, blue = cv2.split(rgb)
    return [green, blue, red]


def read_tags(frame: "av.VideoFrame", pix_fmt: str) -> tuple[str, str]:
    """Range ("tv" or "pc") and matrix of a decoded frame that is stored as `pix_fmt`.

    Without a tag high definition is BT.709 and the rest BT.601, as players take it.
    """
    layout = plane_layout(pix_fmt)
    assert layout is not None
    if layout.family == "rgb":
        return "pc", "rgb"
    full = frame.color_range == 2 or frame.format.name.startswith(("yuvj", "mono"))
    untagged = "bt709" if frame.width >= 1280 or frame.height > 576 else "bt601"
    return "pc" if full else "tv", MATRICES.get(int(frame.colorspace), untagged)


def tag_colors(target: "av.VideoCodecContext | av.VideoFrame", info: ClipInfo) -> None:
    """Write range, matrix, primaries and transfer into a stream or a frame (ProRes reads them from its frames)."""
    target.color_range = 2 if info.color_range == "pc" else 1
    target.colorspace = MATRIX_TAGS[info.color_space]
    target.color_primaries = info.color_primaries
    target.color_trc = info.color_trc


def frame_rgba(frame: "av.VideoFrame") -> NDArray:
    """(H, W, 4) uint8 straight RGBA of a decoded frame, by its own tags; alpha is 255 where it has none.

    YUV is converted here and not by swscale, which leaves bytes of alpha unset where the width is no multiple of 8.
    """
    name = frame.format.name
    if name == "bgra":
        pixels = np.frombuffer(frame.planes[0], np.uint8).reshape(frame.height, -1, 4)  # type: ignore[arg-type]
        return cv2.cvtColor(pixels[:, : frame.width], cv2.COLOR_BGRA2RGBA)
    if not name.startswith(("yuv", "gray", "nv", "p0", "p2", "p4")):
        return frame.to_ndarray(format="rgba")
    if not name.startswith("yuva"):
        return cv2.cvtColor(_yuv_rgb(frame, working_format(frame, Orientation())), cv2.COLOR_RGB2RGBA)
    pix_fmt = name.replace("yuva", "yuv")
    layout = plane_layout(pix_fmt)
    assert layout is not None
    *planes, alpha = copy_planes(frame, layout.dtype)
    rgb = planes_to_rgb(planes, _tagged(frame, pix_fmt))
    return np.dstack([rgb, to_8_bits(alpha, layout.bits)])


def _yuv_rgb(frame: "av.VideoFrame", pix_fmt: str) -> NDArray:
    return planes_to_rgb(read_planes(frame, pix_fmt, Orientation()), _tagged(frame, pix_fmt))


def _tagged(frame: "av.VideoFrame", pix_fmt: str) -> ClipInfo:
    """Just enough of a `ClipInfo` to convert one frame."""
    color_range, color_space = read_tags(frame, pix_fmt)
    return ClipInfo(
        width=frame.width, height=frame.height, num_frames=1, time_base=Fraction(1, 25), rate=Fraction(25),
        pix_fmt=pix_fmt, color_range=color_range, color_space=color_space,
    )  # fmt: skip


def frame_rgb(frame: "av.VideoFrame") -> NDArray:
    """(H, W, 3) uint8 RGB of a decoded frame, by its own tags, whatever its alpha."""
    if frame.format.name in ("bgr0", "bgra"):
        pixels = np.frombuffer(frame.planes[0], np.uint8).reshape(frame.height, -1, 4)  # type: ignore[arg-type]
        return cv2.cvtColor(pixels[:, : frame.width], cv2.COLOR_BGRA2RGB)
    return np.ascontiguousarray(frame_rgba(frame)[..., :3])


def over_white(rgba: NDArray) -> NDArray:
    """(H, W, 4) uint8 straight RGBA to (H, W, 3) uint8 RGB over white."""
    alpha = rgba[..., 3]
    if alpha.min() == 255:
        return np.ascontiguousarray(rgba[..., :3])
    alpha_01 = alpha[..., None].astype(np.float32) / 255
    return np.rint(rgba[..., :3] * alpha_01 + WHITE * (1 - alpha_01)).astype(np.uint8)
