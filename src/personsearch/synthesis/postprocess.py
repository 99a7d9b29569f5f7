"""From linear light to the picture a cheap street camera would have stored."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from personsearch.synthesis.cameras import Response

Floats = NDArray[Any]


def expose(color: Floats, response: Response, key: float) -> Floats:
    """Linear light [H, W, 3] to display values in [0, 1]: brightness set so that its log mean is `key`, highlights
    rolled off."""
    luma = color @ np.array([0.3, 0.59, 0.11], np.float32)
    level = float(np.exp(np.log(luma[::4, ::4] + 1e-3).mean()))
    x = color * np.asarray(response.balance, np.float32) * np.float32(key / level * response.exposure)
    x = np.where(x < 0.5, x, 0.5 + (x - 0.5) / (1 + (x - 0.5) * np.float32(0.9)))  # straight, then rolled off
    x = x + np.float32(response.flare)
    x = np.clip(x, 0, 1) ** np.float32(1 / response.gamma)
    x = (x - np.float32(0.45)) * np.float32(response.contrast) + np.float32(0.45)
    grey = (x @ np.array([0.3, 0.59, 0.11], np.float32))[..., None]
    return np.asarray(np.clip(grey + (x - grey) * np.float32(response.saturation), 0, 1))


def smear(picture: Floats, rng: np.random.Generator) -> Floats:
    """Motion blur of the camera: the mean along a short line."""
    angle, length = rng.uniform(0, np.pi), rng.uniform(1.5, 5.0)
    taps = 5
    total = np.zeros_like(picture)
    for k in np.linspace(-0.5, 0.5, taps):
        dx, dy = round(k * length * np.cos(angle)), round(k * length * np.sin(angle))
        total += np.roll(picture, (dy, dx), (0, 1))
    return total / np.float32(taps)


def develop(color: Floats, response: Response, key: float, rng: np.random.Generator) -> bytes:
    """The JPEG file of a rendered picture."""
    display = expose(color, response, key)
    if rng.random() < 0.12:
        display = smear(display, rng)
    height, width = display.shape[:2]
    image = Image.fromarray((display * 255 + 0.5).astype(np.uint8))
    if response.blur > 0.4:
        image = image.filter(ImageFilter.GaussianBlur(response.blur * rng.uniform(0.7, 1.3)))
    if response.shrink > 1.0:
        small = (max(8, round(width / response.shrink)), max(8, round(height / response.shrink)))
        image = image.resize(small, Image.Resampling.BOX)
    values = np.asarray(image, np.float32)
    grain = rng.standard_normal(values.shape[:2], dtype=np.float32)[..., None] * np.float32(0.8)
    grain = grain + rng.standard_normal(values.shape, dtype=np.float32) * np.float32(0.5)
    values = values + grain * np.float32(response.noise * 255)
    image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    if response.shrink > 1.0:
        kind = [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC][int(rng.integers(2))]
        image = image.resize((width, height), kind)
    if response.blur < 0.55 and rng.random() < 0.5:
        image = image.filter(ImageFilter.UnsharpMask(1.2, 60, 2))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=response.quality)
    return buffer.getvalue()
