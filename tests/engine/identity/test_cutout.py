import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import InputError
from engine.identity.cutout import cut_out, place_cutout


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max((a | b).sum(), 1))


def in_source(cutout, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the cutout's figure back in the picture."""
    back = np.linalg.inv(cutout.from_source)
    return cv2.warpAffine(cutout.rgba[..., 3], back[:2], (size[1], size[0]), flags=cv2.INTER_AREA) >= 128


@pytest.mark.parametrize("number", [1, 2, 3])
def test_drawings_are_cut_along_their_outline(sample_data, number):
    folder = sample_data / "characters" / f"ad_char{number}"
    cutout = place_cutout(read(folder / "texture.png"))
    truth = cv2.imread(str(folder / "mask.png"), cv2.IMREAD_GRAYSCALE) >= 128
    assert cutout.kind == "drawing"
    assert np.array_equal(cutout.from_source, np.eye(3))  # joints given for the picture fit the cutout
    assert iou(cutout.rgba[..., 3] >= 128, truth) >= 0.95  # measured .992 .955 .982


def test_person_is_cut_from_photo(sample_data):
    picture = read(sample_data / "characters" / "coco_skier.jpg")
    notes = json.loads((sample_data / "characters" / "coco_skier.coco.json").read_text())["annotations"][0]
    truth = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(truth, [np.round(np.array(notes["segmentation"][0]).reshape(-1, 2)).astype(np.int32)], 1)
    cutout = place_cutout(picture)
    assert cutout.kind == "person"
    # the polygon itself is drawn some pixels outside the body and holds part of the skis
    assert iou(in_source(cutout, picture.shape[:2]), truth > 0) >= 0.85


def test_alpha_is_kept_and_small_pictures_grow_smoothly(sample_data):
    picture = read(sample_data / "characters" / "gopher_alpha_superhero_standing.png")
    cutout = place_cutout(picture)
    assert cutout.kind == "alpha"
    figure = cv2.boundingRect((cutout.rgba[..., 3] >= 128).astype(np.uint8))
    assert max(figure[2:]) >= 350
    soft = (cutout.rgba[..., 3] > 10) & (cutout.rgba[..., 3] < 245)
    assert soft.sum() > 0.5 * (figure[2] + figure[3])  # an edge of grey pixels, not stairs


def test_large_picture_is_reduced(sample_data):
    cutout = place_cutout(read(sample_data / "characters" / "pexels_lunge_barbell.jpg"))
    figure = cv2.boundingRect((cutout.rgba[..., 3] >= 128).astype(np.uint8))
    assert 1000 <= max(figure[2:]) <= 1260  # the working size, and how far the edge was refined


def test_hole_between_arm_and_body_stays():
    picture = np.full((300, 300, 4), 255, np.uint8)
    picture[..., :3] = 90
    alpha = np.zeros((300, 300), np.uint8)
    cv2.rectangle(alpha, (80, 40), (220, 260), 255, -1)
    cv2.circle(alpha, (190, 150), 18, 0, -1)
    picture[..., 3] = alpha
    assert cut_out(picture)[np.s_[..., 3]].min() == 0
    cutout = place_cutout(picture)
    x, y, _ = cutout.from_source @ [190, 150, 1]
    assert cutout.rgba[int(y), int(x), 3] == 0


def test_own_mask_is_used_and_has_to_fit():
    picture = np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)
    mask = np.zeros((400, 400), np.uint8)
    cv2.rectangle(mask, (100, 5), (300, 395), 255, -1)
    cutout = place_cutout(picture, mask)
    assert cutout.kind == "mask"
    assert iou(cutout.rgba[..., 3] >= 128, mask > 0) > 0.99  # one soft pixel around 390 rows
    with pytest.raises(InputError, match="400x399"):
        cut_out(picture, mask[:399])


@pytest.mark.parametrize("kind", ["blank", "noise", "clouds"])
def test_no_character(kind):
    rng = np.random.default_rng(1)
    picture = np.full((240, 320, 3), 200, np.uint8)
    if kind == "noise":
        picture = rng.integers(0, 255, (240, 320, 3), np.uint8)
    elif kind == "clouds":
        rough = rng.integers(0, 255, (6, 8, 3)).astype(np.uint8)
        picture = cv2.resize(rough, (320, 240), interpolation=cv2.INTER_CUBIC)
    with pytest.raises(InputError, match="no character found"):
        cut_out(picture)


def test_same_picture_same_bytes(sample_data):
    picture = read(sample_data / "characters" / "coco_skier.jpg")
    assert np.array_equal(cut_out(picture), cut_out(picture))
