"""What mimo writes, opened by Blender itself; where its Python module is (`pip install bpy`)."""

import numpy as np
import pytest

from engine.body.model import forward_kinematics
from engine.motion.export import export_motion
from engine.motion.rig import read_motion
from engine.types import JOINTS

bpy = pytest.importorskip("bpy", reason="needs pip install bpy")

TENTH_MM = 1e-4


def joints_of(motion):
    return forward_kinematics(motion.rotvec.astype(float), motion.root_m.astype(float), motion.rest_m)[0]


def in_blender(armature, num_frames):
    """(T, J, 3) metres, y up: where the bones of the scene begin."""
    scene, heads = bpy.context.scene, []
    for frame in range(scene.frame_start, scene.frame_start + num_frames):
        scene.frame_set(frame)
        heads.append([[*(armature.matrix_world @ armature.pose.bones[name].head)] for name in JOINTS])
    x, y, z = np.moveaxis(np.array(heads), -1, 0)
    return np.stack([x, z, -y], -1)


def empty_scene():
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.preferences.addon_enable(module="io_anim_bvh")


def test_a_bvh_opens_and_comes_back(walk, tmp_path):
    """As docs/edit.md says: scale 0.01 in, out again over the same file."""
    export_motion(walk, tmp_path / "body.bvh")
    empty_scene()
    bpy.ops.import_anim.bvh(filepath=str(tmp_path / "body.bvh"), global_scale=0.01, update_scene_fps=True)
    armature, num_frames = bpy.context.object, len(walk.time_s)
    np.testing.assert_allclose(in_blender(armature, num_frames), joints_of(walk), atol=TENTH_MM)
    bpy.ops.export_anim.bvh(
        filepath=str(tmp_path / "back.bvh"), rotate_mode="NATIVE", frame_start=1, frame_end=num_frames
    )
    back = read_motion(tmp_path / "back.bvh", time_s=walk.time_s)
    apart = joints_of(back) - joints_of(walk)
    # Blender keeps rotations in float32 degrees and writes 6 digits; the place on the floor is the file's own
    np.testing.assert_allclose(apart - apart[:, :1], 0, atol=5 * TENTH_MM)


def test_a_glb_opens_with_its_skin(walk, tmp_path):
    export_motion(walk, tmp_path / "body.glb")
    empty_scene()
    bpy.context.scene.render.fps = round(1 / float(np.diff(walk.time_s).mean()))
    bpy.ops.import_scene.gltf(filepath=str(tmp_path / "body.glb"))
    (armature,) = [thing for thing in bpy.data.objects if thing.type == "ARMATURE"]
    meshes = [thing for thing in bpy.data.objects if thing.type == "MESH" and thing.find_armature() is armature]
    assert [len(mesh.data.vertices) for mesh in meshes] == [13718]
    bpy.context.scene.frame_start = 0
    np.testing.assert_allclose(in_blender(armature, 1), joints_of(walk)[:1], atol=TENTH_MM)
