"""The pose of one figure in one picture: a photo, a painting or a cartoon."""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.people.detect import Detector, box_iou, tiles
from engine.people.landmarks import Landmarker, Pose
from engine.people.roi import SCALE, Roi
from engine.types import Landmarks

LONG_SIDE = 1024
"""Larger pictures are made smaller first: the networks see 256 px of the figure."""
MIN_SCORE = 0.2
"""Drawn figures are found with little confidence; the landmark network has the last word."""
LIMBS = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""Shoulders, elbows, wrists, hips, knees, ankles."""


def find_pose(image: NDArray) -> Landmarks | None:
    """Find the most prominent figure of a picture.

    Args:
        image: (H, W, 3) RGB or (H, W, 4) straight RGBA, uint8. Where there is alpha, it tells where the figure is.

    Returns:
        Landmarks with T = 1 in pixels of the picture, or None where no figure was found. `score` is how far to trust
        them: 0.8 and more for photos of people; cartoons that are read rightly have 0.3 ... 0.8.

    Raises:
        MissingError: the networks are not installed.
    """
    scale = min(1.0, LONG_SIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    alpha = small[..., 3] if small.shape[2] == 4 else None
    if alpha is not None and alpha.min() > 127:
        alpha = None
    rgb = _on_white(small)
    detector, landmarker = Detector(), Landmarker()
    best, best_score = None, 0.0
    for roi in _places(rgb, alpha, detector):
        pose = _settle(rgb, roi, landmarker)
        score = _trust(pose, alpha)
        if score > best_score:
            best, best_score = pose, score
    if best is None or best_score < 0.1:
        return None
    factor = np.array(image.shape[1::-1], np.float32) / np.array(small.shape[1::-1], np.float32)
    return Landmarks(
        image_px=(best.image_px * factor)[None].astype(np.float32),
        world_m=best.world_m[None],
        visibility=best.visibility[None],
        score=np.array([best_score], np.float32),
    )


def _on_white(image: NDArray) -> NDArray:
    if image.shape[2] == 3:
        return np.ascontiguousarray(image)
    alpha = image[..., 3:].astype(np.uint16)
    return ((image[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _places(rgb: NDArray, alpha: NDArray | None, detector: Detector) -> list[Roi]:
    """Squares where a figure could be: detections upright and turned, the extent of the alpha, the whole picture."""
    found: list[Roi] = []
    for quarters in range(4):
        turned = np.ascontiguousarray(np.rot90(rgb, quarters))
        padded, pad = _with_border(turned)
        detections = detector.detect(
            padded, tiles(padded.shape[:2], 0) + tiles(turned.shape[:2], 1), min_score=MIN_SCORE
        )
        found += [_turn_back(d.roi, pad, rgb.shape[:2], quarters) for d in detections[:3]]
        if quarters == 0 and any(d.score > 0.7 for d in detections):
            break
    if alpha is not None and (alpha > 127).any():
        x, y, width, height = cv2.boundingRect((alpha > 127).astype(np.uint8))
        found.append(Roi(x + width / 2, y + height / 2, SCALE * max(width, height), 0.0))
    height, width = rgb.shape[:2]
    found.append(Roi(width / 2, height / 2, 1.1 * max(width, height), 0.0))
    return found


def _with_border(rgb: NDArray) -> tuple[NDArray, int]:
    """A figure that touches the edge is found better with room around it."""
    pad = max(rgb.shape[:2]) // 6
    return cv2.copyMakeBorder(rgb, pad, pad, pad, pad, cv2.BORDER_REPLICATE), pad


def _turn_back(roi: Roi, pad: int, size: tuple[int, int], quarters: int) -> Roi:
    """From the picture turned counter-clockwise `quarters` times, with a border, to the picture itself."""
    x, y, (height, width) = roi.center_x - pad, roi.center_y - pad, size
    x, y = ((x, y), (width - y, x), (width - x, height - y), (y, height - x))[quarters]
    return Roi(x, y, roi.side, roi.turn + quarters * np.pi / 2)


def _settle(rgb: NDArray, roi: Roi, landmarker: Landmarker) -> Pose:
    """Look again where the landmarks say the figure is, until that stays put."""
    pose = landmarker.find(rgb, roi)
    for _ in range(3):
        following = Roi.from_points(*pose.align_px.astype(np.float64))
        if not 0.3 < following.side / roi.side < 3:
            break
        again = landmarker.find(rgb, following)
        if again.score < pose.score - 0.05:
            break
        pose = again
    return pose


def _trust(pose: Pose, alpha: NDArray | None) -> float:
    """0 ... 1: presence, how many joints are seen, and whether joints and mask fill the figure."""
    seen = pose.score * float(np.mean(pose.visibility[list(LIMBS)]))
    if alpha is None:
        return seen * pose.mask.max() / 255
    size = alpha.shape
    figure = alpha > 127
    x, y, width, height = cv2.boundingRect(figure.astype(np.uint8))
    overlap = float(box_iou(pose.box_px, np.array([[x, y, x + width, y + height]], np.float32))[0])
    mask = pose.roi.paste(pose.mask, size) > 127
    same = float((mask & figure).sum() / max(1, (mask | figure).sum()))
    # People reach 0.75 and more in both; a face taken for a whole body reaches 0.3.
    return seen * min(1.0, overlap / 0.75) * min(1.0, same / 0.75)
