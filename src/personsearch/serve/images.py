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
from personsearch.serve.in_turn import InTurn

_CROP, _SMALL = (192, 384), (480, 480)
_KEPT = 64_000_000
"""Bytes of pictures that are kept for the next time."""


class GoneError(InputError):
    """The file behind an answer is not what was indexed."""


class Images:
    """JPEG files of scenes and people. For any number of threads; one picture is read at a time."""

    def __init__(self, longest: int = 1600) -> None:
        """`longest` is the most pixels of a scene's longer side."""
        self._size = (longest, longest)
        self._lock, self._reading = threading.Lock(), InTurn("pictures")
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def scene(self, key: str, hit: GalleryHit) -> bytes:
        """Raises GoneError, ImageError or VideoError."""
        return self._once(f"scene {key}", lambda: _smaller(read_scene(hit), self._size))

    def small(self, key: str, hit: GalleryHit) -> bytes:
        """A scene to browse by. Raises GoneError, ImageError or VideoError."""
        return self._once(f"small {key}", lambda: ImageOps.contain(read_scene(hit), _SMALL))

    def person(self, key: str, hit: GalleryHit) -> bytes:
        """Raises GoneError, ImageError or VideoError."""
        return self._once(f"person {key}", lambda: person_crop(read_scene(hit), hit.box, _CROP))

    def _once(self, key: str, make: Callable[[], Image.Image]) -> bytes:
        return self._known(key) or self._reading.do(lambda: self._made(key, make))

    def _made(self, key: str, make: Callable[[], Image.Image]) -> bytes:
        kept = self._known(key)  # it may have been made while this waited for its turn
        if kept is None:
            kept = jpeg(make())
            with self._lock:
                self._kept[key] = kept
                while sum(map(len, self._kept.values())) > _KEPT:
                    self._kept.popitem(last=False)
        return kept

    def _known(self, key: str) -> bytes | None:
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]


def jpeg(image: Image.Image) -> bytes:
    """Without anything but pixels: what a camera wrote into a file stays there."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def _smaller(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return ImageOps.contain(image, size) if image.width > size[0] or image.height > size[1] else image


def check_there(hit: GalleryHit) -> None:
    """Raises GoneError unless the file is what was indexed."""
    state = hit.state
    if state is State.GONE:
        raise GoneError(f"{hit.source.name} was moved or deleted since it was indexed: index it where it is")
    if state is State.CHANGED:
        raise GoneError(f"{hit.source.name} has changed since it was indexed: index it again")


def read_scene(hit: GalleryHit) -> Image.Image:
    """Raises GoneError, ImageError or VideoError."""
    check_there(hit)
    image = hit.read()
    if image.size != (hit.width, hit.height):
        raise GoneError(f"{hit.source.name} has changed since it was indexed: index it again")
    return image
