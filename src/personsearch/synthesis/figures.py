"""How a person is coloured, as a warp function of rest-pose coordinates: garments, skin, hair and face stay put under
any pose. A person is one row of PERSON_COLUMNS numbers; this file owns their meaning."""
# mypy: ignore-errors

import warp as wp

from personsearch.synthesis.textures import cloth, mix, noise3

# What a face of a person's mesh belongs to.
BODY, LONG_TOP, SKIRT, HAIR, BAG, STRAP, HAT = range(7)

# Columns of a person's row. Colours take three columns (linear RGB).
SKIN, HAIR_COLOR, TOP_A, TOP_B, TOP_C, BOTTOM_A, BOTTOM_B, SHOE, SOLE, BAG_COLOR, INNER, SOCK, HAT_COLOR, BAG_B = range(
    0, 42, 3
)
TOP_KIND = 42
TOP_SCALE = 43
BOTTOM_KIND = 44
BOTTOM_SCALE = 45
SLEEVE = 46  # where sleeves end: 0 the shoulder, 1 the wrist
HEM = 47  # rest height of the top's hem, metres
LEG_END = 48  # rest height where trousers or shorts end
SHOE_TOP = 49  # rest height of the shoe's edge
COLLAR = 50  # rest height of the neck line
OPENING = 51  # half width of an open jacket, 0 when closed
HAIRLINE = 52  # 0 bald, 1 hair, 2 a hat over everything
SEED = 53
WRINKLES = 54
STRAPS = 55  # 0 none, 1 and 2 across the chest, 3 both shoulders
SLEEVE_KIND = 56  # 0 as the trunk, 1 in the second colour
BEARD = 57
BELT = 58
NECK_DEPTH = 59
SHINE = 60
PERSON_COLUMNS = 61

FLOOR = -0.865  # rest height of the soles


@wp.func
def rgb(rows: wp.array2d(dtype=float), row: int, column: int) -> wp.vec3:
    return wp.vec3(rows[row, column], rows[row, column + 1], rows[row, column + 2])


@wp.func
def hairline(y: float) -> float:
    """Rest height above which the head at depth y (front is negative) carries hair."""
    if y < -0.07:
        return wp.lerp(0.738, 0.695, wp.clamp((y + 0.15) / 0.08, 0.0, 1.0))
    if y < 0.0:
        return wp.lerp(0.695, 0.61, wp.clamp((y + 0.07) / 0.07, 0.0, 1.0))
    return 0.6


@wp.func
def head_color(rows: wp.array2d(dtype=float), row: int, p: wp.vec3) -> wp.vec3:
    """Skin with the hints of a face, hair above the hairline, or a hat."""
    skin = rgb(rows, row, SKIN)
    style = rows[row, HAIRLINE]
    ragged = 0.012 * (noise3(p * 70.0, int(rows[row, SEED])) - 0.5)
    if style > 1.5 and p[2] > 0.712 - 0.35 * (p[1] + 0.05):
        return rgb(rows, row, HAT_COLOR)
    if style > 0.5 and p[2] + ragged > hairline(p[1]):
        return rgb(rows, row, HAIR_COLOR) * (0.7 + 0.6 * noise3(wp.vec3(p[0] * 120.0, p[1] * 40.0, p[2] * 40.0), 5))
    if p[1] < -0.08:
        x = wp.abs(p[0])
        eye = wp.length(wp.vec2((x - 0.03) / 0.017, (p[2] - 0.697) / 0.008))
        if eye < 1.0:
            return mix(wp.vec3(0.35, 0.33, 0.3), wp.vec3(0.02, 0.015, 0.01), wp.clamp(2.2 - 2.2 * eye, 0.0, 1.0))
        if x > 0.012 and x < 0.05 and wp.abs(p[2] - 0.714) < 0.005:
            return mix(skin, rgb(rows, row, HAIR_COLOR), 0.75)
        if x < 0.026 and wp.abs(p[2] - 0.637) < 0.008:
            return wp.vec3(skin[0] * 0.75, skin[1] * 0.5, skin[2] * 0.5)
        if rows[row, BEARD] > 0.5 and p[2] < 0.655 and p[2] > 0.57:
            return mix(skin, rgb(rows, row, HAIR_COLOR), 0.7)
        flush = wp.clamp(1.0 - wp.length(wp.vec2((x - 0.045) / 0.03, (p[2] - 0.66) / 0.03)), 0.0, 1.0)
        return wp.cw_mul(skin, wp.vec3(1.0, 1.0 - 0.12 * flush, 1.0 - 0.12 * flush))
    return skin


@wp.func
def top_color(rows: wp.array2d(dtype=float), row: int, p: wp.vec3, v: float, blur: float) -> wp.vec3:
    a = rgb(rows, row, TOP_A)
    b = rgb(rows, row, TOP_B)
    seed = int(rows[row, SEED])
    return cloth(int(rows[row, TOP_KIND]), p, v, rows[row, TOP_SCALE], seed, blur, a, b, rgb(rows, row, TOP_C))


@wp.func
def bottom_color(rows: wp.array2d(dtype=float), row: int, p: wp.vec3, blur: float) -> wp.vec3:
    a = rgb(rows, row, BOTTOM_A)
    b = rgb(rows, row, BOTTOM_B)
    seed = int(rows[row, SEED]) + 31
    c = cloth(int(rows[row, BOTTOM_KIND]), p, p[2], rows[row, BOTTOM_SCALE], seed, blur, a, b, (a + b) * 0.5)
    seam = wp.clamp(1.0 - wp.abs(wp.abs(p[0]) - 0.105) / 0.09, 0.0, 1.0)  # worn fronts of the thighs
    return c * (0.92 + 0.16 * seam * wp.clamp(-p[1] * 12.0, 0.0, 1.0))


