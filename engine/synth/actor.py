"""The actor: the embedded body in a footballer's clothes, painted by region, lit by the sun and the sky."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.body.model import Body, load_body
from engine.raster import interpolate, rasterize
from engine.synth.scene import SUN
from engine.types import JOINTS, LANDMARKS, Motion, Size

_SKIN = np.array([[222, 170, 138], [176, 122, 92], [124, 82, 60], [236, 190, 164]], np.float32)
_HAIR = np.array([[58, 38, 28], [30, 24, 24], [118, 78, 42], [26, 20, 20]], np.float32)
_SHIRT = np.array([[206, 46, 50], [242, 196, 60], [40, 150, 120], [236, 120, 50]], np.float32)
_SHORTS = np.array([[34, 40, 66], [44, 44, 50], [236, 236, 232], [30, 62, 96]], np.float32)
_WHITE = np.array([244, 244, 240], np.float32)

# Places on a tailor's dummy of 1.62 m in the T-pose, metres; `on_dummy` maps the embedded body's points to it.
_DUMMY_Y = {
    "left_ankle": 0.074, "left_knee": 0.494, "left_hip": 0.844, "spine2": 1.084, "spine3": 1.201,
    "left_shoulder": 1.317, "head": 1.429,
}  # fmt: skip
_DUMMY_X = {"left_shoulder": 0.183, "left_elbow": 0.431, "left_wrist": 0.653}
_DUMMY_EYE_Y, _DUMMY_TOP_Y = 1.515, 1.624
_HEM_SHIRT_Y, _HEM_SHORTS_Y, _SHORTS_TOP_Y = 0.885, 0.575, 0.93
_SLEEVE_X = 0.375
_SOCK_TOP_Y, _SHOE_TOP_Y, _SOLE_Y = 0.385, 0.098, 0.022
_NECK_Y, _NECK_SLOPE = 1.368, 0.28
_HAIRLINE_Z = (-0.09, -0.04, -0.005, 0.02, 0.06, 0.11)
_HAIRLINE_Y = (1.452, 1.462, 1.500, 1.545, 1.562, 1.583)
"""Hair grows above this height, from the neck forwards to the brow."""
_EYE = (0.0305, 1.5150)
_SELF_SHADOW_PX = 512
_CLOUDED = 1.75
"""How much brighter than beside the sun a clouded sky is: what faces the horizon is about as bright as in the sun."""


@dataclass(frozen=True)
class Costume:
    """Colours of skin, hair and clothes, (3,) float32 RGB each."""

    skin: NDArray
    hair: NDArray
    shirt: NDArray
    shorts: NDArray


def make_costume(seed: int) -> Costume:
    """The costume of a seed; 0 is the red shirt of the example."""
    order = [seed % 4, (seed // 4 + seed) % 4]
    return Costume(skin=_SKIN[order[0]], hair=_HAIR[order[1]], shirt=_SHIRT[order[0]], shorts=_SHORTS[order[1]])


class Actor:
    """A dressed body that can be posed, drawn and asked for its shadow."""

    def __init__(self, costume: Costume, shape: NDArray, *, sunny: bool = True) -> None:
        """Dress a body.

        Args:
            costume: what it wears.
            shape: (10,) of the body.
            sunny: False lights it by a bright, clouded sky alone: the same from wherever it faces.
        """
        self._costume, self._shape, self._sunny = costume, np.asarray(shape, np.float32), sunny
        body = load_body()
        self.faces = body.faces
        self._place = on_dummy(body)  # what a point is painted as is decided by where it is on the bare body
        self._dressed: Body = replace(body, vertices=_dress(body))

    def pose(self, motion: Motion, frame_idx: int) -> NDArray:
        """(V, 3) float32 vertices in the world, metres."""
        return self._dressed.pose(motion.rotvec[frame_idx], motion.root_m[frame_idx], self._shape)

    def draw(
        self, vertices_m: NDArray, K: NDArray, world_to_cam: NDArray, size: Size
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Draw the posed actor without smoothing; callers draw larger and average down.

        Args:
            vertices_m: (V, 3) float32, world.
            K: (3, 3), pixels; world_to_cam: (4, 4).
            size: (height, width).

        Returns:
            rgb (H, W, 3) float32 0 ... 255, mask (H, W) bool, depth (H, W) float32 metres (infinite where empty).
        """
        cam = (vertices_m @ world_to_cam[:3, :3].T + world_to_cam[:3, 3]).astype(np.float32)
        fragments = rasterize(cam[None], self.faces, K, size, cull_back=True)
        mask = fragments.face_idx[0] >= 0
        rgb = np.zeros((*size, 3), np.float32)
        if mask.any():
            table = np.concatenate([self._place, _normals(vertices_m, self.faces), vertices_m], 1)
            at = interpolate(table, fragments, self.faces)[0][mask]
            place, normal, world = at[:, :3], at[:, 3:6], at[:, 6:]
            normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
            albedo = paint(place, self._costume)
            if self._sunny:
                rgb[mask] = shade(albedo, normal, self._sunlit(vertices_m, world, normal))
            else:
                rgb[mask] = shade(albedo * _CLOUDED, normal, np.zeros(len(albedo), np.float32))
        return rgb, mask, np.where(mask, fragments.depth[0], np.inf).astype(np.float32)

    def _sunlit(self, vertices_m: NDArray, points_m: NDArray, normals: NDArray) -> NDArray:
        """(N,) 0 ... 1: how much of the sun reaches points of the body past its other limbs (a shadow map)."""
        axes = _sun_axes()
        turned = vertices_m @ axes.T
        low, high = turned.min(0), turned.max(0)
        scale = _SELF_SHADOW_PX / (high - low)[:2].max()
        far = 1000.0  # a camera so far away that its rays are parallel
        K = np.array([[scale * far, 0, 0], [0, scale * far, 0], [0, 0, 1.0]])
        seen = turned - low + [0, 0, far]
        depth = rasterize(seen[None], self.faces, K, (_SELF_SHADOW_PX, _SELF_SHADOW_PX)).depth[0] - far
        at = (points_m + 0.012 * normals) @ axes.T - low
        lit = np.zeros(len(at), np.float32)
        offsets = (-1.3, 0.0, 1.3)
        for dx in offsets:
            for dy in offsets:
                cols = np.clip((at[:, 0] * scale + dx).astype(int), 0, _SELF_SHADOW_PX - 1)
                rows = np.clip((at[:, 1] * scale + dy).astype(int), 0, _SELF_SHADOW_PX - 1)
                lit += at[:, 2] < depth[rows, cols] + 0.01
        return lit / 9


