"""The mascot: a cartoon cat who stands on two legs, drawn with smooth curves at four times its size."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

WIDTH, HEIGHT = 700, 1000
_SCALE = 4  # drawn this much larger, then averaged down: clean edges
_STROKE_PX = 9.0

_INK = (52, 33, 41)
_FUR, _FUR_DARK, _STRIPE = (247, 160, 66), (226, 126, 44), (203, 98, 34)
_CREAM, _CREAM_DARK = (255, 240, 214), (242, 212, 174)
_PINK, _BLUSH, _MOUTH = (244, 142, 140), (250, 138, 96), (150, 44, 60)
_WHITE, _SHADE_WHITE, _NAVY, _NAVY_DARK = (255, 253, 246), (226, 226, 232), (49, 79, 140), (38, 60, 112)
_RED, _RED_DARK = (224, 62, 62), (178, 40, 52)
_DENIM, _DENIM_DARK = (86, 132, 170), (62, 102, 140)
_EYE, _PUPIL = (126, 190, 92), (38, 28, 34)

Color = tuple[int, int, int]
Points = list[tuple[float, float]]
Mask = tuple[Image.Image, tuple[int, int]]
"""Coverage and the place of its top-left corner, both in pixels of the large drawing."""


class _Sheet:
    """An RGBA drawing that shapes are painted on, in the cat's pixels."""

    def __init__(self) -> None:
        self.image = Image.new("RGBA", (WIDTH * _SCALE, HEIGHT * _SCALE), (0, 0, 0, 0))

    def fill(self, polygon: NDArray, color: Color, clip: Mask | None = None) -> Mask:
        """Fill a polygon, only inside `clip`; what was filled can clip what comes next."""
        points = polygon * _SCALE
        mask, origin = _blank(points, margin=2)
        ImageDraw.Draw(mask).polygon([tuple(p) for p in points - origin], fill=255)
        return self._paint((mask, origin), color, clip)

    def line(self, points: NDArray, color: Color = _INK, width: float = _STROKE_PX, clip: Mask | None = None) -> Mask:
        """A curve with round ends and corners and an even width."""
        points = points * _SCALE
        radius = width * _SCALE / 2
        mask, origin = _blank(points, margin=radius + 2)
        draw = ImageDraw.Draw(mask)
        points = points - origin
        draw.line([tuple(p) for p in points], fill=255, width=round(2 * radius))
        for x, y in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
        return self._paint((mask, origin), color, clip)

    def shape(
        self, points: Points, color: Color, shade: Color | None = None, shift: tuple[float, float] = (-22, -10)
    ) -> Mask:
        """A closed shape without outline; its side away from the light takes the colour `shade`."""
        polygon = curve(points, closed=True)
        mask = self.fill(polygon, shade or color)
        if shade is not None:
            self.fill(polygon + np.array(shift), color, clip=mask)
        return mask

    def outline(self, points: Points) -> None:
        """The stroke around a closed shape."""
        self.line(curve(points, closed=True))

    def _paint(self, mask: Mask, color: Color, clip: Mask | None) -> Mask:
        image, (x, y) = mask
        if clip is not None:
            other, (other_x, other_y) = clip
            box = (x - other_x, y - other_y, x - other_x + image.width, y - other_y + image.height)
            image = ImageChops.multiply(image, other.crop(box))
        self.image.paste((*color, 255), (int(x), int(y)), image)
        return image, (x, y)


def _blank(points: NDArray, margin: float) -> Mask:
    x0, y0 = np.floor(points.min(0) - margin).astype(int).tolist()
    x1, y1 = np.ceil(points.max(0) + margin).astype(int).tolist()
    return Image.new("L", (x1 - x0, y1 - y0), 0), (x0, y0)


