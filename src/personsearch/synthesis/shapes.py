"""Simple solids with surface coordinates in metres, collected into one static mesh with materials."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personsearch.synthesis import textures as t

Floats = NDArray[Any]
Color = tuple[float, float, float]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class StaticMesh:
    """points, normals, uv [V, 3] (uv in metres, third column unused), faces [F, 3], material [F], materials [M, 16]."""

    points: Floats
    normals: Floats
    uv: Floats
    faces: NDArray[np.int32]
    material: NDArray[np.int32]
    materials: Floats


@dataclass
class Builder:
    """Collects solids. `blocks` are the rectangles (x, y, half x, half y, yaw) on which nobody can stand."""

    points: list[Floats] = field(default_factory=list)
    normals: list[Floats] = field(default_factory=list)
    uv: list[Floats] = field(default_factory=list)
    faces: list[NDArray[np.int64]] = field(default_factory=list)
    material: list[NDArray[np.int64]] = field(default_factory=list)
    materials: list[list[float]] = field(default_factory=list)
    blocks: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    crowns: list[tuple[float, float, float]] = field(default_factory=list)
    """x, y and radius of the trees, where no camera hangs."""
    count: int = 0

    def paint(
        self,
        kind: int,
        c1: Color,
        c2: Color | None = None,
        c3: Color | None = None,
        size: tuple[float, float] = (1.0, 1.0),
        seed: int = 0,
        gloss: float = 0.0,
        glow: float = 0.0,
    ) -> int:
        """A new material; colours are sRGB in [0, 1]. Returns its number."""
        colors = [float(v) ** 2.2 for c in (c1, c2 or c1, c3 or c2 or c1) for v in c]
        self.materials.append([kind, *colors, *size, seed, gloss, glow, 0.0])
        return len(self.materials) - 1

    def add(self, points: Floats, normals: Floats, uv: Floats, faces: NDArray[np.int64], material: int) -> None:
        self.points.append(np.asarray(points, np.float32))
        self.normals.append(np.asarray(normals, np.float32))
        full = np.zeros((len(points), 3), np.float32)
        full[:, :2] = uv
        self.uv.append(full)
        self.faces.append(np.asarray(faces, np.int64) + self.count)
        self.material.append(np.full(len(faces), material))
        self.count += len(points)

    def quad(self, corner: Point, along: Point, up: Point, material: int) -> None:
        """A parallelogram; u runs with `along` and v with `up`, both from the corner."""
        o, a, b = (np.asarray(v, np.float64) for v in (corner, along, up))
        la, lb = float(np.linalg.norm(a)), float(np.linalg.norm(b))
        normal = np.cross(a, b) / (la * lb)
        uv = np.array([[0, 0], [la, 0], [la, lb], [0, lb]])
        self.add(
            np.stack([o, o + a, o + a + b, o + b]),
            np.tile(normal, (4, 1)),
            uv,
            np.array([[0, 1, 2], [0, 2, 3]]),
            material,
        )

    def ground(self, material: int, half: float = 120.0, z: float = 0.0) -> None:
        self.quad((-half, -half, z), (2 * half, 0, 0), (0, 2 * half, 0), material)

    def patch(self, x1: float, y1: float, x2: float, y2: float, material: int, z: float = 0.004) -> None:
        """A flat rectangle lying on the ground."""
        self.quad((x1, y1, z), (x2 - x1, 0, 0), (0, y2 - y1, 0), material)

    def box(
        self,
        center: Point,
        half: Point,
        material: int,
        yaw: float = 0.0,
        solid: bool = False,
        top: int | None = None,
        taper: float = 1.0,
        narrow: float | None = None,
    ) -> None:
        """A box turned by yaw (radians) about z; the top is scaled by `taper` along x, by `narrow` along y. solid:
        nobody can stand there."""
        cx, cy, cz = center
        hx, hy, hz = half
        c, s = np.cos(yaw), np.sin(yaw)

        def at(x: float, y: float, z: float) -> Floats:
            if z > 0:
                x, y = x * taper, y * (taper if narrow is None else narrow)
            x, y = x * hx, y * hy
            return np.array([cx + c * x - s * y, cy + s * x + c * y, cz + z * hz], np.float32)

        around = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
        for k in range(4):
            (x1, y1), (x2, y2) = around[k], around[(k + 1) % 4]
            o = at(x1, y1, -1)
            self.face([o, at(x2, y2, -1), at(x2, y2, 1), at(x1, y1, 1)], material)
        lid = [at(x, y, 1) for x, y in around]
        self.face(lid, material if top is None else top)
        if cz - hz > 0.05:
            self.face([at(x, y, -1) for x, y in reversed(around)], material)
        if solid:
            self.blocks.append((cx, cy, hx, hy, yaw))

    def face(self, corners: list[Floats], material: int) -> None:
        """Four corners in order; u along the first side, v from the first corner to the last."""
        p = np.stack(corners).astype(np.float64)
        a, b = p[1] - p[0], p[3] - p[0]
        normal = np.cross(a, b)
        normal /= np.linalg.norm(normal) + 1e-9
        la, lb = float(np.linalg.norm(a)), float(np.linalg.norm(b))
        uv = np.array([[0, 0], [la, 0], [la, lb], [0, lb]])
        self.add(p, np.tile(normal, (4, 1)), uv, np.array([[0, 1, 2], [0, 2, 3]]), material)

    def tube(
        self,
        base: Point,
        radius: float,
        height: float,
        material: int,
        top_radius: float | None = None,
        sides: int = 12,
        solid: bool = False,
        tip: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """An upright cylinder or cone with a lid; `tip` shifts its top sideways."""
        r2 = radius if top_radius is None else top_radius
        a = np.linspace(0, 2 * np.pi, sides + 1)
        ring = np.stack([np.cos(a), np.sin(a)], 1)
        low = np.concatenate([ring * radius + base[:2], np.full((sides + 1, 1), base[2])], 1)
        high = np.concatenate([ring * r2 + base[:2] + np.asarray(tip), np.full((sides + 1, 1), base[2] + height)], 1)
        normals = np.concatenate([ring, np.zeros((sides + 1, 1))], 1)
        around = a * max(radius, r2)
        uv = np.concatenate([np.stack([around, 0 * a], 1), np.stack([around, 0 * a + height], 1)])
        i = np.arange(sides)
        faces = np.concatenate(
            [np.stack([i, i + 1, i + sides + 1], 1), np.stack([i + 1, i + sides + 2, i + sides + 1], 1)]
        )
        self.add(np.concatenate([low, high]), np.concatenate([normals, normals]), uv, faces, material)
        if r2 > 0.01:
            middle = np.array([[base[0] + tip[0], base[1] + tip[1], base[2] + height]])
            lid = np.concatenate([high, middle])
            fan = np.stack([i, i + 1, np.full(sides, sides + 1)], 1)
            self.add(lid, np.tile([0, 0, 1.0], (len(lid), 1)), lid[:, :2] - base[:2], fan, material)
        if solid:
            self.blocks.append((base[0], base[1], radius, radius, 0.0))

    def blob(
        self, center: Point, size: Point, material: int, rng: np.random.Generator, rough: float = 0.25, rings: int = 9
    ) -> None:
        """A dented ellipsoid: crowns of trees, bushes, stones."""
        theta = np.linspace(0.02, np.pi - 0.02, rings)
        phi = np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
        st, ct = np.sin(theta)[:, None], np.cos(theta)[:, None]
        unit = np.stack([st * np.cos(phi), st * np.sin(phi), ct + 0 * phi], 2)
        r = 1 + rough * (rng.random((rings, 2 * rings)) - 0.6)
        points = unit * r[..., None] * np.asarray(size) + np.asarray(center)
        i, j = np.meshgrid(np.arange(rings - 1), np.arange(2 * rings), indexing="ij")
        n = 2 * rings
        a, b = (i * n + j).ravel(), (i * n + (j + 1) % n).ravel()
        faces = np.concatenate([np.stack([a, a + n, b], 1), np.stack([b, a + n, b + n], 1)])
        wide = max(size)
        uv = np.stack([np.broadcast_to(phi * wide, (rings, n)), np.broadcast_to(theta[:, None] * wide, (rings, n))], 2)
        jitter = unit + rough * (rng.random(unit.shape) - 0.5)
        jitter /= np.linalg.norm(jitter, axis=2, keepdims=True)
        self.add(points.reshape(-1, 3), jitter.reshape(-1, 3), uv.reshape(-1, 2), faces, material)

    def finish(self) -> StaticMesh:
        return StaticMesh(
            points=np.concatenate(self.points).astype(np.float32),
            normals=np.concatenate(self.normals).astype(np.float32),
            uv=np.concatenate(self.uv).astype(np.float32),
            faces=np.concatenate(self.faces).astype(np.int32),
            material=np.concatenate(self.material).astype(np.int32),
            materials=np.asarray(self.materials, np.float32),
        )


def shade(rng: np.random.Generator, color: Color, spread: float = 0.04) -> Color:
    """The colour, slightly off and slightly lighter or darker."""
    v = np.clip(np.asarray(color) * rng.uniform(0.8, 1.15) + rng.normal(0, spread * 0.3, 3), 0.02, 0.97)
    return float(v[0]), float(v[1]), float(v[2])


def any_color(rng: np.random.Generator) -> Color:
    """A paint of any hue, mostly not saturated."""
    grey = rng.uniform(0.1, 0.9)
    v = np.clip(grey + rng.normal(0, rng.choice([0.02, 0.07, 0.2], p=[0.4, 0.4, 0.2]), 3), 0.03, 0.92)
    return float(v[0]), float(v[1]), float(v[2])


CAR_PAINTS: tuple[Color, ...] = (
    (0.92, 0.92, 0.92), (0.75, 0.76, 0.78), (0.45, 0.46, 0.48), (0.12, 0.12, 0.13), (0.1, 0.14, 0.3), (0.5, 0.08, 0.09),
    (0.2, 0.3, 0.4), (0.55, 0.6, 0.62),
)  # fmt: skip


def car(b: Builder, rng: np.random.Generator, x: float, y: float, yaw: float) -> None:
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


def tree(b: Builder, rng: np.random.Generator, x: float, y: float, bare: bool = False) -> None:
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


def furniture(b: Builder, rng: np.random.Generator, kind: str, x: float, y: float, yaw: float = 0.0) -> None:
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
        stone = b.paint(t.PLAIN, shade(rng, (0.55, 0.53, 0.5)), seed=int(rng.integers(99)))
        half = rng.uniform(0.4, 0.9)
        b.box((x, y, 0.26), (half, 0.4, 0.26), stone, yaw, solid=True)
        leaves = b.paint(
            t.LEAVES, shade(rng, (0.14, 0.24, 0.08)), shade(rng, (0.3, 0.42, 0.16)), seed=int(rng.integers(99))
        )
        for u in (-0.5, 0.1, 0.6):
            b.blob((x + u * half * c, y + u * half * s, 0.7), (0.35, 0.33, rng.uniform(0.3, 0.6)), leaves, rng, 0.5, 7)
    elif kind == "cone":
        orange = b.paint(t.PLAIN, (0.85, 0.3, 0.1))
        b.tube((x, y, 0.0), 0.17, 0.6, orange, 0.03, sides=10, solid=True)
        b.tube((x, y, 0.26), 0.115, 0.13, b.paint(t.PLAIN, (0.9, 0.9, 0.9)), 0.09, sides=10)
    elif kind == "railing":
        long = rng.uniform(1.2, 3.0)
        for z in (0.35, 1.0):
            b.box((x, y, z), (long, 0.025, 0.025), metal, yaw)
        for u in np.arange(-long, long + 0.01, rng.choice([0.14, 0.3, 1.2])):
            b.box((x + u * c, y + u * s, 0.5), (0.015, 0.015, 0.5), metal, yaw)
        b.blocks.append((x, y, long, 0.05, yaw))
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
