import numpy as np
import pytest

from engine import shelf
from engine.shelf import SHELF
from engine.video import LayerWriter, concat_layers, open_clip, open_layer


@pytest.fixture
def clip(tmp_path):
    with LayerWriter(tmp_path / "a.mkv", (32, 48), "rgb") as writer:
        for k in range(6):
            writer.write(np.full((32, 48, 3), 40 * k, np.uint8))
    return tmp_path / "a.mkv"


def test_frames_are_decoded_once_while_the_shelf_is_open_and_not_written_to(clip):
    with SHELF.kept():
        opened = open_clip(clip)
        frames = [frame.planes for frame in opened.read_frames()]
        again = [frame.planes for frame in opened.read_frames(2)]
        assert all(one is other for one, other in zip(frames[2:], again, strict=True))
        with pytest.raises(ValueError, match="read-only"):
            frames[0][0][0, 0] = 1
    fresh = [frame.planes for frame in opened.read_frames()]
    for kept, new in zip(frames, fresh, strict=True):
        assert kept is not new
        np.testing.assert_array_equal(kept, new)


def test_only_what_there_is_room_for_is_kept(clip, monkeypatch):
    monkeypatch.setattr(shelf, "MAX_BYTES", 3 * 32 * 48 * 3)  # three frames of three planes
    monkeypatch.setattr(shelf, "PART_BYTES", 2 * 32 * 48 * 3)  # as there are more, two
    with SHELF.kept():
        opened = open_clip(clip)
        walks = [[frame.planes for frame in opened.read_frames()] for _ in range(2)]
    same = [one is other for one, other in zip(*walks, strict=True)]
    assert same == [True, True, False, False, False, False]
    for one, other in zip(*walks, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_clip_takes_the_place(clip, tmp_path):
    with LayerWriter(tmp_path / "b.mkv", (32, 48), "rgb") as writer:
        writer.write(np.full((32, 48, 3), 9, np.uint8))
    with SHELF.kept():
        first, second = open_clip(clip), open_clip(tmp_path / "b.mkv")
        assert next(second.read())[0, 0].tolist() == [9, 9, 9]
        assert [int(rgb[0, 0, 0]) for rgb in first.read()] == [0, 40, 80, 120, 160, 200]


@pytest.mark.parametrize("is_written_here", [False, True])
def test_masks_are_decoded_once_at_most_and_come_back_as_they_were(tmp_path, monkeypatch, is_written_here):
    rng = np.random.default_rng(0)
    masks = [np.zeros((32, 48), np.uint8) for _ in range(3)]
    masks[1][5:20, 7:31] = rng.integers(0, 256, (15, 24))
    masks[2][:] = 255

    def write():
        with LayerWriter(tmp_path / "part.mkv", (32, 48), "gray8") as writer:
            for mask in masks:
                writer.write(mask)
        (tmp_path / "part.mkv").replace(tmp_path / "m.mkv")

    if not is_written_here:
        write()
    with SHELF.kept():
        if is_written_here:
            write()
        layer = open_layer(tmp_path / "m.mkv", kind="gray8")
        first = [] if is_written_here else list(layer.read())
        monkeypatch.setattr(type(layer), "_walk", None)  # nothing is decoded any more
        first = first or list(layer.read())
        for start in (0, 2):
            for want, got, again in zip(masks[start:], first[start:], layer.read(start), strict=True):
                np.testing.assert_array_equal(got, want)
                np.testing.assert_array_equal(again, want)


def test_pictures_in_pieces_are_not_decoded_by_who_reads_them_first(tmp_path, monkeypatch):
    pictures = [np.zeros((32, 48, 4), np.uint8) for _ in range(5)]
    for k, picture in enumerate(pictures[1:]):
        picture[k : 20 + k, 7:31] = np.random.default_rng(k).integers(0, 256, (20, 24, 4))
    with SHELF.kept():
        parts = [tmp_path / "0.mkv", tmp_path / "1.mkv"]
        for part, few in zip(parts, (pictures[:2], pictures[2:])):
            with LayerWriter(part, (32, 48), "rgba") as writer:
                for picture in few:
                    writer.write(picture)
        concat_layers(parts, tmp_path / "whole.mkv")
        layer = open_layer(tmp_path / "whole.mkv", kind="rgba")
        with monkeypatch.context() as patch:
            patch.setattr(type(layer), "_walk", None)
            patch.setattr(type(layer), "_walk_slices", None)
            np.testing.assert_array_equal(list(layer.read()), pictures)
        np.testing.assert_array_equal(list(layer.read()), pictures)  # they were given away; these are the file's
    with SHELF.kept():
        monkeypatch.setattr(shelf, "PART_BYTES", 2 * pictures[1][:20, 7:31].nbytes)  # room for two
        with LayerWriter(tmp_path / "2.mkv", (32, 48), "rgba") as writer:
            for picture in pictures:
                writer.write(picture)
        np.testing.assert_array_equal(list(open_layer(tmp_path / "2.mkv", kind="rgba").read()), pictures)
