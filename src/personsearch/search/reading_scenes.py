"""A scene as the model reads it, with one line for whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from PIL import Image

from personsearch.errors import InputError, PersonSearchError
from personsearch.search.hits import clock
from personsearch.search.rows import IndexedScene
from personsearch.search.searchers import SceneEncoder
from personsearch.search.sources import Source

T = TypeVar("T")


def scene_of(
    searcher: SceneEncoder,
    source: Source,
    image: Image.Image,
    frame: int | None = None,
    time: float | None = None,
) -> IndexedScene:
    """Raises InputError when the model fails on this scene, as where memory is too small for its many people."""
    try:
        return IndexedScene(source, image.width, image.height, searcher.encode_scene(image), frame, time)
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
