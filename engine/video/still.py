"""Still pictures: one picture, an animation of pictures, a folder of pictures; and writing PNG."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from engine.errors import InputError

MAX_PICTURE_PIXELS = 80_000_000
"""Largest picture that is read (e.g. 8900 x 8900); refused from its header, before memory is taken."""

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".apng", ".ppm", ".pgm"})
"""Endings of files that are read as pictures, not as videos. GIF is a video."""


def read_image(path: str | os.PathLike[str]) -> NDArray:
    """Read a still picture, upright.

    EXIF orientation is applied, CMYK and pictures with a colour profile become sRGB, 16 bits become 8, palettes
    become colours; of an animation the first frame is taken.

    Returns:
        (H, W, 4) uint8 straight RGBA.

    Raises:
        InputError: missing, a directory, empty, not a picture, damaged, or larger than `MAX_PICTURE_PIXELS`.
    """
    path = Path(path)
    with _open_picture(path) as picture:
        return _to_rgba(picture)


def read_animation(path: Path) -> tuple[int, tuple[int, int], list[int]]:
    """What an animated picture holds.

    Returns:
        number of frames, (height, width), and how long each frame is shown, milliseconds (40 where it does not say).
    """
    with _open_picture(path) as picture:
        durations = []
        num_frames = getattr(picture, "n_frames", 1)
        height, width = _to_rgba(picture).shape[:2]
        for idx in range(num_frames):
            picture.seek(idx)
            picture.load()
            durations.append(round(float(picture.info.get("duration") or 40)))
        return num_frames, (height, width), durations


def animation_frames(path: Path, start: int, stop: int) -> Iterator[NDArray]:
    """Frames start ... stop-1 of an animated picture, (H, W, 4) uint8 straight RGBA."""
    with _open_picture(path) as picture:
        for idx in range(stop):  # every frame builds on the one before it
            if getattr(picture, "n_frames", 1) > 1:
                picture.seek(idx)
                picture.load()
            if idx >= start:
                yield _to_rgba(picture)


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the (last) number in their names: 2.png before 10.png.

    Raises:
        InputError: there is none.
    """

    def order(path: Path) -> tuple[int, str]:
        numbers = re.findall(r"\d+", path.stem)
        return (int(numbers[-1]) if numbers else -1), path.name

    found = [p for p in folder.iterdir() if p.suffix.lower() in PICTURE_SUFFIXES and not p.name.startswith(".")]
    if not found:
        raise InputError(f"{folder} is a directory without pictures.", fix="put 000000.png, 000001.png ... there.")
    return sorted(found, key=order)


def read_samples(path: Path) -> NDArray:
    """The stored samples of a PNG or another picture, unconverted: (H, W) or (H, W, 3 or 4) in RGB order, uint8/16.

    Raises:
        InputError: as `read_image`.
    """
    with _open_picture(path):  # refuses what is too large or no picture
        pass
    samples = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype not in (np.uint8, np.uint16):
        return read_image(path)
    if samples.ndim == 3:
        samples = cv2.cvtColor(samples, cv2.COLOR_BGR2RGB if samples.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return samples


def write_png(path: str | os.PathLike[str], array: NDArray) -> None:
    """Write a PNG; the same array gives the same bytes, and the file appears whole or not at all.

    Args:
        path: where to; its folder must exist.
        array: (H, W) gray, (H, W, 3) RGB or (H, W, 4) straight RGBA, uint8 or uint16.
    """
    path = Path(path)
    assert array.dtype in (np.uint8, np.uint16), array.dtype
    if array.ndim == 3 and array.shape[2] > 1:
        array = cv2.cvtColor(array, cv2.COLOR_RGB2BGR if array.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    ok, data = cv2.imencode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    assert ok, f"PNG cannot hold {array.shape} {array.dtype}"
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data.tobytes())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _open_picture(path: Path) -> Iterator[Image.Image]:
    """Open a picture after looking at its header; whatever a decoder raises becomes one clear sentence."""
    if not path.exists():
        raise InputError(f"{path} does not exist.", fix="check the spelling of the path.")
    if path.is_dir():
        raise InputError(f"{path} is a directory, not a picture.", fix="name a picture in it.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes).", fix="copy or download it again.")
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # our own limit speaks, without Pillow's warning
    try:
        try:
            picture = Image.open(path)
        except PermissionError as error:
            raise InputError(f"{path} may not be read.", fix=f"allow it: chmod u+r {path.name}") from error
        except Exception as error:  # Pillow's plugins raise OSError, ValueError, SyntaxError, struct.error, ...
            raise InputError(f"{path} is not a picture that can be read.", fix="save it as PNG or JPEG.") from error
        with picture:
            width, height = picture.size
            if width < 1 or height < 1:
                raise InputError(f"{path} has a size of {width}x{height}.", fix="choose another picture.")
            if width * height > MAX_PICTURE_PIXELS:
                raise InputError(
                    f"{path} claims {width}x{height} pixels; the limit is {MAX_PICTURE_PIXELS // 10**6} million.",
                    fix="scale it down first.",
                )
            yield picture
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _to_rgba(picture: Image.Image) -> NDArray:
    try:
        picture.load()
        upright = ImageOps.exif_transpose(picture) or picture
        if upright.mode.startswith("I;16") or upright.mode == "I":  # 16-bit gray; Pillow would clip it to white
            gray = np.clip(np.asarray(upright).astype(np.int64), 0, 65535)
            gray_u8 = ((gray + 128) // 257).astype(np.uint8)
            return cv2.cvtColor(gray_u8, cv2.COLOR_GRAY2RGBA)
        return np.array(_to_srgb(upright).convert("RGBA"))
    except InputError:
        raise
    except Exception as error:  # as above: damaged data surfaces in many ways
        name = getattr(picture, "filename", "the picture")
        raise InputError(f"{name} is damaged and cannot be read.", fix="copy or download it again.") from error


def _to_srgb(picture: Image.Image) -> Image.Image:
    """Apply an embedded colour profile; pictures without one are taken to be sRGB."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "RGBA", "CMYK"):
        return picture
    try:
        from io import BytesIO

        source, target = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
        mode = "RGBA" if picture.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(picture, source, target, outputMode=mode) or picture
    except (ImageCms.PyCMSError, OSError, ValueError):  # a broken profile: Pillow's own conversion will do
        return picture
