import numpy as np
import pytest

from engine.animator.canonical import canonical_pictures
from engine.animator.drive import facing
from engine.animator.pose import pose_puppet, rest_motion
from engine.geometry import rotvec_to_matrix
from engine.identity.joints import find_joints
from engine.identity.lift import lift
from engine.identity.silhouette import fit_skeleton
from engine.identity.skeleton import on_all_fours
from engine.types import JOINTS, PictureJoints, Puppet

from .figures import DOG_FEET, draw_dog, draw_figure, stick_points


@pytest.fixture(scope="module")
def joints() -> PictureJoints:
    return find_joints(draw_dog())


@pytest.fixture(scope="module")
def dog(joints: PictureJoints) -> Puppet:
    return lift(draw_dog(), joints)


def test_a_dog_has_front_legs_for_arms(joints: PictureJoints):
    at = dict(zip(joints.names, joints.xy_px))
    assert on_all_fours(at)
    assert not joints.hidden
    for side, feet in DOG_FEET.items():
        for joint, foot in zip(("wrist", "ankle"), feet):
            assert np.linalg.norm(at[f"{side}_{joint}"] - foot) < 45  # a paw is 50 px long, the joint 20 above the sole
    assert at["head"][0] > at["neck"][0] > at["pelvis"][0] > at["tail3"][0]
    assert 0.5 < joints.confidence < 0.9


def test_it_may_face_the_other_way():
    fit = fit_skeleton(np.ascontiguousarray(draw_dog()[:, ::-1, 3]))
    assert on_all_fours(fit.points)
    assert fit.points["head"][0] < fit.points["pelvis"][0]
    assert fit.points["left_wrist"][0] < fit.points["right_wrist"][0]  # the near side is the left one now


@pytest.mark.parametrize(("arm_deg", "leg_deg"), [(80.0, 12.0), (90.0, 40.0), (160.0, 5.0), (20.0, 25.0)])
def test_people_stand_on_two(arm_deg: float, leg_deg: float):
    assert not on_all_fours(fit_skeleton(draw_figure(stick_points(arm_deg, leg_deg))[..., 3]).points)


def test_it_stays_level_and_faces_where_the_source_does(dog: Puppet):
    motion = rest_motion(5)
    for side, sign in (("left", -1), ("right", 1)):  # arms hang
        motion.rotvec[:, JOINTS.index(f"{side}_shoulder"), 2] = sign * np.radians(80)
    motion.rotvec[:, 0, 1] = np.linspace(0, np.pi, 5)
    posed = pose_puppet(dog, motion, stiff=True)
    neck = dog.joint_names.index("neck")
    along = posed.joints_m[:, neck] - posed.joints_m[:, 0]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    faced = rotvec_to_matrix(motion.rotvec[:, 0].astype(float)) @ [0.0, 0.0, 1.0]
    assert ((along * faced).sum(1) > np.cos(np.radians(20))).all()  # the neck is 8 degrees higher than the pelvis
    feet = [dog.joint_names.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("wrist", "ankle")]
    assert (posed.joints_m[:, feet, 1] < 0.4 * posed.joints_m[:, [neck], 1]).all()  # all four feet are down
    middle = 0.5 * (posed.joints_m[:, 0] + posed.joints_m[:, neck])[:, [0, 2]]
    assert np.abs(middle).max() < 0.1 * posed.height_m  # the body is where the person stands


def test_a_figure_drawn_from_the_front_is_not_turned(dog: Puppet):
    upright = lift(draw_figure(stick_points()), find_joints(draw_figure(stick_points())))
    assert (facing(upright) == np.eye(3)).all()
    assert np.allclose(facing(dog) @ [1, 0, 0], [0, 0, 1])


def test_its_canonical_picture_shows_its_sides(dog: Puppet):
    for picture, sign in zip(canonical_pictures(dog, (256, 192)), (1, -1)):
        rows, columns = np.nonzero(picture[..., 3] > 127)
        assert np.ptp(columns) > 1.2 * np.ptp(rows)
        assert columns.min() > 0
        assert columns.max() < 191
        top = columns[rows < rows.min() + 0.3 * np.ptp(rows)]  # head and tail; there is more head
        assert sign * (np.median(top) - 96) > 0
