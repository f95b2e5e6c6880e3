"""Motion in: a file of any form mimo knows, by its suffix."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from engine.errors import InputError
from engine.motion.given import Mapping
from engine.types import Motion

if TYPE_CHECKING:
    from engine.body.family import SmplBody
    from engine.motion.amass import SmplFacts

SMPL_SUFFIXES = (".npz", ".pkl", ".pickle", ".joblib", ".npy", ".pt", ".pth")
SUFFIXES = (".bvh", ".glb", ".gltf", ".fbx", *SMPL_SUFFIXES)
"""Forms of motion files."""


@dataclass(frozen=True, kw_only=True)
class MotionFile:
    """A motion that was read, and what was found out about it."""

    motion: Motion
    lines: tuple[str, ...]
    """The table for a person: axes, scale, rest pose, and every joint that was matched."""
    facts: "SmplFacts | None" = None
    """Of files of the SMPL family."""


def is_motion_file(path: str | os.PathLike) -> bool:
    """Whether a file is one of motion, by its suffix."""
    return Path(path).suffix.lower() in SUFFIXES


def read_motion_file(
    path: str | os.PathLike, mapping: Mapping | None = None, *, body: "SmplBody | None" = None, place: bool = True
) -> MotionFile:
    """Read a motion file: BVH, glTF, FBX, AMASS, or what an HMR-like tool wrote.

    Args:
        path: the file; its suffix says its form.
        mapping: what is known better than it can be found.
        body: the model that the betas of an SMPL file are for.
        place: rigs start above the origin, facing +z; False keeps their place and heading. Files of the SMPL family
            always keep theirs.

    Returns:
        The motion on our joints, feet on the ground, and the table.

    Raises:
        InputError: it is no motion file, a broken one, or not of a human skeleton; says where and why.
        MissingError: an FBX file, and ufbx is not installed.
    """
    path, mapping = Path(path), mapping or Mapping()
    suffix = path.suffix.lower()
    if suffix in SMPL_SUFFIXES:
        from engine.motion.amass import read_amass

        motion, facts = read_amass(path, mapping, body=body)
        return MotionFile(motion=motion, lines=tuple(facts.lines(path.name)), facts=facts)
    if suffix not in SUFFIXES:
        raise InputError(f"{path} is no motion file mimo knows.", f"use one of {', '.join(SUFFIXES)}.")
    if suffix == ".bvh" and mapping == Mapping():
        return _read_bvh(path, place)
    from engine.motion.retarget import retarget

    notes: list[str] = []
    if suffix == ".bvh":
        from engine.body.bvh import read_bvh

        animation = read_bvh(path).animation()
    elif suffix == ".fbx":
        from engine.body.fbx import read_fbx

        animation, notes = read_fbx(path, clip=mapping.clip)
    else:
        from engine.body.gltf import read_gltf

        animation, notes = read_gltf(path, clip=mapping.clip)
    if mapping.frame_rate:
        count = len(animation.time_s)
        animation = replace(animation, time_s=animation.time_s[0] + np.arange(count) / mapping.frame_rate)
    motion, table = retarget(animation, mapping, name=path.name, place=place)
    lines = table.lines()
    return MotionFile(motion=motion, lines=(*lines[:1], *notes, *lines[1:]))


def _read_bvh(path: Path, place: bool) -> MotionFile:
    """A BVH of our own skeleton as it is, or one of any other rig."""
    from engine.motion.ground import placed
    from engine.motion.rig import open_motion

    motion, table = open_motion(path, place=place)
    if table is not None:
        return MotionFile(motion=motion, lines=tuple(replace(table, name=path.name).lines()))
    if place:
        rotvec, root_m = placed(motion.rotvec, motion.root_m)
        motion = replace(motion, rotvec=rotvec, root_m=root_m.astype(np.float32))
    return MotionFile(motion=motion, lines=(f"{path.name}: mimo's own joints, taken as they are",))
