"""A picture together with its boxes: resized, flipped, relit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from personsearch.data.streams import Stream
from personsearch.settings import Side


@dataclass(frozen=True)
class SizeSettings:
    """A picture is scaled to `short` pixels on its short side, or less where its long side would pass `long`."""

    short: Side
    long: Side

    def impossible(self) -> str | None:
        """What is wrong, in words."""
        return None if self.short <= self.long else _above(self.short, self.long)


def _above(short: int, long: int) -> str:
    return f"a short side of {short} is above the longest long one, {long}: change one of them"


def sides_impossible(short_sides: Sequence[int], long: int) -> str | None:
    """What is wrong with the sizes that pictures are drawn in, in words."""
    return None if max(short_sides) <= long else _above(max(short_sides), long)


def fitted(width: int, height: int, size: SizeSettings) -> tuple[int, int]:
    """Width and height in pixels that a picture is resized to."""
    factor = min(size.short / min(width, height), size.long / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB picture as uint8 [3, H, W]."""
    return torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1)


def resize(image: Image.Image, size: SizeSettings) -> tuple[Tensor, Tensor]:
    """An RGB picture as uint8 [3, H, W], and the scale [4] that takes its boxes (xyxy) along.

    The sides are rounded to whole pixels, so the scale may differ a little between x and y.
    """
    width, height = image.size
    new_width, new_height = fitted(width, height, size)
    resized: Tensor = TF.resize(to_tensor(image), [new_height, new_width], antialias=True)
    sx, sy = new_width / width, new_height / height
    return resized, torch.tensor([sx, sy, sx, sy])


def flip(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Mirrors a picture [3, H, W] left to right, and its boxes [N, 4] xyxy with it. Inputs stay as they are."""
    width = image.shape[2]
    x1, y1, x2, y2 = boxes.unbind(1)
    return image.flip(2), torch.stack([width - x2, y1, width - x1, y2], dim=1)


def relight(image: Tensor, light: float, seed: int) -> Tensor:
    """A picture [3, H, W] uint8 in another light: brighter or darker by up to the part `light`, and its channels
    against each other by up to a quarter of that. The same for the same seed; 0 leaves it as it is.
    """
    random = np.random.default_rng((seed, Stream.LIGHT))
    gains = random.uniform(-1, 1) + random.uniform(-0.25, 0.25, (3, 1, 1))
    factors = torch.from_numpy(1 + light * gains).float()
    return (image * factors).round().clamp(0, 255).byte() if light else image


_PADDING = 114  # grey: near the mean of pictures, so that padding looks like nothing


def pad_images(images: Sequence[Tensor], least: tuple[int, int] = (0, 0)) -> Tensor:
    """Pictures [3, H_i, W_i] to [B, 3, max H, max W], grey at the right and bottom; at `least` H and W."""
    height, width = max(least[0], *(i.shape[1] for i in images)), max(least[1], *(i.shape[2] for i in images))
    padded = images[0].new_full((len(images), 3, height, width), _PADDING)
    for canvas, image in zip(padded, images, strict=True):
        canvas[:, : image.shape[1], : image.shape[2]] = image
    return padded
