"""One cutout and its joints become a closed, textured, rigged solid."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import InputError
from engine.geometry import eased
from engine.identity.bridges import cut_bridges
from engine.identity.depth import find_depths
from engine.identity.face import Face, find_face, find_features
from engine.identity.flesh import Flesh, flesh_weights, read_flesh
from engine.identity.layers import Cuts, find_cuts
from engine.identity.mesh import Sheet, close_solid, triangulate
from engine.identity.skeleton import faces_away, on_all_fours
from engine.identity.skin import find_weights
from engine.identity.strain import FLESH_STRAIN, limit_strain
from engine.identity.template import Template, eye_px, fit_template
from engine.identity.texture import Strokes, bleed, fill_texture, find_strokes
from engine.identity.views import back_texture
from engine.types import BODY_JOINTS, PictureJoints, Puppet

SEAM_SHARE, SIDE_SHARE = 0.003, 0.008
"""Half the width in which an arm's colours are not believed where it is cut free of the body, shares of the picture's
height: on the front, and for what goes round the sides."""

OWN_PX = 1.5
"""Pixels from the cut at which a texture read between pixels is of one side alone."""

HAIR_SHARE = 0.35
"""From the seam of a head, its middle seen from the side, hair fades into the face over this share of the way."""

RIM_SHARE = 0.005
"""The rim of the mesh is no farther inside the figure than this share of its height."""

MOST_SLITS = 4
"""Times a figure is looked through for places where a limb would tear it."""


def lift(
    cutout: NDArray,
    joints: PictureJoints,
    *,
    back: NDArray | None = None,
    side: NDArray | None = None,
    num_vertices: int = 6400,
) -> Puppet:
    """Lift a character from its picture.

    Args:
        cutout: (H, W, 4) uint8 straight RGBA, one figure.
        joints: its skeleton, pixels of the cutout.
        back: (h, w, 4) uint8 straight RGBA, the figure from behind in the same pose; None completes the front.
        side: (h, w, 4) uint8 straight RGBA, the figure from the side, facing the left; None guesses its depth.
        num_vertices: about how many vertices the solid gets.

    Returns:
        The puppet in the pose of the picture; see `Puppet` for its frame. A figure seen from behind is turned round, so
        that it faces +z and its picture is on its back.

    Raises:
        InputError: the cutout shows nothing.
    """
    mask = solid_mask(cutout)
    top, bottom, left, right = _bounds(mask)
    margin = 6
    y0, x0 = max(top - margin, 0), max(left - margin, 0)
    window = np.s_[y0 : bottom + margin, x0 : right + margin]
    picture, mask = np.ascontiguousarray(cutout[window]), np.pad(mask[window], 2)
    xy = joints.xy_px.astype(np.float64) - [x0, y0]
    with ThreadPoolExecutor(2, thread_name_prefix="texture") as beside:  # what it looks like, while its shape is found
        strokes = beside.submit(find_strokes, picture)
        sheet, dist, cuts = _flat(mask, picture, joints, xy, num_vertices // 2)
        front = beside.submit(bleed, _parted(picture, cuts, SEAM_SHARE))
        template = _template(picture[..., 3], joints, xy)
        sheet, weights, flesh = _weigh(sheet, joints, dist, xy, template)
        on_head = _carried_by(sheet, weights, joints, "head", dist.shape)
        face = find_face(picture, strokes.result(), joints, xy, on_head)
        sides, behind = _fills(beside, _parted(picture, cuts, SIDE_SHARE), picture, strokes.result(), face)
        depths = find_depths(sheet, joints, weights, xy, dist, side, flesh)
        vertices, faces, is_back, source = close_solid(sheet, depths.front, -depths.rear)
    all_fours = on_all_fours(dict(zip(joints.names, xy)))  # seen from the other side it is the same
    rear = front.result() if all_fours else behind.result()
    size = np.array([picture.shape[1], picture.shape[0]], np.float64)
    uv, rig = _texture_px(sheet, cuts, dist)[source] / size, np.c_[xy, depths.joint]
    if template is not None:
        vertices, rig = (_without_perspective(points, template) for points in (vertices, rig))
    scale = 1.0 / max(np.ptp(vertices[:, 1]), 1e-6)
    flip = -1.0 if faces_away(joints) else 1.0
    place = np.array([flip * scale, -scale, flip * scale])
    origin = np.array([rig[0, 0], vertices[:, 1].max(), 0.0])
    return Puppet(
        vertices=((vertices - origin) * place).astype(np.float32),
        faces=faces,
        uv=uv.astype(np.float32),
        is_back=is_back,
        front_rgba=front.result(),
        fill_rgba=_joined(sides.result(), behind.result(), face.head, dist),
        back_rgba=rear if back is None else back_texture(picture, back),
        weights=weights[source].astype(np.float32),
        joints=((rig - origin) * place).astype(np.float32),
        joint_names=joints.names,
        joint_parents=joints.parents,
        joint_drivers=joints.drivers,
        stroke_rgb=strokes.result().rgb,
        stroke_px=strokes.result().width_px,
    )


def solid_mask(cutout: NDArray) -> NDArray:
    """The largest connected figure of a cutout's alpha: (H, W) uint8, soft at its edge, pinholes filled.

    Raises:
        InputError: nothing is opaque.
    """
    alpha = cutout[..., 3]
    count, labels, stats, _ = cv2.connectedComponentsWithStats((alpha >= 128).astype(np.uint8), connectivity=4)
    if count < 2 or stats[1:, cv2.CC_STAT_AREA].max() < 64:
        raise InputError("no character found in the cutout.", "check that the picture shows one, or give a mask.")
    largest = labels == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    near = cv2.dilate(largest.astype(np.uint8), np.ones((3, 3))) > 0
    mask = np.where(near, alpha, 0).astype(np.uint8)
    mask[~largest & (mask >= 128)] = 0  # another figure that touches by a corner
    area = int(largest.sum())
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask < 128).astype(np.uint8), connectivity=4)
    for index in range(1, count):
        x, y, w, h, size = stats[index]
        inner = x > 0 and y > 0 and x + w < mask.shape[1] and y + h < mask.shape[0]
        if inner and size < 0.0006 * area:
            mask[labels == index] = 255
    return mask


def _flat(
    mask: NDArray, picture: NDArray, joints: PictureJoints, xy: NDArray, num_vertices: int
) -> tuple[Sheet, NDArray, Cuts]:
    """The figure as a sheet, how far (H, W) each pixel is from its edge, and where arms are cut free of the body;
    `mask` has two pixels of margin."""
    solid = (mask >= 128).astype(np.uint8)
    rgb = cv2.copyMakeBorder(picture[..., :3], 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    cuts = find_cuts(mask, rgb, _shown(joints, xy + 2.0))
    sheet = triangulate(mask, cuts, num_vertices=num_vertices)
    blocked = cuts.blocked() | (cv2.dilate(_hand_seam(cuts).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    dist = _distance(np.where(blocked, 0, solid).astype(np.uint8))[2:-2, 2:-2]  # whoever walks it in steps ends there
    roots = {number: (centre - 2.0, radius) for number, (centre, radius) in cuts.roots.items()}
    cuts = Cuts(cuts.labels[2:-2, 2:-2], roots, cuts.hands[2:-2, 2:-2])
    return replace(sheet, xy_px=sheet.xy_px - 2.0), dist, cuts


def _parted(picture: NDArray, cuts: Cuts, share: float) -> NDArray:
    """The picture, clear along the cuts as wide as a share of its height to both sides: an arm before the body has
    pixels of the body along its rim, and would show them when it is raised. Hands that are told from the clothes behind
    them (`Cuts.hands`) get the nearest of their own colours there and where they show clothes."""
    if not cuts.roots:
        return picture
    hands = cuts.hands
    reach = 2 * max(round(share * picture.shape[0]), 1) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    clear = cv2.dilate(cuts.blocked().astype(np.uint8), disc) > 0
    parted = picture.copy()
    parted[clear, 3] = 0
    own = (hands == 1) & ~clear & (picture[..., 3] >= 250)
    if not own.any():
        return parted
    beside = clear & (hands == 0) & (cv2.dilate(hands, disc) > 0)
    for area, source in ((beside, (hands == 0) & (parted[..., 3] > 0)), ((hands == 2) | (clear & (hands > 0)), own)):
        colours = bleed(np.dstack([picture[..., :3], np.where(source, parted[..., 3], 0)]).astype(np.uint8))
        parted[area, :3], parted[area, 3] = colours[area, :3], picture[area, 3]
    return parted


def _texture_px(sheet: Sheet, cuts: Cuts, dist: NDArray) -> NDArray:
    """(N, 2) pixels where vertices read their colour: where a hand is cut from clothes (`Cuts.hands`), those of both
    sides stay on their own."""
    from scipy.ndimage import distance_transform_edt

    found = sheet.xy_px.copy()
    if not cuts.hands.any():
        return found
    seam = _hand_seam(cuts)
    column, row = np.clip(found.astype(int), 0, np.array(seam.shape)[::-1] - 1).T
    far = cv2.distanceTransform((~seam).astype(np.uint8), cv2.DIST_L2, 5)
    near = far[row, column] < sheet.spacing_px
    for part in np.unique(sheet.part[near]):
        own = (cuts.labels == part) & (far > OWN_PX) & (dist > 0)
        if not own.any():
            continue
        nearest = np.asarray(distance_transform_edt(~own, return_distances=False, return_indices=True))
        moved = near & (sheet.part == part) & ~own[row, column]
        found[moved] = nearest[::-1, row[moved], column[moved]].T + 0.5
    return found


def _hand_seam(cuts: Cuts) -> NDArray:
    """(H, W) bool: where hands of `Cuts.hands` are cut free."""
    return cuts.blocked() & (cv2.dilate(cuts.hands, np.ones((3, 3), np.uint8)) > 0)


def _fills(
    pool: ThreadPoolExecutor, parted: NDArray, picture: NDArray, strokes: Strokes, face: Face
) -> tuple[Future, Future]:
    """What is round the sides and on the back, being made of the picture with its parts apart."""
    behind = pool.submit(fill_texture, parted, strokes, face.area, face.head)
    if face.head is None:
        return behind, behind
    return pool.submit(fill_texture, parted, strokes, find_features(picture, face), face.head), behind


def _joined(sides: NDArray, behind: NDArray, head: NDArray | None, dist: NDArray) -> NDArray:
    """The sides of the figure (H, W, 4), going over into what is behind around a head: a face ends in hair without a
    seam. `dist` (H, W) is how far pixels are from the edge."""
    if head is None or behind is sides:
        return sides
    rim_px = RIM_SHARE * dist.shape[0]
    inwards = np.clip(1 - (dist - rim_px) / max(float(dist[head].max()) - rim_px, 1e-6), 0, 1)
    towards = np.sqrt(1 - inwards**2) / HAIR_SHARE  # a head is round: how far its surface is from the seam
    reach = 4 * int(np.ceil(rim_px)) + 1
    beside = (cv2.dilate(head.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0) & (dist == 0)
    share = np.where(head | beside, np.clip(1 - towards, 0, 1), 0).astype(np.float32)
    share = cv2.GaussianBlur(eased(share), (0, 0), 0.7 * rim_px)[..., None]
    return (sides + share * (behind.astype(np.float32) - sides) + 0.5).astype(np.uint8)


def _template(alpha: NDArray, joints: PictureJoints, xy: NDArray) -> Template | None:
    """The body under the picture of a whole person who faces the viewer; None under others."""
    shown = {name: point for name, point in zip(joints.names, xy) if name in BODY_JOINTS and name not in joints.hidden}
    if joints.source == "silhouette" or len(shown) < len(BODY_JOINTS) or faces_away(joints):
        return None
    template = fit_template(alpha, shown)
    return template if template.fits else None


def _weigh(
    sheet: Sheet, joints: PictureJoints, dist: NDArray, xy: NDArray, template: Template | None
) -> tuple[Sheet, NDArray, Flesh | None]:
    """The sheet, slit where a limb would tear it, its skinning weights (N, K), and the body under it."""
    weights = find_weights(sheet, joints, dist, xy)
    for _ in range(MOST_SLITS):  # behind one bridge there may be another
        slitted = cut_bridges(sheet, joints, weights, xy)
        if slitted is sheet:
            break
        sheet, weights = slitted, find_weights(slitted, joints, dist, xy)
    if template is None:
        return sheet, limit_strain(sheet, joints, weights, xy), None
    flesh = read_flesh(template, sheet, (dist.shape[0], dist.shape[1]))
    weights = flesh_weights(flesh, joints, weights)
    return sheet, limit_strain(sheet, joints, weights, xy, FLESH_STRAIN), flesh


def _without_perspective(points: NDArray, template: Template) -> NDArray:
    """Points (..., 3), pixels, where they would be in a picture from far away: feet that are nearer to the eye than the
    rest are not below it."""
    out, centre = points.copy(), template.stance.centre_px
    near = 1 - points[..., 2:] / eye_px(template)
    out[..., :2] = centre + (points[..., :2] - centre) * near
    return out


def _carried_by(sheet: Sheet, weights: NDArray, joints: PictureJoints, name: str, size: tuple[int, int]) -> NDArray:
    """(H, W) bool: faces of the sheet that a joint carries more than half."""
    area = np.zeros(size, np.uint8)
    if name in joints.names:
        share = weights[:, joints.names.index(name)]
        carried = sheet.faces[share[sheet.faces].mean(1) > 0.5]
        cv2.fillPoly(area, list(np.round(sheet.xy_px[carried] - 0.5).astype(np.int32)), 1)
    return area > 0


def _shown(joints: PictureJoints, xy: NDArray) -> dict[str, NDArray]:
    """Pixels of the joints by name; arms read from the silhouette stick out of it, so there is nothing to cut."""
    if joints.source == "silhouette":
        return {}
    return {name: point for name, point in zip(joints.names, xy) if name not in joints.hidden}


def _distance(solid: NDArray) -> NDArray:
    return cv2.distanceTransform(solid, cv2.DIST_L2, 5)


def _bounds(mask: NDArray) -> tuple[int, int, int, int]:
    rows, cols = np.nonzero((mask >= 128).any(1))[0], np.nonzero((mask >= 128).any(0))[0]
    return int(rows[0]), int(rows[-1]) + 1, int(cols[0]), int(cols[-1]) + 1
