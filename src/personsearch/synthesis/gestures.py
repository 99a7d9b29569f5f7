"""Poses beyond a quiet walk: running, arms crossed, hands on hips, pointing, and arms that hold what is carried."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from personsearch.synthesis import bodies
from personsearch.synthesis.bodies import ELBOW, X, Y, Z, about

Floats = NDArray[Any]
Rng = np.random.Generator
MOVES = {"walk": 0.5, "stand": 0.28, "turn": 0.1, "run": 0.07, "step": 0.05}
BUSY = {"free": 0.46, "phone": 0.1, "call": 0.05, "carry": 0.08, "pockets": 0.08, "back": 0.03, "crossed": 0.05,
        "hips": 0.04, "point": 0.04, "wave": 0.02, "bag": 0.05}  # fmt: skip
PAIRED = ("crossed", "back")

# (lowered, raised forward, turned inward, elbow) in degrees, each with its spread
_ARMS = {
    "crossed": ((34, 2), (14, 4), (46, 6), (92, 6)),
    "hips": ((14, 3), (-14, 4), (-8, 5), (78, 8)),
    "point": ((22, 8), (72, 14), (5, 12), (12, 8)),
    "wave": ((-20, 12), (30, 12), (0, 8), (70, 16)),
    "bag": ((32, 3), (8, 6), (10, 8), (112, 8)),  # a hand at a shoulder's strap
    "umbrella": ((30, 3), (30, 6), (12, 5), (92, 7)),
    "trolley": ((33, 3), (-20, 5), (0, 5), (8, 4)),
    "push": ((33, 2), (24, 4), (2, 3), (38, 5)),
}


def _choose(rng: Rng, shares: dict[str, float]) -> str:
    weights = np.array(list(shares.values()))
    return str(rng.choice(list(shares), p=weights / weights.sum()))


def busy_arm(rng: Rng, side: str, gesture: str, swing: float) -> dict[str, Floats]:
    """Bone rotations of one arm, as bodies.arm with more gestures and a wider swing."""
    bones = bodies.arm(rng, side, gesture, swing)
    if gesture not in _ARMS:
        return bones
    sign = 1.0 if side == "L" else -1.0
    lower, raised, turn, bend = (rng.normal(*spread) for spread in _ARMS[gesture])
    upper = about(X, -raised) @ about(Z, -sign * turn) @ about(Y, sign * lower)
    bones[f"upperarm01.{side}"] = bones[f"shoulder01.{side}"].T @ upper
    bones[f"lowerarm01.{side}"] = about(ELBOW[side], bend)
    return bones


def running(rng: Rng, phase: float) -> dict[str, Floats]:
    """Legs of somebody who runs, `phase` in radians."""
    bones = bodies.legs(rng, True, phase, rng.uniform(1.2, 1.6))
    for side, shift in (("L", 0.0), ("R", np.pi)):
        bones[f"lowerleg01.{side}"] = about(X, 20.0 + 75.0 * max(0.0, np.cos(phase + shift + 0.35)))
    return bones


def varied_pose(rng: Rng, thing: str = "none") -> tuple[str, dict[str, Floats]]:
    """A pose that suits what is carried ("none" or one of carried.THINGS): the way of moving and the rotation of each
    bone that is not at rest."""
    kind = _choose(rng, MOVES)
    if thing != "none" and kind == "run":
        kind = "walk"
    phase, stride = rng.uniform(0, 2 * np.pi), float(np.clip(rng.normal(0.95, 0.3), 0.2, 1.5))
    stride = 0.3 * stride if kind == "step" else stride
    moving = kind in ("walk", "step", "run")
    bones = running(rng, phase) if kind == "run" else bodies.legs(rng, moving, phase, stride)
    gesture = "run" if kind == "run" else _choose(rng, BUSY)
    both = gesture in PAIRED or (gesture in ("carry", "pockets", "hips", "phone") and rng.random() < 0.5)
    held = {"umbrella": "umbrella", "trolley": "trolley", "stroller": "push"}.get(thing)
    busy = "R" if held else str(rng.choice(["L", "R"]))
    for side, shift in (("L", np.pi), ("R", 0.0)):
        swing = rng.uniform(20, 34) * stride * np.sin(phase + shift) if moving else rng.normal(0.0, 6.0)
        mine = gesture if both or side == busy else "free"
        if held and (side == busy or held == "push"):
            mine = held
        bones |= busy_arm(rng, side, mine, swing)
        if kind == "run":
            bones[f"lowerarm01.{side}"] = about(ELBOW[side], rng.normal(85, 10))
    lean = rng.normal(12.0 if kind == "run" else 3.0, 4.0)
    twist = rng.normal(0.0, 18.0 if kind == "turn" else 6.0)
    bones["spine03"] = about(Z, twist * 0.5) @ about(X, lean) @ about(Y, rng.normal(0.0, 2.5))
    bones["spine01"] = about(Z, twist * 0.5)
    look = float(np.clip(rng.normal(0.0, 26.0), -62, 62))
    down = 26.0 if gesture == "phone" else 4.0
    bones["neck01"] = about(Z, look * 0.6) @ about(X, 0.7 * rng.normal(down, 10.0))
    bones["head"] = about(Z, look * 0.4) @ about(X, 0.3 * rng.normal(down, 10.0)) @ about(Y, rng.normal(0.0, 4.0))
    return kind, bones
