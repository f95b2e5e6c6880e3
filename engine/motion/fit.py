"""Video to structured motion: one body, one skeleton, all frames together.

The walk: lens and turns of the camera are read from the background; 3D landmarks give a first pose; frames spread over
the clip decide the shape; then rotations and places of all frames are optimised together against 2D landmarks, 3D bone
directions, smoothness and what joints usually do; soles that stand still are found, put on the ground and held there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from engine.body.model import load_body
from engine.geometry import matrix_to_rotvec, rotvec_to_matrix
from engine.motion.camera import place_camera
from engine.motion.energy import Evidence, add_costs, bone_directions
from engine.motion.initial import initial_pose
from engine.motion.normal import NormalEquations
from engine.motion.person import Person, better_shape, landmark_table, make_person, place_roots
from engine.motion.posing import NUM_JOINTS, NUM_UNKNOWNS, Pose, pose_points
from engine.motion.prior import PosePrior
from engine.motion.standing import Ground, find_ground
from engine.motion.view import View, make_view
from engine.threads import map_in_order
from engine.types import (
    BODY_JOINTS,
    JOINTS,
    BackgroundMotion,
    Camera,
    ClipInfo,
    FrameSource,
    FrameTimes,
    Landmarks,
    Motion,
    Progress,
    quiet,
)

WINDOW = 128
"""Frames solved at once, at most; memory is theirs, however long the clip is."""
MARGIN = 24
"""Frames of its neighbours that a window sees; smoothness reaches a few frames."""
SHAPE_FRAMES = 48
"""Frames (evenly spread) that decide the shape of the body."""
SHORT_STEP_S = 1 / 150
"""Frames nearer in time are solved in float64: accelerations go with the fourth power of the step, and at 240 frames/s
float32 has no digits left for the rest."""
SHAPE_ROUNDS = 3
SHAPE_PRIOR = 2.0
"""Trust in the mean adult, against one frame's landmarks."""
DAMPING = 0.1
"""Holds what no evidence speaks about, in the first steps."""
MAX_TURN_RAD = 0.6
"""No joint turns more in one step: the slopes hold only so far."""


@dataclass(frozen=True, kw_only=True)
class FitParams:
    """What can be set for the fit."""

    iterations: int = 6
    """Gauss-Newton steps of each of the two rounds (before and after the feet are known)."""


def fit_motion(
    landmarks: Landmarks,
    times: FrameTimes,
    background: BackgroundMotion,
    info: ClipInfo,
    *,
    masks: FrameSource | None = None,
    prior: PosePrior | None = None,
    params: FitParams | None = None,
    progress: Progress = quiet,
) -> tuple[Motion, Camera]:
    """Fit the embedded body to what was seen of one person.

    Args:
        landmarks: evidence of T frames; frames with score 0 are bridged.
        times: the clock of the clip.
        background: how the background moves; gives the turns of the camera.
        info: size and pixel aspect of the clip.
        masks: T frames (H, W) uint8, 255 the person: their outline is evidence, too.
        prior: what a network thinks of the pose; it takes the place of the 3D landmarks.
        params: see `FitParams`.
        progress: called after every window of every round.

    Returns:
        The motion in the world (y up, ground at y = 0) and the camera that sees it. The camera stands over the origin
        and turns; one camera cannot tell size from distance: the person is as tall as the body's prior says.
    """
    with _one_thread():
        return _fit(make_view(landmarks, times, background, info, prior, masks), params or FitParams(), progress)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Matrices here are small: more threads only wait for each other (measured: 3 s become 40 on a busy machine)."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fit(view: View, params: FitParams, progress: Progress) -> tuple[Motion, Camera]:
    person = make_person(load_body(), np.zeros(10))
    pose = _first_pose(person, view)
    person = _fit_shape(pose, person, view)
    pose = Pose(pose.rotvec, place_roots(pose, person, view))
    steps = _Steps(progress, 2 * len(_windows(len(pose))))
    pose = _fit_pose(pose, person, view, None, params.iterations, steps)
    ground = find_ground(pose_points(pose, person.points), person, view)
    pose = replace(pose, root_m=pose.root_m + np.array([0, ground.camera_y_m, 0]))
    pose = _fit_pose(pose, person, view, ground, params.iterations, steps)
    camera = place_camera(view.turns, view.first_to_world, np.array([0, ground.camera_y_m, 0]), view.K)
    return _as_motion(pose, person, view.time_s, ground), camera