def on_dummy(body: Body) -> NDArray:
    """(V, 3) float64: the body's rest vertices in the measures of the tailor's dummy, bone by bone."""

    def measure(names: dict[str, float], axis: int) -> NDArray:
        return np.array([body.joints[JOINTS.index(name), axis] for name in names])

    x, y, z = body.vertices.T.astype(np.float64)
    eye, top = body.landmarks[LANDMARKS.index("left_eye"), 1], body.vertices[:, 1].max()
    across = np.interp(np.abs(x), [0, *measure(_DUMMY_X, 0), 9], [0, *_DUMMY_X.values(), 9 - 0.03])
    up = np.interp(y, [0, *measure(_DUMMY_Y, 1), eye, top], [0, *_DUMMY_Y.values(), _DUMMY_EYE_Y, _DUMMY_TOP_Y])
    return np.stack([across * np.sign(x), up, z * _DUMMY_TOP_Y / top], 1)


def flatten_to_ground(points_m: NDArray) -> NDArray:
    """Where points (..., 3) throw their shadow on the ground y = 0."""
    return points_m - SUN * (points_m[..., 1:2] / SUN[1])


def shade(albedo: NDArray, normal: NDArray, sunlit: NDArray) -> NDArray:
    """(N, 3) float32 RGB of surfaces under sun, sky and light from the ground.

    Args:
        albedo: (N, 3) 0 ... 255; normal: (N, 3) unit, world; sunlit: (N,) 0 ... 1.
    """
    sun = np.clip(normal @ SUN, 0, 1) * sunlit
    up = 0.5 + 0.5 * normal[:, 1]
    sky = np.array([0.58, 0.62, 0.68]) * up[:, None] + np.array([0.40, 0.38, 0.35]) * (1 - up)[:, None]
    light = sky + np.array([0.66, 0.62, 0.55]) * sun[:, None]
    return np.clip(albedo * light, 0, 255).astype(np.float32)


