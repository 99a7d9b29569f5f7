"""What many kinds of places share: grounds, houses, cars, trees and street furniture."""

from __future__ import annotations

import numpy as np

from personsearch.synthesis import textures as t
from personsearch.synthesis.shapes import Area, Builder, Color, Point

Rng = np.random.Generator


def shade(rng: Rng, color: Color, spread: float = 0.04) -> Color:
    """The colour, slightly off and slightly lighter or darker."""
    v = np.clip(np.asarray(color) * rng.uniform(0.8, 1.15) + rng.normal(0, spread * 0.3, 3), 0.02, 0.97)
    return float(v[0]), float(v[1]), float(v[2])


def any_color(rng: Rng) -> Color:
    """A paint of any hue, mostly not saturated."""
    grey = rng.uniform(0.1, 0.9)
    v = np.clip(grey + rng.normal(0, rng.choice([0.02, 0.07, 0.2], p=[0.4, 0.4, 0.2]), 3), 0.03, 0.92)
    return float(v[0]), float(v[1]), float(v[2])


CAR_PAINTS: tuple[Color, ...] = (
    (0.92, 0.92, 0.92), (0.75, 0.76, 0.78), (0.45, 0.46, 0.48), (0.12, 0.12, 0.13), (0.1, 0.14, 0.3), (0.5, 0.08, 0.09),
    (0.2, 0.3, 0.4), (0.55, 0.6, 0.62),
)  # fmt: skip


def car(b: Builder, rng: Rng, x: float, y: float, yaw: float) -> None:
    """A parked car or van."""
    paint = b.paint(t.PLAIN, shade(rng, CAR_PAINTS[rng.integers(len(CAR_PAINTS))]), gloss=0.35)
    glass = b.paint(t.GLASS, (0.07, 0.075, 0.08), (0.16, 0.17, 0.19), size=(1, 1), gloss=0.3)
    black = b.paint(t.PLAIN, (0.05, 0.05, 0.05))
    lamp = b.paint(t.PLAIN, (0.85, 0.83, 0.8) if rng.random() < 0.5 else (0.6, 0.08, 0.06), gloss=0.3)
    van = rng.random() < 0.25
    long, wide = (2.4, 0.95) if van else (rng.uniform(1.95, 2.25), rng.uniform(0.84, 0.9))
    c, s = np.cos(yaw), np.sin(yaw)

    def at(u: float, v: float, z: float) -> Point:
        return (x + c * u - s * v, y + s * u + c * v, z)

    b.box(at(0, 0, 0.58), (long, wide, 0.33), paint, yaw, solid=True, taper=0.96)
    cabin = (long * 0.9, wide * 0.95, 0.55) if van else (long * 0.55, wide * 0.9, 0.32)
    back = -0.1 if van else -0.15 * long
    b.box(at(back, 0, 0.9 + cabin[2]), cabin, glass, yaw, top=paint, taper=0.93 if van else 0.68, narrow=0.86)
    if van:
        b.box(at(back - 0.45, 0, 0.92 + cabin[2]), (cabin[0] * 0.74, wide * 0.965, cabin[2]), paint, yaw, taper=0.94)
    for u in (-0.62, 0.62):
        for v in (-0.9, 0.9):
            b.box(at(u * long, v * wide, 0.32), (0.32, 0.12, 0.32), black, yaw, taper=0.6, narrow=1.0)
    for v in (-0.7, 0.7):
        b.box(at(long * 0.985, v * wide, 0.68), (0.03, 0.16, 0.07), lamp, yaw)
    b.box(at(long * 0.99, 0, 0.45), (0.03, 0.26, 0.06), b.paint(t.PLAIN, (0.85, 0.85, 0.8)), yaw)