@wp.func
def trunk_color(rows: wp.array2d(dtype=float), row: int, p: wp.vec3, blur: float) -> wp.vec3:
    x = wp.abs(p[0])
    opening = rows[row, OPENING]
    neck = rows[row, COLLAR] - wp.where(p[1] < -0.02, rows[row, NECK_DEPTH] * wp.clamp(1.0 - x / 0.09, 0.0, 1.0), 0.0)
    if p[2] > neck:
        return rgb(rows, row, SKIN)
    straps = rows[row, STRAPS]
    if straps > 2.5 and p[2] > 0.24 and wp.abs(x - 0.1) < 0.025 and p[1] < 0.05:
        return rgb(rows, row, BAG_COLOR)
    if straps > 0.5 and straps < 2.5:
        lean = wp.where(straps < 1.5, 1.0, -1.0)
        if wp.abs(p[0] * lean * 1.35 + 0.27 - p[2]) < 0.035:
            return rgb(rows, row, BAG_COLOR)
    if p[2] < rows[row, HEM]:
        if rows[row, BELT] > 0.5 and p[2] > rows[row, HEM] - 0.035:
            return rgb(rows, row, SHOE) * 0.8
        return bottom_color(rows, row, p, blur)
    if opening > 0.0 and p[1] < -0.02 and x < opening * (0.55 + 1.1 * wp.clamp(p[2] - 0.1, 0.0, 1.0)):
        return rgb(rows, row, INNER)
    c = top_color(rows, row, p, p[2], blur)
    if opening < 0.0 and p[1] < -0.02 and x < 0.008:
        return c * 0.45
    return c


@wp.func
def body_color(rows: wp.array2d(dtype=float), row: int, p: wp.vec3, arm: float, blur: float) -> wp.vec3:
    if arm > 0.5:
        s = (wp.abs(p[0]) - 0.162) / 0.284
        if s < rows[row, SLEEVE]:
            if rows[row, SLEEVE_KIND] > 0.5:
                return rgb(rows, row, TOP_B)
            if s > rows[row, SLEEVE] - 0.05 and rows[row, SEED] % 2.0 < 0.5:
                return top_color(rows, row, p, s * 0.45, blur) * 0.7
            return top_color(rows, row, p, 0.4 - s * 0.45, blur)
        return rgb(rows, row, SKIN)
    if p[2] > wp.max(0.57, rows[row, COLLAR]) or (p[2] > 0.56 and p[1] < -0.09):
        return head_color(rows, row, p)
    if p[2] > 0.0:
        return trunk_color(rows, row, p, blur)
    if p[2] < rows[row, SHOE_TOP]:
        return wp.where(p[2] < FLOOR + 0.028, rgb(rows, row, SOLE), rgb(rows, row, SHOE))
    if p[2] < rows[row, LEG_END]:
        return rgb(rows, row, SOCK)
    if p[2] < rows[row, HEM]:
        return bottom_color(rows, row, p, blur)
    return top_color(rows, row, p, p[2], blur)


@wp.func
def person_color(rows: wp.array2d(dtype=float), row: int, part: int, p: wp.vec3, arm: float, blur: float) -> wp.vec3:
    """Albedo (linear RGB) of a person's surface point: rest coordinates p, arm-ness in [0, 1], footprint in metres."""
    if part == BODY:
        return body_color(rows, row, p, arm, blur)
    if part == LONG_TOP:
        if p[2] > rows[row, HEM]:
            return trunk_color(rows, row, p, blur)
        if rows[row, OPENING] > 0.0 and p[1] < 0.0 and wp.abs(p[0]) < rows[row, OPENING] * 0.6:
            return bottom_color(rows, row, p, blur) * 0.6
        return top_color(rows, row, p, p[2], blur)
    if part == SKIRT:
        return bottom_color(rows, row, p, blur)
    if part == HAIR:
        strand = noise3(wp.vec3(p[0] * 90.0, p[1] * 90.0, p[2] * 9.0), 7)
        return rgb(rows, row, HAIR_COLOR) * (0.6 + 0.8 * strand)
    if part == BAG:
        if wp.abs(p[2]) < 0.012 or (p[1] > 0.0 and p[2] < -0.02 and wp.abs(p[0]) < 0.09):
            return rgb(rows, row, BAG_B)
        return rgb(rows, row, BAG_COLOR)
    if part == STRAP:
        return rgb(rows, row, BAG_COLOR) * 0.85
    return rgb(rows, row, HAT_COLOR)


@wp.func
def wrinkled(rows: wp.array2d(dtype=float), row: int, part: int, p: wp.vec3, arm: float, n: wp.vec3) -> wp.vec3:
    """The shading normal of cloth: folds at two sizes, none on skin and hair."""
    if part > SKIRT or (p[2] > 0.58 and arm < 0.5):
        return n
    return folded(p, int(rows[row, SEED]), rows[row, WRINKLES], n)


@wp.func
def folded(p: wp.vec3, seed: int, amount: float, n: wp.vec3) -> wp.vec3:
    """A normal bent by folds at two sizes."""
    q = wp.vec3(p[0] * 11.0, p[1] * 11.0, p[2] * 19.0 + p[0] * 14.0)
    folds = wp.vec3(noise3(q, seed) - 0.5, noise3(q, seed + 1) - 0.5, noise3(q, seed + 2) - 0.5)
    r = q * 2.7
    small = wp.vec3(noise3(r, seed + 3) - 0.5, noise3(r, seed + 4) - 0.5, noise3(r, seed + 5) - 0.5)
    return wp.normalize(n + (folds * 1.1 + small * 0.5) * amount)
