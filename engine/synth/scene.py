"""The still world behind the actor: a playground with a painted brick wall, trees, sky and a marked asphalt ground."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.types import Size

WALL_Z_M = -3.4
"""The wall is the plane z = -3.4 m, behind the actor."""
WALL_TOP_M = 2.9
WALL_HALF_M = 9.0
GROUND_NEAR_M = 3.6
"""The ground is drawn from the wall to this z."""
FAR_M = 60.0
"""Depth of trees and sky."""
SUN = np.array([0.50, 0.86, 0.52]) / np.linalg.norm([0.50, 0.86, 0.52])
"""Direction to the sun, world."""


@dataclass(frozen=True)
class Plate:
    """The still world as one wide picture; every frame of a turning camera is a homography of it."""

    rgb: NDArray
    """(h, w, 3) uint8."""
    depth_m: NDArray
    """(h, w) float32, along the plate's own z axis."""
    K: NDArray
    """(3, 3) float64, pixels of the plate."""
    world_to_cam: NDArray
    """(4, 4) float64."""


def make_plate(K: NDArray, world_to_cam: NDArray, size: Size, seed: int) -> Plate:
    """Paint the world as a camera sees it.

    Args:
        K: (3, 3) float, pixels.
        world_to_cam: (4, 4) float, metres, level camera in front of the wall.
        size: (height, width) of the plate, pixels.
        seed: other bricks, colours, shapes, trees.

    Returns:
        Plate.
    """
    rng = np.random.default_rng([seed, 101])
    density = float(np.clip(K[0, 0] / 9.0, 40, 260))  # texture pixels per metre: about one per plate pixel at the wall
    rgb = _sky_and_trees(size, rng)
    wall = _wall(density, rng, np.random.default_rng([seed, 102]))
    ground = _ground(density, rng)
    left, right = -WALL_HALF_M, WALL_HALF_M
    crown = [[left, WALL_TOP_M, WALL_Z_M], [right, WALL_TOP_M, WALL_Z_M]]
    foot = [[right, 0, WALL_Z_M], [left, 0, WALL_Z_M]]
    near = [[right, 0, GROUND_NEAR_M], [left, 0, GROUND_NEAR_M]]
    for texture, corners in ((ground, foot[::-1] + near), (wall, crown + foot)):
        rgb = _lay(rgb, texture, np.array(corners), K, world_to_cam)
    depth = _depth(K, world_to_cam, size)
    return Plate(np.clip(rgb, 0, 255).astype(np.uint8), depth, K.astype(np.float64), world_to_cam.astype(np.float64))