def tree(b: Builder, rng: Rng, x: float, y: float, bare: bool = False) -> None:
    """A trunk with a crown of leaves, or bare branches."""
    height = rng.uniform(2.4, 4.0)
    bark = b.paint(t.PLANKS, (0.3, 0.25, 0.2), (0.2, 0.16, 0.13), size=(0.08, 1), seed=int(rng.integers(99)))
    b.tube((x, y, 0), rng.uniform(0.11, 0.24), height, bark, 0.09, sides=8, solid=True)
    if bare:
        for _ in range(9):
            tip = rng.normal(0, 1.1, 2)
            b.tube(
                (x, y, height * rng.uniform(0.6, 0.95)),
                0.05,
                rng.uniform(1.2, 2.6),
                bark,
                0.01,
                5,
                tip=(tip[0], tip[1]),
            )
        return
    green = [(0.16, 0.26, 0.1), (0.2, 0.3, 0.08), (0.12, 0.22, 0.12), (0.45, 0.36, 0.1)][
        int(rng.choice(4, p=[0.35, 0.3, 0.25, 0.1]))
    ]
    leaves = b.paint(
        t.LEAVES,
        shade(rng, green),
        shade(rng, (green[0] * 1.7, green[1] * 1.7, green[2] * 1.7)),
        seed=int(rng.integers(99)),
    )
    wide = rng.uniform(1.1, 1.9)
    b.crowns.append((x, y, 1.8 * wide))
    for _ in range(int(rng.integers(5, 9))):
        o = np.clip(rng.normal(0, 0.5, 3), -0.8, 0.8) * wide
        r = wide * rng.uniform(0.45, 0.8)
        b.blob((x + o[0], y + o[1], height + wide * 0.6 + 0.6 * o[2]), (r, r, r * 0.8), leaves, rng, 0.5, 8)


def planter(b: Builder, rng: Rng, x: float, y: float, yaw: float) -> None:
    """A stone box with bushes."""
    c, s = np.cos(yaw), np.sin(yaw)
    stone = b.paint(t.PLAIN, shade(rng, (0.55, 0.53, 0.5)), seed=int(rng.integers(99)))
    half = rng.uniform(0.4, 0.9)
    b.box((x, y, 0.26), (half, 0.4, 0.26), stone, yaw, solid=True)
    leaves = b.paint(
        t.LEAVES, shade(rng, (0.14, 0.24, 0.08)), shade(rng, (0.3, 0.42, 0.16)), seed=int(rng.integers(99))
    )
    for u in (-0.5, 0.1, 0.6):
        b.blob((x + u * half * c, y + u * half * s, 0.7), (0.35, 0.33, rng.uniform(0.3, 0.6)), leaves, rng, 0.5, 7)


def railing(b: Builder, rng: Rng, x: float, y: float, yaw: float, metal: int) -> None:
    """A fence of bars, wide or narrow apart."""
    c, s = np.cos(yaw), np.sin(yaw)
    long = rng.uniform(1.2, 3.0)
    for z in (0.35, 1.0):
        b.box((x, y, z), (long, 0.025, 0.025), metal, yaw)
    for u in np.arange(-long, long + 0.01, rng.choice([0.14, 0.3, 1.2])):
        b.box((x + u * c, y + u * s, 0.5), (0.015, 0.015, 0.5), metal, yaw)
    b.blocks.append((x, y, long, 0.05, yaw))


