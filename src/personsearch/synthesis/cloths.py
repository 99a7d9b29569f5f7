"""How worn things are coloured, as warp functions: textures of a wardrobe, dyed, printed and woven anew. A thing worn
is one row of CLOTH_COLUMNS numbers; this file owns their meaning."""
# mypy: ignore-errors

import warp as wp

from personsearch.synthesis.figures import (
    BAG_COLOR,
    HAIRLINE,
    HAT_COLOR,
    STRAPS,
    body_color,
    rgb,
)
from personsearch.synthesis.textures import cloth, mix

# Parts of a person's mesh: from here on a face belongs to a thing worn, numbered from this.
WORN = 8

# How a thing is coloured.
CLOTH_MODE, SKIN_MODE, EYE_MODE, HAIR_MODE = range(4)

# Columns. Colours take three columns (linear RGB).
MODE = 0
TEXTURE = 1
TONE = 2  # mean luminance of the texture under this thing
METRES = 3  # that a step of 1 in texture coordinates spans
KEEP = 4  # 0 the dye with the texture's shades, 1 the texture itself
HUE = 5  # turn of the texture's own hues, radians
RELIEF = 6  # exponent of the texture's shades
DYE_A = 7
DYE_B = 10
DYE_C = 13
KIND = 16  # pattern of the dyes, as in textures.py
SCALE = 17
SEED = 18
FABRIC = 19  # picture of a woven cloth, -1 none
FABRIC_X = 20  # its axis in texture coordinates
FABRIC_Y = 21
FABRIC_KEEP = 22  # 0 its weave alone, 1 its colours
FABRIC_TONE = 23
SLEEVE_END = 24  # where sleeves end: 0 the shoulder, 1 the wrist
HEM_END = 25  # rest height below which nothing is left, metres
OPEN = 26  # half width of an open front, metres
FOLDS = 27  # strength of folds
SHEEN = 28
GREY = 29  # mix of the texture's channels that gives its shades
CLOTH_COLUMNS = 32

SOLID = 0.45  # of alpha; below it a ray goes on


@wp.func
def texel(texels: wp.array(dtype=wp.uint8), at: int) -> wp.vec4:
    k = at * 4
    return wp.vec4(float(texels[k]), float(texels[k + 1]), float(texels[k + 2]), float(texels[k + 3])) * (1.0 / 255.0)


@wp.func
def sample(
    texels: wp.array(dtype=wp.uint8), textures: wp.array2d(dtype=int), number: int, uv: wp.vec2, footprint: float
) -> wp.vec4:
    """The colour of a picture (sRGB and alpha in [0, 1]) at texture coordinates, which repeat; `footprint` is the
    pixel's width in them."""
    side = textures[number, 1]
    start = textures[number, 0] / 4
    width = footprint * float(side) * 1.2
    while width > 1.0 and side > 1:
        start += side * side
        side = side / 2
        width = width * 0.5
    x = (uv[0] - wp.floor(uv[0])) * float(side) - 0.5
    y = (1.0 - uv[1] + wp.floor(uv[1])) * float(side) - 0.5
    i = int(wp.floor(x))
    j = int(wp.floor(y))
    a = x - wp.floor(x)
    b = y - wp.floor(y)
    i0 = (i + side) % side
    i1 = (i + 1) % side
    j0 = (j + side) % side * side
    j1 = (j + 1) % side * side
    high = texel(texels, start + j0 + i0) * (1.0 - a) + texel(texels, start + j0 + i1) * a
    low = texel(texels, start + j1 + i0) * (1.0 - a) + texel(texels, start + j1 + i1) * a
    return high * (1.0 - b) + low * b


@wp.func
def decode(c: wp.vec4) -> wp.vec3:
    """sRGB to linear RGB."""
    return wp.vec3(wp.pow(c[0], 2.2), wp.pow(c[1], 2.2), wp.pow(c[2], 2.2))


@wp.func
def brightness(c: wp.vec3) -> float:
    return 0.3 * c[0] + 0.59 * c[1] + 0.11 * c[2]


@wp.func
def turned(c: wp.vec3, angle: float) -> wp.vec3:
    """A colour with its hue turned about the grey axis."""
    k = 0.57735
    axis = wp.vec3(k, k, k)
    s = wp.sin(angle)
    q = wp.cos(angle)
    r = c * q + wp.cross(axis, c) * s + axis * (wp.dot(axis, c) * (1.0 - q))
    return wp.vec3(wp.max(r[0], 0.002), wp.max(r[1], 0.002), wp.max(r[2], 0.002))


@wp.func
def passes(
    texels: wp.array(dtype=wp.uint8),
    textures: wp.array2d(dtype=int),
    cloths: wp.array2d(dtype=float),
    row: int,
    uv: wp.vec2,
    p: wp.vec3,
    arm: float,
    blur: float,
) -> bool:
    """Whether a ray goes through a thing worn here: between hairs, past the end of a sleeve, through an open front."""
    mode = int(cloths[row, MODE])
    if mode == HAIR_MODE:
        c = sample(texels, textures, int(cloths[row, TEXTURE]), uv, blur / cloths[row, METRES] * 0.5)
        return c[3] < SOLID
    if mode != CLOTH_MODE:
        return False
    if arm > 0.5 and (wp.abs(p[0]) - 0.162) / 0.284 > cloths[row, SLEEVE_END]:
        return True
    if arm < 0.5 and p[2] < cloths[row, HEM_END]:
        return True
    x = wp.abs(p[0])
    return p[1] < -0.02 and arm < 0.5 and x < cloths[row, OPEN] * (0.7 + 0.9 * wp.clamp(p[2] - 0.1, 0.0, 1.0))


