"""The kinds of places: each lays out ground, walls and things at random, so that no two streets are alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from personsearch.synthesis import textures as t
from personsearch.synthesis.props import (
    GREYS,
    WALLS,
    any_color,
    building,
    car,
    furniture,
    ground_material,
    one,
    scatter,
    shade,
    tree,
)
from personsearch.synthesis.shapes import Area, Builder, Color

Rng = np.random.Generator


@dataclass
class Layout:
    """What a kind of place says about itself."""

    area: Area  # where people walk: x1, y1, x2, y2
    light: str = "day"  # day, night, indoor
    lamps: list[tuple[float, float, float]] = field(default_factory=list)
    views: list[tuple[float, float, float, float]] = field(default_factory=list)
    """Where cameras hang: x, y and the point (x, y) they look at."""
    ceiling: float = 0.0  # height, 0 under the open sky
    floor: Color = (0.4, 0.4, 0.4)


def along(length: float, half: float, rng: Rng) -> list[tuple[float, float, float, float]]:
    """Four views down a corridor or street that runs along x."""
    side = [(-1, -0.8), (1, 0.75), (-1, 0.6), (1, -0.5)]
    return [
        (
            s * length * rng.uniform(0.7, 1.0),
            w * half,
            -s * length * rng.uniform(0.1, 0.5),
            w * half * rng.uniform(-0.6, 0.3),
        )
        for s, w in side
    ]


def around(radius: float, rng: Rng) -> list[tuple[float, float, float, float]]:
    """Four views from the rim of an open place towards its middle."""
    start = rng.uniform(0, 2 * np.pi)
    angles = start + np.arange(4) * np.pi / 2 + rng.normal(0, 0.25, 4)
    return [
        (float(radius * np.cos(a)), float(radius * np.sin(a)), float(rng.normal(0, 2.5)), float(rng.normal(0, 2.5)))
        for a in angles
    ]


def street(b: Builder, rng: Rng, night: bool = False) -> Layout:
    """A shopping street along x: houses with shops on both sides, a road or only paving between them."""
    paving, color = ground_material(b, rng, str(rng.choice(["slabs", "tiles", "slabs", "asphalt"])))
    b.ground(paving)
    half = rng.uniform(5.5, 9.0)
    for sign in (-1, 1):
        x = -45.0
        while x < 45:
            w = rng.uniform(4, 9)
            building(
                b, rng, x + w, sign * (half + 5), (w, 5), rng.uniform(7, 16), shops=True, glow=1.3 if night else 0.0
            )
            x += 2 * w
    if rng.random() < 0.5:
        road, _ = ground_material(b, rng, "asphalt")
        b.patch(-60, -2.6, 60, 2.6, road)
        curb = b.paint(t.PLAIN, (0.62, 0.61, 0.6))
        for y in (-2.7, 2.7):
            b.box((0, y, 0.03), (60, 0.1, 0.04), curb)
        for x in rng.uniform(-25, 25, rng.integers(0, 4)):
            car(b, rng, float(x), float(rng.choice([-1.7, 1.7])), float(rng.choice([0, np.pi])))
    scatter(b, rng, (-20, -half + 0.6, 20, -half + 2.2), ("planter", "bin", "lamp", "bench", "board", "pole"), 6)
    scatter(b, rng, (-20, half - 2.2, 20, half - 0.6), ("planter", "bin", "lamp", "board", "pole"), 6)
    lamps = [(float(x), float(y), 4.8) for x, y in zip(rng.uniform(-9, 9, 2), (-half + 2, half - 2), strict=True)]
    for x in rng.uniform(-22, 22, rng.integers(0, 4)):
        tree(b, rng, float(x), float(rng.choice([-1, 1]) * (half - 1.8)))
    return Layout(
        (-24, -half + 0.4, 24, half - 0.4),
        "night" if night else "day",
        lamps if night else [],
        along(16, half, rng),
        floor=color,
    )


def night_street(b: Builder, rng: Rng) -> Layout:
    return street(b, rng, night=True)


def park(b: Builder, rng: Rng) -> Layout:
    """Lawn with paths, trees, benches and bushes, a hedge of trees far away."""
    lawn, color = ground_material(b, rng, "grass")
    b.ground(lawn)
    path, _ = ground_material(b, rng, str(rng.choice(["asphalt", "sand", "slabs"])))
    w = rng.uniform(1.5, 3.0)
    b.patch(-60, -w, 60, w, path)
    turn = rng.uniform(-8, 8)
    b.quad((turn - w, -60, 0.006), (2 * w, rng.uniform(-1, 1), 0), (rng.uniform(-12, 12), 120, 0), path)
    for _ in range(int(rng.integers(10, 18))):
        a, r = rng.uniform(0, 2 * np.pi), rng.uniform(7, 30)
        if abs(r * np.sin(a)) > w + 0.6:
            tree(b, rng, float(r * np.cos(a)), float(r * np.sin(a)))
    scatter(b, rng, (-16, w + 0.2, 16, w + 1.2), ("bench", "bin", "lamp", "bush"), 5)
    scatter(b, rng, (-16, -14, 16, 14), ("bush", "pole", "lamp"), 4)
    far = b.paint(t.LEAVES, shade(rng, (0.12, 0.2, 0.09)), shade(rng, (0.24, 0.34, 0.14)), seed=int(rng.integers(99)))
    dark = b.paint(t.LEAVES, shade(rng, (0.09, 0.15, 0.08)), shade(rng, (0.18, 0.25, 0.12)), seed=int(rng.integers(99)))
    for a in rng.uniform(0, 2 * np.pi, 60):
        r, w = rng.uniform(38, 54), rng.uniform(2.5, 5.5)
        tint = far if rng.random() < 0.6 else dark
        b.blob((r * np.cos(a), r * np.sin(a), rng.uniform(1, 5)), (w, w, rng.uniform(3, 6)), tint, rng, 0.4, 9)
    if rng.random() < 0.5:
        building(b, rng, float(rng.uniform(-20, 20)), 40, (14, 4), rng.uniform(6, 12))
    return Layout((-20, -16, 20, 16), "day", [], around(14, rng), floor=color)


def plaza(b: Builder, rng: Rng) -> Layout:
    """A wide paved place, houses around it, planters, benches and a fountain."""
    paving, color = ground_material(b, rng, str(rng.choice(["tiles", "slabs", "checker"])))
    b.ground(paving)
    for k in range(22):
        a = k / 22 * 2 * np.pi
        building(
            b,
            rng,
            float(36 * np.cos(a)),
            float(36 * np.sin(a)),
            (5.4, 5.4),
            rng.uniform(8, 22),
            shops=rng.random() < 0.4,
        )
    if rng.random() < 0.6:
        stone = b.paint(t.PLAIN, one(rng, GREYS), seed=5)
        x, y = rng.normal(0, 4, 2)
        b.tube((x, y, 0), 2.0, 0.5, stone, sides=20, solid=True)
        b.tube((x, y, 0.5), 0.3, 1.4, stone, sides=10)
    scatter(
        b,
        rng,
        (-13, -13, 13, 13),
        ("planter", "bench", "bin", "lamp", "board", "cone", "railing"),
        int(rng.integers(6, 13)),
    )
    for x, y in rng.uniform(-17, 17, (int(rng.integers(0, 6)), 2)):
        tree(b, rng, float(x), float(y))
    return Layout((-18, -18, 18, 18), "day", [], around(15, rng), floor=color)


def parking(b: Builder, rng: Rng) -> Layout:
    """A car park: rows of cars, painted bays, a building behind."""
    tar, color = ground_material(b, rng, "asphalt")
    b.ground(tar)
    white = b.paint(t.PLAIN, shade(rng, (0.8, 0.8, 0.76)) if rng.random() < 0.7 else (0.8, 0.65, 0.15), seed=2)
    for row in (-9.0, 9.0):
        for x in np.arange(-22, 23, 2.7):
            b.patch(x - 0.06, row - 2.4, x + 0.06, row + 2.4, white)
            if rng.random() < 0.55:
                car(b, rng, float(x + 1.35), float(row + rng.normal(0, 0.2)), float(np.pi / 2 * rng.choice([-1, 1])))
    for x in rng.uniform(-14, 14, rng.integers(0, 3)):
        car(b, rng, float(x), float(rng.choice([-3.5, 3.5])), 0.0)
    building(b, rng, 0, 28, (30, 8), rng.uniform(6, 12))
    building(b, rng, float(rng.uniform(-10, 10)), -32, (26, 8), rng.uniform(5, 14))
    green, _ = ground_material(b, rng, "grass")
    b.patch(-80, 14, 80, 19, green)
    scatter(b, rng, (-15, -5, 15, 5), ("cone", "lamp", "pole", "bin", "railing"), 4)
    for x in rng.uniform(-25, 25, 5):
        tree(b, rng, float(x), float(rng.choice([16.5, -16])))
    return Layout((-22, -13, 22, 13), "day", [], around(15, rng), floor=color)


def hall(b: Builder, rng: Rng) -> Layout:
    """A station hall: shining floor, columns, light panels in the ceiling, shops and boards on the walls."""
    floor, color = ground_material(b, rng, str(rng.choice(["checker", "tiles", "slabs"])))
    b.ground(floor, 60)
    height, half = rng.uniform(3.6, 6.0), rng.uniform(7, 12)
    wall = b.paint(t.PANELS, one(rng, WALLS), (0.4, 0.4, 0.4), size=(rng.uniform(0.8, 2.4), 1.2), seed=4)
    shop = b.paint(t.SHOP, (0.6, 0.6, 0.6), any_color(rng), (0.3, 0.3, 0.3), (4, 3.5), int(rng.integers(999)), glow=0.5)
    for sign in (-1, 1):
        b.box((0, sign * (half + 0.5), height / 2), (40, 0.5, height / 2), wall)
        for x in rng.uniform(-30, 30, 3):
            b.box((float(x), sign * (half + 0.4), 1.75), (rng.uniform(3, 6), 0.45, 1.75), shop)
        b.box((sign * 38, 0, height / 2), (0.5, half + 1, height / 2), wall)
    roof = b.paint(t.TILES, (0.75, 0.75, 0.74), (0.7, 0.7, 0.7), (0.4, 0.4, 0.4), (0.6, 0.6))
    b.quad((-40, -half - 1, height), (80, 0, 0), (0, 2 * half + 2, 0), roof)
    panel = b.paint(t.LAMP, (1, 1, 1), glow=2.2)
    for x in np.arange(-36, 37, rng.uniform(3, 5)):
        for y in np.linspace(-half * 0.7, half * 0.7, 4):
            b.box((float(x), float(y), height - 0.03), (0.9, 0.15, 0.03), panel)
    column = b.paint(t.TILES, one(rng, WALLS), one(rng, WALLS), (0.3, 0.3, 0.3), (0.3, 0.3), 8, gloss=0.1)
    for x in np.arange(-24, 25, rng.uniform(6, 9)):
        for y in (-half * 0.55, half * 0.55):
            b.tube((float(x), y, 0), rng.uniform(0.25, 0.5), height, column, sides=14, solid=True)
    scatter(b, rng, (-14, -half * 0.4, 14, half * 0.4), ("bench", "bin", "board", "planter", "pole", "railing"), 5)
    lamps = [(float(x), float(rng.uniform(-2, 2)), height - 0.3) for x in (-11, 0, 11)]
    return Layout((-24, -half + 0.4, 24, half - 0.4), "indoor", lamps, along(15, half * 0.9, rng), height, color)


def underpass(b: Builder, rng: Rng) -> Layout:
    """A tiled tunnel for people, with strips of lamps."""
    floor, color = ground_material(b, rng, str(rng.choice(["tiles", "slabs", "asphalt"])))
    b.ground(floor, 60)
    half, height = rng.uniform(2.4, 4.0), rng.uniform(2.8, 3.6)
    base = one(rng, ((0.8, 0.78, 0.7), (0.6, 0.68, 0.66), (0.75, 0.7, 0.55), (0.5, 0.55, 0.62)))
    size = float(rng.choice([0.1, 0.2, 0.3]))
    tiles = b.paint(t.TILES, base, shade(rng, base, 0.08), (0.45, 0.44, 0.42), (size, size), 3, gloss=0.15)
    stripe = b.paint(t.TILES, any_color(rng), any_color(rng), (0.4, 0.4, 0.4), (size, size), 4, gloss=0.15)
    ads = [b.paint(t.SIGN, any_color(rng), any_color(rng), any_color(rng), (1.2, 1.7), k, glow=0.3) for k in range(4)]
    for sign in (-1, 1):
        b.box((0, sign * (half + 0.5), height / 2), (40, 0.5, height / 2), tiles)
        b.box((0, sign * (half + 0.49), 0.25), (40, 0.5, 0.25), stripe)
        for x in rng.uniform(-20, 20, 5):
            b.box((float(x), sign * (half + 0.45), 1.5), (0.6, 0.48, 0.85), ads[rng.integers(4)])
    roof = b.paint(t.PANELS, (0.6, 0.6, 0.58), (0.35, 0.35, 0.35), size=(1.2, 3))
    b.quad((-40, -half - 1, height), (80, 0, 0), (0, 2 * half + 2, 0), roof)
    strip = b.paint(t.LAMP, (1, 0.98, 0.9), glow=2.5)
    for x in np.arange(-36, 37, 3.4):
        b.box((float(x), float(rng.choice([-0.5, 0.5]) * half), height - 0.03), (0.7, 0.1, 0.03), strip)
    for x in (-38, 38):
        b.box((x, 0, height / 2), (0.3, half + 1, height / 2), b.paint(t.PLAIN, (0.7, 0.75, 0.8), glow=0.6))
    scatter(b, rng, (-12, -half + 0.3, 12, -half + 0.6), ("bin", "board", "pole"), 2)
    lamps = [(float(x), 0.0, height - 0.25) for x in (-10, 0, 10)]
    return Layout((-20, -half + 0.35, 20, half - 0.35), "indoor", lamps, along(13, half * 0.8, rng), height, color)


def campus(b: Builder, rng: Rng) -> Layout:
    """Brick buildings with bands of windows, lawns and a wide asphalt path; a pole or two in the view."""
    lawn, color = ground_material(b, rng, "grass")
    b.ground(lawn)
    road, _ = ground_material(b, rng, "asphalt")
    w = rng.uniform(2.5, 5.0)
    b.quad((-60, -w + rng.uniform(-8, 8), 0.005), (120, rng.uniform(-12, 12), 0), (0, 2 * w, 0), road)
    b.quad((rng.uniform(-8, 4), -50, 0.007), (2 * w, 0, 0), (rng.uniform(-20, 20), 100, 0), road)
    brick = b.paint(
        t.BRICK, shade(rng, (0.6, 0.42, 0.3)), shade(rng, (0.5, 0.33, 0.24)), (0.6, 0.56, 0.5), (0.22, 0.075), 6
    )
    glass = b.paint(
        t.FACADE, (0.35, 0.18, 0.14), (0.3, 0.15, 0.12), (0.2, 0.24, 0.27), (1.1, 2.4), int(rng.integers(999))
    )
    for x, y, hx, hy in ((-8, 30, 16, 6), (26, 24, 7, 9), (-30, -22, 7, 16), (12, -34, 18, 5)):
        h = rng.uniform(4, 9)
        b.box((x, y, h / 2), (hx, hy, h / 2), brick, solid=True)
        for z in np.arange(1.2, h - 1.6, 3.0):
            b.box((x, y, z + 0.7), (hx * 0.94, hy + 0.04, 0.7), glass)
            b.box((x, y, z + 0.7), (hx + 0.04, hy * 0.94, 0.7), glass)
    for x, y in rng.uniform(-18, 18, (int(rng.integers(2, 7)), 2)):
        tree(b, rng, float(x), float(y), bare=bool(rng.random() < 0.4))
    for x in rng.uniform(-20, 20, rng.integers(1, 5)):
        car(b, rng, float(x), float(rng.choice([17.5, -18.0])), float(rng.normal(0, 0.1)))
    scatter(
        b, rng, (-13, -11, 13, 11), ("pole", "lamp", "cone", "bush", "bench", "bin", "railing"), int(rng.integers(4, 9))
    )
    return Layout((-19, -15, 19, 15), "day", [], around(15, rng), floor=color)


def winter(b: Builder, rng: Rng) -> Layout:
    """A yard under snow or sand with bare trees, walls of concrete and a trodden path."""
    kind = str(rng.choice(["snow", "sand"]))
    cover, color = ground_material(b, rng, kind)
    b.ground(cover)
    path, _ = ground_material(b, rng, str(rng.choice(["asphalt", "slabs"])))
    b.quad((-60, rng.uniform(-5, 0), 0.004), (120, rng.uniform(-6, 6), 0), (0, rng.uniform(2.5, 5), 0), path)
    concrete = b.paint(t.PANELS, shade(rng, (0.6, 0.59, 0.57)), (0.4, 0.4, 0.4), size=(2.4, 1.2), seed=7)
    b.box((0, 18, 1.1), (30, 0.15, 1.1), concrete, solid=True)
    for x in (-24, 2, 26):
        building(b, rng, x, 30, (11, 6), rng.uniform(9, 20))
    building(b, rng, float(rng.uniform(-10, 10)), -32, (20, 7), rng.uniform(6, 14))
    for x, y in rng.uniform(-17, 17, (int(rng.integers(4, 11)), 2)):
        tree(b, rng, float(x), float(y), bare=kind == "snow" or rng.random() < 0.5)
    for x in rng.uniform(-20, 20, rng.integers(0, 4)):
        car(b, rng, float(x), 14.5, float(rng.choice([0, np.pi])))
    scatter(b, rng, (-13, -11, 13, 11), ("pole", "lamp", "bench", "bin", "railing"), int(rng.integers(3, 8)))
    return Layout((-19, -15, 19, 13), "day", [], around(15, rng), floor=color)


def crossing(b: Builder, rng: Rng) -> Layout:
    """A street crossing: zebra stripes, waiting cars, traffic poles, tall houses."""
    tar, color = ground_material(b, rng, "asphalt")
    b.ground(tar)
    white = b.paint(t.ASPHALT, (0.82, 0.82, 0.8), (0.7, 0.7, 0.68), (0.4, 0.4, 0.4), seed=9)
    for x in np.arange(-6, 6.1, 1.1):
        for y in (-8.0, 8.0):
            b.patch(x - 0.28, y - 1.6, x + 0.28, y + 1.6, white)
            b.patch(y - 1.6, x - 0.28, y + 1.6, x + 0.28, white)
    walk, _ = ground_material(b, rng, str(rng.choice(["slabs", "tiles"])))
    for sx in (-1, 1):
        for sy in (-1, 1):
            b.box((sx * 38, sy * 38, 0.03), (31.5, 31.5, 0.04), walk)
            for k in range(3):
                building(b, rng, sx * (18.0 + 13 * k), sy * 18.0, (6.5, 6.0), rng.uniform(9, 26), shops=True)
            furniture(b, rng, str(rng.choice(["pole", "lamp"])), sx * 7.6, sy * 7.4)
            furniture(b, rng, str(rng.choice(["bin", "board", "planter", "cone"])), sx * 9.5, sy * 8.6)
    for _ in range(int(rng.integers(2, 7))):
        u, lane, flip = rng.uniform(12, 24) * rng.choice([-1, 1]), rng.choice([-3.2, 3.2]), rng.random() < 0.5
        car(b, rng, float(u if flip else lane), float(lane if flip else u), 0.0 if flip else np.pi / 2)
    return Layout((-15, -11.2, 15, 11.2), "day", [], around(12.5, rng), floor=color)


def market(b: Builder, rng: Rng) -> Layout:
    """Rows of stalls with coloured roofs and crates."""
    paving, color = ground_material(b, rng, str(rng.choice(["slabs", "asphalt", "tiles"])))
    b.ground(paving)
    lane = rng.uniform(2.6, 4.0)
    metal = b.paint(t.PLAIN, (0.4, 0.4, 0.42))
    for sign in (-1, 1):
        for x in np.arange(-24, 25, 4.2):
            y = sign * (lane + 1.2)
            roof = b.paint(t.PANELS, any_color(rng), any_color(rng), size=(0.6, 9))
            b.box((float(x), y, 2.5), (1.9, 1.3, 0.08), roof, taper=0.8)
            goods = b.paint(t.LEAVES, any_color(rng), any_color(rng), seed=int(rng.integers(99)))
            b.box(
                (float(x), y, 0.45),
                (1.7, 0.7, 0.45),
                b.paint(t.PLANKS, (0.5, 0.4, 0.3), (0.35, 0.28, 0.2), size=(0.15, 1)),
                top=goods,
                solid=True,
            )
            for u in (-1.8, 1.8):
                b.tube((float(x) + u, y - sign * 1.1, 0), 0.03, 2.5, metal, sides=6)
    for k in range(6):
        building(b, rng, -40 + 16.0 * k, 22, (8, 6), rng.uniform(8, 16), shops=True)
        building(b, rng, -40 + 16.0 * k, -22, (8, 6), rng.uniform(8, 16), shops=True)
    scatter(b, rng, (-14, -lane + 0.3, 14, lane - 0.3), ("bin", "board", "cone"), 2)
    return Layout((-22, -lane + 0.2, 22, lane - 0.2), "day", [], along(14, lane * 0.8, rng), floor=color)


KINDS: tuple[Callable[[Builder, Rng], Layout], ...] = (
    street, campus, plaza, hall, park, night_street, parking, underpass, winter, crossing, market,
)  # fmt: skip
