"""Finds where BlazePose's landmarks lie on the embedded body, and how far they err, on rendered people.

    python benchmarks/calibrate_landmarks.py            # writes engine/motion/landmarks.toml

Bodies of drawn shapes perform the motions of `engine/synth/motions.py` and poses drawn at random, seen from all sides
and several distances, in clothes. No motion file and none of the bodies of `benchmarks/motion.py` take part.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from motion_clips import FPS, filmed_evidence  # noqa: E402

from engine.body.model import forward_kinematics, load_body  # noqa: E402
from engine.geometry import matrix_to_rotvec, rotvec_to_matrix  # noqa: E402
from engine.motion.energy import BONES, bone_directions  # noqa: E402
from engine.motion.person import TABLE  # noqa: E402
from engine.motion.view import make_view  # noqa: E402
from engine.synth.clip import ClipSpec, SynthClip, make_clip  # noqa: E402
from engine.synth.motions import make_act  # noqa: E402
from engine.types import JOINTS, LANDMARKS, Motion  # noqa: E402

NUM_FRAMES = 40
CLIPS = [
    (motion, seed, heading, distance)
    for seed, (motion, heading, distance) in enumerate(
        [
            ("walk", 90, 4.6), ("walk", -45, 6.5), ("dance", 0, 4.2), ("dance", 180, 5.0), ("wave", 30, 4.6),
            ("juggle", -60, 5.5), ("poses", 0, 4.4), ("poses", 60, 5.0), ("poses", -100, 4.8), ("poses", 150, 5.5),
        ],
        start=20,
    )
]  # fmt: skip
_ROUNDS = 12


def _mirrored(name: str) -> str:
    return name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right")


_MIRROR = [LANDMARKS.index(_mirrored(name)) for name in LANDMARKS]


def main() -> None:
    seen = [_seen(*clip) for clip in CLIPS]
    shifts = np.stack([_shift(seen, k) for k in range(len(LANDMARKS))])
    shifts = _symmetric(shifts)
    noise = np.array([_noise_m(seen, k, shifts[k]) for k in range(len(LANDMARKS))])
    noise = (noise + noise[_MIRROR]) / 2
    bones = _bone_noise(seen, shifts)
    TABLE.write_text(_table(shifts, noise, bones), encoding="utf-8")
    print(TABLE.read_text(encoding="utf-8"))


def film(motion: str, seed: int, heading_deg: float, distance: float) -> SynthClip:
    """One clip of a body drawn by its seed."""
    shape = np.clip(np.random.default_rng([seed, 31]).normal(0, 0.8, 10), -1.6, 1.6).astype(np.float32)
    times = np.arange(NUM_FRAMES) / FPS * 1.5
    rest = load_body().rest(shape)[1]
    acted = _poses(rest, seed, times) if motion == "poses" else make_act(motion, rest, times).motion
    turn = rotvec_to_matrix(np.array([0.0, np.deg2rad(heading_deg), 0.0]))
    rotvec = acted.rotvec.copy()
    rotvec[:, 0] = matrix_to_rotvec(turn @ rotvec_to_matrix(rotvec[:, 0].astype(np.float64)))
    root = acted.root_m @ turn.T
    root = root - root.mean(0) * [1, 0, 1]
    placed = Motion(rotvec=rotvec, root_m=root.astype(np.float32), time_s=times, rest_m=rest, shape=shape)
    return make_clip(
        ClipSpec(
            size=(360, 480), num_frames=NUM_FRAMES, fps=FPS, camera="follow", camera_m=(0.0, 1.1, distance),
            motion=placed,
            occluder="none", seed=seed, actor_seed=seed, supersample=1,
        )
    )  # fmt: skip


def _poses(rest: NDArray, seed: int, times: NDArray) -> Motion:
    """A slow walk through drawn poses, feet near the ground."""
    rng = np.random.default_rng([seed, 37])
    keys = rng.normal(0, 1, (6, len(JOINTS), 3))
    scale = np.zeros((len(JOINTS), 3))
    mean = np.zeros((len(JOINTS), 3))
    spread = {
        "spine": (0.15, 0.12, 0.08), "neck": (0.15, 0.25, 0.1), "head": (0.15, 0.25, 0.1), "hip": (0.35, 0.2, 0.15),
        "knee": (0.45, 0, 0), "ankle": (0.2, 0.1, 0), "shoulder": (0.4, 0.6, 0.6), "elbow": (0.1, 0.6, 0),
        "wrist": (0.2, 0.1, 0.3),
    }  # fmt: skip
    for j, name in enumerate(JOINTS[:22]):
        scale[j] = next((v for part, v in spread.items() if part in name), (0, 0, 0))
        sign = 1 if name.startswith("left") else -1
        if "shoulder" in name:
            mean[j, 2] = -0.9 * sign
        if "elbow" in name:
            mean[j, 1] = -0.8 * sign
        if "hip" in name:
            mean[j, 0] = -0.35
        if "knee" in name:
            mean[j, 0] = 0.6
    keys = mean + keys * scale
    for j, name in enumerate(JOINTS[:22]):
        if "knee" in name:
            keys[:, j, 0] = np.abs(keys[:, j, 0])
        if "elbow" in name:
            keys[:, j, 1] = np.abs(keys[:, j, 1]) * (-1 if name.startswith("left") else 1)
    at = np.linspace(0, len(keys) - 1, len(times))
    low = np.minimum(at.astype(int), len(keys) - 2)
    share = (at - low)[:, None, None]
    share = share * share * (3 - 2 * share)
    rotvec = (1 - share) * keys[low] + share * keys[low + 1]
    joints = forward_kinematics(rotvec, np.zeros((len(times), 3)), rest)[0]
    feet = [JOINTS.index(f"{side}_{part}") for side in ("left", "right") for part in ("ankle", "foot")]
    root = np.zeros((len(times), 3))
    root[:, 1] = -(joints[:, feet, 1] - rest[feet, 1]).min(1)
    return Motion(
        rotvec=rotvec.astype(np.float32), root_m=root.astype(np.float32), time_s=times, rest_m=rest.astype(np.float32)
    )


class _Clip:
    """A clip's truth and evidence, every frame in its camera's axes."""

    def __init__(self, clip: SynthClip) -> None:
        body, motion = load_body(), clip.motion
        evidence = filmed_evidence(clip, layers=False)
        rotation, shift = clip.camera.world_to_cam[:, :3, :3].astype(float), clip.camera.world_to_cam[:, :3, 3]
        joints, turned = forward_kinematics(motion.rotvec.astype(float), motion.root_m.astype(float), motion.rest_m)
        self.joints = (joints @ np.swapaxes(rotation, 1, 2) + shift[:, None])[:, body.landmark_joints]
        self.turned = (rotation[:, None] @ turned)[:, body.landmark_joints]
        self.offsets = body.offsets(motion.shape).astype(float)
        K = clip.camera.K.astype(float)
        raw = evidence.raw
        self.rays = (raw.image_px - K[:, None, :2, 2]) / K[:, [0, 1], [0, 1]][:, None]
        self.visible = raw.visibility * (raw.score > 0)[:, None]
        view = make_view(raw, evidence.times, evidence.background, evidence.info)
        self.bones = bone_directions(view.upright)

    def places(self, shifts: NDArray) -> NDArray:
        """(T, 33, 3) metres, camera."""
        return self.joints + (self.turned @ (self.offsets + shifts)[..., None])[..., 0]

    def off(self, k: int, shift: NDArray) -> tuple[NDArray, NDArray]:
        """Residuals (T, 2) of landmark k, metres at its distance, and their slope (T, 2, 3) in its shift."""
        point = self.joints[:, k] + self.turned[:, k] @ (self.offsets[k] + shift)
        flat = point[:, :2] / point[:, 2:]
        slope = self.turned[:, k, :2] - flat[..., None] * self.turned[:, k, 2:]
        return (flat - self.rays[:, k]) * point[:, 2:], slope


def _seen(motion: str, seed: int, heading: float, distance: float) -> _Clip:
    found = _Clip(film(motion, seed, heading, distance))
    print(f"{motion} {seed}: {(found.visible > 0.5).mean():.2f} of the landmarks seen", file=sys.stderr, flush=True)
    return found


def _shift(seen: list[_Clip], k: int) -> NDArray:
    """(3,) metres: what to add to a landmark's place on the body; robust least squares (Geman-McClure at 4 cm)."""
    shift = np.zeros(3)
    for _ in range(_ROUNDS):
        normal, right = 4.0 * np.eye(3), 4.0 * shift  # weak: what no view tells stays
        for clip in seen:
            off, slope = clip.off(k, shift)
            weight = (clip.visible[:, k] > 0.5) * np.square(0.04**2 / (np.square(off).sum(1) + 0.04**2))
            normal = normal + np.einsum("t,tri,trj->ij", weight, slope, slope)
            right = right + np.einsum("t,tri,tr->i", weight, slope, off)
        shift = shift - np.linalg.solve(normal, right)
    return shift


