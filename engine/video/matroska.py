"""The shape of pixels in Matroska: written into a finished file, since PyAV cannot hand it to FFmpeg's writer.

The video track is written with a name of `PLACEHOLDER`; `set_pixel_aspect` puts display size elements in its place, so
that no other byte of the file moves. Source: RFC 8794 (EBML), RFC 9559 (Matroska).
"""

from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from engine.types import Size

PLACEHOLDER = "." * 48
"""Room for the new elements, 24 bytes at most, and for the filler after them."""

SEGMENT, TRACKS, TRACK_ENTRY, VIDEO, NAME = 0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0x536E
DISPLAY_WIDTH, DISPLAY_HEIGHT, DISPLAY_UNIT, VOID = 0x54B0, 0x54BA, 0x54B2, 0xEC
UNIT_ASPECT_RATIO = 3
HEADER_BYTES = 1 << 16
"""The tracks are described within the first bytes of a file, before the first picture."""


class Element(NamedTuple):
    """One EBML element: its number, and where it lies in the bytes."""

    number: int
    start: int
    content: int
    stop: int


def set_pixel_aspect(path: Path, size: Size, aspect: Fraction) -> None:
    """Write the pixel aspect (width over height of a pixel) into the video track named `PLACEHOLDER`.

    Args:
        path: a Matroska file written by FFmpeg without CRC-32 elements.
        size: (height, width), pixels.
        aspect: as `ClipInfo.pixel_aspect`.
    """
    with path.open("r+b") as file:
        head = file.read(HEADER_BYTES)
        segment = next(e for e in _children(head, 0, len(head)) if e.number == SEGMENT)
        tracks = next(e for e in _children(head, segment.content, segment.stop) if e.number == TRACKS)
        for entry in _children(head, tracks.content, tracks.stop):
            children = list(_children(head, entry.content, entry.stop))
            if any(c.number == NAME and head[c.content : c.stop] == PLACEHOLDER.encode() for c in children):
                file.seek(entry.content)
                file.write(_new_entry(head, entry, children, size, aspect))
                return
    raise AssertionError("no track carries the placeholder")


def _new_entry(head: bytes, entry: Element, children: list[Element], size: Size, aspect: Fraction) -> bytes:
    """The content of a track entry with the placeholder replaced; exactly as long as before."""
    height, width = size
    shape = (
        _element(DISPLAY_WIDTH, (width * aspect.numerator).to_bytes(6, "big"))
        + _element(DISPLAY_HEIGHT, (height * aspect.denominator).to_bytes(6, "big"))
        + _element(DISPLAY_UNIT, bytes([UNIT_ASPECT_RATIO]))
    )
    new = b""
    for child in children:
        if child.number == VIDEO:
            new += _element(VIDEO, head[child.content : child.stop] + shape)
        elif child.number != NAME:
            new += head[child.start : child.stop]
    filler = entry.stop - entry.content - len(new)
    assert 2 <= filler <= 128, filler
    return new + bytes([VOID, 0x80 | (filler - 2)]) + bytes(filler - 2)


def _element(number: int, content: bytes) -> bytes:
    length = len(content)
    coded = bytes([0x80 | length]) if length < 127 else (0x4000 | length).to_bytes(2, "big")
    return number.to_bytes((number.bit_length() + 7) // 8, "big") + coded + content


def _children(data: bytes, start: int, stop: int) -> "list[Element]":
    """The elements in data[start:stop]; the last one may reach past the bytes at hand."""
    found = []
    while start < min(stop, len(data) - 12):
        number_bytes = 9 - data[start].bit_length()
        number = int.from_bytes(data[start : start + number_bytes], "big")
        at = start + number_bytes
        size_bytes = 9 - data[at].bit_length()
        length = int.from_bytes(data[at : at + size_bytes], "big") & ((1 << (7 * size_bytes)) - 1)
        content = at + size_bytes
        unknown = length == (1 << (7 * size_bytes)) - 1
        found.append(Element(number, start, content, stop if unknown else content + length))
        start = found[-1].stop
    return found
