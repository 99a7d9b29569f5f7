"""Pictures for the page: scenes made smaller, and crops of people."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable

from PIL import Image, ImageOps

from personsearch.errors import InputError
from personsearch.search.drawing import person_crop
from personsearch.search.hits import GalleryHit
from personsearch.search.sources import State

_CROP = (192, 384)
_KEPT = 64_000_000
"""Bytes of pictures that are kept for the next time."""


class GoneError(InputError):
    """The file behind an answer is not what was indexed."""


class Images:
    """JPEG files of scenes and people. For any number of threads; one picture is read at a time."""

    def __init__(self, longest: int = 1600) -> None:
        """`longest` is the most pixels of a scene's longer side."""
        self._size = (longest, longest)
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def scene(self, key: str, hit: GalleryHit) -> bytes:
        """Raises GoneError, ImageError or VideoError."""
        return self._once(f"scene {key}", lambda: _smaller(_read(hit), self._size))

    def person(self, key: str, hit: GalleryHit) -> bytes:
        """Raises GoneError, ImageError or VideoError."""
        return self._once(f"person {key}", lambda: person_crop(_read(hit), hit.box, _CROP))

    def _once(self, key: str, make: Callable[[], Image.Image]) -> bytes:
        with self._lock:
            if key not in self._kept:
                self._kept[key] = jpeg(make())
                while sum(map(len, self._kept.values())) > _KEPT:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]


def jpeg(image: Image.Image) -> bytes:
    """Without anything but pixels: what a camera wrote into a file stays there."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def _smaller(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return ImageOps.contain(image, size) if image.width > size[0] or image.height > size[1] else image


def _read(hit: GalleryHit) -> Image.Image:
    state = hit.state
    if state is State.GONE:
        raise GoneError(f"{hit.source.name} was moved or deleted since it was indexed: index it where it is")
    if state is State.CHANGED:
        raise GoneError(f"{hit.source.name} has changed since it was indexed: index it again")
    image = hit.read()
    if image.size != (hit.width, hit.height):
        raise GoneError(f"{hit.source.name} has changed since it was indexed: index it again")
    return image
