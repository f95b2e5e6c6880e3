"""Animated GIF: 256 colours per picture chosen by FFmpeg's palettegen, alpha kept as one transparent entry."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
from av.codec.context import Flags
from av.filter import Graph
from numpy.typing import NDArray

from engine.types import Size
from engine.video.layer import packed_frame

HUNDREDTH = Fraction(1, 100)


class GifEncoder:
    """Writes RGBA pictures to a GIF that plays for ever. Alpha below 128 is transparent, the rest opaque."""

    def __init__(self, path: Path, size: Size, *, alpha: bool) -> None:
        self._container = av.open(f"file:{path}", "w", format="gif", options={"fflags": "+bitexact", "loop": "0"})
        stream = self._container.add_stream("gif", rate=25)
        assert isinstance(stream, av.VideoStream)
        self._stream = stream
        stream.height, stream.width = size
        stream.pix_fmt = "pal8"
        stream.time_base = HUNDREDTH
        stream.codec_context.time_base = HUNDREDTH
        stream.codec_context.flags |= Flags.bitexact
        self._size, self._dither = size, "none" if alpha else "sierra2_4a"

    def write(self, rgba: NDArray, pts: int, duration: int) -> None:
        """Append one (H, W, 4) uint8 straight RGBA picture, shown at `pts` for `duration` hundredths of a second."""
        frame = packed_frame(rgba, "rgba")
        picture = self._to_palette(frame)
        picture.pts, picture.time_base = pts, HUNDREDTH
        for packet in self._stream.encode(picture):
            packet.duration = duration
            self._container.mux(packet)

    def _to_palette(self, frame: "av.VideoFrame") -> "av.VideoFrame":
        """One picture with a palette of its own."""
        height, width = self._size
        graph = Graph()
        source = graph.add_buffer(width=width, height=height, format=frame.format, time_base=HUNDREDTH)
        split = graph.add("split")
        palette = graph.add("palettegen", "stats_mode=single:reserve_transparent=1")
        use = graph.add("paletteuse", f"new=1:alpha_threshold=128:dither={self._dither}")
        sink = graph.add("buffersink")
        source.link_to(split)
        split.link_to(palette, 0, 0)
        split.link_to(use, 1, 0)
        palette.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        frame.pts, frame.time_base = 0, HUNDREDTH
        graph.push(frame)
        graph.push(None)
        out = graph.pull()
        assert isinstance(out, av.VideoFrame)
        return out

    def __enter__(self) -> "GifEncoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()
