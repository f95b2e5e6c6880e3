"""Small clips that know their own truth: a textured place, a camera, a figure that walks, a ball in front of it."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from engine.types import ArraySource, Landmarks, TempChunks, Tracks

SIZE = (270, 480)


@dataclass
class Walk:
    clip: ArraySource
    human: ArraySource
    scene: np.ndarray  # (T, H, W, 3) uint8: the place without figure, ball and shadow, with the clip's exposure
    ball: np.ndarray  # (T, H, W) uint8
    covers: np.ndarray  # (T,) bool: the ball lies mostly over the figure
    to_first: np.ndarray  # (T, 3, 3)
    landmarks: Landmarks
    tracks: Tracks


@pytest.fixture
def chunks():
    made = TempChunks()
    yield made
    made.close()


@pytest.fixture(scope="session")
def static_walk() -> Walk:
    return make_walk("static", 60)


@pytest.fixture(scope="session")
def pan_walk() -> Walk:
    return make_walk("pan", 60)


def place(rng: np.random.Generator) -> np.ndarray:
    """(700, 1400, 3) float32: noise of many sizes, boxes, a lighter ground; detail that alignment errors would blur."""
    picture = np.zeros((700, 1400, 3), np.float32)
    for size, strength in ((160, 50), (40, 30), (10, 22), (4, 12)):
        small = rng.normal(0, strength, (700 // size + 2, 1400 // size + 2, 3)).astype(np.float32)
        picture += cv2.resize(small, (1400, 700), interpolation=cv2.INTER_CUBIC)
    picture += 120
    for _ in range(60):
        x, y, w, h = rng.integers(0, 1400), rng.integers(0, 700), rng.integers(10, 90), rng.integers(10, 90)
        cv2.rectangle(picture, (int(x), int(y)), (int(x + w), int(y + h)), rng.uniform(40, 210, 3).tolist(), -1)
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 0.8), 8, 236)


def camera(kind: str, t: float) -> np.ndarray:
    """(3, 3): pixels of the frame to pixels of the place."""
    if kind == "static":
        return np.array([[1, 0, 420.0], [0, 1, 200.0], [0, 0, 1]])
    angle, zoom = 0.02 * np.sin(t / 17), 1 + 0.03 * np.sin(t / 23)
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    return np.array([[c, -s, 300 + 3.3 * t], [s, c, 200 + 12 * np.sin(t / 9)], [2e-5, -1e-5, 1]])


def make_walk(kind: str, num: int, seed: int = 3, gain: float = 0.0) -> Walk:
    """Render; coordinates are the project's (pixel centres at + 0.5), two times oversampled shapes."""
    rng = np.random.default_rng(seed)
    world = place(rng)
    out: dict[str, list] = {name: [] for name in ("rgb", "human", "scene", "ball", "covers", "px", "box")}
    cams = [camera(kind, t) for t in range(num)]
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    cloth = cv2.resize(rng.uniform(20, 90, (40, 20, 3)).astype(np.float32), (160, 240))
    for t in range(num):
        matrix = np.linalg.inv(half) @ cams[t] @ half
        scene = cv2.warpPerspective(world, matrix, SIZE[::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)
        scene *= 1 + gain * t / num
        x, top, foot = 130 + 3.4 * t, 70 + 3 * np.sin(t / 3), 228
        human, joints = figure(x, top, foot, t)
        shade = soft(lambda m, x=x, foot=foot: cv2.ellipse(m, pt(x + 30, foot), pt(46, 7), 0, 0, 360, 255, -1, 8, 4))
        lit = scene * (1 - 0.35 * cv2.GaussianBlur(shade, (0, 0), 2)[..., None] / 255)
        texture = cv2.warpAffine(cloth, np.array([[1, 0, x - 80], [0, 1, top - 20]]), SIZE[::-1], borderMode=2)
        frame = lit * (1 - human[..., None] / 255) + texture * human[..., None] / 255
        bx, by = x + 70 * np.sin(t / 6.5), 140 + 45 * np.cos(t / 5)
        ball = soft(lambda m, bx=bx, by=by: cv2.circle(m, pt(bx, by), 13 * 16, 255, -1, 8, 4))
        spots = np.full((*SIZE, 3), (238, 236, 230), np.float32)
        cv2.circle(spots, (int(bx + 4 * np.cos(t)), int(by + 4 * np.sin(t))), 3, (200, 60, 60), -1)
        frame = frame * (1 - ball[..., None] / 255) + spots * ball[..., None] / 255
        noisy = np.clip(frame + rng.normal(0, 1.5, frame.shape) + 0.5, 0, 255).astype(np.uint8)
        out["rgb"].append(noisy)
        # A mask as networks give it: it swallows the ball where that lies on the body.
        over = (ball > 127) & (cv2.dilate(human, np.ones((9, 9), np.uint8)) > 127)
        out["human"].append(np.where(over, 255, human).astype(np.uint8))
        out["scene"].append(np.clip(scene + 0.5, 0, 255).astype(np.uint8))
        out["ball"].append(ball)
        out["covers"].append(((ball > 127) & (human > 127)).sum() > 0.6 * (ball > 127).sum())
        out["px"].append(joints)
        out["box"].append([x - 30, top - 26, x + 30, foot + 6])
    landmarks = Landmarks(
        np.array(out["px"], np.float32),
        np.zeros((num, 33, 3), np.float32),
        np.ones((num, 33), np.float32),
        np.ones(num),
    )
    to_first = np.array([np.linalg.inv(cams[0]) @ cam for cam in cams])
    return Walk(
        ArraySource(np.array(out["rgb"])), ArraySource(np.array(out["human"])), np.array(out["scene"]),
        np.array(out["ball"]), np.array(out["covers"]), to_first / to_first[:, 2:, 2:], landmarks,
        Tracks(np.array(out["box"], np.float32), np.ones(num, np.float32)),
    )  # fmt: skip


def figure(x: float, top: float, foot: float, t: int) -> tuple[np.ndarray, np.ndarray]:
    swing = 16 * np.sin(t / 3)
    hip = (x, 150)

    def draw(m: np.ndarray) -> None:
        cv2.circle(m, pt(x, top - 12), 13 * 16, 255, -1, 8, 4)
        cv2.line(m, pt(x, top + 14), pt(*hip), 255, 36, 8, 4)
        for side in (-1, 1):
            cv2.line(m, pt(*hip), pt(x + side * swing, foot - 4), 255, 15, 8, 4)
            cv2.line(m, pt(x, top + 8), pt(x + side * (24 + swing / 3), 130), 255, 10, 8, 4)

    joints = np.tile(np.array([x, 120.0]), (33, 1))
    joints[:11] = x, top - 12
    joints[11:13] = [x + 12, top + 6], [x - 12, top + 6]
    joints[23:25] = [x + 8, 150], [x - 8, 150]
    for k, side in ((27, 1), (28, -1)):
        joints[k] = joints[k + 2] = joints[k + 4] = x + side * swing, foot - 4
    joints[25:27] = [x + swing / 2, 190], [x - swing / 2, 190]
    return soft(draw), joints


def soft(draw) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    draw(mask)
    return cv2.GaussianBlur(mask, (0, 0), 0.7)


def pt(x: float, y: float) -> tuple[int, int]:
    """cv2's fixed-point coordinates (4 bits), pixel centres whole."""
    return round((x - 0.5) * 16), round((y - 0.5) * 16)


@pytest.fixture(name="make_walk")
def _make_walk():
    return make_walk
