"""The light of a picture: sun and sky, a lamp-lit night, or a room."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personsearch.synthesis.places import Place
from personsearch.synthesis.probes import LUMA, WIDTH, Probe, basis, harmonics, turned

Floats = NDArray[Any]
Rng = np.random.Generator


@dataclass(frozen=True)
class Light:
    """Linear RGB of the ambient parts, and the sources: direction (kind 0) or position (kind 1), colour."""

    sky_up: Floats
    sky_side: Floats
    bounce: Floats
    at: Floats  # [L, 3]
    color: Floats  # [L, 3]
    kind: list[int]
    softness: float  # radius of the sun's disc, radians
    cloud: float
    haze: float  # 1 / m
    key: float  # log mean that the camera exposes for
    picture: Floats | None = None  # [H, W, 3] surroundings of a probe, shown as the sky
    ambient: Floats | None = None  # [9, 3] probes.harmonics, in place of sky and bounce

    def cast(self) -> Floats:
        """The colour [3] of a white thing that lies in all of the light, of mean 1: what white balance looks for."""
        around = 0.6 * self.sky_up + 0.4 * self.sky_side
        if self.ambient is not None:
            around = np.maximum(basis(np.array([0.0, 0.0, 1.0])) @ self.ambient, 1e-3)
        share = np.where(np.asarray(self.kind) == 0, 0.6, 0.3)  # lamps are some way off
        total = around + (np.asarray(self.color) * share[:, None]).sum(0)
        return np.asarray(total / total.mean())


def tinted(rng: Rng, color: tuple[float, float, float], spread: float = 0.05) -> Floats:
    return np.asarray(color) * np.exp(rng.normal(0, spread, 3))


def daylight(rng: Rng, floor: Floats) -> Light:
    """Clear, hazy or overcast, from morning to evening."""
    weather = str(rng.choice(["clear", "hazy", "overcast"], p=[0.4, 0.25, 0.35]))
    elevation, azimuth = np.radians(rng.uniform(16, 68)), rng.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
    warm = tinted(rng, (1.0, 0.93, 0.84)) if elevation > 0.6 else tinted(rng, (1.0, 0.85, 0.66))
    strength = {"clear": rng.uniform(1.8, 2.8), "hazy": rng.uniform(0.7, 1.4), "overcast": rng.uniform(0.0, 0.25)}[
        weather
    ]
    blue = {"clear": (0.58, 0.7, 0.92), "hazy": (0.75, 0.82, 0.95), "overcast": (0.95, 0.98, 1.03)}[weather]
    sky = tinted(rng, blue, 0.04) * rng.uniform(0.7, 1.0)
    side = 0.5 * sky + 0.5 * np.asarray([0.95, 0.97, 1.0]) * rng.uniform(0.8, 1.2)
    arriving = warm * strength * np.sin(elevation) * 0.6 + sky
    return Light(
        sky_up=sky,
        sky_side=side,
        bounce=floor * arriving * 0.7,
        at=sun[None],
        color=(warm * strength)[None],
        kind=[0],
        softness={"clear": 0.012, "hazy": 0.06, "overcast": 0.3}[weather],
        cloud=float(rng.uniform(0.2, 1.0)),
        haze=float(rng.choice([0.0003, 0.0015, 0.005], p=[0.55, 0.33, 0.12])),
        key=float(rng.uniform(0.15, 0.26)),
    )


def lamplight(rng: Rng, place: Place, floor: Floats) -> Light:
    """Night under lamps, or a room under its ceiling lights."""
    room = place.layout.light == "indoor"
    tone = [(1.0, 0.86, 0.62), (1.0, 0.95, 0.88), (0.88, 0.96, 1.0), (0.92, 1.0, 0.9)][int(rng.integers(4))]
    warm = tinted(rng, tone, 0.04)
    power = rng.uniform(1.2, 2.2) if room else rng.uniform(2.5, 5.0)
    lamps = np.asarray(place.layout.lamps, np.float64)
    ambient = (
        warm * rng.uniform(0.45, 0.8) if room else tinted(rng, (0.2, 0.21, 0.26)) * rng.uniform(0.6, 1.6) + warm * 0.08
    )
    night = tinted(rng, (0.02, 0.025, 0.045), 0.2)
    sky = ambient if room else night
    return Light(
        sky_up=ambient,
        sky_side=0.8 * ambient + 0.2 * sky,
        bounce=floor * ambient * 1.3 + 0.1 * ambient,
        at=lamps,
        color=np.tile(warm * power, (len(lamps), 1)),
        kind=[1] * len(lamps),
        softness=0.0,
        cloud=0.0,
        haze=0.0,
        key=float(rng.uniform(0.16, 0.24) if room else rng.uniform(0.08, 0.16)),
    )


def sample_light(rng: Rng, place: Place) -> Light:
    floor = np.asarray(place.layout.floor) ** 2.2
    return daylight(rng, floor) if place.layout.light == "day" else lamplight(rng, place, floor)


def probe_light(rng: Rng, place: Place, probe: Probe) -> Light:
    """The light of a probe, turned at random: by day all of it; where lamps burn, the lamps in its ambient."""
    painted = sample_light(rng, place)
    probe = turned(probe, int(rng.integers(WIDTH)))
    around = harmonics(probe.picture)
    if place.layout.light != "day":
        level = float((0.5 * (painted.sky_up + painted.bounce)) @ LUMA) / max(float(around[0] @ LUMA) * 0.282095, 1e-6)
        return replace(painted, ambient=around * level)
    rows = len(probe.picture)
    up, side = probe.picture[: rows // 4].mean((0, 1)), probe.picture[rows * 3 // 8 : rows // 2].mean((0, 1))
    shining = bool(probe.color.any())
    return Light(
        sky_up=up,
        sky_side=side,
        bounce=side * 0.3,
        at=probe.sun[None] if shining else np.zeros((0, 3)),
        color=probe.color[None] * rng.uniform(0.6, 1.3) if shining else np.zeros((0, 3)),
        kind=[0] * shining,
        softness=float(rng.uniform(0.01, 0.05)),
        cloud=0.0,
        haze=painted.haze,
        key=painted.key,
        picture=probe.picture if probe.open else None,
        ambient=around,
    )