@wp.func
def strapped(persons: wp.array2d(dtype=float), owner: int, p: wp.vec3) -> bool:
    """Whether the strap of a bag runs here, as figures.trunk_color paints it."""
    straps = persons[owner, STRAPS]
    if p[2] < 0.0 or p[2] > 0.6:
        return False
    if straps > 2.5:
        return p[2] > 0.24 and wp.abs(wp.abs(p[0]) - 0.1) < 0.025 and p[1] < 0.05
    if straps > 0.5:
        lean = wp.where(straps < 1.5, 1.0, -1.0)
        return wp.abs(p[0] * lean * 1.35 + 0.27 - p[2]) < 0.03
    return False


@wp.func
def eye_color(persons: wp.array2d(dtype=float), owner: int, p: wp.vec3, iris: wp.vec3) -> wp.vec3:
    d = wp.length(wp.vec2(wp.abs(p[0]) - 0.0302, p[2] - 0.6968))
    if d < 0.0024:
        return wp.vec3(0.01, 0.01, 0.01)
    if d < 0.0062:
        return iris
    return wp.vec3(0.55, 0.5, 0.47)


@wp.func
def skin_color(persons: wp.array2d(dtype=float), owner: int, p: wp.vec3, arm: float, skin: wp.vec3) -> wp.vec3:
    """Skin, or the hat that formulas paint over the head."""
    if persons[owner, HAIRLINE] > 1.5 and arm < 0.5 and p[2] > 0.712 - 0.35 * (p[1] + 0.05):
        return rgb(persons, owner, HAT_COLOR)
    return skin


@wp.func
def dyed(
    texels: wp.array(dtype=wp.uint8),
    textures: wp.array2d(dtype=int),
    cloths: wp.array2d(dtype=float),
    row: int,
    uv: wp.vec2,
    p: wp.vec3,
    arm: float,
    blur: float,
    own: wp.vec3,
) -> wp.vec3:
    """Cloth: dyes in a pattern, the weave of a fabric, and the shades of the garment's own texture."""
    a = rgb(cloths, row, DYE_A)
    v = p[2]
    if arm > 0.5:
        v = 0.4 - (wp.abs(p[0]) - 0.162) / 0.284 * 0.45
    kind = int(cloths[row, KIND])
    seed = int(cloths[row, SEED])
    c = cloth(kind, p, v, cloths[row, SCALE], seed, blur, a, rgb(cloths, row, DYE_B), rgb(cloths, row, DYE_C))
    fabric = int(cloths[row, FABRIC])
    if fabric >= 0:
        x = cloths[row, FABRIC_X]
        y = cloths[row, FABRIC_Y]
        at = wp.vec2(uv[0] * x - uv[1] * y, uv[0] * y + uv[1] * x)
        size = wp.sqrt(x * x + y * y)
        woven = decode(sample(texels, textures, fabric, at, blur / cloths[row, METRES] * size))
        weave = wp.clamp(brightness(woven) / cloths[row, FABRIC_TONE], 0.2, 2.5)
        c = mix(c * weave, turned(woven, cloths[row, HUE]), cloths[row, FABRIC_KEEP])
    shade = wp.pow((wp.dot(own, rgb(cloths, row, GREY)) + 0.004) / cloths[row, TONE], cloths[row, RELIEF])
    c = c * wp.clamp(shade, 0.25, 2.2)
    return mix(c, turned(own, cloths[row, HUE]), cloths[row, KEEP])


@wp.func
def worn_color(
    texels: wp.array(dtype=wp.uint8),
    textures: wp.array2d(dtype=int),
    cloths: wp.array2d(dtype=float),
    row: int,
    persons: wp.array2d(dtype=float),
    owner: int,
    uv: wp.vec2,
    p: wp.vec3,
    arm: float,
    blur: float,
) -> wp.vec3:
    """Albedo (linear RGB) of a thing worn, or of skin and eyes, at texture and rest coordinates."""
    mode = int(cloths[row, MODE])
    if mode == EYE_MODE:
        return eye_color(persons, owner, p, rgb(cloths, row, DYE_A))
    own = decode(sample(texels, textures, int(cloths[row, TEXTURE]), uv, blur / cloths[row, METRES]))
    if mode == SKIN_MODE:
        return skin_color(persons, owner, p, arm, wp.cw_mul(own, rgb(cloths, row, DYE_A)))
    if mode == HAIR_MODE:
        shade = wp.pow((wp.dot(own, rgb(cloths, row, GREY)) + 0.004) / cloths[row, TONE], cloths[row, RELIEF])
        return mix(rgb(cloths, row, DYE_A) * wp.clamp(shade, 0.3, 2.6), own, cloths[row, KEEP])
    c = dyed(texels, textures, cloths, row, uv, p, arm, blur, own)
    if arm < 0.5 and strapped(persons, owner, p):
        return rgb(persons, owner, BAG_COLOR)
    return c


@wp.func
def painted_color(
    texels: wp.array(dtype=wp.uint8),
    textures: wp.array2d(dtype=int),
    cloths: wp.array2d(dtype=float),
    row: int,
    persons: wp.array2d(dtype=float),
    owner: int,
    uv: wp.vec2,
    p: wp.vec3,
    arm: float,
    blur: float,
) -> wp.vec3:
    """A body in clothes of formulas, whose skin is a texture: its colour of skin is below zero and marks where."""
    c = wp.vec3(-1.0, 0.0, 0.0)
    if not (arm < 0.5 and (p[2] > 0.6 or (p[2] > 0.56 and p[1] < -0.09))):
        c = body_color(persons, owner, p, arm, blur)
    if c[0] < 0.0:
        c = worn_color(texels, textures, cloths, row, persons, owner, uv, p, arm, blur)
    return c
