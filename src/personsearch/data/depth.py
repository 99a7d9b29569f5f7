"""Pictures of more than 8 bits a number, scaled to 8: files do not say how much of their range they use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_DEPTHS = (8, 10, 12, 14, 16)
"""Bits of sensors and of what stores them."""
_DARK = 16
"""Of 255. Floats with a maximum between 1 and this could be of either range, and would look black in one."""


def keeps_upper_bits_only(image: Image.Image) -> bool:
    """Whether Pillow will give the upper 8 of 16 bits of each colour of a picture that is not decoded yet."""
    return not image.mode.startswith("I") and any(";16" in str(tile.args) for tile in getattr(image, "tile", ()))


def check_upper_bits(image: Image.Image) -> None:
    """Raises ValueError when the upper bits are next to black everywhere: then the picture is in the lower ones."""
    if 0 < np.asarray(image).max() < _DARK:
        raise ValueError("its 16-bit colours use the lower bits alone, so save it with 8 bits a colour")


def to_grey(image: Image.Image) -> Image.Image:
    """A grey picture of 16-bit or 32-bit whole numbers or of floats, with 8 bits.

    Whole numbers are taken as having the fewest of 8, 10, 12, 14 or 16 bits that hold the brightest pixel, and
    scaled by that: cameras leave the upper bits of a 16-bit file empty. Floats are from 0 to 1, or from 0 to 255.
    Raises ValueError for numbers that are in no such range, or not finite.
    """
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    scale = _range_of_floats(low, high) if image.mode == "F" else _range_of_whole(low, high)
    if scale is None:
        ranges = "from 0 to 1 or from 0 to 255" if image.mode == "F" else "from 0 to 65535"
        raise ValueError(f"its pixels go from {low:g} to {high:g}, not {ranges}, so scale them")
    return Image.fromarray(_scaled(values, scale))


def _range_of_whole(low: float, high: float) -> float | None:
    """The number that stands for white."""
    tops = [2.0**depth - 1 for depth in _DEPTHS]
    return next((top for top in tops if low >= 0 and high <= top), None)


def _range_of_floats(low: float, high: float) -> float | None:
    """The number that stands for white; resampling goes a little beyond both ends."""
    for top, dark in ((1.0, 0.0), (255.0, _DARK)):
        if -0.01 * top <= low and dark <= high <= 1.01 * top:
            return top
    return None


def _scaled(values: NDArray[Any], white: float) -> NDArray[np.uint8]:
    scaled: NDArray[np.float32] = values.astype(np.float32) * np.float32(255 / white)
    return scaled.round().clip(0, 255).astype(np.uint8)
