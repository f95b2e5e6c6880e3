"""A pose video as the release writes them: a body in fixed colours before the published camera, H.264 4:2:0."""

from pathlib import Path

import av
import numpy as np

from engine.conditions.camera_motion import CameraMotion, pose_camera_motion
from engine.conditions.sdc import draw_sdc, published_camera
from engine.diffusion.sdc import person_translation
from engine.geometry import matrix_to_rotvec, rotvec_to_matrix

SIZE = (256, 256)


def turning(num_frames: int, seed: int = 0) -> CameraMotion:
    """Someone who turns once around, limbs in every pose, some of them near the camera's edge."""
    rng = np.random.default_rng(seed)
    rotvec = np.zeros((num_frames, 24, 3))
    rotvec[:, 1:22] = rng.normal(0, 0.25, (num_frames, 21, 3))
    rotvec[:, 16, 2] += rng.uniform(-1.2, 0.3, num_frames)
    rotvec[:, 17, 2] += rng.uniform(-0.3, 1.2, num_frames)
    upright = rotvec_to_matrix(np.array([np.pi, 0, 0]))  # y down
    lean = rotvec_to_matrix(np.stack([rng.normal(0, 0.4, num_frames), np.zeros(num_frames), np.zeros(num_frames)], 1))
    around = np.linspace(0, 2 * np.pi, num_frames, endpoint=False)
    turn = rotvec_to_matrix(np.stack([np.zeros(num_frames), around, np.zeros(num_frames)], 1))
    rotvec[:, 0] = matrix_to_rotvec(upright @ lean @ turn)
    transl = [
        person_translation(np.array([0.9, 0.0, 0.25]), np.array([128.0, 128.0]) + rng.uniform(-8, 8, 2), 240.0, SIZE)
        for _ in range(num_frames)
    ]
    betas = np.zeros((num_frames, 10), np.float32)
    betas[:, 0] = 0.7
    return CameraMotion(rotvec.astype(np.float32), np.array(transl, np.float32), betas)


def write(path: Path, motion: CameraMotion, body, colors) -> None:
    """Draw a motion and write it as the release does."""
    K = published_camera(SIZE)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"crf": "18"})
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for posed in pose_camera_motion(motion, body):
            rgb = draw_sdc(posed, body.faces, colors, K, SIZE)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(stream.encode())