def _lay(rgb: NDArray, texture: NDArray, corners_m: NDArray, K: NDArray, world_to_cam: NDArray) -> NDArray:
    """Draw a flat texture (h, w, 3) with corners (4, 3) in the world onto the plate, filtered in depth."""
    cam = corners_m @ world_to_cam[:3, :3].T + world_to_cam[:3, 3]
    height, width = texture.shape[:2]
    corners_px = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    # solve with homogeneous image points: corners may lie behind the camera plane
    image = cam @ K.T
    to_plate = _homography(corners_px, image)
    oversample = 4
    rows, cols = rgb.shape[:2]
    half = np.array([[1, 0, -0.5], [0, oversample, -0.5], [0, 0, 1.0]])  # to pixel indices of the tall picture
    index = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    warp = half @ to_plate @ index
    tall = (cols, rows * oversample)
    drawn = cv2.warpPerspective(texture, warp, tall, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpPerspective(np.full(texture.shape[:2], 255, np.uint8), warp, tall, flags=cv2.INTER_LINEAR)
    drawn = cv2.resize(drawn, (cols, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    alpha = cv2.resize(inside, (cols, rows), interpolation=cv2.INTER_AREA)[..., None].astype(np.float32) / 255
    return rgb * (1 - alpha) + drawn * alpha


def _homography(flat: NDArray, image: NDArray) -> NDArray:
    """The 3x3 that maps flat points (4, 2) to homogeneous image points (4, 3), exactly."""
    source = np.concatenate([flat, np.ones((4, 1))], 1)
    return np.linalg.lstsq(source, image, rcond=None)[0].T


def _depth(K: NDArray, world_to_cam: NDArray, size: Size) -> NDArray:
    """(H, W) float32 metres along z: wall, ground or far away."""
    rows, cols = np.mgrid[: size[0], : size[1]] + 0.5
    rays = np.stack([cols, rows, np.ones(size)], -1) @ np.linalg.inv(K).T
    rotation = world_to_cam[:3, :3]
    center = -rotation.T @ world_to_cam[:3, 3]
    world = rays @ rotation
    with np.errstate(divide="ignore", invalid="ignore"):
        wall = (WALL_Z_M - center[2]) / world[..., 2]
        ground = -center[1] / world[..., 1]
    height = center[1] + wall * world[..., 1]
    depth = np.where((wall > 0) & (height <= WALL_TOP_M), wall, FAR_M)
    return np.where((ground > 0) & (ground < depth), ground, depth).astype(np.float32)


def grain(size: Size, cell_px: float, rng: np.random.Generator, octaves: int = 4) -> NDArray:
    """(H, W) float32 of smooth noise, mean about 0, -1 ... 1; the coarsest blobs are `cell_px` wide."""
    total, weight = np.zeros(size, np.float32), 0.0
    for octave in range(octaves):
        cell = max(cell_px / 2**octave, 1.0)
        small = rng.uniform(-1, 1, (int(size[0] / cell) + 3, int(size[1] / cell) + 3)).astype(np.float32)
        big = cv2.resize(small, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
        total += big[: size[0], : size[1]] * 0.6**octave
        weight += 0.6**octave
    return total / weight * 1.6


def _wall(density: float, rng: np.random.Generator, layout: np.random.Generator) -> NDArray:
    """(h, w, 3) uint8: painted bricks with a mural."""
    height, width = round(WALL_TOP_M * density), round(2 * WALL_HALF_M * density)
    x, y = np.meshgrid(
        (np.arange(width) + 0.5) / density - WALL_HALF_M, WALL_TOP_M - (np.arange(height) + 0.5) / density
    )
    color = _mural(x.astype(np.float32), y.astype(np.float32), layout)
    course = np.floor(y / 0.085).astype(int)
    along = x / 0.25 + 0.5 * (course % 2)
    brick = np.floor(along).astype(int)
    tone = rng.uniform(0.90, 1.07, (course.max() + 2, brick.max() - brick.min() + 2)).astype(np.float32)
    color *= tone[course, brick - brick.min()][..., None]
    joint = np.minimum((along % 1) * 0.25, (y / 0.085 % 1) * 0.085)
    edge = np.clip((joint - 0.004) / 0.006, 0, 1)
    color *= (0.76 + 0.24 * edge)[..., None]
    color *= (1 + 0.05 * grain((height, width), 0.08 * density, rng))[..., None]
    worn = grain((height, width), 0.9 * density, rng, 6)
    bare = np.clip((worn - 0.80) * 9, 0, 1)[..., None] * 0.8  # paint has come off: red brick shows
    red = np.array([168, 96, 76]) * (tone[course, brick - brick.min()] * (0.75 + 0.25 * edge))[..., None]
    color = color * (1 - bare) + red * bare
    dirt = np.clip(1 - y / 0.5, 0, 1) ** 2 * (0.35 + 0.15 * grain((height, width), 0.3 * density, rng))
    color *= (1 - dirt)[..., None]
    cap = y > WALL_TOP_M - 0.12
    color[cap] = np.array([176, 170, 160]) * (1 + 0.06 * grain((height, width), 0.1 * density, rng))[cap][:, None]
    color[(y < WALL_TOP_M - 0.12) & (y > WALL_TOP_M - 0.16)] *= 0.62
    return np.clip(color, 0, 255).astype(np.uint8)


def _mural(x: NDArray, y: NDArray, rng: np.random.Generator) -> NDArray:
    """(h, w, 3) float32: a cream wall with hills, a sun with rays, stripes and spots."""
    paints = np.array([[232, 118, 92], [66, 140, 146], [238, 186, 84], [96, 124, 178], [120, 166, 110]], np.float32)
    paints = paints[rng.permutation(len(paints))]
    color = np.empty((*x.shape, 3), np.float32)
    color[:] = (236, 228, 208)
    sun_x, sun_y = rng.uniform(-2.6, -1.8), rng.uniform(1.7, 2.1)
    radius, angle = np.hypot(x - sun_x, y - sun_y), np.arctan2(y - sun_y, x - sun_x)
    rays = (radius > 0.70) & (radius < 1.15) & (np.sin(11 * angle) > 0.1)
    color[rays | (radius < 0.60)] = paints[0]
    color[(radius < 0.42)] = 0.5 * paints[0] + 127
    hills = (
        (1, rng.uniform(2.2, 3.4), 1.5, 1.7),
        (2, rng.uniform(0.2, 1.2), 0.85, 1.6),
        (3, rng.uniform(-5.5, -4.2), 1.25, 1.5),
        (4, rng.uniform(-1.6, -0.8), 0.62, 1.9),
        (0, rng.uniform(5.2, 6.4), 1.2, 1.6),
    )
    for paint, place, high, wide in hills:
        hill = high * np.exp(-(((x - place) / wide) ** 2) * 1.4) + 0.05 * np.sin(3 * x + paint)
        color[y < hill] = paints[paint]
        color[(y < hill - 0.16) & (y > hill - 0.24)] = 0.55 * paints[paint] + 110
    for _ in range(26):  # spots like thrown paint
        cx, cy, r = rng.uniform(-8, 8), rng.uniform(1.3, 2.7), rng.uniform(0.04, 0.13)
        color[np.hypot(x - cx, y - cy) < r] = paints[rng.integers(len(paints))]
    goal_x, goal_y = np.abs(x - 0.35), y
    frame = ((np.abs(goal_x - 1.75) < 0.05) & (goal_y < 2.05)) | ((goal_x < 1.80) & (np.abs(goal_y - 2.0) < 0.05))
    color[frame] = (250, 250, 246)
    return color


def _ground(density: float, rng: np.random.Generator) -> NDArray:
    """(h, w, 3) uint8, seen from above, far edge on top: asphalt with court lines, patches and cracks."""
    depth = GROUND_NEAR_M - WALL_Z_M
    height, width = round(depth * density), round(2 * WALL_HALF_M * density)
    size = (height, width)
    x, z = np.meshgrid((np.arange(width) + 0.5) / density - WALL_HALF_M, WALL_Z_M + (np.arange(height) + 0.5) / density)
    tone = 122 + 16 * grain(size, 1.2 * density, rng, 5) + 17 * grain(size, 0.05 * density, rng, 3)
    color = tone[..., None] * np.array([1.0, 0.985, 0.96], np.float32)
    court = z > -2.3
    color[court] *= np.array([0.80, 0.98, 1.04], np.float32)
    lines = (np.abs(z + 2.3) < 0.04) | (np.abs(np.hypot(x - 0.35, z - 1.2) - 1.9) < 0.035)
    lines |= (np.abs(x + 0.25) > 3.61) & (np.abs(x + 0.25) < 3.69) & court
    yellow = (np.abs(x * 0.9 + z + 0.6) < 0.035) & (x < 0.2) & court
    worn = np.clip(0.95 - 0.5 * np.clip(grain(size, 0.12 * density, rng, 4) + 0.1, 0, 1), 0, 1)[..., None]
    color = np.where(lines[..., None], color * (1 - worn) + np.array([238, 236, 226]) * worn, color)
    color = np.where(yellow[..., None], color * (1 - worn) + np.array([236, 190, 70]) * worn, color)
    crack = np.abs(grain(size, 1.6 * density, rng, 5)) < 0.010
    color[crack] *= 0.72
    color *= (1 - 0.38 * np.exp(-(z - WALL_Z_M) / 0.22))[..., None]  # the wall takes light from the ground at its foot
    for _ in range(90):  # leaves the wind has blown together
        cx, cz = rng.uniform(-8, 8), WALL_Z_M + abs(rng.normal(0, 0.9)) + 0.05
        at = np.array([(cx + WALL_HALF_M) * density, (cz - WALL_Z_M) * density])
        axes = (max(1, round(0.045 * density)), max(1, round(0.02 * density)))
        paint = np.array([190, 120, 50]) * rng.uniform(0.7, 1.2) + rng.uniform(-15, 15, 3)
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(color, at.round().astype(int).tolist(), axes, turn, 0, 360, paint.tolist(), -1, cv2.LINE_AA)
    return np.clip(color, 0, 255).astype(np.uint8)


def _sky_and_trees(size: Size, rng: np.random.Generator) -> NDArray:
    """(H, W, 3) float32: what shows above the wall."""
    rows = np.linspace(0, 1, size[0], dtype=np.float32)[:, None, None]
    sky = np.array([112, 172, 226], np.float32) * (1 - rows) + np.array([226, 238, 246], np.float32) * rows
    clouds = np.clip(grain(size, 0.35 * size[0], rng, 5) * 1.4, 0, 1)[..., None]
    color = sky * (1 - 0.8 * clouds) + 250 * 0.8 * clouds
    for layer, (top, green) in enumerate(((0.03, (112, 148, 104)), (0.10, (74, 120, 66)), (0.17, (52, 96, 48)))):
        skyline = (top + 0.05) * size[0] + 0.11 * size[0] * grain((1, size[1]), 0.16 * size[1], rng, 3)[0]
        edge = skyline[None, :] + 0.035 * size[0] * grain(size, 0.03 * size[0], rng, 4)
        leaf = grain(size, 0.022 * size[0], rng, 4) * 0.30 + grain(size, 0.12 * size[0], rng, 3) * 0.22
        down = np.arange(size[0])[:, None] - edge
        light = np.clip(1.18 - down / (0.25 * size[0]), 0.62, 1.2)
        tree = np.array(green, np.float32) * ((1 + leaf) * light)[..., None]
        alpha = np.clip(down / 2 + 0.5, 0, 1)[..., None]
        gaps = (np.clip((grain(size, 0.03 * size[0], rng, 3) - 0.75) * 8, 0, 1) * (0.6 - 0.25 * layer))[..., None]
        color = color * (1 - alpha * (1 - gaps)) + tree * alpha * (1 - gaps)
    return color.astype(np.float32)