def _symmetric(shifts: NDArray) -> NDArray:
    """Left and right are one: the mean of a landmark and its mirror image."""
    return (shifts + shifts[_MIRROR] * [-1, 1, 1]) / 2


def _noise_m(seen: list[_Clip], k: int, shift: NDArray) -> float:
    """Deviation per axis, metres, of what is seen; from the median, so that outliers do not count."""
    off = np.concatenate([clip.off(k, shift)[0][clip.visible[:, k] > 0.5] for clip in seen])
    return float(np.median(np.linalg.norm(off, axis=1)) / 1.1774)  # median of a Rayleigh distribution


def _bone_noise(seen: list[_Clip], shifts: NDArray) -> NDArray:
    """(B,) deviation per axis of the directions of bones among the 3D landmarks, from the median."""
    off, seen_both = [], []
    for clip in seen:
        off.append(np.linalg.norm(bone_directions(clip.places(shifts)) - clip.bones, axis=-1))
        starts, ends = zip(*BONES)
        seen_both.append(np.minimum(clip.visible[:, list(starts)], clip.visible[:, list(ends)]) > 0.5)
    all_off, both = np.concatenate(off), np.concatenate(seen_both)
    noise = np.array([np.median(all_off[both[:, b], b]) / 1.1774 for b in range(all_off.shape[1])])
    ends = [frozenset((LANDMARKS[a], LANDMARKS[b])) for a, b in BONES]
    mirror = [ends.index(frozenset(_mirrored(name) for name in pair)) for pair in ends]
    return (noise + noise[mirror]) / 2


def _table(shifts: NDArray, noise: NDArray, bones: NDArray) -> str:
    lines = [
        "# Where BlazePose's landmarks lie on the embedded body, beyond the baked ones, and how far they err.",
        "# Measured by benchmarks/calibrate_landmarks.py on rendered people; do not edit by hand.",
        "# shift_m: metres, in the rest axes of the joint the landmark rides on. noise_m: deviation per axis in",
        "# the picture, at the person's distance. direction_noise: deviation per axis of a bone's unit vector",
        "# among the 3D landmarks.",
        "",
        "[landmarks]",
    ]
    for name, shift, each in zip(LANDMARKS, shifts, noise):
        place = ", ".join(f"{value + 0.0:.4f}" for value in np.round(shift, 4))
        lines.append(f"{name} = {{ shift_m = [{place}], noise_m = {each:.4f} }}")
    lines += ["", "[bones]"]
    for (start, end), each in zip(BONES, bones):
        lines.append(f'"{LANDMARKS[start]} {LANDMARKS[end]}" = {{ direction_noise = {each:.3f} }}')
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
