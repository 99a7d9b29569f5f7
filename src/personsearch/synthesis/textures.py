"""Procedural patterns as warp functions: every surface of a rendered scene is coloured by a formula, so nothing is
shipped or downloaded. Coordinates are metres on the surface, colours are linear RGB, and `blur` is the width of
a pixel's footprint in metres: details finer than it fade to their mean instead of flickering."""
# mypy: ignore-errors

import warp as wp

# Kinds of static materials (column 0 of a place's material table).
PLAIN, BRICK, TILES, ASPHALT, GRASS, FACADE, SLABS, PANELS, POWDER, SIGN, SHOP, LEAVES, CHECKER, PLANKS, GLASS, LAMP = (
    range(16)
)
# Kinds of cloth (columns of a person's table).
(
    CLOTH_PLAIN,
    CLOTH_HOOPS,
    CLOTH_PINSTRIPES,
    CLOTH_CHECKS,
    CLOTH_BLOBS,
    CLOTH_PRINT,
    CLOTH_TWO_TONE,
    CLOTH_LOGO,
    CLOTH_DOTS,
    CLOTH_BAND,
    CLOTH_MELANGE,
    CLOTH_TEXT,
    CLOTH_GRADIENT,
    CLOTH_FLORAL,
) = range(14)


@wp.func
def hash3(x: int, y: int, z: int) -> float:
    """A number in [0, 1) that depends on three integers only."""
    h = wp.uint32(x) * wp.uint32(374761393) + wp.uint32(y) * wp.uint32(668265263) + wp.uint32(z) * wp.uint32(1442695041)
    h = (h ^ (h >> wp.uint32(13))) * wp.uint32(1274126177)
    h = (h ^ (h >> wp.uint32(15))) * wp.uint32(2054435761)
    h = h ^ (h >> wp.uint32(16))
    return float(h & wp.uint32(16777215)) / 16777216.0


@wp.func
def noise2(u: float, v: float, seed: int) -> float:
    """Smooth value noise in [0, 1], one cell a unit."""
    i = int(wp.floor(u))
    j = int(wp.floor(v))
    a = u - wp.floor(u)
    b = v - wp.floor(v)
    a = a * a * (3.0 - 2.0 * a)
    b = b * b * (3.0 - 2.0 * b)
    low = wp.lerp(hash3(i, j, seed), hash3(i + 1, j, seed), a)
    high = wp.lerp(hash3(i, j + 1, seed), hash3(i + 1, j + 1, seed), a)
    return wp.lerp(low, high, b)


@wp.func
def noise3(p: wp.vec3, seed: int) -> float:
    """Smooth value noise in [0, 1], one cell a unit."""
    k = int(wp.floor(p[2]))
    c = p[2] - wp.floor(p[2])
    c = c * c * (3.0 - 2.0 * c)
    return wp.lerp(noise2(p[0], p[1], seed + 57 * k), noise2(p[0], p[1], seed + 57 * (k + 1)), c)


@wp.func
def fade(period: float, blur: float) -> float:
    """How much of a pattern of this period (m) survives a pixel's footprint: 1 all, 0 only its mean."""
    return wp.clamp(1.6 - 2.0 * blur / period, 0.0, 1.0)


@wp.func
def line(x: float, width: float, blur: float) -> float:
    """1 within `width` of an integer multiple of 1 (all in periods), with soft borders of `blur`."""
    d = wp.abs(x - wp.floor(x + 0.5))
    soft = blur + 0.001
    return wp.clamp((width * 0.5 + soft * 0.5 - d) / soft, 0.0, 1.0) * wp.min(1.0, width / soft + 0.15)


@wp.func
def mix(a: wp.vec3, b: wp.vec3, t: float) -> wp.vec3:
    return a * (1.0 - t) + b * t


