"""A sheet with everybody of a clip, so that a person at the screen can say who is meant."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.people.people import Person
from engine.people.walk import THUMB_PX

_GAP = 12
_FOOT = 26
"""Room for the number below each picture, pixels."""
_COLUMNS = 6


def draw_roster(people: list[Person]) -> NDArray:
    """Draw the small pictures of everybody with their numbers, six in a row.

    Args:
        people: of `find_people`, at least one; the first is number 1.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    width = max(person.thumb.shape[1] for person in people)
    cells = [_draw_cell(number, person.thumb, width) for number, person in enumerate(people, 1)]
    columns = min(_COLUMNS, len(cells))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [np.hstack(cells[at : at + columns]) for at in range(0, len(cells), columns)]
    return np.vstack(rows)


def _draw_cell(number: int, thumb: NDArray, width: int) -> NDArray:
    cell = np.full((THUMB_PX + _FOOT + _GAP, width + 2 * _GAP, 3), 255, np.uint8)
    x0 = (cell.shape[1] - thumb.shape[1]) // 2
    cell[_GAP : _GAP + THUMB_PX, x0 : x0 + thumb.shape[1]] = thumb
    place = (cell.shape[1] // 2 - 8 * len(str(number)), _GAP + THUMB_PX + 18)
    cv2.putText(cell, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 0.7, (20, 20, 20), 2, cv2.LINE_AA)
    return cell