def furniture(b: Builder, rng: Rng, kind: str, x: float, y: float, yaw: float = 0.0) -> None:
    """One thing that stands in the way: pole, lamp, bench, bin, planter, cone, board or bush."""
    metal = b.paint(
        t.PLAIN, shade(rng, [(0.25, 0.27, 0.28), (0.5, 0.52, 0.52), (0.12, 0.2, 0.16)][rng.integers(3)]), gloss=0.2
    )
    c, s = np.cos(yaw), np.sin(yaw)
    if kind == "pole":
        b.tube((x, y, 0), rng.uniform(0.04, 0.08), rng.uniform(2.4, 3.4), metal, sides=8, solid=True)
        plate = b.paint(t.SIGN, any_color(rng), any_color(rng), (0.95, 0.95, 0.95), (0.6, 0.6), int(rng.integers(999)))
        b.box((x, y, rng.uniform(2.0, 2.7)), (0.3, 0.02, 0.3), plate, yaw)
    elif kind == "lamp":
        b.tube((x, y, 0), 0.09, 4.6, metal, 0.05, sides=8, solid=True)
        b.box((x + 0.4 * c, y + 0.4 * s, 4.6), (0.5, 0.1, 0.06), metal, yaw)
    elif kind == "bench":
        wood = b.paint(t.PLANKS, shade(rng, (0.5, 0.36, 0.22)), (0.35, 0.25, 0.16), (0.1, 0.08, 0.06), (0.1, 0.1))
        b.box((x, y, 0.44), (0.8, 0.22, 0.03), wood, yaw, solid=True)
        b.box((x - 0.22 * -s, y - 0.22 * c, 0.72), (0.8, 0.025, 0.18), wood, yaw)
        for u in (-0.65, 0.65):
            b.box((x + u * c, y + u * s, 0.21), (0.04, 0.2, 0.21), metal, yaw)
    elif kind == "bin":
        body = b.paint(t.PANELS, any_color(rng), (0.1, 0.1, 0.1), size=(0.08, 2), seed=3)
        b.tube((x, y, 0), 0.26, 0.85, body, 0.29, sides=12, solid=True)
    elif kind == "planter":
        planter(b, rng, x, y, yaw)
    elif kind == "cone":
        orange = b.paint(t.PLAIN, (0.85, 0.3, 0.1))
        b.tube((x, y, 0.0), 0.17, 0.6, orange, 0.03, sides=10, solid=True)
        b.tube((x, y, 0.26), 0.115, 0.13, b.paint(t.PLAIN, (0.9, 0.9, 0.9)), 0.09, sides=10)
    elif kind == "railing":
        railing(b, rng, x, y, yaw, metal)
    elif kind == "board":
        board = b.paint(t.SIGN, any_color(rng), any_color(rng), (0.95, 0.95, 0.9), (0.9, 1.5), int(rng.integers(999)))
        b.box((x, y, 0.85), (0.45, 0.04, 0.75), board, yaw, solid=True)
    else:
        leaves = b.paint(
            t.LEAVES, shade(rng, (0.12, 0.22, 0.08)), shade(rng, (0.28, 0.4, 0.16)), seed=int(rng.integers(99))
        )
        r = rng.uniform(0.4, 0.8)
        b.blob((x, y, r * 0.7), (r, r, r), leaves, rng, 0.5)
        b.blocks.append((x, y, r * 0.8, r * 0.8, 0.0))


GREYS: tuple[Color, ...] = (
    (0.45, 0.45, 0.46),
    (0.55, 0.54, 0.52),
    (0.36, 0.36, 0.37),
    (0.62, 0.6, 0.56),
    (0.5, 0.47, 0.45),
)
WALLS: tuple[Color, ...] = (
    (0.55, 0.33, 0.25), (0.66, 0.5, 0.38), (0.78, 0.72, 0.62), (0.6, 0.6, 0.6), (0.72, 0.62, 0.45), (0.42, 0.42, 0.45),
    (0.8, 0.78, 0.75), (0.62, 0.36, 0.3), (0.5, 0.55, 0.52),
)  # fmt: skip


def one(rng: Rng, colors: tuple[Color, ...]) -> Color:
    return shade(rng, colors[rng.integers(len(colors))])


def ground_material(b: Builder, rng: Rng, kind: str) -> tuple[int, Color]:
    """A ground by name; returns the material and its mean colour."""
    seed = int(rng.integers(9999))
    if kind == "asphalt":
        c = one(rng, ((0.36, 0.36, 0.37), (0.45, 0.45, 0.45), (0.3, 0.3, 0.32), (0.55, 0.54, 0.53)))
        return b.paint(t.ASPHALT, c, shade(rng, c), tuple(v * 0.6 for v in c), seed=seed), c  # type: ignore[arg-type]
    if kind == "grass":
        c = one(rng, ((0.25, 0.34, 0.13), (0.3, 0.37, 0.17), (0.22, 0.3, 0.12), (0.37, 0.38, 0.21)))
        return b.paint(t.GRASS, c, shade(rng, (c[0] * 1.3, c[1] * 1.3, c[2] * 1.3)), (0.4, 0.37, 0.25), seed=seed), c
    if kind in ("snow", "sand"):
        c = shade(rng, (0.82, 0.84, 0.88) if kind == "snow" else (0.72, 0.62, 0.46))
        return b.paint(t.POWDER, c, shade(rng, c), tuple(v * 0.6 for v in c), seed=seed), c  # type: ignore[arg-type]
    c = one(rng, GREYS)
    size = (rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.6))
    tone = rng.choice([0.6, 0.75, 1.2])
    joint: Color = (c[0] * tone, c[1] * tone, c[2] * tone)
    pattern = {"slabs": t.SLABS, "tiles": t.TILES, "checker": t.CHECKER}[kind]
    second = shade(rng, (c[0] * 0.78, c[1] * 0.78, c[2] * 0.78), 0.08)
    return b.paint(pattern, c, second, joint, size, seed, gloss=0.25 if kind == "checker" else 0.04), c