@wp.func
def masonry(u: float, v: float, su: float, sv: float, shift: float, joint: float, seed: int, blur: float) -> wp.vec2:
    """Courses of blocks of su x sv metres, each second one shifted. Returns (a block's own number, joint in [0, 1])."""
    row = wp.floor(v / sv)
    x = u / su + shift * (row - 2.0 * wp.floor(row * 0.5))
    tone = hash3(int(wp.floor(x)), int(row), seed)
    joints = wp.max(line(x, joint / su, blur / su), line(v / sv, joint / sv, blur / sv))
    keep = fade(wp.min(su, sv), blur)
    return wp.vec2(
        wp.lerp(0.5, tone, wp.clamp(1.6 - blur / sv, 0.0, 1.0)), wp.lerp(2.0 * joint / sv * 0.6, joints, keep)
    )


@wp.func
def facade(u: float, v: float, su: float, sv: float, seed: int, blur: float, c1: wp.vec3, c2: wp.vec3, c3: wp.vec3):
    """Storeys of windows: c1 wall, c2 frames, c3 glass; each pane has its own blind, reflection or lamp."""
    i = int(wp.floor(u / su))
    j = int(wp.floor(v / sv))
    x = u / su - wp.floor(u / su)
    y = v / sv - wp.floor(v / sv)
    half = 0.22 + 0.2 * hash3(seed, 3, 1)
    low = 0.22 + 0.1 * hash3(seed, 5, 2)
    high = 0.78 + 0.12 * hash3(seed, 7, 3)
    dx = half - wp.abs(x - 0.5)
    dy = wp.min(y - low, high - y)
    inside = wp.min(dx * su, dy * sv)
    wall = c1 * (0.86 + 0.14 * noise2(u * 0.9, v * 0.9, seed)) * (0.93 + 0.14 * noise2(u * 9.0, v * 9.0, seed + 1))
    if inside < 0.0:
        return mix(wall, c2, 0.8 * wp.clamp(1.0 + inside / 0.1, 0.0, 1.0) * fade(0.3, blur))
    tone = hash3(i, j, seed)
    pane = c3 * (0.4 + 0.9 * tone) * (0.7 + 0.6 * y)
    if tone > 0.8:
        pane = mix(pane, wp.vec3(0.55, 0.5, 0.42), 0.7 * wp.clamp((y - 0.9 + 0.5 * hash3(j, i, seed)) * 20.0, 0.0, 1.0))
    bars = wp.max(line(x * 4.0 * half + 0.5, 0.08, 0.04), wp.clamp(1.0 - inside / 0.06, 0.0, 1.0))
    return mix(pane, c2, bars * fade(0.25, blur))


@wp.func
def shop(u: float, v: float, su: float, seed: int, blur: float, c1: wp.vec3, c2: wp.vec3, c3: wp.vec3):
    """A shop's front: c1 pillars, c2 sign board above 2.7 m with lettering, a window full of bright things below."""
    i = int(wp.floor(u / su))
    x = u / su - wp.floor(u / su)
    tint = wp.vec3(hash3(i, 1, seed), hash3(i, 2, seed), hash3(i, 3, seed))
    if v > 2.7:
        grey = 0.333 * (tint[0] + tint[1] + tint[2])
        board = mix(c2, mix(wp.vec3(grey, grey, grey), tint, 0.45) * 0.45, 0.6)
        word = hash3(int(wp.floor(u * 5.0)), int(wp.floor(v * 3.0)), seed + 5)
        ink = wp.where(tint[0] > 0.5, wp.vec3(0.03, 0.03, 0.03), wp.vec3(0.75, 0.73, 0.68))
        if v > 2.9 and v < 3.25 and x > 0.2 and x < 0.8 and word > 0.35:
            strokes = hash3(int(wp.floor(u * 16.0)), int(wp.floor(v * 12.0)), seed + 6)
            board = mix(board, ink, wp.where(strokes > 0.4, 0.9, 0.1))
        return board
    if x < 0.07 or x > 0.93 or v < 0.35:
        return c1 * (0.9 + 0.2 * noise2(u * 6.0, v * 6.0, seed))
    k = int(wp.floor(u * (1.2 + 2.0 * tint[1])))
    m = int(wp.floor(v * 1.3 + hash3(k, 4, seed)))
    grey = hash3(k, m, seed + 11)
    goods = wp.vec3(grey * grey, grey * grey, grey * grey) * 0.6
    if hash3(k, m, seed + 12) > 0.6:
        goods = wp.cw_mul(goods, wp.vec3(hash3(k, m, 1), hash3(k, m, 2), hash3(k, m, 3)) * 1.8)
    depth = noise2(u * 1.7, v * 1.1, seed + 9) * noise2(u * 5.0, v * 4.0, seed + 8)
    glass = mix(c3 * (0.35 + 0.6 * v / 2.7), goods, wp.clamp(2.2 * depth - 0.15, 0.0, 0.8))
    door = wp.where(tint[2] > 0.4 and x > 0.4 and x < 0.6, 0.45, 1.0)
    return mix(glass * door, wp.vec3(0.04, 0.04, 0.045), line(x * 3.0, 0.03, 0.02))


