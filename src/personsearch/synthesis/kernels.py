"""The ray caster's kernels: what every pixel sees, its light and shadow, and whose body it belongs to.

Two meshes are cast against: the place (built once) and the people (built for each picture). The same kernels run on the
CPU and on a GPU. A pixel's first ray goes through its centre and decides its owner; pixels on an edge get more rays.
"""
# mypy: ignore-errors

import warp as wp

from personsearch.synthesis.cloths import FOLDS, SHEEN, WORN, painted_color, passes, worn_color
from personsearch.synthesis.figures import SEED, folded, person_color, wrinkled
from personsearch.synthesis.textures import GLASS, LEAVES, hash3, mix, noise2, surface

# No gradients are needed, which halves the code to compile.
wp.set_module_options({"enable_backward": False})

FAR = 1.0e4
NOBODY = -1


@wp.struct
class World:
    """Everything that a ray can meet. Arrays of the place start with s_, those of the people with p_."""

    s_mesh: wp.uint64
    s_index: wp.array(dtype=int)
    s_normal: wp.array(dtype=wp.vec3)
    s_uv: wp.array(dtype=wp.vec3)
    s_material: wp.array(dtype=int)
    materials: wp.array2d(dtype=float)
    p_mesh: wp.uint64
    p_index: wp.array(dtype=int)
    p_normal: wp.array(dtype=wp.vec3)
    p_rest: wp.array(dtype=wp.vec3)
    p_arm: wp.array(dtype=float)
    p_part: wp.array(dtype=int)
    p_owner: wp.array(dtype=int)
    p_uv: wp.array(dtype=wp.vec2)  # of each corner of each face; used where p_cloth is not negative
    p_cloth: wp.array(dtype=int)  # for each face its row of cloths, -1 where formulas colour it
    cloths: wp.array2d(dtype=float)
    texels: wp.array(dtype=wp.uint8)
    textures: wp.array2d(dtype=int)
    persons: wp.array2d(dtype=float)
    feet: wp.array(dtype=wp.vec3)  # x, y and radius of the contact shade under each person
    light_at: wp.array(dtype=wp.vec3)  # direction to the sun, or position of a lamp
    light_color: wp.array(dtype=wp.vec3)
    light_kind: wp.array(dtype=int)  # 0 sun, 1 lamp
    softness: float
    sky_up: wp.vec3
    sky_side: wp.vec3
    bounce: wp.vec3
    cloud: float
    haze: float
    seed: int
    probe: wp.array2d(dtype=wp.vec3)  # surroundings, row 0 the zenith; 1 x 1 where the sky is painted
    ambient: wp.array(dtype=wp.vec3)  # nine harmonics of what falls from everywhere; 1 where sky and bounce do


@wp.struct
class Lens:
    """A pinhole: position, the three axes, focal length in pixels, size in pixels."""

    at: wp.vec3
    right: wp.vec3
    down: wp.vec3
    ahead: wp.vec3
    focal: float
    width: int
    height: int


@wp.struct
class Sight:
    color: wp.vec3
    depth: float
    owner: int
    key: int  # differs where two neighbouring pixels see different things


@wp.func
def ray(lens: Lens, x: float, y: float) -> wp.vec3:
    a = (x - 0.5 * float(lens.width)) / lens.focal
    b = (y - 0.5 * float(lens.height)) / lens.focal
    return wp.normalize(lens.ahead + lens.right * a + lens.down * b)


@wp.func
def blend(values: wp.array(dtype=wp.vec3), index: wp.array(dtype=int), face: int, u: float, v: float) -> wp.vec3:
    a = values[index[3 * face]]
    b = values[index[3 * face + 1]]
    c = values[index[3 * face + 2]]
    return a * u + b * v + c * (1.0 - u - v)


@wp.func
def photographed(probe: wp.array2d(dtype=wp.vec3), d: wp.vec3) -> wp.vec3:
    """The probe's light from direction d; below the horizon that of the horizon."""
    rows = probe.shape[0]
    columns = probe.shape[1]
    y = wp.acos(wp.clamp(d[2], 0.0, 1.0)) / wp.pi * float(rows) - 0.5
    x = wp.atan2(d[1], d[0]) / (2.0 * wp.pi) * float(columns) - 0.5 + float(columns)
    i = int(wp.floor(x))
    j = int(wp.floor(y))
    u = x - float(i)
    v = y - float(j)
    i1 = i % columns
    i2 = (i + 1) % columns
    j1 = wp.max(j, 0)
    j2 = wp.min(j + 1, rows - 1)
    above = mix(probe[j1, i1], probe[j1, i2], u)
    return mix(above, mix(probe[j2, i1], probe[j2, i2], u), v)