def paint(place_m: NDArray, costume: Costume) -> NDArray:
    """(N, 3) float32 colour of points of the body, by where they are on the tailor's dummy (N, 3)."""
    x, y, z = np.abs(place_m[:, 0]), place_m[:, 1], place_m[:, 2]
    color = np.repeat(costume.skin[None], len(place_m), 0)
    cheek = np.exp(-(((x - 0.042) / 0.018) ** 2) - ((y - 1.476) / 0.016) ** 2) * (z > 0.05)
    color += cheek[:, None] * np.array([14, -8, -6], np.float32)
    _paint_face(color, costume, place_m)
    hair = y > np.interp(z, _HAIRLINE_Z, _HAIRLINE_Y) + 0.0018 * np.sin(x * 500)
    hair &= ~((x > 0.0705) & (y < 1.532) & (z > -0.02))
    strands = 1 + 0.16 * np.sin(place_m[:, 0] * 900 + 40 * z) * np.sin(z * 300)
    color[hair] = (costume.hair * strands[:, None])[hair]
    legs = x < 0.34
    shorts = legs & (y > _HEM_SHORTS_Y) & (y < _SHORTS_TOP_Y + 0.03)
    color[shorts] = costume.shorts
    color[shorts & (y < _HEM_SHORTS_Y + 0.022)] = _WHITE * 0.96
    color[shorts & (np.abs(z + 0.012) < 0.016) & (x > 0.13)] = _WHITE * 0.96
    socks = legs & (y < _SOCK_TOP_Y)
    color[socks] = costume.shirt * 0.92
    color[socks & (np.abs(y - 0.350) < 0.016)] = _WHITE
    shirt = (x < _SLEEVE_X) & (y > _HEM_SHIRT_Y) & (y + _NECK_SLOPE * z < _NECK_Y + 0.02 * (x > 0.09))
    color[shirt] = costume.shirt
    _paint_shirt(color, shirt, place_m, costume)
    shoe = legs & (y < _SHOE_TOP_Y - 0.15 * np.clip(z - 0.02, 0, 0.1))
    color[shoe] = (40, 42, 52)
    color[shoe & (z > 0.0) & (z < 0.09) & (np.sin(z * 260) > 0.2) & (y > 0.045) & (place_m[:, 1] < 0.09)] = (
        232,
        236,
        240,
    )
    color[shoe & (y < _SOLE_Y)] = (214, 236, 80)
    return color


def _paint_shirt(color: NDArray, shirt: NDArray, place_m: NDArray, costume: Costume) -> None:
    """White collar and cuffs, a pale chest stripe and a number 7."""
    x, y, z = place_m[:, 0], place_m[:, 1], place_m[:, 2]
    ax = np.abs(x)
    color[shirt & (ax > _SLEEVE_X - 0.02)] = _WHITE
    color[shirt & (ax < 0.12) & (y + _NECK_SLOPE * z > _NECK_Y - 0.016)] = _WHITE
    color[shirt & (y < _HEM_SHIRT_Y + 0.012)] = costume.shirt * 0.72
    color[shirt & (np.abs(ax - 0.095) < 0.012) & (y < 1.30)] = costume.shirt * 0.78
    u, v = (x * np.where(z > 0, 1, -1)) / 0.050, (y - 1.120) / 0.085  # the same number reads right on front and back
    seven = ((np.abs(v - 0.82) < 0.18) & (np.abs(u) < 1)) | ((np.abs(u - 0.30 - 0.62 * v) < 0.26) & (np.abs(v) < 1))
    color[shirt & seven & (ax < 0.09)] = _WHITE


def _paint_face(color: NDArray, costume: Costume, place_m: NDArray) -> None:
    """Eyes, brows and lips of the mean face."""
    x, y, z = np.abs(place_m[:, 0]), place_m[:, 1], place_m[:, 2]
    front = z > 0.055
    eye = front & (((x - _EYE[0]) / 0.0135) ** 2 + ((y - _EYE[1]) / 0.0058) ** 2 < 1)
    color[eye] = (240, 238, 234)
    color[eye & (np.hypot(x - _EYE[0], y - _EYE[1]) < 0.0062)] = (52, 40, 34)
    lid = front & ~eye & (((x - _EYE[0]) / 0.0155) ** 2 + ((y - _EYE[1] - 0.001) / 0.0078) ** 2 < 1) & (y > _EYE[1])
    color[lid] = costume.hair * 0.9
    brow = front & (np.abs(y - 1.5325 - 0.10 * (x - 0.03) + 6 * (x - 0.034) ** 2) < 0.0036) & (x > 0.013) & (x < 0.052)
    color[brow] = 0.75 * costume.hair + 0.25 * costume.skin
    lips = front & ((x / 0.0245) ** 2 + ((y - 1.4455 - 9 * x**2) / 0.0078) ** 2 < 1)
    color[lips] = costume.skin * np.array([0.90, 0.64, 0.64])


