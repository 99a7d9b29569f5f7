"""Checks boxes that come from outside. Inside the package every box is xyxy in original pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from personsearch.errors import BoxError

_LEAST = 0.99
"""Least side of a box within its picture: one pixel, less what rounding takes away."""


def check_box(box: Sequence[float], width: float, height: float) -> tuple[float, float, float, float]:
    """The xyxy box cut to a picture of `width` x `height` pixels.

    Raises BoxError when it is not four finite numbers, has no area, lies wholly outside the picture, or is less
    than a pixel wide or high there: then it shows nobody, and is probably in other units.

    >>> check_box((-10, 0, 50, 60), width=100, height=40)
    (0.0, 0.0, 50.0, 40.0)
    """
    numbers = _numbers(box)
    shown = " ".join(f"{value:g}" for value in numbers)
    if len(numbers) != 4:
        raise BoxError(f"box '{shown}' has {len(numbers)} numbers: give four, x1 y1 x2 y2, in pixels")
    if not all(math.isfinite(value) for value in numbers):
        raise BoxError(f"box '{shown}' holds a number that is not finite: give x1 y1 x2 y2 in pixels")
    x1, y1, x2, y2 = numbers
    if x2 <= x1 or y2 <= y1:
        raise BoxError(f"box '{shown}' has no area: give x1 y1 x2 y2 with x1 < x2 and y1 < y2")
    x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    if x2 <= x1 or y2 <= y1:
        raise BoxError(f"box '{shown}' lies outside the picture: x goes from 0 to {width:g} and y from 0 to {height:g}")
    if x2 - x1 < _LEAST or y2 - y1 < _LEAST:
        raise BoxError(
            f"box '{shown}' is less than a pixel wide or high in its picture of {width:g} x {height:g}: "
            "give x1 y1 x2 y2 in pixels, around a whole person"
        )
    return x1, y1, x2, y2


def _numbers(box: Sequence[float]) -> list[float]:
    try:
        return [float(value) for value in box]
    except (TypeError, ValueError, OverflowError):
        raise BoxError(f"box {str(box)[:60]!r} is not numbers: give x1 y1 x2 y2 in pixels") from None
