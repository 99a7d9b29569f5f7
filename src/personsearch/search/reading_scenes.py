"""Scenes as the model reads them, with one line for whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from PIL import Image

from personsearch.errors import InputError, PersonSearchError
from personsearch.geometry.detections import Detections
from personsearch.search.hits import clock
from personsearch.search.rows import IndexedScene
from personsearch.search.searchers import SceneEncoder
from personsearch.search.sources import Source

T = TypeVar("T")


class SceneReader:
    """Reads pictures one after the other; one that equals the last, as where nothing moves, is not read again."""

    def __init__(self, searcher: SceneEncoder) -> None:
        self._searcher = searcher
        self._pixels = b""
        self._people = Detections.empty(searcher.dim)

    def read(
        self, source: Source, image: Image.Image, frame: int | None = None, time: float | None = None
    ) -> IndexedScene:
        """Raises InputError when the model fails on this scene, as where memory is too small for its many people."""
        try:
            pixels = repr(image.size).encode() + image.tobytes()
            if pixels != self._pixels:
                self._people = self._searcher.encode_scene(image)
                self._pixels = pixels
            return IndexedScene(source, image.width, image.height, self._people, frame, time)
        except PersonSearchError:
            raise
        except Exception as error:
            when = "" if time is None else f" at {clock(time)}"
            raise InputError(f"{source.path}{when}: the model fails on it ({_short(error)}), it is left out") from error


def in_one_line(path: Path, steps: Iterator[T]) -> Iterator[T]:
    """The same steps; whatever a library or the model raises becomes an InputError, so that only this file is lost."""
    try:
        yield from steps
    except PersonSearchError:
        raise
    except Exception as error:
        raise InputError(f"{path}: cannot be indexed ({_short(error)}); copy it again or leave it out") from error


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0].strip(" :")[:200]