@wp.func
def harmonic(c: wp.array(dtype=wp.vec3), n: wp.vec3) -> wp.vec3:
    """The sum of probes.harmonics at a unit normal, never darker than a tenth of their mean."""
    x = n[0]
    y = n[1]
    z = n[2]
    total = c[0] * 0.282095 + (c[1] * y + c[2] * z + c[3] * x) * 0.488603
    total += (c[4] * (x * y) + c[5] * (y * z) + c[7] * (x * z)) * 1.092548
    total += c[6] * (0.315392 * (3.0 * z * z - 1.0)) + c[8] * (0.546274 * (x * x - y * y))
    return wp.max(total, c[0] * 0.0282095)


@wp.func
def sky(world: World, d: wp.vec3) -> wp.vec3:
    if world.probe.shape[0] > 1:
        return photographed(world.probe, d)
    t = wp.clamp(d[2] * 2.2, 0.0, 1.0)
    base = mix(world.sky_side, world.sky_up, t)
    if world.cloud <= 0.0 or d[2] < 0.02:
        return base
    u = d[0] / (d[2] + 0.15) * 1.5
    v = d[1] / (d[2] + 0.15) * 1.5
    puff = 0.6 * noise2(u, v, world.seed) + 0.28 * noise2(u * 2.3, v * 2.3, world.seed + 1)
    puff += 0.12 * noise2(u * 5.1, v * 5.1, world.seed + 2)
    return mix(base, world.sky_side * 1.15, wp.clamp((puff - 0.45) * 3.0, 0.0, 1.0) * world.cloud)


@wp.func
def blocked(world: World, at: wp.vec3, d: wp.vec3, reach: float) -> float:
    if wp.mesh_query_ray_anyhit(world.s_mesh, at, d, reach):
        return 1.0
    if wp.mesh_query_ray_anyhit(world.p_mesh, at, d, reach):
        return 1.0
    return 0.0


@wp.func
def lit(world: World, at: wp.vec3, n: wp.vec3, view: wp.vec3, noise: wp.vec3, shine: float) -> wp.vec3:
    """Light that arrives and is reflected: sky above, bounce below, each sun or lamp with its shadow."""
    up = 0.5 + 0.5 * n[2]
    total = (world.sky_up * 0.55 + world.sky_side * 0.45) * up + world.bounce * (1.0 - up)
    if world.ambient.shape[0] > 1:
        total = harmonic(world.ambient, n)
    for i in range(world.light_at.shape[0]):
        reach = float(FAR)
        d = world.light_at[i]
        power = float(1.0)  # noqa: UP018
        if world.light_kind[i] == 1:
            d = world.light_at[i] + noise * 0.15 - at
            reach = wp.length(d)
            power = 1.0 / (1.0 + 0.09 * reach * reach)
            d = d / reach
        else:
            d = wp.normalize(d + noise * world.softness)
        facing = wp.dot(n, d)
        if facing > 0.0 and power > 0.04:
            facing = facing * (1.0 - blocked(world, at, d, reach - 0.05))
            half = wp.normalize(d - view)
            gloss = shine * wp.pow(wp.max(0.0, wp.dot(n, half)), 24.0)
            total += world.light_color[i] * (power * (facing + gloss * facing))
    return total


@wp.func
def texture_at(world: World, face: int, u: float, v: float) -> wp.vec2:
    i = face * 3
    return world.p_uv[i] * u + world.p_uv[i + 1] * v + world.p_uv[i + 2] * (1.0 - u - v)


@wp.func
def arm_at(world: World, face: int, u: float, v: float) -> float:
    i = face * 3
    return (
        world.p_arm[world.p_index[i]] * u
        + world.p_arm[world.p_index[i + 1]] * v
        + world.p_arm[world.p_index[i + 2]] * (1.0 - u - v)
    )


@wp.func
def first_person(world: World, at: wp.vec3, d: wp.vec3, reach: float, pixel: float, root: int) -> wp.MeshQueryRay:
    """The first hit on a person, looking between hairs and past the ends of clothes; t counts from `at`. `root` is
    the group to look at, -1 for everybody; `pixel` a pixel's width at a distance of one metre."""
    start = float(0.0)  # noqa: UP018
    hit = wp.mesh_query_ray(world.p_mesh, at, d, reach, root)
    for _ in range(16):
        if not hit.result:
            return hit
        row = world.p_cloth[hit.face]
        if row < 0:
            break
        p = blend(world.p_rest, world.p_index, hit.face, hit.u, hit.v)
        arm = arm_at(world, hit.face, hit.u, hit.v)
        uv = texture_at(world, hit.face, hit.u, hit.v)
        blur = (start + hit.t) * pixel
        if not passes(world.texels, world.textures, world.cloths, row, uv, p, arm, blur):
            break
        start = start + hit.t + 0.0004
        hit = wp.mesh_query_ray(world.p_mesh, at + d * start, d, reach - start, root)
    hit.t = hit.t + start
    return hit


