"""From a posed body to a dressed person: cloth stands off the skin, and skirts, coats, hair and bags are added as
meshes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personsearch.synthesis import figures as f
from personsearch.synthesis.bodies import Posed
from personsearch.synthesis.outfits import Identity

Floats = NDArray[Any]
Ints = NDArray[np.int32]
REST_HIPS, WAIST, CHEST = 0.05, 0.13, 0.36  # rest heights, metres


@dataclass(frozen=True)
class Piece:
    """A mesh with clothes' coordinates. points, normals, rest [V, 3]; arm [V]; faces [F, 3]; part [F] of figures.py.

    What textures colour has, for each face, texture coordinates of its corners uv [F, 3, 2] and the row of `rows`
    [L, CLOTH_COLUMNS] in `layer` [F], -1 for none."""

    points: Floats
    normals: Floats
    rest: Floats
    arm: Floats
    faces: Ints
    part: Ints
    uv: Floats | None = None
    layer: Ints | None = None
    rows: Floats | None = None


def smooth(x: Floats, low: Any, high: Any) -> Floats:
    """0 at `low`, 1 at `high` (which may be the smaller), a smooth step between."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def hairline(y: Floats) -> Floats:
    """The same line as figures.hairline."""
    return np.interp(y, [-0.15, -0.07, 0.0, 0.001], [0.738, 0.695, 0.61, 0.6]).astype(np.float32)


def thickness(body: Posed, person: Identity) -> Floats:
    """How far each vertex stands off the skin, metres [V]."""
    rest, arm, outfit = body.template.rest, body.template.arm, person.outfit
    row, z = outfit.row, rest[:, 2]
    along = (np.abs(rest[:, 0]) - 0.162) / 0.284
    sleeve = arm * smooth(along, row[f.SLEEVE] + 0.03, row[f.SLEEVE] - 0.03)
    trunk = (
        (1 - arm)
        * smooth(z, row[f.HEM] - 0.01, row[f.HEM] + 0.02)
        * smooth(z, row[f.COLLAR] + 0.01, row[f.COLLAR] - 0.05)
    )
    leg = (1 - arm) * smooth(z, row[f.HEM] + 0.02, row[f.HEM]) * smooth(z, row[f.LEG_END] - 0.01, row[f.LEG_END] + 0.02)
    flare = outfit.flare * leg * smooth(z, -0.35, -0.75)
    shoe = 0.008 * smooth(z, row[f.SHOE_TOP] + 0.02, row[f.SHOE_TOP] - 0.01) * (1 - arm)
    hair = np.zeros_like(z)
    if row[f.HAIRLINE] > 0:
        volume = {"short": 0.016, "crop": 0.008, "beanie": 0.022, "cap": 0.016}.get(person.hair, 0.022)
        line = hairline(rest[:, 1])
        hair = volume * smooth(z, line - 0.008, line + 0.02) * (1 - arm)
    belly = 0.5 * outfit.top_thick * smooth(z, 0.35, 0.1) * trunk  # tops are wider below
    if outfit.loose or outfit.coat:  # a tube of cloth goes around: stay inside it
        belly = -outfit.top_thick * smooth(z, CHEST + 0.06, CHEST - 0.04) * trunk
    total = outfit.top_thick * (sleeve + trunk) + belly + outfit.bottom_thick * leg + flare + shoe + hair
    return np.asarray(total, np.float32)


def dressed_body(body: Posed, person: Identity) -> Piece:
    template = body.template
    points = body.vertices + body.normals * thickness(body, person)[:, None]
    faces = template.faces.astype(np.int32)
    return Piece(points, body.normals, template.rest, template.arm, faces, np.full(len(faces), f.BODY, np.int32))


def sheet(rows: Floats, rest: Floats, part: int, closed: bool) -> Piece:
    """A mesh through a grid of points [R, C, 3]; closed joins the last column to the first."""
    r, c = rows.shape[:2]
    wrap = c if closed else c - 1
    i, j = np.meshgrid(np.arange(r - 1), np.arange(wrap), indexing="ij")
    a, b = (i * c + j).ravel(), (i * c + (j + 1) % c).ravel()
    faces = np.concatenate([np.stack([a, b, a + c], 1), np.stack([b, b + c, a + c], 1)]).astype(np.int32)
    down = np.gradient(rows, axis=0)
    side = np.roll(rows, -1, 1) - np.roll(rows, 1, 1) if closed else np.gradient(rows, axis=1)
    normals = np.cross(side, down).reshape(-1, 3)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-9
    count = r * c
    return Piece(
        rows.reshape(-1, 3).astype(np.float32),
        normals.astype(np.float32),
        rest.reshape(-1, 3).astype(np.float32),
        np.zeros(count, np.float32),
        faces,
        np.full(len(faces), part, np.int32),
    )