class _Steps:
    """Progress over both rounds and all windows."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total

    def __call__(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)


def _windows(num_frames: int) -> list[tuple[int, int]]:
    """As few as may be, all of about one length: they are solved side by side."""
    edges = np.linspace(0, num_frames, -(-num_frames // WINDOW) + 1).round().astype(int).tolist()
    return list(pairwise(edges))


def _first_pose(person: Person, view: View) -> Pose:
    """Straight from the 3D landmarks; what was not seen lies between what was."""
    world = np.einsum("tji,tlj->tli", view.world_to_cam, view.upright)
    rotvec = initial_pose(world, person.rest_m)[:, :NUM_JOINTS]
    if view.prior is not None:
        rotvec = view.prior.rotvec(rotvec, view.world_to_cam)
    rotvec = _bridged(rotvec, view.seen)
    pose = Pose(rotvec, np.zeros((len(rotvec), 3)))
    return Pose(rotvec, place_roots(pose, person, view))


def _bridged(rotvec: NDArray, seen: NDArray) -> NDArray:
    """Rotations of unseen frames (of T) along the shortest arc between their seen neighbours."""
    known = np.flatnonzero(seen)
    if not 0 < len(known) < len(seen):
        return rotvec
    frames = np.arange(len(seen))
    after = np.minimum(np.searchsorted(known, frames), len(known) - 1)
    before = np.maximum(after - (known[after] > frames), 0)
    start, stop = known[before], known[after]
    share = np.clip((frames - start) / np.maximum(stop - start, 1), 0, 1)
    first, last = rotvec_to_matrix(rotvec[start]), rotvec_to_matrix(rotvec[stop])
    arc = matrix_to_rotvec(np.swapaxes(first, -1, -2) @ last)
    between = matrix_to_rotvec(first @ rotvec_to_matrix(arc * share[:, None, None]))
    return np.where(seen[:, None, None], rotvec, between)


def _fit_shape(pose: Pose, person: Person, view: View) -> Person:
    """Find the shape on frames spread over the clip; from then on it stays."""
    known = np.flatnonzero(view.seen)
    if len(known) == 0:
        return person
    frames = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), SHAPE_FRAMES)).astype(int))]
    some = _part(view, frames)
    pose = pose.part(frames)
    for _ in range(SHAPE_ROUNDS):
        pose = _descend(pose, person, _evidence(some, person, None, neighbours=False), 3)
        shape = better_shape(pose, person, some, landmark_table().noise_m, prior=SHAPE_PRIOR)
        person = make_person(person.body, shape)
    return person


def _fit_pose(
    pose: Pose, person: Person, view: View, ground: Ground | None, iterations: int, steps: Callable[[], None]
) -> Pose:
    """Optimise every frame, window by window."""

    def fit_window(window: tuple[int, int]) -> Pose:
        start, stop = window
        first, last = max(0, start - MARGIN), min(len(pose), stop + MARGIN)
        here = slice(first, last)
        evidence = _evidence(_part(view, here), person, ground and _part_of_ground(ground, here))
        found = _descend(pose.part(here), person, evidence, iterations)
        return found.part(slice(start - first, stop - first))

    parts = []
    for part in map_in_order(fit_window, _windows(len(pose))):
        parts.append(part)
        steps()
    return Pose(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("rotvec", "root_m")))


def _descend(pose: Pose, person: Person, evidence: Evidence, iterations: int) -> Pose:
    """Gauss-Newton on the frames of the evidence."""
    exact = bool((evidence.dt_s < SHORT_STEP_S).any())
    for step in range(iterations):
        change = _change(pose, person, evidence, DAMPING * 10.0 ** (2 - step) + 1e-3, exact=exact)
        change[:, : 3 * NUM_JOINTS] = np.clip(change[:, : 3 * NUM_JOINTS], -MAX_TURN_RAD, MAX_TURN_RAD)
        pose = pose.moved(change)
    return pose


def _change(pose: Pose, person: Person, evidence: Evidence, damping: float, *, exact: bool) -> NDArray:
    """One step, (T, C); in float64 where so little was seen that float32 has no answer."""
    import torch

    equations = NormalEquations(len(pose), NUM_UNKNOWNS, exact=exact)
    add_costs(equations, pose, pose_points(pose, person.points, slopes=True), evidence)
    try:
        return equations.solve(damping)
    except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
        if exact:
            raise
        return _change(pose, person, evidence, damping, exact=True)


def _part(view: View, frames: NDArray | slice) -> View:
    arrays = {
        name: getattr(view, name)[frames]
        for name in ("rays", "upright", "trust", "place_trust", "unseen", "turns", "time_s")
    }
    prior, outline = view.prior and view.prior.part(frames), view.outline and view.outline.part(frames)
    return replace(view, **arrays, prior=prior, outline=outline)


def _part_of_ground(ground: Ground, frames: slice) -> Ground:
    return replace(ground, planted=ground.planted[frames])


def _evidence(view: View, person: Person, ground: Ground | None, *, neighbours: bool = True) -> Evidence:
    count = len(view.rays)
    return Evidence(
        rays=view.rays,
        trust=view.trust,
        place_trust=view.place_trust,
        noise_m=landmark_table().noise_m,
        direction_noise=landmark_table().direction_noise,
        bones=bone_directions(view.upright),
        world_to_cam=view.world_to_cam,
        camera_m=np.array([0.0, ground.camera_y_m if ground else 0.0, 0.0]),
        dt_s=np.maximum(np.diff(view.time_s), 1e-3) if neighbours else np.zeros(0),
        planted=ground.planted if ground else np.zeros((count, 4)),
        sole_m=person.sole_m,
        unseen=view.unseen,
        prior=view.prior,
        outline=view.outline if ground or not neighbours else None,
        surface=person.surface,
    )


def _as_motion(pose: Pose, person: Person, time_s: NDArray, ground: Ground) -> Motion:
    rotvec = np.zeros((len(pose), len(JOINTS), 3), np.float32)
    rotvec[:, : len(BODY_JOINTS)] = pose.rotvec
    return Motion(
        rotvec=rotvec,
        root_m=pose.root_m.astype(np.float32),
        time_s=time_s,
        rest_m=person.rest_m.astype(np.float32),
        shape=person.shape.astype(np.float32),
        contact=ground.planted.reshape(-1, 2, 2).max(-1) > 0,
    )
