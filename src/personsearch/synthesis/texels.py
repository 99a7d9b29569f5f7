"""Pictures as the kernels read them: one flat array of RGBA bytes, each picture a square with all its halvings."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from personsearch.errors import DataError

Bytes = NDArray[np.uint8]
Floats = NDArray[Any]

LARGEST = 512
"""Pixels of a side that are kept."""
TOO_LARGE = 64_000_000
"""Pixels; larger pictures are refused before they are decoded."""


def read_picture(path: Path, largest: int = LARGEST) -> Bytes:
    """A picture as a square [S, S, 4] of RGBA, S a power of two up to `largest`. Raises DataError."""
    with open_picture(path) as image:
        side = 1 << min(largest.bit_length() - 1, max(1, max(image.size).bit_length() - 1))
        try:
            image.draft("RGB", (side, side))
            whole = image.convert("RGBA").resize((side, side), Image.Resampling.BOX)
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"{path}: damaged picture ({' '.join(str(error).split())[:80]}); copy it again") from None
    return np.asarray(whole)


def open_picture(path: Path) -> Image.Image:
    """The picture, its size checked and its pixels unread. Raises DataError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path)
    except Image.DecompressionBombError:
        raise DataError(f"{path}: more than {TOO_LARGE:,} pixels; make it smaller") from None
    except (OSError, ValueError, SyntaxError):
        raise DataError(f"{path}: no picture, or a damaged one; copy it again") from None
    if image.width * image.height > TOO_LARGE:
        image.close()
        raise DataError(f"{path}: {image.width} x {image.height} is more than {TOO_LARGE:,} pixels; make it smaller")
    return image


def pyramid(picture: Bytes) -> list[Bytes]:
    """The picture and its halvings down to one pixel. Colours are weighted by alpha, and flow into the holes."""
    color, alpha = picture[..., :3].astype(np.float32), picture[..., 3:].astype(np.float32)
    levels = [(color, alpha)]
    while len(color) > 1:
        half = len(color) // 2
        weight = alpha + 1e-3
        total = weight.reshape(half, 2, half, 2, 1).sum((1, 3))
        color = (color * weight).reshape(half, 2, half, 2, 3).sum((1, 3)) / total
        alpha = alpha.reshape(half, 2, half, 2, 1).mean((1, 3))
        levels.append((color, alpha))
    filled = [levels[-1][0]]
    for color, alpha in levels[-2::-1]:
        wide = filled[0].repeat(2, 0).repeat(2, 1)
        filled.insert(0, np.where(alpha < 128, wide, color))
    return [np.concatenate([c, a], 2).round().astype(np.uint8) for c, (_, a) in zip(filled, levels, strict=True)]


class Texels:
    """Collects pictures for the kernels."""

    def __init__(self) -> None:
        self.parts: list[Bytes] = []
        self.table: list[tuple[int, int]] = []
        self.used = 0

    def add(self, picture: Bytes) -> int:
        """Keeps a picture [S, S, 4] and returns its number."""
        self.table.append((self.used, len(picture)))
        for level in pyramid(picture):
            self.parts.append(level.ravel())
            self.used += level.size
        return len(self.table) - 1

    def finish(self) -> tuple[Bytes, NDArray[np.int32]]:
        """All bytes, and for each picture where it starts and its side in pixels [T, 2]."""
        empty = np.zeros(4, np.uint8)
        return np.concatenate([*self.parts, empty]), np.array(self.table or [(0, 1)], np.int32).reshape(-1, 2)