@wp.func
def see_person(
    world: World, at: wp.vec3, d: wp.vec3, t: float, face: int, u: float, v: float, blur: float, noise: wp.vec3
):
    row = world.p_owner[face]
    part = world.p_part[face]
    p = blend(world.p_rest, world.p_index, face, u, v)
    n = wp.normalize(blend(world.p_normal, world.p_index, face, u, v))
    shine = float(0.12)  # noqa: UP018
    if wp.dot(n, d) > 0.0:
        n = n - d * (1.05 * wp.dot(n, d))
    arm = arm_at(world, face, u, v)
    n = wp.normalize(n)
    c = world.p_cloth[face]
    bent = n
    albedo = wp.vec3(0.0, 0.0, 0.0)
    if c < 0:
        bent = wrinkled(world.persons, row, part, p, arm, n)
        albedo = person_color(world.persons, row, part, p, arm, blur)
    else:
        uv = texture_at(world, face, u, v)
        if part < WORN:
            bent = wrinkled(world.persons, row, part, p, arm, n)
            albedo = painted_color(world.texels, world.textures, world.cloths, c, world.persons, row, uv, p, arm, blur)
        else:
            albedo = worn_color(world.texels, world.textures, world.cloths, c, world.persons, row, uv, p, arm, blur)
            bent = folded(p, int(world.persons[row, SEED]), world.cloths[c, FOLDS], n)
            shine = world.cloths[c, SHEEN]
    spot = at + d * t
    shade = 0.62 + 0.38 * wp.clamp(spot[2] / 1.1, 0.0, 1.0)  # less sky between the legs than at the shoulders
    shade = shade * (0.75 + 0.25 * wp.clamp(-wp.dot(n, d) * 2.0, 0.0, 1.0))
    light = lit(world, spot + n * 0.025, bent, d, noise, shine)
    return wp.cw_mul(albedo, light) * shade


@wp.func
def see_place(
    world: World, at: wp.vec3, d: wp.vec3, t: float, face: int, u: float, v: float, pixel: float, noise: wp.vec3
):
    m = world.s_material[face]
    n = wp.normalize(blend(world.s_normal, world.s_index, face, u, v))
    if wp.dot(n, d) > 0.0:
        n = -n
    uv = blend(world.s_uv, world.s_index, face, u, v)
    kind = int(world.materials[m, 0])
    c1 = wp.vec3(world.materials[m, 1], world.materials[m, 2], world.materials[m, 3])
    c2 = wp.vec3(world.materials[m, 4], world.materials[m, 5], world.materials[m, 6])
    c3 = wp.vec3(world.materials[m, 7], world.materials[m, 8], world.materials[m, 9])
    blur = pixel / wp.max(0.12, -wp.dot(n, d))
    seed = int(world.materials[m, 12])
    albedo = surface(kind, uv[0], uv[1], world.materials[m, 10], world.materials[m, 11], seed, blur, c1, c2, c3)
    spot = at + d * t
    shade = float(1.0)  # noqa: UP018  (a kernel variable, not a constant)
    if n[2] > 0.7:
        for i in range(world.feet.shape[0]):
            f = world.feet[i]
            q = ((spot[0] - f[0]) * (spot[0] - f[0]) + (spot[1] - f[1]) * (spot[1] - f[1])) / (f[2] * f[2])
            if q < 1.0:
                shade = shade * (1.0 - 0.6 * (1.0 - q) * (1.0 - q))
    elif spot[2] < 0.8:
        shade = 0.7 + 0.3 * wp.clamp(spot[2] / 0.8, 0.0, 1.0)
    if kind == LEAVES:
        n = wp.normalize(n + (noise * 0.8))
    gloss = world.materials[m, 13]
    color = wp.cw_mul(albedo, lit(world, spot + n * 0.004, n, d, noise, gloss)) * shade
    if gloss > 0.05:
        mirror = d - n * (2.0 * wp.dot(n, d))
        slant = wp.pow(1.0 - wp.max(0.0, -wp.dot(n, d)), 3.0)
        reflected = world.sky_side * 0.5
        if mirror[2] > 0.0:
            reflected = sky(world, mirror)
        color = mix(
            color, reflected, wp.clamp(gloss * (0.15 + 0.85 * slant), 0.0, 0.9) * wp.where(kind == GLASS, 1.0, 0.4)
        )
    return color + albedo * world.materials[m, 14]


