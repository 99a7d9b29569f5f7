"""From a posed body to a person in a wardrobe's clothes, as one mesh."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personsearch.synthesis import cloths as c
from personsearch.synthesis import figures as f
from personsearch.synthesis.attire import HAIR, Dressed, Layer
from personsearch.synthesis.fitting import (
    SKIN_END,
    Wearer,
    carry,
    covered,
    fit,
    inside,
    load_base,
    mesh_normals,
)
from personsearch.synthesis.garments import Piece, added_pieces, bag_pieces, dressed_body, head_pieces, merge, smooth
from personsearch.synthesis.wardrobe import Garment, Wardrobe

Floats = NDArray[Any]
Bools = NDArray[np.bool_]
PUSH = 0.009
"""Metres by which what is covered gives way, for each thing over it."""


def wear(wearer: Wearer, person: Dressed, wardrobe: Wardrobe) -> Piece:
    """The whole person as one mesh, facing -y, the lowest point at z = 0."""
    body, attire = wearer.body, person.attire
    layers = sorted(attire.layers, key=lambda x: x.place)
    clothes = [x for x in layers if x.place != HAIR]
    pieces = [worn(wearer, wardrobe, x, [y for y in clothes if y.place > x.place], k) for k, x in enumerate(layers)]
    pieces.append(skin(wearer, person, wardrobe, clothes))
    if attire.painted:
        pieces += added_pieces(body, person)
    else:
        pieces += [*head_pieces(body, person), *bag_pieces(body, person)]
    whole = merge(pieces)
    low = whole.points[np.unique(whole.faces), 2].min()
    return dataclasses.replace(whole, points=whole.points - np.array([0, 0, low], np.float32))


def left_over(row: Floats, rest: Floats, arm: Floats) -> Bools:
    """Which points [V] a garment leaves bare because it was cut shorter or stands open; see cloths.passes."""
    along = (np.abs(rest[:, 0]) - 0.162) / 0.284
    ended = np.where(arm > 0.5, along > row[c.SLEEVE_END] - 0.06, rest[:, 2] < row[c.HEM_END] + 0.02)
    width = row[c.OPEN] * (0.7 + 0.9 * np.clip(rest[:, 2] - 0.1, 0, 1))
    front = (row[c.OPEN] > 0) & (rest[:, 1] < 0.0) & (arm < 0.5) & (np.abs(rest[:, 0]) < width + 0.02)
    return np.asarray(ended | front)


@functools.lru_cache(maxsize=4096)
def under(inner: Garment | None, outer: Garment) -> Bools:
    """Which vertices of a garment (of the skin, for None) are under another, found on the average body."""
    if inner is None:
        base = load_base()
        return covered(base.template.rest[:SKIN_END], base.normals, outer.rest, outer.faces, 0.015, 0.07)
    return covered(inner.rest, inner.normals, outer.rest, outer.faces, 0.03, 0.06)


def times_covered(
    inner: Garment | None, rest: Floats, arm: Floats, outer: list[Layer], wardrobe: Wardrobe
) -> NDArray[np.int64]:
    """How many of the layers lie over each point [V]."""
    count = np.zeros(len(rest), np.int64)
    for layer in outer:
        count += under(inner, wardrobe.garments[layer.garment]) & ~left_over(layer.row, rest, arm)
    return count


def worn(wearer: Wearer, wardrobe: Wardrobe, layer: Layer, outer: list[Layer], number: int) -> Piece:
    """A garment on a body. What lies deep under others is left out, what lies at their edges gives way."""
    garment = wardrobe.garments[layer.garment]
    if layer.place < HAIR:
        outer = [x for x in outer if x.place < HAIR]
    count = times_covered(garment, garment.rest, garment.arm, outer, wardrobe)
    rest = fit(garment.binding, wearer.base_rest)
    rest = rest + garment.normals * (layer.ease - PUSH * count)[:, None].astype(np.float32)
    kept = ~inside(garment.faces, count > 0)
    points = carry(rest, garment.weights, wearer.body.motion)
    return Piece(
        points,
        mesh_normals(points, garment.faces),
        garment.rest,
        garment.arm,
        faces=garment.faces[kept].astype(np.int32),
        part=np.full(int(kept.sum()), c.WORN + 2 + number, np.int32),
        uv=garment.uv[kept],
        layer=np.zeros(int(kept.sum()), np.int32),
        rows=layer.row[None],
    )


def skin(wearer: Wearer, person: Dressed, wardrobe: Wardrobe, clothes: list[Layer]) -> Piece:
    """Skin and eyes. Skin deep under clothes is left out, and near their edges it gives way."""
    body, attire, base = wearer.body, person.attire, load_base()
    template = body.template
    count = times_covered(None, template.rest[:SKIN_END], template.arm[:SKIN_END], clothes, wardrobe)
    if attire.painted:
        piece = dressed_body(body, person)
        points = piece.points
    else:
        points = body.vertices.copy()
        if person.outfit.row[f.HAIRLINE] > 1.5 and person.hair != "bald":
            line = 0.712 - 0.35 * (template.rest[:, 1] + 0.05)
            points += body.normals * (0.018 * smooth(template.rest[:, 2], line - 0.006, line + 0.012))[:, None]
    points[:SKIN_END] -= body.normals[:SKIN_END] * (PUSH * count)[:, None].astype(np.float32)
    kept = ~inside(base.skin, count > 0)
    faces = np.concatenate([base.skin[kept], base.eyes]).astype(np.int32)
    seen, eyes = int(kept.sum()), len(base.eyes)
    part = np.concatenate([np.full(seen, f.BODY if attire.painted else c.WORN), np.full(eyes, c.WORN + 1)])
    return Piece(
        points.astype(np.float32),
        body.normals,
        template.rest,
        template.arm,
        faces,
        part.astype(np.int32),
        uv=np.concatenate([base.skin_uv[kept], np.zeros((eyes, 3, 2), np.float32)]),
        layer=np.concatenate([np.zeros(seen), np.ones(eyes)]).astype(np.int32),
        rows=np.stack([attire.skin, attire.eyes]),
    )
