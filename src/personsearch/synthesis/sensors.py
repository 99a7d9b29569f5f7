"""Cheap cameras: what each does to light, colours and detail, drawn once a camera and shaken a little each picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from personsearch.synthesis.streams import Stream

Rng = np.random.Generator
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Sensor:
    """From light to a stored picture, in the order in which it happens. Shares and levels count 1.0 as white."""

    vignette: float  # part of the light that is missing in the corners
    defocus: float  # pixels of the picture, standard deviation
    shutter: float  # seconds for which things that move are smeared
    adaption: float  # part of a scene's colour cast that automatic white balance removes
    balance: Triple  # gains of red, green, blue
    exposure: float
    shoulder: float  # how soon highlights are rolled off; 0 clips them
    gamma: float
    curve: float  # contrast in the middle, at the cost of shadows and highlights; below 0 a flat picture
    black: float  # level that becomes black: above 0 blacks are crushed, below 0 a veil lies over them
    saturation: float
    shadow_tint: Triple  # added in the dark
    shrink: float  # size of a pixel of the sensor, in pixels of the picture
    noise: float  # brightness, standard deviation
    chroma_noise: float
    denoise: bool  # detail wiped out with the noise
    sharpen: float  # percent; its halos are `halo` pixels of the sensor wide
    halo: float
    quality: int  # JPEG in the camera or the film
    chroma: int  # pixels of the sensor that share one colour, in each direction
    deblock: float  # blur by which a film hides its blocks, pixels of the sensor


def _triple(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Triple:
    return float(values[0]), float(values[1]), float(values[2])


def _maybe(rng: Rng, share: float, low: float, high: float) -> float:
    """A number from low to high in this share of the cases, else 0."""
    value = float(rng.uniform(low, high))
    return value if rng.random() < share else 0.0


def _balance(warmth: float, tint: float) -> Triple:
    return _triple(np.exp([warmth + 0.5 * tint, -tint, -warmth + 0.5 * tint]))


def _saturation(rng: Rng) -> float:
    kind = rng.choice(["grey", "pale", "usual", "strong"], p=[0.05, 0.25, 0.5, 0.2])
    low, high = {"grey": (0.03, 0.15), "pale": (0.25, 0.6), "usual": (0.6, 1.0), "strong": (1.0, 1.4)}[kind]
    return float(rng.uniform(low, high))


def draw_sensor(rng: Rng) -> Sensor:
    """Any cheap camera: webcams, surveillance, old video, telephones."""
    film = rng.random() < 0.5  # a video's frame, or single pictures
    sharpen = _maybe(rng, 0.7, 40, 320)
    calm = 1 / (1 + sharpen / 180)  # sharpening enlarges noise
    return Sensor(
        vignette=_maybe(rng, 0.5, 0.1, 0.5),
        defocus=_maybe(rng, 0.4, 0.4, 1.1),
        shutter=_maybe(rng, 0.6, 0.004, 0.04),
        adaption=float(rng.uniform(0.65, 1.0)),
        balance=_balance(rng.normal(0, 0.1), rng.normal(0, 0.045)),
        exposure=float(np.exp(rng.normal(0, 0.3))),
        shoulder=_maybe(rng, 0.6, 0.3, 1.2),
        gamma=float(rng.uniform(1.7, 2.6)),
        curve=float(rng.uniform(-0.25, 0.6)),
        black=float(rng.choice([rng.uniform(0.0, 0.1), rng.uniform(-0.13, 0.0), 0.0], p=[0.55, 0.2, 0.25])),
        saturation=_saturation(rng),
        shadow_tint=_triple(rng.normal(0, 0.02, 3)),
        shrink=float(rng.choice([1.0, rng.uniform(1.2, 2.0), rng.uniform(2.0, 2.7)], p=[0.6, 0.28, 0.12])),
        noise=float(rng.uniform(0.002, 0.035) * calm),
        chroma_noise=_maybe(rng, 0.6, 0.005, 0.04) * calm,
        denoise=bool(rng.random() < 0.2),
        sharpen=sharpen,
        halo=float(rng.uniform(0.6, 1.8)),
        quality=int(rng.integers(25, 60) if film else rng.integers(45, 96)),
        chroma=int(rng.choice([1, 2, 4], p=[0.15, 0.6, 0.25])),
        deblock=_maybe(rng, 0.7, 0.3, 0.7) if film else 0.0,
    )


def shaken(sensor: Sensor, rng: Rng) -> Sensor:
    """The same camera at another hour: exposure, white balance, gain and sharpness are a little off."""
    drift = np.asarray(_balance(rng.normal(0, 0.03), rng.normal(0, 0.012)))
    return replace(
        sensor,
        balance=_triple(np.asarray(sensor.balance) * drift),
        exposure=float(sensor.exposure * np.exp(rng.normal(0, 0.15))),
        defocus=float(sensor.defocus * rng.uniform(0.7, 1.3)),
        noise=float(sensor.noise * rng.uniform(0.7, 1.5)),
        quality=int(np.clip(sensor.quality + rng.integers(-8, 9), 25, 95)),
    )


def sensor_of(seed: int, camera: int) -> Sensor:
    """The sensor of the camera with this number: always the same."""
    return draw_sensor(np.random.default_rng([seed, Stream.SENSOR, camera]))
