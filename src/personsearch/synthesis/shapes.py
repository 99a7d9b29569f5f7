"""Simple solids with surface coordinates in metres, collected into one static mesh with materials."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Color = tuple[float, float, float]
Point = tuple[float, float, float]
Area = tuple[float, float, float, float]  # x1, y1, x2, y2


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
