"""Light probes: photographed surroundings that light a scene, as one sun and what is left.

A probe is an equirectangular picture: row 0 is the zenith, the columns go once around the vertical.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from personsearch.synthesis.radiance import read_radiance

Floats = NDArray[Any]
WIDTH, HEIGHT = 256, 128
LUMA = np.array([0.2126, 0.7152, 0.0722])
SUN_RADIUS = np.cos(np.radians(9.0))
SUN_FROM = 5.0
"""Radiance, in means of the picture, from which a spot belongs to the sun."""


@dataclass(frozen=True)
class Probe:
    """Surroundings of mean luminance 1: the picture without its sun [HEIGHT, WIDTH, 3], and the sun, whose color is
    zero where there is none. `sun` [3] points to it; color [3] is what it adds to a white surface that faces it."""

    picture: Floats
    sun: Floats
    color: Floats
    open: bool
    """Whether there is sky overhead, no roof."""


def directions() -> tuple[Floats, Floats]:
    """Unit vectors [HEIGHT, WIDTH, 3] of a probe's pixels, z up, and their solid angles [HEIGHT, WIDTH]."""
    polar = (np.arange(HEIGHT)[:, None] + 0.5) / HEIGHT * np.pi
    around = (np.arange(WIDTH)[None] + 0.5) / WIDTH * 2 * np.pi
    d = np.stack(np.broadcast_arrays(np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)), 2)
    solid = np.broadcast_to(np.sin(polar) * (np.pi / HEIGHT) * (2 * np.pi / WIDTH), d.shape[:2])
    return d, solid


@functools.lru_cache(maxsize=64)
def load_probe(path: Path) -> Probe:
    """Reads and reduces a probe. Raises what `read_radiance` raises."""
    full = np.nan_to_num(read_radiance(path))
    channels = [Image.fromarray(np.ascontiguousarray(full[..., c])) for c in range(3)]
    small = np.stack([np.asarray(c.resize((WIDTH, HEIGHT), Image.Resampling.BOX)) for c in channels], 2)
    return split(small)


def split(picture: Floats) -> Probe:
    """Takes the sun out of surroundings [HEIGHT, WIDTH, 3] and brings the rest to mean luminance 1."""
    d, solid = directions()
    luma = picture @ LUMA
    mean = max(float((np.minimum(luma, np.quantile(luma, 0.98)) * solid).sum() / solid.sum()), 1e-9)
    picture, luma = picture / mean, luma / mean
    brightest = d.reshape(-1, 3)[np.argmax(np.where(d[..., 2] > 0.1, luma, -1.0))]
    spot = (d @ brightest > SUN_RADIUS) & (luma > SUN_FROM)
    below = picture * np.minimum(1.0, SUN_FROM / np.maximum(luma, 1e-9))[..., None]  # other lamps are clamped too
    extra = ((picture - below) * solid[..., None])[spot].sum(0) / np.pi
    weight = (luma * solid)[spot]
    sun = (d[spot] * weight[:, None]).sum(0) if spot.any() else brightest
    strength = float(extra @ LUMA)
    color = extra * min(1.0, 5.0 / max(strength, 1e-9)) if strength > 0.15 else np.zeros(3)
    overhead = np.log(below[: HEIGHT // 5] @ LUMA + 1e-2)
    return Probe(below, sun / np.linalg.norm(sun), color, bool(overhead.std() < 0.52 and overhead.mean() > -1.2))


def turned(probe: Probe, columns: int) -> Probe:
    """The same surroundings turned about the vertical by so many of their WIDTH columns."""
    angle = 2 * np.pi * columns / WIDTH
    c, s = np.cos(angle), np.sin(angle)
    sun = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ probe.sun
    return Probe(np.roll(probe.picture, columns, 1), sun, probe.color, probe.open)


def basis(d: Floats) -> Floats:
    """The nine real spherical harmonics up to order 2 of unit vectors [..., 3], as [..., 9]."""
    x, y, z = d[..., 0], d[..., 1], d[..., 2]
    one = np.full_like(x, 0.282095)
    first = [0.488603 * y, 0.488603 * z, 0.488603 * x]
    second = [1.092548 * x * y, 1.092548 * y * z, 0.315392 * (3 * z * z - 1), 1.092548 * x * z]
    return np.stack([one, *first, *second, 0.546274 * (x * x - y * y)], -1)


def harmonics(picture: Floats) -> Floats:
    """Coefficients [9, 3] such that their sum over `basis` of a normal is the light which a white, matt surface with
    that normal reflects: surroundings of 1 everywhere give 1 everywhere."""
    d, solid = directions()
    coefficients = np.einsum("hwk,hwc,hw->kc", basis(d), picture, solid)
    cosine = np.array([1.0, *[2 / 3] * 3, *[0.25] * 5])  # the lobe of a matt surface, over pi
    return np.asarray(coefficients * cosine[:, None])
