import numpy as np

from engine.types import ArraySource, Reel


class Counted(ArraySource):
    """Counts how often it is opened."""

    def __init__(self):
        super().__init__(np.arange(10, dtype=np.uint8)[:, None, None])
        self.opened = []

    def read(self, start=0, stop=None):
        self.opened.append(start)
        yield from super().read(start, stop)


def numbers(frames):
    return [int(frame[0, 0]) for frame in frames]


def test_a_reel_goes_on_where_it_stopped():
    source = Counted()
    reel = Reel(source)
    assert (reel.num_frames, reel.size) == (10, (1, 1))
    assert numbers(reel.read(2, 5)) == [2, 3, 4]
    assert [number for number, _ in zip(range(5, 7), reel.read(5, 8))] == [5, 6]  # left before its end
    assert numbers(reel.read(7)) == [7, 8, 9]
    assert source.opened == [2]
    assert numbers(reel.read(7, 9)) == [7, 8] and numbers(reel.read(0, 1)) == [0]
    assert source.opened == [2, 7, 0]
