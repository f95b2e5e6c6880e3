"""The table of everything that was seen of people, as it lies in the chunks."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from engine.people.track import Sighting

CHUNK = 64
"""Frames of one finished piece of work."""
SECOND = 1 << 20
"""Added to the rows of what the second walk found."""


@dataclass(frozen=True)
class Table:
    """Sightings, one per row (N of them)."""

    frame: NDArray
    """(N,) int64."""
    track: NDArray
    """(N,) int64: name the tracker gave."""
    score: NDArray
    """(N,) float32."""
    box: NDArray
    """(N, 4) float32, pixels."""
    image: NDArray
    """(N, 33, 2) float32, pixels."""
    world: NDArray
    """(N, 33, 3) float32, metres."""
    visibility: NDArray
    """(N, 33) float32."""
    look: NDArray
    """(N, 72) float32: colours."""
    fill: NDArray
    """(N,) float32: share of the square that the mask fills."""
    roi: NDArray
    """(N, 4) float64: where the network looked."""
    row: NDArray
    """(N,) int64: row in the chunk's file (in that of the second walk when it is `SECOND` and more)."""

    def take(self, index: NDArray) -> "Table":
        """Some of the rows."""
        return Table(**{entry.name: getattr(self, entry.name)[index] for entry in fields(self)})


def columns_of(seen: list[Sighting]) -> dict[str, NDArray]:
    """The columns of a `Table`, and the masks."""
    return {
        "frame": np.array([s.frame_idx for s in seen], np.int64),
        "track": np.array([s.track_id for s in seen], np.int64),
        "score": np.array([s.pose.score for s in seen], np.float32),
        "roi": np.array([s.pose.roi.as_array() for s in seen], np.float64).reshape(-1, 4),
        "box": np.array([s.pose.box_px for s in seen], np.float32).reshape(-1, 4),
        "image": np.array([s.pose.image_px for s in seen], np.float32).reshape(-1, 33, 2),
        "world": np.array([s.pose.world_m for s in seen], np.float32).reshape(-1, 33, 3),
        "visibility": np.array([s.pose.visibility for s in seen], np.float32).reshape(-1, 33),
        "look": np.array([s.look for s in seen], np.float32).reshape(-1, 72),
        "fill": np.array([np.mean(s.pose.mask > 127) for s in seen], np.float32),
        "mask": np.array([s.pose.mask for s in seen], np.uint8).reshape(-1, 256, 256),
    }


def read_table(file: Mapping[str, NDArray], *, first_row: int = 0) -> Table:
    """The table in a chunk's file.

    Args:
        file: arrays by name, as `columns_of` gave them.
        first_row: added to the numbers of the rows.
    """
    names = [entry.name for entry in fields(Table) if entry.name != "row"]
    return Table(**{name: file[name] for name in names}, row=first_row + np.arange(len(file["frame"])))


def concatenate(tables: list[Table]) -> Table:
    """One table after the other."""
    return Table(**{e.name: np.concatenate([getattr(table, e.name) for table in tables]) for e in fields(Table)})
