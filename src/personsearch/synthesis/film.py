"""From linear light to the picture that a sensor stores. Nothing is moved: boxes stay those of the rendered pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy import ndimage

from personsearch.synthesis.light import Light
from personsearch.synthesis.sensors import Sensor

Floats = NDArray[Any]
Rng = np.random.Generator
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def streak(picture: Floats, dx: float, dy: float) -> Floats:
    """The mean of [H, W, ...] along a short line (pixels), edges repeated; unchanged when it is under a pixel."""
    taps = min(9, int(np.hypot(dx, dy)) + 1)
    if taps < 2:
        return picture
    height, width = picture.shape[:2]
    border = int(np.ceil(np.hypot(dx, dy) / 2)) + 1
    padded = np.pad(picture, [(border, border), (border, border)] + [(0, 0)] * (picture.ndim - 2), "edge")
    total = np.zeros_like(picture)
    for k in np.linspace(-0.5, 0.5, taps):
        x, y = border + round(k * dx), border + round(k * dy)
        total += padded[y : y + height, x : x + width]
    return np.asarray(total / np.float32(taps))


def smear_people(color: Floats, owner: NDArray[np.int32], motion: Floats, shutter: float) -> Floats:
    """Blurs each person along their way. motion [P, 2]: pixels a second of each row of `owner`."""
    color = color.copy()
    for row, (dx, dy) in enumerate(motion * shutter):
        length = float(np.hypot(dx, dy))
        seen = ndimage.find_objects((owner == row).astype(np.int8)) if length >= 2 else []
        if not seen or seen[0] is None:
            continue
        scale, border = min(1.0, 12.0 / length), 13
        y, x = (slice(max(0, s.start - border), s.stop + border) for s in seen[0])
        mask = streak((owner[y, x] == row).astype(np.float32), dx * scale, dy * scale)[..., None]
        color[y, x] += (streak(color[y, x], dx * scale, dy * scale) - color[y, x]) * mask
    return color


def optics(color: Floats, sensor: Sensor, rng: Rng) -> Floats:
    """Darker corners, no perfect focus, and a hand or a mast that sways in a few pictures."""
    height, width = color.shape[:2]
    if sensor.vignette:
        x, y = np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32)
        color = color * (1 - np.float32(sensor.vignette / 2) * (x[None] ** 2 + y[:, None] ** 2))[..., None]
    if sensor.defocus:
        color = ndimage.gaussian_filter(color, (sensor.defocus, sensor.defocus, 0), mode="nearest", truncate=2.5)
    angle, length = rng.uniform(0, np.pi), rng.uniform(2.0, 5.0)
    if rng.random() < 0.08:
        color = streak(color, length * np.cos(angle), length * np.sin(angle))
    return np.asarray(color)


def balanced(color: Floats, sensor: Sensor, cast: Floats, key: float) -> Floats:
    """White balance and exposure: the colour `cast` [3] of the light mostly goes, the log mean of brightness
    becomes `key`."""
    gains = cast**-sensor.adaption * np.asarray(sensor.balance)
    level = np.exp(np.log(color[::4, ::4] @ LUMA + 1e-3).mean())
    return np.asarray(color * (gains / (gains @ LUMA) * (key / level * sensor.exposure)).astype(np.float32))


def toned(x: Floats, sensor: Sensor) -> Floats:
    """Linear light to display values in [0, 1]: highlights, gamma, contrast, blacks, saturation, tint."""
    bright = np.maximum(x - 0.5, 0)
    x = np.where(x < 0.5, x, 0.5 + bright / (1 + bright * np.float32(sensor.shoulder)))
    x = np.clip(x, 0, 1) ** np.float32(1 / sensor.gamma)
    x = x + np.float32(sensor.curve) * x * (1 - x) * (2 * x - 1) * 2
    x = (x - np.float32(sensor.black)) / np.float32(1 - max(sensor.black, 0))
    x = np.where(x > 0, x / np.float32(max(1.0, 1 - sensor.black)), 0)
    grey = (x @ LUMA)[..., None]
    x = grey + (x - grey) * np.float32(sensor.saturation)
    tint = np.asarray(sensor.shadow_tint, np.float32) * min(1.0, 2 * sensor.saturation)
    return np.asarray(np.clip(x + tint * (1 - np.clip(grey, 0, 1)), 0, 1))


def grainy(x: Floats, sensor: Sensor, rng: Rng) -> Floats:
    """Noise, stronger in the dark; that of colours comes in blotches."""
    height, width = x.shape[:2]
    weight = (1.3 - 0.8 * (x @ LUMA))[..., None]
    noise = rng.standard_normal((height, width, 1), dtype=np.float32) * np.float32(sensor.noise)
    if sensor.chroma_noise:
        coarse = rng.standard_normal((height // 2 + 1, width // 2 + 1, 3), dtype=np.float32)
        coarse = coarse - (coarse @ LUMA)[..., None]
        blotches = coarse.repeat(2, 0).repeat(2, 1)[:height, :width]
        noise = noise + blotches * np.float32(sensor.chroma_noise * min(1.0, sensor.saturation))
    return np.asarray(x + noise * weight)


def resized(image: Image.Image, size: tuple[int, int], kind: Image.Resampling) -> Image.Image:
    return image if image.size == size else image.resize(size, kind)


def stored(image: Image.Image, sensor: Sensor) -> Image.Image:
    """What compression leaves: colours of whole blocks of pixels, blocks, and the blur that hides these."""
    if sensor.chroma > 2:
        luma, *colors = image.convert("YCbCr").split()
        small = (max(1, image.width // sensor.chroma), max(1, image.height // sensor.chroma))
        coarse = [c.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.BILINEAR) for c in colors]
        image = Image.merge("YCbCr", [luma, *coarse]).convert("RGB")
    if sensor.quality < 90:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=sensor.quality, subsampling=0 if sensor.chroma == 1 else 2)
        image = Image.open(io.BytesIO(buffer.getvalue()))
    return image.filter(ImageFilter.GaussianBlur(sensor.deblock)) if sensor.deblock else image


def record(color: Floats, sensor: Sensor, light: Light, rng: Rng) -> bytes:
    """The JPEG file of a picture [H, W, 3] rendered in this light."""
    height, width = color.shape[:2]
    display = toned(balanced(optics(color, sensor, rng), sensor, light.cast(), light.key), sensor)
    image = Image.fromarray((display * 255 + 0.5).astype(np.uint8))
    small = (max(8, round(width / sensor.shrink)), max(8, round(height / sensor.shrink)))
    image = resized(image, small, Image.Resampling.BOX)
    values = grainy(np.asarray(image, np.float32) / 255, sensor, rng)
    image = Image.fromarray((np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8))
    if sensor.denoise:
        image = image.filter(ImageFilter.MedianFilter(3))
    if sensor.sharpen:
        image = image.filter(ImageFilter.UnsharpMask(sensor.halo, round(sensor.sharpen), 1))
    image = stored(image, sensor)
    smooth = rng.choice([Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
    image = resized(image, (width, height), Image.Resampling(int(smooth)))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(rng.integers(80, 96)))
    return buffer.getvalue()