@wp.func
def first_solid(world: World, at: wp.vec3, d: wp.vec3) -> wp.MeshQueryRay:
    """The first hit on the place, looking through the gaps between leaves; t counts from `at`."""
    start = float(0.0)  # noqa: UP018
    hit = wp.mesh_query_ray(world.s_mesh, at, d, FAR)
    for _ in range(4):
        if not hit.result:
            return hit
        if int(world.materials[world.s_material[hit.face], 0]) != LEAVES:
            hit.t = hit.t + start
            return hit
        uv = blend(world.s_uv, world.s_index, hit.face, hit.u, hit.v)
        n = blend(world.s_normal, world.s_index, hit.face, hit.u, hit.v)
        rim = wp.abs(wp.dot(n, d))
        gap = 0.6 * noise2(uv[0] * 7.0, uv[1] * 7.0, 3) + 0.4 * noise2(uv[0] * 19.0, uv[1] * 19.0, 4)
        if gap < 0.55 + 0.35 * wp.min(1.0, 2.0 * rim):
            hit.t = hit.t + start
            return hit
        start = start + hit.t + 0.02
        hit = wp.mesh_query_ray(world.s_mesh, at + d * start, d, FAR)
    hit.t = hit.t + start
    return hit


@wp.func
def look(world: World, lens: Lens, x: float, y: float, salt: int) -> Sight:
    """What the ray through the point (x, y) of the picture meets."""
    d = ray(lens, x, y)
    sight = Sight()
    sight.owner = NOBODY
    sight.key = -1
    sight.depth = FAR
    i = int(x * 4.0)
    j = int(y * 4.0)
    noise = wp.vec3(hash3(i, j, salt) - 0.5, hash3(i, j, salt + 1) - 0.5, hash3(i, j, salt + 2) - 0.5) * 2.0
    place = first_solid(world, lens.at, d)
    if place.result:
        sight.depth = place.t
    body = first_person(world, lens.at, d, sight.depth, 1.0 / lens.focal, -1)
    pixel = sight.depth / lens.focal
    if body.result:
        sight.depth = body.t
        sight.owner = world.p_owner[body.face]
        sight.key = -2 - sight.owner * 64 - world.p_part[body.face]
        sight.color = see_person(world, lens.at, d, body.t, body.face, body.u, body.v, body.t / lens.focal, noise)
    elif place.result:
        sight.key = world.s_material[place.face]
        sight.color = see_place(world, lens.at, d, place.t, place.face, place.u, place.v, pixel, noise)
    else:
        sight.color = sky(world, d)
        return sight
    veil = 1.0 - wp.exp(-sight.depth * world.haze)
    sight.color = mix(sight.color, world.sky_side, veil)
    return sight


@wp.kernel
def render_pixels(
    world: World,
    lens: Lens,
    color: wp.array(dtype=wp.vec3),
    depth: wp.array(dtype=float),
    owner: wp.array(dtype=int),
    key: wp.array(dtype=int),
):
    i = wp.tid()
    sight = look(world, lens, float(i % lens.width) + 0.5, float(i / lens.width) + 0.5, world.seed)
    color[i] = sight.color
    depth[i] = sight.depth
    owner[i] = sight.owner
    key[i] = sight.key


@wp.kernel
def refine_pixels(world: World, lens: Lens, pixels: wp.array(dtype=int), color: wp.array(dtype=wp.vec3)):
    """Averages three more rays into each listed pixel's colour; owners stay as the centre decided."""
    i = pixels[wp.tid()]
    x = float(i % lens.width)
    y = float(i / lens.width)
    total = color[i]
    total += look(world, lens, x + 0.15, y + 0.35, world.seed + 3).color
    total += look(world, lens, x + 0.65, y + 0.12, world.seed + 6).color
    total += look(world, lens, x + 0.85, y + 0.8, world.seed + 9).color
    color[i] = total * 0.25


@wp.kernel
def count_alone(
    world: World, lens: Lens, person: int, x1: int, y1: int, x2: int, y2: int, step: int, count: wp.array(dtype=int)
):
    """Counts the rays of a grid over a window (also outside the picture) that meet this person when alone."""
    j, i = wp.tid()
    x = x1 + i * step
    y = y1 + j * step
    if x < x2 and y < y2:
        root = wp.mesh_get_group_root(world.p_mesh, person)
        hit = first_person(world, lens.at, ray(lens, float(x) + 0.5, float(y) + 0.5), FAR, 1.0 / lens.focal, root)
        if hit.result:
            wp.atomic_add(count, 0, 1)