@wp.func
def ground_cover(kind: int, u: float, v: float, seed: int, blur: float, c1: wp.vec3, c2: wp.vec3, c3: wp.vec3):
    """Asphalt, grass or powder (sand, snow): noise of several sizes between c1 and c2, spots of c3."""
    broad = noise2(u * 0.16, v * 0.16, seed)
    mid = noise2(u * 1.1, v * 1.1, seed + 1)
    fine = wp.lerp(0.5, noise2(u * 14.0, v * 14.0, seed + 2), fade(0.14, blur))
    grain = wp.lerp(0.5, hash3(int(wp.floor(u * 60.0)), int(wp.floor(v * 60.0)), seed + 3), fade(0.035, blur))
    if kind == GRASS:
        t = wp.clamp(0.25 * broad + 0.4 * mid + 0.35 * fine, 0.0, 1.0)
        c = mix(c1, c2, t) * (0.62 + 0.5 * grain + 0.25 * fine)
        return mix(c, c3 * (0.7 + 0.5 * grain), wp.clamp((broad * mid - 0.45) * 4.0, 0.0, 0.45))
    if kind == POWDER:
        c = mix(c1, c2, wp.clamp(broad * 0.6 + 0.4 * mid, 0.0, 1.0)) * (0.9 + 0.1 * fine + 0.08 * grain)
        return mix(c, c3, wp.clamp((mid * broad - 0.45) * 5.0, 0.0, 0.5))
    c = mix(c1, c2, wp.clamp(0.55 * broad + 0.45 * mid, 0.0, 1.0)) * (0.72 + 0.25 * fine + 0.34 * grain)
    blot = noise2(u * 1.3 + 13.0, v * 1.3, seed + 4) * (0.6 + 0.4 * mid)
    stain = wp.clamp((blot - 0.72) * 5.0, 0.0, 0.35)
    crack = noise2(u * 0.45 + 0.3 * mid, v * 0.45 + 0.3 * fine, seed + 5)
    gap = wp.clamp(1.0 - wp.abs(crack - 0.5) * 90.0, 0.0, 0.5) * fade(0.1, blur)
    return mix(c, c3, wp.max(stain, gap))


@wp.func
def sign(u: float, v: float, su: float, sv: float, seed: int, blur: float, c1: wp.vec3, c2: wp.vec3, c3: wp.vec3):
    """A poster of su x sv metres: a field, a block, lines of writing."""
    x = u / su - wp.floor(u / su)
    y = v / sv - wp.floor(v / sv)
    c = c1
    top = 0.35 + 0.4 * hash3(seed, 1, 1)
    if y > top:
        c = c2
        d = wp.length(wp.vec2((x - 0.5) * su, (y - 0.5 - 0.5 * top) * sv))
        if d < 0.3 * wp.min(su, sv * (1.0 - top)) + 0.1 * noise2(x * 6.0, y * 6.0, seed):
            c = c3
    elif x > 0.12 and x < 0.88 and y > 0.08:
        row = int(wp.floor(y * 14.0))
        letter = hash3(int(wp.floor(x * 26.0)), row, seed + 2)
        if row % 2 == 0 and letter > 0.35:
            c = mix(c, c3, 0.8 * fade(sv / 10.0, blur))
    edge = wp.min(wp.min(x, 1.0 - x) * su, wp.min(y, 1.0 - y) * sv)
    return wp.where(edge < 0.03, c1 * 0.35, c)


