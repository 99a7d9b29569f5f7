"""Cameras: where they hang, what they see, and how they turn light into a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personsearch.synthesis.places import Place
from personsearch.synthesis.streams import Stream

CAMERAS_PER_PLACE = 4


@dataclass(frozen=True)
class Response:
    """How a camera turns linear light into 8-bit colours. What is drawn per picture lies around these."""

    balance: tuple[float, float, float]  # gains of red, green, blue
    gamma: float
    saturation: float
    contrast: float
    exposure: float
    flare: float  # stray light, a share of white that every pixel receives
    blur: float  # pixels, standard deviation
    noise: float  # of 1.0
    quality: int  # JPEG
    shrink: float  # 1, or the factor by which the sensor is coarser than the picture


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at `at` [3], axes as rows right, down, ahead [3, 3], focal length in picture widths."""

    at: NDArray[np.float64]
    axes: NDArray[np.float64]
    focal: float
    response: Response


def aim(at: NDArray[np.float64], yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """Axes (right, down, ahead) of a camera that looks along `yaw`, `pitch` below the horizon (radians)."""
    ahead = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    down = np.cross(ahead, right)
    c, s = np.cos(roll), np.sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, ahead])


def sample_response(rng: np.random.Generator) -> Response:
    """A camera's colours: warm to cool, flat to harsh, sharp to soft."""
    warmth, tint = rng.normal(0, 0.075), rng.normal(0, 0.025)
    return Response(
        balance=(float(np.exp(warmth + tint * 0.5)), float(np.exp(-tint)), float(np.exp(-warmth + tint * 0.5))),
        gamma=float(rng.uniform(1.85, 2.5)),
        saturation=float(np.clip(rng.normal(0.88, 0.18), 0.3, 1.25)),
        contrast=float(np.clip(rng.normal(1.05, 0.16), 0.7, 1.5)),
        exposure=float(np.exp(rng.normal(0, 0.16))),
        flare=float(rng.uniform(0.0, 0.022)),
        blur=float(rng.uniform(0.35, 1.1)),
        noise=float(rng.uniform(0.004, 0.028)),
        quality=int(rng.integers(60, 93)),
        shrink=float(rng.choice([1.0, 1.0, 1.0, rng.uniform(1.2, 2.0)])),
    )


@dataclass(frozen=True)
class Mounting:
    """How a camera hangs: height in metres, field of view in radians, and how far down it looks at."""

    height: float
    field_of_view: float
    distance: float
    """Metres to the ground in the middle of the picture"""

    def pitch(self, height: float) -> float:
        """Radians below the horizon for a camera that hangs `height` metres high."""
        return float(np.arctan2(height - 0.7, self.distance))


def mount(rng: np.random.Generator) -> Mounting:
    """At eye level, on a wall, or high above with a steep view."""
    kind = str(rng.choice(["eye", "wall", "steep", "mast"], p=[0.25, 0.3, 0.25, 0.2]))
    low, high = {"eye": (1.3, 2.0), "wall": (2.0, 3.5), "steep": (2.8, 6.0), "mast": (4.0, 8.0)}[kind]
    height = rng.uniform(low, high)
    slope = {"eye": (0.02, 0.1), "wall": (0.1, 0.35), "steep": (0.5, 1.0), "mast": (0.25, 0.5)}[kind]
    distance = max(height - 0.7, 0.5) / rng.uniform(*slope)
    wide = rng.uniform(48, 88) if kind == "steep" else rng.uniform(34, 84)
    return Mounting(float(height), float(np.radians(wide)), float(distance))


def build_camera(seed: int, number: int, place: Place, rng: np.random.Generator, varied: bool = False) -> Camera:
    """The camera with this number at its place; `rng` (a picture's) shakes it a little. Where `varied`,
    it hangs and looks as `mount` says."""
    own = np.random.default_rng([seed, Stream.CAMERA, number])
    x, y, tx, ty = place.layout.views[number % CAMERAS_PER_PLACE]
    ceiling = place.layout.ceiling
    height = float(
        own.choice([own.uniform(1.5, 2.2), own.uniform(2.2, 4.0), own.uniform(3.5, 6.0)], p=[0.25, 0.4, 0.35])
    )
    mounting = mount(np.random.default_rng([seed, Stream.MOUNT, number])) if varied else None
    if mounting:
        height = mounting.height
    if ceiling:
        height = min(height, ceiling - 0.25)
    at = np.array([x, y, height])
    for _ in range(40):  # out of walls, trees and cars
        if place.clear_for_camera(float(at[0]), float(at[1])):
            break
        at[:2] = at[:2] * 0.96 + own.normal(0, 0.5, 2)
    field_of_view = np.radians(own.uniform(38, 82))
    focal = 0.5 / np.tan(field_of_view / 2)
    yaw = np.arctan2(ty - at[1], tx - at[0]) + rng.normal(0, 0.03)
    low, high = np.radians(1.0 + 2.2 * height), np.radians(5.0 + 4.5 * height)
    pitch = own.uniform(low, high) + rng.normal(0, 0.012)
    if mounting:
        focal = 0.5 / np.tan(mounting.field_of_view / 2)
        pitch = mounting.pitch(float(at[2])) + rng.normal(0, 0.012)
    axes = aim(at, float(yaw), float(pitch), float(own.normal(0, 0.012)))
    return Camera(at + rng.normal(0, 0.05, 3), axes, float(focal), sample_response(own))
