"""A picture together with its boxes: resized, flipped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as TF


@dataclass(frozen=True)
class SizeSettings:
    """A picture is scaled to `short` pixels on its short side, or less where its long side would pass `long`."""

    short: int
    long: int


def fitted(width: int, height: int, size: SizeSettings) -> tuple[int, int]:
    """Width and height in pixels that a picture is resized to."""
    factor = min(size.short / min(width, height), size.long / max(width, height))
    return max(1, round(width * factor)), max(1, round(height * factor))


def resize(image: Image.Image, size: SizeSettings) -> tuple[Tensor, Tensor]:
    """An RGB picture as uint8 [3, H, W], and the scale [4] that takes its boxes (xyxy) along.

    The sides are rounded to whole pixels, so the scale may differ a little between x and y.
    """
    width, height = image.size
    new_width, new_height = fitted(width, height, size)
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1)
    resized: Tensor = TF.resize(pixels, [new_height, new_width], antialias=True)
    sx, sy = new_width / width, new_height / height
    return resized, torch.tensor([sx, sy, sx, sy])


def flip(image: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Mirrors a picture [3, H, W] left to right, and its boxes [N, 4] xyxy with it. Inputs stay as they are."""
    width = image.shape[2]
    x1, y1, x2, y2 = boxes.unbind(1)
    return image.flip(2), torch.stack([width - x2, y1, width - x1, y2], dim=1)