def curve(points: Points, *, closed: bool, steps: int = 24) -> NDArray:
    """A smooth curve through points.

    Args:
        points: K pairs, pixels.
        closed: join the last to the first.
        steps: points per span.

    Returns:
        (N, 2) float64, pixels.

    Source: centripetal Catmull-Rom (Barry and Goldman 1988), which makes no loops or cusps.
    """
    p = np.asarray(points, float)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]])
    spans = []
    for p0, p1, p2, p3 in zip(p[:-3], p[1:-2], p[2:-1], p[3:]):
        t0 = 0.0
        t1, t2, t3 = np.cumsum([max(np.linalg.norm(b - a), 1e-6) ** 0.5 for a, b in ((p0, p1), (p1, p2), (p2, p3))])
        t = np.linspace(t1, t2, steps, endpoint=False)[:, None]
        a1 = (t1 - t) / (t1 - t0) * p0 + (t - t0) / (t1 - t0) * p1
        a2 = (t2 - t) / (t2 - t1) * p1 + (t - t1) / (t2 - t1) * p2
        a3 = (t3 - t) / (t3 - t2) * p2 + (t - t2) / (t3 - t2) * p3
        b1 = (t2 - t) / (t2 - t0) * a1 + (t - t0) / (t2 - t0) * a2
        b2 = (t3 - t) / (t3 - t1) * a2 + (t - t1) / (t3 - t1) * a3
        spans.append((t2 - t) / (t2 - t1) * b1 + (t - t1) / (t2 - t1) * b2)
    if not closed:
        spans.append(p[-2:-1])
    return np.concatenate(spans)


def ellipse(x: float, y: float, rx: float, ry: float, turn_deg: float = 0.0) -> NDArray:
    """(96, 2) points of a turned ellipse, pixels."""
    angle = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    turn = np.deg2rad(turn_deg)
    u, v = rx * np.cos(angle), ry * np.sin(angle)
    return np.stack([x + u * np.cos(turn) - v * np.sin(turn), y + u * np.sin(turn) + v * np.cos(turn)], -1)


def mirrored(points: Points, x: float = 350.0) -> Points:
    """The same points on the other side of a vertical line."""
    return [(2 * x - px, py) for px, py in points]


def tube(spine: Points, widths: list[float], steps: int = 24) -> NDArray:
    """(N, 2) outline of a limb around a curved spine whose half width changes smoothly; round ends."""
    center = curve(spine, closed=False, steps=steps)
    at = np.linspace(0, 1, len(center))
    half = np.interp(at, np.linspace(0, 1, len(widths)), widths)
    half = np.convolve(np.pad(half, steps // 2, mode="edge"), np.ones(steps + 1) / (steps + 1), mode="valid")[
        : len(center)
    ]
    tangent = np.gradient(center, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], -1)
    left, right = center + normal * half[:, None], center - normal * half[:, None]
    turn = np.linspace(np.pi / 2, -np.pi / 2, 24)[1:-1, None]
    cap = center[-1] + half[-1] * (np.cos(turn) * tangent[-1] + np.sin(turn) * normal[-1])
    cap0 = center[0] + half[0] * (-np.cos(turn) * tangent[0] - np.sin(turn) * normal[0])
    return np.concatenate([left, cap, right[::-1], cap0])


def draw_cat() -> NDArray:
    """The cat, (1000, 700, 4) uint8 straight RGBA."""
    sheet = _Sheet()
    _tail(sheet)
    for side in (1, -1):
        _leg(sheet, side)
    for side in (1, -1):
        _arm(sheet, side)
    _torso(sheet)
    _head(sheet)
    _scarf(sheet)
    return _shrink(sheet.image)


def _shrink(image: Image.Image) -> NDArray:
    """Average the drawing down with premultiplied colours, so that no edge goes dark or pale."""
    rgba = np.asarray(image, np.float64).reshape(HEIGHT, _SCALE, WIDTH, _SCALE, 4)
    alpha = rgba[..., 3:]
    total = alpha.sum((1, 3))
    rgb = (rgba[..., :3] * alpha).sum((1, 3)) / np.maximum(total, 1)
    return np.concatenate([np.rint(rgb), np.rint(total / _SCALE**2)], -1).astype(np.uint8)


def _side(points: Points, side: int) -> Points:
    return points if side > 0 else mirrored(points)


