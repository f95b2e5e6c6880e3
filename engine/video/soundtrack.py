"""What comes with the pictures of a source: sound, subtitles, chapters and metadata, copied as packets."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.error import FFmpegError
from av.stream import Stream

from engine.video.decode import open_container

NEW_CODEC: dict[str, str] = {"mp4": "aac", "mov": "aac", "matroska": "libopus", "webm": "libopus"}
"""What sound is encoded to where a container cannot hold the source's own."""

UNPLAYABLE: dict[str, frozenset[str]] = {"mp4": frozenset({"vorbis"}), "mov": frozenset({"vorbis", "opus", "flac"})}
"""Codecs that a container can hold on paper, but that its players do not play."""

NOT_COPIED = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "alpha_mode", "vendor_id"}
)
"""Metadata about the source file itself, not about what it shows (lower case)."""


class Soundtrack:
    """Copies everything but the pictures from a source into a file that is being written.

    Streams are added on construction, before the first packet is written; `copy_until` then keeps step with the
    pictures so that sound and pictures lie interleaved in the file.

    Attributes:
        notes: one sentence for every stream that could not be copied as it is.
    """

    def __init__(self, target: OutputContainer, source: Path) -> None:
        self.notes: list[str] = []
        self._target = target
        self._opened = open_container(source)
        container = self._opened.__enter__()
        self._container = container
        self._copied: dict[int, Stream] = {}
        self._encoded: dict[int, av.AudioStream] = {}
        target.metadata.update(kept_metadata(container.metadata))
        if hasattr(container, "chapters") and container.chapters():
            target.set_chapters(container.chapters())
        for stream in container.streams:
            if stream.type in ("audio", "subtitle"):
                self._add(stream)
        streams = [container.streams[i] for i in sorted([*self._copied, *self._encoded])]
        self._packets = self._demux(streams)
        self._waiting = next(self._packets, None)

    def copy_until(self, time_s: float | None) -> None:
        """Write the packets that are due by `time_s`, seconds of the source's clock; None writes all the rest."""
        while self._waiting is not None:
            packet = self._waiting
            when = packet.dts if packet.dts is not None else packet.pts
            if time_s is not None and when is not None and float(when * packet.time_base) > time_s:
                return
            index = packet.stream_index
            if index in self._encoded:
                self._encode(packet, self._encoded[index])
            elif packet.size:
                packet.stream = self._copied[index]
                self._target.mux(packet)
            self._waiting = next(self._packets, None)
        if time_s is None:
            for out in self._encoded.values():
                self._target.mux(out.encode(None))
            self._encoded = {}

    def close(self) -> None:
        """Close the source."""
        self._opened.__exit__(None, None, None)

    def _demux(self, streams: list[Stream]) -> Iterator["av.Packet"]:
        if not streams:
            return
        try:
            for packet in self._container.demux(*streams):
                if packet.size == 0:
                    if packet.stream_index in self._encoded:
                        yield packet  # tells the decoder that this is the end
                elif packet.dts is not None or packet.pts is not None:
                    yield packet
        except FFmpegError:  # the source ends in the middle of a packet
            self.notes.append("the sound of the source is damaged and was copied up to the damage.")

    def _add(self, stream: Stream) -> None:
        container = self._target.format.name
        codec = stream.codec_context.codec.canonical_name if stream.codec_context else None
        if codec is None:
            self.notes.append(f"{stream.type} stream {stream.index} is of an unknown kind and was left out.")
            return
        holds = codec in self._target.supported_codecs and codec not in UNPLAYABLE.get(container, frozenset())
        if holds:
            out = self._target.add_stream_from_template(stream)  # type: ignore[type-var]
            out.metadata.update(kept_metadata(stream.metadata))
            out.disposition = stream.disposition
            out.time_base = stream.time_base
            self._copied[stream.index] = out
        elif isinstance(stream, av.AudioStream) and container in NEW_CODEC:
            rate = 48000 if NEW_CODEC[container] == "libopus" else stream.rate
            out = self._target.add_stream(NEW_CODEC[container], rate=rate, layout=stream.layout.name)
            assert isinstance(out, av.AudioStream)
            out.bit_rate = 64_000 * max(1, stream.codec_context.channels)
            out.codec_context.flags |= Flags.bitexact
            out.time_base = Fraction(1, rate)
            out.metadata.update(kept_metadata(stream.metadata))
            self._encoded[stream.index] = out
            name = "AAC" if NEW_CODEC[container] == "aac" else "Opus"
            self.notes.append(f"the sound is {codec}, which .{container} files do not hold; it was encoded to {name}.")
        else:
            what = "sound" if stream.type == "audio" else "subtitles"
            self.notes.append(f"the {what} ({codec}) cannot be kept in a .{container} file and were left out.")

    def _encode(self, packet: "av.Packet", out: "av.AudioStream") -> None:
        try:
            frames = packet.decode()
        except FFmpegError:
            return  # a damaged packet of sound: a gap of some milliseconds
        for frame in frames:
            self._target.mux(out.encode(frame))


def kept_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """The entries that are still true of a new file."""
    return {k: v for k, v in metadata.items() if k.lower() not in NOT_COPIED and not k.upper().startswith("DURATION")}
