"""Which of the people a clip is about."""

import numpy as np

from engine.errors import InputError
from engine.people.people import Person
from engine.types import Size


def choose_person(
    people: list[Person], size: Size, *, person: int | None = None, point_px: tuple[float, float] | None = None
) -> int:
    """Choose one of the people of `find_people`.

    Args:
        people: the most important first.
        size: (height, width) of the frames, pixels.
        person: number that the user gave, counted from 1; None to choose for them.
        point_px: (x, y) on the person, in the first frame in which they are seen; None to choose for them.

    Returns:
        Index into `people`.

    Raises:
        InputError: nobody there, no such number, or a point outside of the picture or far from everybody.
    """
    if not people:
        raise InputError(
            "no person found in the video.",
            "use a clip that shows a person from head to foot, at least 50 pixels high.",
        )
    if person is not None:
        if not 1 <= person <= len(people):
            there = "1 person" if len(people) == 1 else f"{len(people)} people"
            raise InputError(f"--person {person}: {there} found.", f"use --person 1 ... {len(people)}.")
        return person - 1
    if point_px is None:
        return 0
    return _nearest(people, size, point_px)


def _nearest(people: list[Person], size: Size, point_px: tuple[float, float]) -> int:
    x, y = point_px
    if not (0 <= x < size[1] and 0 <= y < size[0]):
        raise InputError(
            f"--point {x:g},{y:g} is outside of the {size[1]}x{size[0]} picture.", "give a pixel in it: --point X,Y"
        )
    distances = []
    for entry in people:
        x0, y0, x1, y1 = entry.tracks.box_px[entry.first_idx]
        outside = np.hypot(max(x0 - x, x - x1, 0.0), max(y0 - y, y - y1, 0.0))
        # Inside of several boxes, the one whose middle is nearest, in units of its size.
        distances.append(outside + 0.5 * np.hypot((x - (x0 + x1) / 2) / (x1 - x0), (y - (y0 + y1) / 2) / (y1 - y0)))
    best = int(np.argmin(distances))
    x0, y0, x1, y1 = people[best].tracks.box_px[people[best].first_idx]
    if distances[best] > 0.5 * max(x1 - x0, y1 - y0):
        places = "; ".join(
            f"{k} at {(b[0] + b[2]) / 2:.0f},{(b[1] + b[3]) / 2:.0f} in frame {p.first_idx}"
            for k, p in enumerate(people, 1)
            for b in [p.tracks.box_px[p.first_idx]]
        )
        raise InputError(
            f"--point {x:g},{y:g}: nobody there.", f"point at somebody, or name a number with --person: {places}."
        )
    return best
