"""There and back: a body that is known from all sides, against the puppet made of one picture of it.

    python benchmarks/round_trip.py [--sun] [--build NUMBER] [--bound] [--sheet FILE]

The embedded body in clothes is drawn once from the front, standing; the puppet lifted from that picture goes through
the body's own motions. Both are drawn by the same cameras, in front and up to 60 degrees to either side of where they
face, and compared: overlap of the silhouettes, and PSNR of the colours where both are. The body stands under a clouded
sky, which lights it alike wherever it turns, as the puppet keeps the light of its picture; with --sun in the sun. The
puppet is as tall as the body with hair and soles. The body is the mean adult; --build takes others, as different as
people are. --sheet writes some pairs. --bound prints how far any puppet of one
picture could come: the body itself, moved as it is, painted by that picture alone; and the true render, moved aside.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.animator.ground import person_height
from engine.animator.pose import PosedPuppet, pose_puppet, rest_motion
from engine.animator.puppet import PuppetAnimator
from engine.body.model import load_body
from engine.geometry import rotvec_to_matrix
from engine.identity import cut_out, find_joints, lift
from engine.raster import interpolate, rasterize
from engine.synth.actor import Actor, make_costume
from engine.synth.motions import make_act
from engine.types import JOINTS, Camera, Motion, Puppet, Size

SIZE: Size = (480, 480)
PHOTO: Size = (1000, 800)
FINER = 2
YAWS_DEG = (-60, -30, 0, 30, 60)
MOTIONS = ("wave", "walk", "jack", "dance")
NUM_FRAMES = 8
SECONDS = 6.0
ARM_DOWN_RAD = np.radians(50.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sun", action="store_true")
    parser.add_argument("--build", type=int, default=0)
    parser.add_argument("--bound", action="store_true")
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    if given.bound:
        print_bounds(given.sun, given.build)
    rows, scores = [], {yaw: [] for yaw in YAWS_DEG}
    for seed in (0, 1):
        actor, standing = actor_of(seed, given.build, given.sun)
        puppet = puppet_of(actor, standing)
        scale = float(np.ptp(actor.pose(standing, 0)[:, 1])) / person_height(standing)
        for name in MOTIONS:
            motion = make_act(name, standing.rest_m, np.linspace(0, SECONDS, NUM_FRAMES * 8)).motion
            posed = pose_puppet(puppet, motion, travel="person", scale=scale)
            for frame in range(4, len(motion), len(motion) // NUM_FRAMES):
                pairs = [compare(actor, posed, motion, frame, yaw) for yaw in YAWS_DEG]
                for yaw, (overlap, psnr, _) in zip(YAWS_DEG, pairs):
                    scores[yaw].append((overlap, psnr))
                if frame == 4 + 3 * (len(motion) // NUM_FRAMES):
                    rows.append(np.concatenate([pair for _, _, pair in pairs], axis=1))
    print(f"{'yaw':>6} {'IoU':>6} {'PSNR':>6}")
    for yaw in YAWS_DEG:
        print("{:6d} {:6.3f} {:6.2f}".format(yaw, *np.mean(scores[yaw], axis=0)))
    print("{:>6} {:6.3f} {:6.2f}".format("all", *np.mean(np.concatenate(list(scores.values())), axis=0)))
    if given.sheet:
        cv2.imwrite(str(given.sheet), cv2.cvtColor(np.concatenate(rows).astype(np.uint8), cv2.COLOR_RGB2BGR))


def actor_of(seed: int, build: int, is_sunny: bool) -> tuple[Actor, Motion]:
    """An actor in the costume of a seed, and standing in the T-pose; build 0 is the mean adult."""
    shape = np.zeros(10) if build == 0 else np.random.default_rng([seed, build]).normal(size=10)
    standing = rest_motion()
    rest = load_body().rest(shape.astype(np.float32))[1]
    standing = replace(standing, rest_m=rest.astype(np.float32), root_m=rest[None, 0].astype(np.float32))
    return Actor(make_costume(seed), shape.astype(np.float32), sunny=is_sunny), standing


def puppet_of(actor: Actor, standing: Motion) -> Puppet:
    """Lift the one picture of the actor."""
    rgb, mask, _ = photograph(actor, standing)
    cutout = cut_out(np.dstack([rgb, mask]).astype(np.uint8))
    return lift(cutout, find_joints(cutout))


def photograph(actor: Actor, standing: Motion) -> tuple[NDArray, NDArray, NDArray]:
    """The one picture of the actor, from the front, arms a little away from the body.

    Returns:
        rgb (H, W, 3) and mask (H, W), float32 0 ... 255, and the body's vertices as the camera has them, (V, 3) metres.
    """
    motion = replace(standing, rotvec=standing.rotvec.copy())
    for side, sign in (("left", -1), ("right", 1)):
        motion.rotvec[:, JOINTS.index(f"{side}_shoulder"), 2] = sign * ARM_DOWN_RAD
    camera = camera_at(motion, 0, 0.0, PHOTO)
    return *draw(actor, motion, 0, camera, PHOTO), in_camera(actor.pose(motion, 0), camera)


def print_bounds(is_sunny: bool, build: int) -> None:
    """Say what the body itself reaches where the picture is all that its colours are known from."""
    painted, aside = [], {1: [], 2: [], 3: []}
    for seed in (0, 1):
        actor, standing = actor_of(seed, build, is_sunny)
        rgb, _, shown = photograph(actor, standing)
        K = camera_at(standing, 0, 0.0, PHOTO).K[0]
        nearest = rasterize(shown[None], actor.faces, K, PHOTO, cull_back=True).depth[0]
        for name in MOTIONS:
            motion = make_act(name, standing.rest_m, np.linspace(0, SECONDS, NUM_FRAMES * 8)).motion
            for frame in range(4, len(motion), len(motion) // NUM_FRAMES):
                for yaw in YAWS_DEG:
                    camera = camera_at(motion, frame, yaw, SIZE)
                    want, mask = draw(actor, motion, frame, camera, SIZE)
                    there = mask > 127
                    posed = in_camera(actor.pose(motion, frame), camera)
                    fragments = rasterize(posed[None], actor.faces, camera.K[0], SIZE, cull_back=True)
                    both = there & (fragments.face_idx[0] >= 0)
                    places = interpolate(shown, fragments, actor.faces)[0][both]
                    painted.append(psnr_of(colours_at(places, rgb, nearest, K), want[both]))
                    for pixels, scores in aside.items():
                        still = there & np.roll(there, pixels, 1)
                        scores.append(psnr_of(np.roll(want, pixels, 1)[still], want[still]))
    print(f"the body itself, painted by the picture: {np.mean(painted):.1f} dB")
    for pixels, scores in aside.items():
        print(f"the true render, {pixels} of {SIZE[0]} pixels aside: {np.mean(scores):.1f} dB")


def colours_at(places_m: NDArray, rgb: NDArray, nearest_m: NDArray, K: NDArray) -> NDArray:
    """What the picture shows at points of the standing body (N, 3); where they are hidden, in front of them."""
    x, y = (places_m[:, :2] * K[[0, 1], [0, 1]] / places_m[:, 2:] + K[:2, 2]).T.astype(np.float32)
    inside = np.isfinite(nearest_m).astype(np.uint8)
    rim = cv2.erode(inside, np.ones((5, 5), np.uint8))  # half-covered pixels are no colours
    _, labels = cv2.distanceTransformWithLabels(1 - rim, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    filled = rgb[rim > 0][labels - 1]
    return cv2.remap(filled.astype(np.float32), x[:, None] - 0.5, y[:, None] - 0.5, cv2.INTER_LINEAR)[:, 0]


def in_camera(vertices_m: NDArray, camera: Camera) -> NDArray:
    """(V, 3) float32, metres."""
    world_to_cam = camera.world_to_cam[0]
    return (vertices_m @ world_to_cam[:3, :3].T + world_to_cam[:3, 3]).astype(np.float32)


def psnr_of(got: NDArray, want: NDArray) -> float:
    """Of colours 0 ... 255, dB."""
    return 10 * np.log10(255**2 / max(float(((got - want) ** 2).mean()), 1e-6))


def camera_at(motion: Motion, frame: int, yaw_deg: float, size: Size) -> Camera:
    """A level camera that looks at the pelvis from an angle to where it faces."""
    facing = rotvec_to_matrix(motion.rotvec[frame, 0].astype(np.float64)) @ np.array([0.0, 0.0, 1.0])
    angle = np.arctan2(facing[0], facing[2]) + np.radians(yaw_deg)
    turn = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    rotation = np.diag([1.0, -1.0, -1.0]) @ turn
    centre = motion.root_m[frame].astype(np.float64) * (1, 0, 1) + (0, 0.9, 0)
    world_to_cam = np.eye(4)
    world_to_cam[:3, :3] = rotation
    world_to_cam[:3, 3] = np.array([0, 0, 6.0]) - rotation @ centre
    focal = 2.6 * size[0]
    K = np.array([[focal, 0, size[1] / 2], [0, focal, size[0] / 2], [0, 0, 1]])
    return Camera(K[None].astype(np.float32), world_to_cam[None].astype(np.float32))


def draw(actor: Actor, motion: Motion, frame: int, camera: Camera, size: Size) -> tuple[NDArray, NDArray]:
    """The actor as it is: (H, W, 3) float32 RGB where the mask is, and (H, W) float32 0 ... 255."""
    K = camera.K[0].copy()
    K[:2] *= FINER
    finer = size[0] * FINER, size[1] * FINER
    rgb, mask, _ = actor.draw(actor.pose(motion, frame), K, camera.world_to_cam[0], finer)
    share = cv2.resize(mask.astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA)
    colour = cv2.resize(rgb * mask[..., None], size[::-1], interpolation=cv2.INTER_AREA)
    return np.clip(colour / np.maximum(share, 1e-3)[..., None], 0, 255), share * 255


def compare(
    actor: Actor, posed: PosedPuppet, motion: Motion, frame: int, yaw_deg: float
) -> tuple[float, float, NDArray]:
    """Overlap, PSNR and both pictures side by side."""
    camera = camera_at(motion, frame, yaw_deg, SIZE)
    want, mask = draw(actor, motion, frame, camera, SIZE)
    patch = PuppetAnimator(posed.puppet, motion, camera, SIZE, shadow=0, posed=posed).render(frame)
    rgba = np.zeros((*SIZE, 4), np.float32)
    height, width = patch.rgba.shape[:2]
    rgba[patch.y0 : patch.y0 + height, patch.x0 : patch.x0 + width] = patch.rgba
    got = rgba[..., :3] / np.maximum(rgba[..., 3:] / 255, 1e-3)
    there, drawn = mask > 127, rgba[..., 3] > 127
    both = there & drawn
    psnr = psnr_of(got[both], want[both]) if both.any() else 0.0
    shown = [np.where(seen[..., None], picture, 200) for seen, picture in ((there, want), (drawn, got))]
    crop = np.s_[:, SIZE[1] // 5 : -SIZE[1] // 5]
    return (
        float(both.sum() / max((there | drawn).sum(), 1)),
        psnr,
        np.concatenate([s[crop] for s in shown], 1)[::2, ::2],
    )


if __name__ == "__main__":
    main()
