"""Hides everybody but one person. All that lies outside of the box is blurred, so also whoever nobody has found."""

from __future__ import annotations

from PIL import Image

from personsearch.data.records import Box

_LONGEST = 40
"""Pixels that are left of a picture's longer side: a face that fills a quarter of it has ten."""


def blurred(image: Image.Image, box: Box | None) -> Image.Image:
    """The picture, sharp within `box` alone; nowhere, when None or where the box lies outside."""
    image = image.convert("RGB")
    scale = min(1.0, _LONGEST / max(image.size))
    small = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    hidden = image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.BILINEAR)
    if box is not None:
        x1, y1, x2, y2 = (round(v) for v in box)
        x1, y1, x2, y2 = max(0, x1), max(0, y1), min(image.width, x2), min(image.height, y2)
        if x1 < x2 and y1 < y2:
            hidden.paste(image.crop((x1, y1, x2, y2)), (x1, y1))
    return hidden