@wp.func
def surface(
    kind: int, u: float, v: float, su: float, sv: float, seed: int, blur: float, c1: wp.vec3, c2: wp.vec3, c3: wp.vec3
) -> wp.vec3:
    """The colour of a static material at surface coordinates (u, v) metres; su, sv are its pattern's size in metres."""
    if kind == ASPHALT or kind == GRASS or kind == POWDER:  # noqa: SIM109  (kernels know no tuples)
        return ground_cover(kind, u, v, seed, blur, c1, c2, c3)
    if kind == FACADE:
        return facade(u, v, su, sv, seed, blur, c1, c2, c3)
    if kind == SHOP:
        return shop(u, v, su, seed, blur, c1, c2, c3)
    if kind == SIGN:
        return sign(u, v, su, sv, seed, blur, c1, c2, c3)
    dirt = 0.82 + 0.18 * noise2(u * 0.8, v * 0.8, seed) + 0.1 * (noise2(u * 7.0, v * 7.0, seed + 1) - 0.5)
    if kind == BRICK or kind == SLABS or kind == TILES:  # noqa: SIM109
        shift = wp.where(kind == TILES, 0.0, 0.5)
        joint = wp.where(kind == BRICK, 0.014, 0.01)
        block = masonry(u, v, su, sv, shift, joint, seed, blur)
        return mix(mix(c1, c2, block[0]) * dirt, c3, wp.clamp(block[1], 0.0, 1.0))
    if kind == CHECKER:
        odd = (int(wp.floor(u / su)) + int(wp.floor(v / sv))) % 2
        sharp = fade(su, blur)
        t = wp.lerp(0.5, wp.where(odd == 0, 0.0, 1.0), sharp)
        return mix(
            mix(c1, c2, t) * dirt, c3, wp.max(line(u / su, 0.02, blur / su), line(v / sv, 0.02, blur / sv)) * sharp
        )
    if kind == PANELS:
        return mix(c1 * dirt, c2, wp.max(line(u / su, 0.05, blur / su), 0.6 * line(v / sv, 0.03, blur / sv)))
    if kind == PLANKS:
        tone = hash3(int(wp.floor(u / su)), 0, seed)
        rings = noise2(u * 30.0, v * 2.0, seed + 3)
        return mix(mix(c1, c2, 0.6 * tone + 0.4 * rings) * dirt, c3, line(u / su, 0.06, blur / su) * fade(su, blur))
    if kind == LEAVES:
        t = wp.lerp(0.4, noise3(wp.vec3(u * 6.0, v * 6.0, 0.5), seed), fade(0.3, blur))
        grain = wp.lerp(0.5, hash3(int(wp.floor(u * 28.0)), int(wp.floor(v * 28.0)), seed), fade(0.08, blur))
        return mix(c1, c2, t) * (0.35 + 0.85 * grain + 0.35 * noise2(u * 1.5, v * 1.5, seed + 2))
    if kind == GLASS:
        return mix(c1, c2, wp.clamp(v / sv - wp.floor(v / sv), 0.0, 1.0))
    if kind == LAMP:
        return c1
    return c1 * dirt