def _tail(sheet: _Sheet) -> None:
    spine = [(416, 668), (484, 700), (540, 764), (592, 824), (646, 812), (660, 756)]
    outline = tube(spine, [25, 25, 26, 27, 27, 24])
    mask = sheet.fill(outline, _FUR_DARK)
    sheet.fill(outline + np.array([-9, -10]), _FUR, clip=mask)
    for x, y, turn in ((528, 752, 44), (574, 808, 38), (628, 828, -14)):
        sheet.fill(ellipse(x, y, 10, 40, turn), _STRIPE, clip=mask)
    sheet.fill(ellipse(664, 742, 60, 42, 8), _CREAM, clip=mask)
    sheet.line(np.concatenate([outline, outline[:1]]))


def _leg(sheet: _Sheet, side: int) -> None:
    paw = _side([(404, 872), (478, 872), (516, 908), (520, 944), (486, 958), (424, 958), (392, 944), (392, 906)], side)
    mask = sheet.shape(paw, _CREAM, _CREAM_DARK, (0, -13))
    sheet.outline(paw)
    for x in (440, 470):
        sheet.line(curve(_side([(x + 6, 928), (x + 8, 954)], side), closed=False), width=6, clip=mask)
    fur = _side([(390, 800), (486, 800), (490, 880), (466, 892), (428, 892), (398, 882)], side)
    mask = sheet.shape(fur, _FUR, _FUR_DARK, (-14, -4))
    stripe = _side([(496, 862), (452, 858), (430, 850)], side)
    sheet.line(curve(stripe, closed=False), _STRIPE, 11, clip=mask)
    sheet.outline(fur)
    denim = _side([(352, 640), (446, 630), (472, 720), (498, 832), (442, 846), (380, 836), (368, 762)], side)
    mask = sheet.shape(denim, _DENIM, _DENIM_DARK, (-16, -6))
    sheet.line(curve(_side([(372, 813), (436, 825), (502, 810)], side), closed=False), _DENIM_DARK, 6, clip=mask)
    sheet.outline(denim)


def _arm(sheet: _Sheet, side: int) -> None:
    paw = tube(_side([(552, 606), (580, 650)], side), [34, 40])
    mask = sheet.fill(paw, _CREAM_DARK)
    sheet.fill(paw + np.array([-8, -8]), _CREAM, clip=mask)
    sheet.line(np.concatenate([paw, paw[:1]]))
    for x0, y0, x1, y1 in ((588, 690, 577, 668), (610, 676, 595, 658)):
        sheet.line(curve(_side([(x0, y0), (x1, y1)], side), closed=False), width=6, clip=mask)
    sleeve = tube(_side([(410, 446), (476, 514), (542, 594)], side), [50, 46, 43])
    mask = sheet.fill(sleeve, _SHADE_WHITE)
    sheet.fill(sleeve + np.array([-12, -8]), _WHITE, clip=mask)
    along = np.array([0.665, 0.747])
    for step in range(6):
        x, y = np.array([424.0, 458.0]) + along * (step * 33 + 10)
        band = curve(_side([(x - 62, y + 48), (x + 4, y + 6), (x + 62, y - 48)], side), closed=False)
        sheet.line(band, _NAVY, 15, clip=mask)
    sheet.line(np.concatenate([sleeve, sleeve[:1]]))


def _torso(sheet: _Sheet) -> None:
    body = [(350, 392), (412, 398), (454, 432), (456, 500), (464, 590), (470, 664), (440, 692), (350, 698)]
    body = body + mirrored(body[1:-1])[::-1]
    shaded = sheet.shape(body, _SHADE_WHITE)
    mask = sheet.fill(curve(body, closed=True) + np.array([-26, -4]), _WHITE, clip=shaded)
    for step in range(8):
        y = 446 + step * 33
        band = curve([(220, y - 16), (350, y + 8), (480, y - 16)], closed=False)
        sheet.line(band, _NAVY_DARK, 16, clip=shaded)
        sheet.line(band, _NAVY, 16, clip=mask)
    sheet.outline(body)


