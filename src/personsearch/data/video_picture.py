"""A decoded frame as a picture, turned and mirrored as players show it."""

from __future__ import annotations

import struct
from typing import Any

from PIL import Image

_QUARTER_TURNS = ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))
"""The turning part of the display matrix, by quarter turns counterclockwise."""


def to_picture(frame: Any) -> Image.Image:
    """The frame of PyAV in RGB, upright, in the pixels of the stream: those that are not square stay as they are."""
    image: Image.Image = frame.to_image(threads=1)  # its threads would live as long as the frame, see open_video
    return _turned(image, *_display_matrix(frame))


def _turned(image: Image.Image, a: int, b: int, c: int, d: int) -> Image.Image:
    """(x, y) goes to (a x + c y, b x + d y), in the nearest of the eight ways to turn and mirror."""
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, right, down = image.transpose(Image.Transpose.TRANSPOSE), c, b
    else:
        right, down = a, d
    if right < 0:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if down < 0:
        image = image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    return image


def _display_matrix(frame: Any) -> tuple[int, int, int, int]:
    try:
        side = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV names no side data where one kind is unknown to it; the turn is known nevertheless
        return _QUARTER_TURNS[round(frame.rotation / 90) % 4]
    if side is None or len(bytes(side)) < 36:
        return _QUARTER_TURNS[0]
    a, b, _, c, d, *_ = struct.unpack("9i", bytes(side)[:36])
    return a, b, c, d
