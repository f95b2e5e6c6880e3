"""Motion out of mimo: one file by its suffix, whole or not at all."""

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.body.model import forward_kinematics
from engine.errors import UsageError
from engine.motion.amass import SmplFacts, write_amass
from engine.motion.glb import write_glb
from engine.motion.rig import write_motion
from engine.types import BODY_JOINTS, JOINTS, Camera, Motion

if TYPE_CHECKING:
    from engine.body.family import SmplBody

FORMS = {
    ".bvh": "skeleton, opens in Blender",
    ".npz": "AMASS (SMPL-H)",
    ".smpl.npz": "SMPL parameters",
    ".glb": "skinned mesh with its animation",
    ".csv": "joints in the world and in the image",
}
"""Suffix of an export and what it is."""


def check_export(path: Path) -> None:
    """Refuse a file name that says no form we write.

    Raises:
        UsageError: its suffix is none of `FORMS`.
    """
    if path.suffix.lower() not in FORMS:
        forms = ", ".join(f"{suffix} ({what})" for suffix, what in FORMS.items())
        raise UsageError(f"{path} is no form mimo exports a motion in.", f"use {forms}.")


def export_motion(
    motion: Motion,
    path: str | os.PathLike,
    *,
    camera: Camera | None = None,
    body: "SmplBody | None" = None,
    facts: SmplFacts | None = None,
) -> None:
    """Write a motion in the form its suffix names.

    Args:
        motion: T frames.
        path: ends in a suffix of `FORMS`.
        camera: T frames; gives a .csv its columns in pixels.
        body: the mesh of a .glb, and the model whose betas and pelvis a .npz counts with; None is the embedded mesh
            and SMPL's neutral pelvis.
        facts: betas, gender and frame rate of a file the motion was read from.

    Raises:
        UsageError: the suffix is none of `FORMS`.
    """
    path = Path(path)
    check_export(path)
    suffix, name = path.suffix.lower(), path.name.lower()
    if body is not None and facts is None:
        betas = body.betas_for(motion.rest_m)
        x, y, z = (float(v) for v in body.shaped(betas)[1][0])
        facts = SmplFacts(betas=betas, pelvis_m=(x, y, z), frame_rate=_rate(motion))
    if suffix == ".bvh":
        write_motion(motion, path)
    elif suffix == ".glb":
        write_glb(motion, path, body, None if facts is None or body is None else facts.betas[: body.num_shapes])
    elif suffix == ".csv":
        write_joints(motion, path, camera)
    elif name.endswith(".smpl.npz"):
        write_smpl(motion, path, facts)
    else:
        write_amass(motion, path, facts)


def write_smpl(motion: Motion, path: Path, facts: SmplFacts | None = None) -> None:
    """Write the parameters SMPL's layers take: y up, metres, radians.

    Args:
        motion: T frames.
        path: ends in .smpl.npz; holds `global_orient` (T, 3), `body_pose` (T, 69; the two hands are zero), `transl`
            (T, 3), `betas` (10,), `fps`, and `left_hand_pose`, `right_hand_pose` (T, 45) for SMPL-H and SMPL-X.
        facts: betas to write, and the pelvis that translations are counted with.
    """
    facts = facts or SmplFacts(betas=np.zeros(10))
    num, body = len(motion), len(BODY_JOINTS)
    betas = np.zeros(10, np.float32)
    betas[: min(10, facts.betas.size)] = facts.betas[:10]
    pose = np.zeros((num, 69), np.float32)
    pose[:, :63] = motion.rotvec[:, 1:body].reshape(num, -1)
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        np.savez_compressed(
            file,
            global_orient=motion.rotvec[:, 0],
            body_pose=pose,
            left_hand_pose=motion.rotvec[:, body : body + 15].reshape(num, -1),
            right_hand_pose=motion.rotvec[:, body + 15 :].reshape(num, -1),
            transl=(motion.root_m - np.array(facts.pelvis_m)).astype(np.float32),
            betas=betas,
            fps=np.array(_rate(motion)),
            mimo_up=np.array("y"),
            mimo_rest_m=motion.rest_m,
            mimo_time_s=motion.time_s,
            mimo_shape=motion.shape,
        )
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def write_joints(motion: Motion, path: Path, camera: Camera | None = None) -> None:
    """Write a table of joints, one row a frame.

    Args:
        motion: T frames.
        path: the .csv: `frame_idx`, `time_s`, and for each joint `NAME.x_m`, `.y_m`, `.z_m` in the world (y up, the
            ground is y = 0), `.x_px`, `.y_px` in the image (empty without a camera, or behind it).
        camera: T frames, or None.
    """
    joints, _ = forward_kinematics(motion.rotvec.astype(np.float64), motion.root_m.astype(np.float64), motion.rest_m)
    pixels = np.full((*joints.shape[:2], 2), np.nan)
    if camera is not None:
        assert len(camera) == len(motion), f"{len(camera)} cameras for {len(motion)} frames"
        cam = camera.world_to_cam.astype(np.float64)
        seen = np.einsum("tab,tjb->tja", cam[:, :3, :3], joints) + cam[:, None, :3, 3]
        image = np.einsum("tab,tjb->tja", camera.K.astype(np.float64), seen)
        ahead = seen[..., 2] > 1e-6
        pixels[ahead] = image[ahead][:, :2] / image[ahead][:, 2:]
    header = ["frame_idx", "time_s"]
    for name in JOINTS:
        header += [f"{name}.{axis}" for axis in ("x_m", "y_m", "z_m", "x_px", "y_px")]
    part = path.with_name(path.name + ".part")
    with open(part, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for frame, time in enumerate(motion.time_s):
            row = [str(frame), f"{time:.6f}"]
            for place, pixel in zip(joints[frame], pixels[frame]):
                row += [f"{v:.6f}" for v in place] + ["" if np.isnan(v) else f"{v:.3f}" for v in pixel]
            writer.writerow(row)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _rate(motion: Motion) -> float:
    """Frames per second, from the median step."""
    return 1 / float(np.median(np.diff(motion.time_s))) if len(motion) > 1 else 30.0