def hanging_cloth(body: Posed, start: float, end: float, margin: float, part: int, flare: float) -> Piece:
    """Cloth that falls from rest height `start` to `end`: rings around the trunk and both legs, each nearly as wide as
    the one above or wider. `margin` metres off the body; `flare` is the growth from ring to ring."""
    template = body.template
    hips = body.joints[template.bones["root"]]
    points = body.vertices[(template.rest[:, 2] < start + 0.1) & (template.arm < 0.3)]
    angles = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    facing = body.motion[template.bones["root"], :3, :3] @ np.array([0, -1.0, 0])
    turn = np.arctan2(facing[0], -facing[1])
    directions = np.stack([np.sin(angles + turn), -np.cos(angles + turn)], 1)
    levels = max(6, round((start - end) / 0.075))
    fall = np.linspace(start, end, levels)
    rings, widest = [], np.zeros(len(angles))
    center = hips[:2].copy()
    for level, height in enumerate(fall - REST_HIPS + hips[2]):
        near = points[np.abs(points[:, 2] - height) < 0.05]
        if len(near) > 2:
            reach = ((near[:, :2] - center) @ directions.T).max(0)
            reach = 0.5 * reach + 0.25 * (np.roll(reach, 1) + np.roll(reach, -1))
            stand = margin * min(1.0, 0.35 + 0.3 * level)  # leaves the body without a step
            widest = np.maximum(widest * (0.975 + flare * (level > 0)), reach + stand)
        fold = 1 + 0.05 * np.sin(angles * 7 + level * 0.3) * level / levels
        ring = center + directions * (widest * fold)[:, None]
        rings.append(np.concatenate([ring, np.full((len(angles), 1), height)], 1))
    unturned = np.stack([np.sin(angles) * 0.16, -np.cos(angles) * 0.13], 1)
    shape = (levels, len(angles))
    rest = np.concatenate(
        [np.broadcast_to(unturned, (*shape, 2)), np.broadcast_to(fall[:, None, None], (*shape, 1))], 2
    )
    return sheet(np.array(rings), rest, part, closed=True)


def moved(points: Floats, motion: Floats) -> Floats:
    """Rest points [..., 3] carried by one bone."""
    return (points @ motion[:3, :3].T + motion[:3, 3]).astype(np.float32)


def curtain(body: Posed, person: Identity, part: int) -> Piece:
    """Hair or a scarf that hangs around the back of the head."""
    rest, bones = body.rest, body.template.bones
    canonical = body.template.rest
    head = rest[(canonical[:, 2] > 0.62) & (body.template.arm < 0.1)]
    top, middle = head[:, 2].max() + 0.012, 0.5 * (head[:, 1].min() + head[:, 1].max()) + 0.012
    width, depth = np.ptp(head[:, 0]) / 2 + 0.014, np.ptp(head[:, 1]) / 2 + 0.008
    span = 2.35 if part == f.HAT else 1.85
    angles = np.linspace(-span, span, 17)
    levels = np.linspace(0.02, person.hair_length, 9)
    tuck = np.interp(levels, [0.0, 0.05, 0.1, 0.18, 0.45], [0.55, 0.95, 1.03, 1.0, 0.9])
    back = np.interp(levels, [0.0, 0.15, 0.3, 0.5], [0.0, 0.0, 0.012, 0.05])
    grid = np.zeros((9, 17, 3))
    grid[..., 0] = np.sin(angles) * width * tuck[:, None]
    grid[..., 1] = middle + np.cos(angles) * depth * tuck[:, None] + back[:, None]
    grid[..., 2] = (top - levels)[:, None]
    carried = moved(grid.astype(np.float32), body.motion[bones["head"]])
    below = moved(grid.astype(np.float32), body.motion[bones["spine01"]])
    share = smooth(levels.astype(np.float32), 0.16, 0.34)[:, None, None]
    return sheet(carried * (1 - share) + below * share, grid, part, closed=False)


def lump(center: Floats, size: tuple[float, float, float], part: int, motion: Floats, power: float = 0.5) -> Piece:
    """A rounded box (power near 0) or ellipsoid (power 1) of half sizes `size` around a rest point, on a bone."""
    theta = np.linspace(1e-3, np.pi - 1e-3, 9)
    phi = np.linspace(0, 2 * np.pi, 16, endpoint=False)

    def bulge(x: Floats) -> Floats:
        return np.asarray(np.sign(x) * np.abs(x) ** power, np.float32)

    ring = np.stack([bulge(np.cos(phi)), bulge(np.sin(phi))], 1)
    local = np.concatenate(
        [
            bulge(np.sin(theta))[:, None, None] * ring[None],
            np.broadcast_to(bulge(np.cos(theta))[:, None, None], (9, 16, 1)),
        ],
        2,
    ) * np.asarray(size)
    points = moved((local + center).astype(np.float32), motion)
    piece = sheet(points, local, part, closed=True)
    middle = points.reshape(-1, 3).mean(0)
    outward = np.sign(((piece.points - middle) * piece.normals).sum(1, keepdims=True))
    return Piece(
        piece.points, (piece.normals * outward).astype(np.float32), piece.rest, piece.arm, piece.faces, piece.part
    )