@wp.func
def printed(kind: int, p: wp.vec3, seed: int, a: wp.vec3, b: wp.vec3, c: wp.vec3) -> wp.vec3:
    """Cloth of colour a with a picture, a logo or writing on the chest."""
    if p[1] >= -0.02:
        return a
    if kind == CLOTH_PRINT:
        size = 0.09 + 0.04 * hash3(seed, 1, 7)
        if wp.abs(p[0]) < size and p[2] > 0.2 and p[2] < 0.42:
            shape = noise2(p[0] * 18.0, p[2] * 18.0, seed)
            return wp.where(shape > 0.58, b, wp.where(shape < 0.36, c, mix(a, b, 0.2)))
        return a
    if kind == CLOTH_LOGO:
        side = wp.where(hash3(seed, 3, 7) > 0.5, 0.0, 0.07)
        size = wp.where(side == 0.0, 0.075, 0.03)
        d = wp.length(wp.vec2(p[0] - side, p[2] - 0.35))
        if d < size:
            return wp.where(d < size * 0.5, c, b)
        return a
    if wp.abs(p[0]) < 0.105 and p[2] > 0.3 and p[2] < 0.39:
        ink = hash3(int(wp.floor(p[0] * 70.0)), int(wp.floor(p[2] * 55.0)), seed)
        return wp.where(ink > 0.35, b, a)
    return a


@wp.func
def cloth(
    kind: int, p: wp.vec3, v: float, scale: float, seed: int, blur: float, a: wp.vec3, b: wp.vec3, c: wp.vec3
) -> wp.vec3:
    """The colour of cloth at a point of the rest pose: p metres, v metres along the limb or trunk, `scale` the period
    in metres, a the ground colour, b and c the others."""
    u = p[0] * 0.85 + p[1] * 0.6
    if kind == CLOTH_PRINT or kind == CLOTH_LOGO or kind == CLOTH_TEXT:  # noqa: SIM109
        return printed(kind, p, seed, a, b, c)
    keep = fade(scale, blur)
    if kind == CLOTH_HOOPS:
        t = wp.clamp(0.5 + 8.0 * (wp.abs(v / scale - wp.floor(v / scale) - 0.5) - 0.27), 0.0, 1.0)
        return mix(a, b, wp.lerp(0.46, t, keep))
    if kind == CLOTH_PINSTRIPES:
        return mix(a, b, wp.lerp(0.25, line(u / scale, 0.25, blur / scale), keep))
    if kind == CLOTH_CHECKS:
        x = wp.where(u / scale - wp.floor(u / scale) < 0.5, 0.0, 1.0)
        y = wp.where(v / scale - wp.floor(v / scale) < 0.5, 0.0, 1.0)
        base = mix(a, b, wp.lerp(0.5, 0.5 * (x + y), keep))
        return mix(
            base, c, 0.6 * keep * wp.max(line(u / scale, 0.08, blur / scale), line(v / scale, 0.08, blur / scale))
        )
    if kind == CLOTH_BLOBS:
        t = noise3(p * (1.0 / scale), seed) * 0.7 + 0.3 * noise3(p * (2.6 / scale), seed + 9)
        return wp.where(t < 0.43, a, wp.where(t < 0.56, b, c))
    if kind == CLOTH_TWO_TONE:
        return wp.where(p[2] > 0.24 + 0.14 * hash3(seed, 2, 7), b, a)
    if kind == CLOTH_DOTS:
        x = u / scale - wp.floor(u / scale) - 0.5
        y = v / scale - wp.floor(v / scale) - 0.5
        return mix(a, b, wp.lerp(0.28, wp.where(x * x + y * y < 0.09, 1.0, 0.0), keep))
    if kind == CLOTH_BAND:
        return wp.where(wp.abs(p[2] - 0.33) < 0.3 * scale + 0.03, b, a)
    if kind == CLOTH_MELANGE:
        return mix(
            a, b, 0.25 + 0.5 * wp.lerp(0.5, noise3(wp.vec3(u * 60.0, v * 160.0, p[1] * 60.0), seed), fade(0.02, blur))
        )
    if kind == CLOTH_GRADIENT:
        return mix(a, b, wp.clamp((p[2] + 0.05) * 1.9, 0.0, 1.0))
    if kind == CLOTH_FLORAL:
        t = noise3(p * (2.2 / scale), seed)
        h = noise3(p * (0.9 / scale), seed + 3)
        return wp.where(t > 0.6, wp.where(h > 0.5, b, c), a)
    return a