def _head(sheet: _Sheet) -> None:
    for side in (1, -1):
        ear = _side([(398, 150), (452, 74), (516, 34), (534, 108), (528, 214), (470, 230)], side)
        sheet.shape(ear, _FUR, _FUR_DARK, (-14, -4))
        sheet.outline(ear)
        inner = _side([(440, 146), (470, 106), (504, 76), (512, 130), (506, 188)], side)
        sheet.shape(inner, _PINK)
    head = [(350, 94), (430, 103), (500, 143), (545, 212), (560, 290), (526, 360), (446, 407), (350, 420)]
    head = head + mirrored(head[1:-1])[::-1]
    mask = sheet.shape(head, _FUR, _FUR_DARK, (-20, -14))
    for x, bottom in ((350, 176), (310, 160), (390, 160)):
        sheet.fill(
            curve([(x - 13, 84), (x + 13, 84), (x + 7, bottom - 22), (x, bottom), (x - 7, bottom - 22)], closed=True),
            _STRIPE,
            clip=mask,
        )
    for side in (1, -1):
        for y, inner in ((276, 506), (318, 496)):
            sheet.fill(
                curve(
                    _side([(600, y - 12), (600, y + 12), (534, y + 10), (inner, y), (534, y - 9)], side), closed=True
                ),
                _STRIPE,
                clip=mask,
            )
    muzzle = [(350, 300), (404, 304), (450, 350), (420, 410), (350, 424)]
    muzzle = muzzle + mirrored(muzzle[1:-1])[::-1]
    sheet.fill(curve(muzzle, closed=True), _CREAM, clip=mask)
    sheet.outline(head)
    _face(sheet, mask)


def _face(sheet: _Sheet, head: Image.Image) -> None:
    for side in (1, -1):
        x = 350 + 80 * side
        eye = ellipse(x, 262, 37, 45)
        sheet.fill(ellipse(x, 262, 44, 52), _INK)
        mask = sheet.fill(eye, _WHITE)
        sheet.fill(ellipse(x - 7 * side, 268, 30, 36), _EYE, clip=mask)
        sheet.fill(ellipse(x - 7 * side, 268, 20, 29), _PUPIL, clip=mask)
        sheet.fill(ellipse(x - 7 * side - 9, 252, 10, 12), _WHITE)
        sheet.fill(ellipse(x - 7 * side + 9, 282, 5, 6), _WHITE)
        sheet.line(
            curve(_side([(408, 184), (420, 177), (434, 174), (448, 176), (460, 182)], side), closed=False), width=7
        )
        sheet.fill(ellipse(350 + 128 * side, 332, 26, 15), _BLUSH, clip=head)
        for y0, y1 in ((336, 322), (352, 352), (368, 382)):
            sheet.line(
                curve(_side([(440, y0), (480, (y0 + y1) / 2 - 3), (520, y1)], side), closed=False), width=4, clip=head
            )
    sheet.shape([(326, 316), (350, 311), (374, 316), (362, 334), (350, 341), (338, 334)], _PINK)
    sheet.outline([(326, 316), (350, 311), (374, 316), (362, 334), (350, 341), (338, 334)])
    left = curve([(298, 352), (308, 372), (332, 376), (350, 356)], closed=False)
    right = 2 * np.array([350.0, 0.0]) + left[::-1] * np.array([-1.0, 1.0])
    lip = np.concatenate([left, right])
    jaw = curve([(318, 374), (326, 396), (350, 408), (374, 396), (382, 374)], closed=False)
    inside = np.concatenate([lip[(lip[:, 0] > 316) & (lip[:, 0] < 384)], jaw[::-1]])
    mask = sheet.fill(inside, _MOUTH)
    sheet.fill(ellipse(350, 407, 24, 15), _PINK, clip=mask)
    sheet.line(jaw, width=7)
    sheet.line(lip, width=7)
    sheet.line(curve([(350, 338), (350, 358)], closed=False), width=7)


def _scarf(sheet: _Sheet) -> None:
    for knot in (
        [(366, 440), (404, 478), (412, 520), (380, 512), (358, 480)],
        [(344, 442), (336, 486), (312, 528), (344, 524), (366, 470)],
    ):
        sheet.shape(knot, _RED, _RED_DARK, (-8, -8))
        sheet.outline(knot)
    band = [(262, 404), (350, 430), (438, 404), (446, 430), (408, 452), (350, 462), (292, 452), (254, 430)]
    sheet.shape(band, _RED, _RED_DARK, (0, -12))
    sheet.outline(band)
    knot = [(332, 430), (354, 424), (376, 432), (378, 458), (352, 468), (330, 458)]
    sheet.shape(knot, _RED, _RED_DARK, (-5, -6))
    sheet.outline(knot)