def head_pieces(body: Posed, person: Identity) -> list[Piece]:
    """Hair that stands or hangs, brims and scarves."""
    rest, canonical, bones = body.rest, body.template.rest, body.template.bones
    head = rest[(canonical[:, 2] > 0.62) & (body.template.arm < 0.1)]
    motion = body.motion[bones["head"]]
    top, back, front = head[:, 2].max(), head[:, 1].max(), head[:, 1].min()
    if person.hair in ("bob", "long"):
        return [curtain(body, person, f.HAIR)]
    if person.hair == "scarf":
        return [curtain(body, person, f.HAT)]
    if person.hair == "tail":
        return [lump(np.array([0, back + 0.035, top - 0.13], np.float32), (0.03, 0.035, 0.11), f.HAIR, motion, 0.9)]
    if person.hair == "bun":
        return [lump(np.array([0, back + 0.012, top - 0.02], np.float32), (0.045, 0.045, 0.04), f.HAIR, motion, 1.0)]
    if person.hair == "cap":
        return [lump(np.array([0, front - 0.02, top - 0.035], np.float32), (0.07, 0.065, 0.008), f.HAT, motion, 0.8)]
    return []


def bag_pieces(body: Posed, person: Identity) -> list[Piece]:
    """What the person carries."""
    outfit, bones, canonical = person.outfit, body.template.bones, body.template.rest
    if outfit.bag == "none":
        return []
    x, y, z = outfit.bag_size
    trunk = body.rest[(body.template.arm < 0.2) & (np.abs(canonical[:, 2] - 0.33) < 0.1)]
    if outfit.bag == "backpack":
        center = np.array(
            [0, trunk[:, 1].max() + outfit.top_thick + y * 0.85, np.median(trunk[:, 2]) - 0.01], np.float32
        )
        return [lump(center, (x, y, z), f.BAG, body.motion[bones["spine02"]], 0.45)]
    if outfit.bag == "shoulder":
        hip = body.rest[(body.template.arm < 0.2) & (np.abs(canonical[:, 2] - 0.06) < 0.06)]
        place = np.array(
            [outfit.bag_side * -(np.abs(hip[:, 0]).max() + x + 0.02), 0.02, np.median(hip[:, 2])], np.float32
        )
        return [lump(place, (x, y, z), f.BAG, body.motion[bones["root"]], 0.4)]
    side = "L" if outfit.bag_side > 0 else "R"
    hand = body.joints[bones[f"finger3-1.{side}"]]
    upright = np.eye(4, dtype=np.float32)
    upright[:3, 3] = hand + np.array([0, 0, -z - 0.1])
    handle = np.eye(4, dtype=np.float32)
    handle[:3, 3] = hand + np.array([0, 0, -0.05])
    zero = np.zeros(3, np.float32)
    return [lump(zero, (x, y, z), f.BAG, upright, 0.35), lump(zero, (0.008, y * 0.5, 0.06), f.STRAP, handle, 0.9)]


def dress(body: Posed, person: Identity) -> Piece:
    """The whole person as one mesh, facing -y, soles at z = 0."""
    return merge([dressed_body(body, person), *added_pieces(body, person)])


def added_pieces(body: Posed, person: Identity) -> list[Piece]:
    """What formulas add to the body: hair, bags, skirts and coats."""
    outfit = person.outfit
    pieces = [*head_pieces(body, person), *bag_pieces(body, person)]
    if outfit.skirt:
        margin = outfit.bottom_thick + 0.008
        pieces.append(hanging_cloth(body, WAIST, WAIST - outfit.skirt, margin, f.SKIRT, 0.03 + outfit.flare * 2))
    if outfit.coat or outfit.loose:
        end = WAIST - outfit.coat if outfit.coat else float(outfit.row[f.HEM]) - 0.02
        pieces.append(hanging_cloth(body, CHEST, end, outfit.top_thick + 0.008, f.LONG_TOP, 0.022))
    return pieces


def merge(pieces: list[Piece]) -> Piece:
    """Several meshes as one."""
    starts = np.cumsum([0, *(len(p.points) for p in pieces[:-1])])
    points, normals, rest, arm = (
        np.concatenate([getattr(p, name) for p in pieces]) for name in ("points", "normals", "rest", "arm")
    )
    return Piece(
        points,
        normals,
        rest,
        arm,
        faces=np.concatenate([p.faces + s for p, s in zip(pieces, starts, strict=True)]).astype(np.int32),
        part=np.concatenate([p.part for p in pieces]),
        **merged_layers(pieces),
    )


def merged_layers(pieces: list[Piece]) -> dict[str, Any]:
    """uv, layer and rows of several meshes as one; nothing where none has any."""
    if all(p.rows is None for p in pieces):
        return {}
    uv, layer, rows, start = [], [], [], 0
    for p in pieces:
        count = len(p.faces)
        uv.append(np.zeros((count, 3, 2), np.float32) if p.uv is None else p.uv)
        layer.append(np.full(count, -1) if p.layer is None else np.where(p.layer < 0, -1, p.layer + start))
        if p.rows is not None:
            rows.append(p.rows)
            start += len(p.rows)
    return {"uv": np.concatenate(uv), "layer": np.concatenate(layer).astype(np.int32), "rows": np.concatenate(rows)}
