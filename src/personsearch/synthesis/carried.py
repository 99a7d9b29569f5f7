"""Things that people carry in one picture and not in the next: umbrellas, trolleys, strollers.

They are meshes of their own beside the people: they hide and shade, and boxes of people do not count them.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personsearch.synthesis import figures as f
from personsearch.synthesis.bodies import Posed
from personsearch.synthesis.garments import Piece, lump, merge, sheet
from personsearch.synthesis.outfits import Identity

Floats = NDArray[Any]
Rng = np.random.Generator
THINGS = ("umbrella", "trolley", "stroller")
FAINT = 0.03


def draw_things(rng: Rng, people: int) -> list[str]:
    """What each person carries in this picture; where it rains, many have umbrellas."""
    rain, journey = rng.random() < 0.1, rng.random() < 0.15
    shares = {"umbrella": 0.45 if rain else FAINT, "trolley": 0.25 if journey else FAINT, "stroller": FAINT}
    chances = [1 - sum(shares.values()), *shares.values()]
    return [str(thing) for thing in rng.choice(["none", *THINGS], people, p=chances)]


def _at(point: Floats) -> Floats:
    motion = np.eye(4, dtype=np.float32)
    motion[:3, 3] = point
    return motion


def _by(point: Floats, x: float, y: float, z: float) -> Floats:
    return np.asarray(point + np.array([x, y, z]))


def _rod(start: Floats, end: Floats, radius: float, part: int) -> Piece:
    """A tube between two points."""
    along = (end - start) / np.linalg.norm(end - start)
    side = np.cross(along, [0.3, 0.9, 0.1])
    side /= np.linalg.norm(side)
    angles = np.linspace(0, 2 * np.pi, 6, endpoint=False)[:, None]
    ring = radius * (np.cos(angles) * side + np.sin(angles) * np.cross(along, side))
    rows = np.stack([start + ring, end + ring])
    return sheet(rows, rows * 0, part, closed=True)


def _box(center: Floats, size: tuple[float, float, float], part: int, power: float = 0.2) -> Piece:
    return lump(np.zeros(3, np.float32), size, part, _at(center), power)


def umbrella(hand: Floats, rng: Rng) -> Piece:
    """Open over the hand: a stick and a canopy of eight ribs, a little aslant."""
    radius, depth, reach = rng.uniform(0.42, 0.6), rng.uniform(0.16, 0.26), rng.uniform(0.5, 0.62)
    slant = np.array([rng.normal(0, 0.1), rng.normal(-0.05, 0.1)])
    top = hand + np.array([*(slant * reach), reach])
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    rounds = np.linspace(0.02, 1.0, 7)
    scallop = 1 - 0.07 * np.abs(np.sin(angles * 4))
    ring = np.stack([np.cos(angles) * scallop, np.sin(angles) * scallop], 1)
    rows = np.zeros((7, 32, 3))
    rows[..., :2] = top[:2] + rounds[:, None, None] * radius * ring
    rows[..., 2] = top[2] - depth * (rounds**2)[:, None] - (rows[..., :2] - top[:2]) @ slant
    canopy = sheet(rows, rows - top, f.HAT, closed=True)
    return merge([canopy, _rod(_by(hand, 0, 0, -0.12), top, 0.009, f.STRAP)])


def trolley(hand: Floats, rng: Rng) -> Piece:
    """A suitcase on wheels, pulled behind."""
    x, y, z = rng.uniform(0.16, 0.23), rng.uniform(0.1, 0.15), rng.uniform(0.24, 0.36)
    middle = np.array([hand[0] - 0.08, hand[1] + 0.3, z + 0.05])
    case = _box(middle, (x, y, z), f.BAG)
    rods = [_rod(_by(middle, u, 0, z), _by(hand, u * 0.7, 0, 0), 0.008, f.STRAP) for u in (-0.07, 0.07)]
    return merge([case, *rods])


def stroller(left: Floats, right: Floats, rng: Rng) -> Piece:
    """Pushed ahead: a seat under a hood, four legs with wheels, a handle."""
    middle = 0.5 * (left + right)
    seat = np.array([middle[0], middle[1] - rng.uniform(0.5, 0.6), 0.55])
    parts = [_box(seat, (0.22, 0.34, 0.16), f.BAG, 0.35), _box(_by(seat, 0, 0.14, 0.26), (0.23, 0.22, 0.2), f.HAT, 0.8)]
    for u in (-0.24, 0.24):
        for v in (-0.32, 0.32):
            wheel = _by(seat, u, v, -0.45)
            parts.append(lump(np.zeros(3, np.float32), (0.025, 0.1, 0.1), f.STRAP, _at(wheel), 1.0))
            parts.append(_rod(wheel, _by(seat, u * 0.8, -v * 0.4, 0), 0.012, f.STRAP))
        parts.append(_rod(_by(seat, u * 0.8, 0.1, 0), _by(middle, u * 0.8, 0, 0), 0.012, f.STRAP))
    parts.append(_rod(_by(middle, -0.2, 0, 0), _by(middle, 0.2, 0, 0), 0.016, f.STRAP))
    return merge(parts)


def carry(thing: str, body: Posed, rng: Rng) -> Piece:
    """The mesh of one of THINGS in the hands of a body that faces -y, soles at z = 0."""
    left, right = (body.joints[body.template.bones[f"finger3-1.{side}"]].astype(np.float64) for side in "LR")
    if thing == "umbrella":
        return umbrella(right, rng)
    if thing == "trolley":
        return trolley(right, rng)
    return stroller(left, right, rng)


def painted(person: Identity, rng: Rng) -> Identity:
    """Whose row of colours a thing has: it follows nobody's clothes."""
    row = person.outfit.row.copy()
    dark = np.clip(rng.normal(0.06, 0.04) + rng.normal(0, 0.01, 3), 0.01, 0.2)
    vivid = np.clip(rng.uniform(0.03, 0.6, 3), 0.01, 0.8)
    main = dark if rng.random() < 0.6 else vivid
    row[f.HAT_COLOR : f.HAT_COLOR + 3] = row[f.BAG_COLOR : f.BAG_COLOR + 3] = main
    row[f.BAG_B : f.BAG_B + 3] = dark
    return dataclasses.replace(person, outfit=dataclasses.replace(person.outfit, row=row))