def _dress(body: Body) -> NDArray:
    """(V, 3) float32: the body smoothed under its clothes and pushed outwards by cloth, hair and shoes."""
    place = on_dummy(body)
    x, y, z = np.abs(place[:, 0]), place[:, 1], place[:, 2]
    shirt = (x < _SLEEVE_X) & (y > _HEM_SHIRT_Y) & (y + _NECK_SLOPE * z < _NECK_Y)
    shorts = (x < 0.34) & (y > _HEM_SHORTS_Y) & (y <= _SHORTS_TOP_Y)
    shoe = (x < 0.34) & (y < _SHOE_TOP_Y)
    hair = y > np.interp(z, _HAIRLINE_Z, _HAIRLINE_Y)
    hair &= ~((x > 0.068) & (y < 1.535))
    smoothed = body.vertices.astype(np.float64)
    neighbours = _neighbour_mean(body.faces, len(place))
    for cloth, rounds in ((shirt | shorts, 40), (shoe, 8)):
        for step in (0.62, -0.64) * rounds:  # Taubin 1995: a step in, a step out, so that nothing shrinks
            smoothed[cloth] += step * (neighbours @ smoothed - smoothed)[cloth]
    thick = np.zeros(len(place))
    thick[shirt] = 0.014 + 0.012 * np.clip((1.12 - y[shirt]) / 0.2, 0, 1) * (x[shirt] < 0.22)
    thick[shorts] = 0.016 + 0.020 * np.clip((0.80 - y[shorts]) / 0.2, 0, 1)
    thick[shirt & (x > 0.24)] = 0.020
    thick[(x < 0.34) & (y >= _SHOE_TOP_Y) & (y < _SOCK_TOP_Y)] = 0.005
    thick[shoe] = 0.013
    thick[hair] = 0.013 + 0.012 * np.clip((y[hair] - 1.53) / 0.06, 0, 1)
    for _ in range(2):
        thick = 0.5 * thick + 0.5 * (neighbours @ thick)
    dressed = smoothed + thick[:, None] * _normals(smoothed, body.faces)
    _cap_toes(dressed, shoe)
    dressed[:, 1] = np.maximum(dressed[:, 1], 0.0)
    return dressed.astype(np.float32)


def _cap_toes(dressed: NDArray, shoe: NDArray) -> None:
    """Push the toes of both feet out to a round cap, in place: shoes have no toes."""
    start = 0.02
    for sign in (1, -1):
        toes = shoe & (dressed[:, 2] > start) & (np.sign(dressed[:, 0]) == sign)
        points = dressed[toes]
        low, high = points.min(0), points.max(0)
        center = np.array([(low[0] + high[0]) / 2, 0.026, start])
        half = np.array([(high[0] - low[0]) / 2, 0.040, high[2] - start])
        away = (points - center) / half
        radius = (np.abs(away) ** 2.6).sum(1) ** (1 / 2.6)
        cap = center + half * away / radius[:, None]
        share = np.clip((points[:, 2] - start) / 0.05, 0, 1)[:, None]
        dressed[toes] = points + (cap - points) * share


def _neighbour_mean(faces: NDArray, num: int):
    """Sparse (V, V) matrix that averages every vertex's neighbours."""
    from scipy.sparse import coo_matrix, diags

    rows = np.concatenate([faces[:, [0, 1, 2]].ravel(), faces[:, [1, 2, 0]].ravel()])
    cols = np.concatenate([faces[:, [1, 2, 0]].ravel(), faces[:, [0, 1, 2]].ravel()])
    link = coo_matrix((np.ones(len(rows)), (rows, cols)), (num, num)).tocsr()
    link.data[:] = 1
    degree = np.maximum(np.asarray(link.sum(1)).ravel(), 1)
    return diags(1 / degree) @ link


def _normals(vertices: NDArray, faces: NDArray) -> NDArray:
    """(V, 3) unit normals, weighted by area; bincount adds in a fixed order, so the bytes are the same every time."""
    corners = vertices[faces]
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat = faces.ravel()
    normal = np.stack([np.bincount(flat, np.repeat(face[:, k], 3), len(vertices)) for k in range(3)], 1)
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)


def _sun_axes() -> NDArray:
    """(3, 3) rows: two axes across the sun's rays and the rays' own direction."""
    side = np.cross([0.0, 1.0, 0.0], SUN)
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(-SUN, side), -SUN])