def building(
    b: Builder,
    rng: Rng,
    x: float,
    y: float,
    half: tuple[float, float],
    height: float,
    shops: bool = False,
    glow: float = 0.0,
) -> None:
    """A house with storeys of windows, optionally with shops at the ground."""
    wall, seed = one(rng, WALLS), int(rng.integers(9999))
    frame = shade(rng, [(0.85, 0.85, 0.83), (0.25, 0.22, 0.2), tuple(v * 0.7 for v in wall)][rng.integers(3)])  # type: ignore[arg-type]
    glass = shade(rng, (0.24, 0.28, 0.32))
    storey = rng.uniform(2.9, 3.6)
    size = (rng.uniform(1.4, 3.4), storey)
    if rng.random() < 0.25 and not shops:
        front = b.paint(t.BRICK, wall, shade(rng, wall, 0.1), (0.6, 0.57, 0.52), (0.22, 0.075), seed)
    else:
        front = b.paint(t.FACADE, wall, frame, glass, size, seed, glow=glow * 0.15)
    low = 3.5 if shops else 0.0
    b.box((x, y, low + (height - low) / 2), (*half, (height - low) / 2), front)
    if shops:
        shop = b.paint(t.SHOP, wall, any_color(rng), (0.18, 0.19, 0.2), (rng.uniform(2.5, 5.0), 3.5), seed, glow=glow)
        b.box((x, y, low / 2), (half[0], half[1], low / 2), shop)
        if rng.random() < 0.5:
            awning = b.paint(t.PANELS, any_color(rng), (0.9, 0.9, 0.88), size=(0.5, 9))
            side = -np.sign(y) if abs(y) > abs(x) * 0.3 else 0.0
            if side:
                b.box((x, y + side * (half[1] + 0.6), 2.75), (half[0] * 0.5, 0.6, 0.06), awning)
    b.blocks.append((x, y, half[0] + 0.2, half[1] + 0.2, 0.0))


def scatter(b: Builder, rng: Rng, area: Area, kinds: tuple[str, ...], count: int) -> None:
    """Puts furniture at random points of an area."""
    for _ in range(count):
        x, y = rng.uniform(area[0], area[2]), rng.uniform(area[1], area[3])
        furniture(b, rng, str(rng.choice(kinds)), x, y, rng.choice([0.0, np.pi / 2, rng.uniform(0, 3.1)]))


def skyline(b: Builder, rng: Rng) -> None:
    """Houses and trees far away on all sides, so that no place ends at a bare horizon."""
    green = shade(rng, (0.16, 0.24, 0.12))
    leaves = b.paint(t.LEAVES, green, shade(rng, tuple(v * 1.6 for v in green)), seed=int(rng.integers(99)))  # type: ignore[arg-type]
    share = rng.random()
    for angle in np.linspace(0, 2 * np.pi, 40, endpoint=False) + rng.normal(0, 0.05, 40):
        r = rng.uniform(62, 85)
        x, y = float(r * np.cos(angle)), float(r * np.sin(angle))
        if rng.random() < share:
            wide = rng.uniform(4, 7)
            b.blob((x, y, rng.uniform(0, 4)), (wide, wide, rng.uniform(3, 7)), leaves, rng, 0.4, 8)
        else:
            building(b, rng, x, y, (rng.uniform(4, 8), rng.uniform(4, 8)), rng.uniform(5, 22))
