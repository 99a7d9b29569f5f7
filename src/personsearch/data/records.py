"""The nouns of the task. Pixels are lazy: a scene knows how to read its picture and does so when asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from PIL import Image

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the original picture."""

UNLABELED = -1
"""Identity of a person whose identity nobody wrote down. Background is not an identity."""


class Picture(Protocol):
    """Where pixels come from: a file, or one frame of a video."""

    def read(self) -> Image.Image:
        """The picture in RGB, upright. Raises ImageError or VideoError."""
        ...


@dataclass(frozen=True, slots=True)
class Person:
    """One annotated person of a scene."""

    box: Box
    identity: int = UNLABELED
    visible: float = 1.0
    """Visible fraction in [0, 1]; 1 where the data does not say."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One whole picture and the people annotated in it."""

    name: str
    """Unique within its benchmark."""
    picture: Picture
    width: int
    height: int
    persons: tuple[Person, ...] = ()
    camera: int | None = None
    time: float | None = None
    """Seconds since the start of its video."""

    def read(self) -> Image.Image:
        return self.picture.read()


@dataclass(frozen=True, slots=True)
class Query:
    """One person to search for, and where."""

    scene: str
    box: Box
    identity: int
    gallery: Sequence[str]
    """Names of the scenes to search in; never the query's own, unless the published protocol says so."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Scenes to train on and scenes to search in.

    Training identities are 0 … `identities` - 1. Test identities are numbers of their own.
    """

    name: str
    train: tuple[Scene, ...]
    identities: int
    test: tuple[Scene, ...]
    queries: tuple[Query, ...]


@dataclass(frozen=True, slots=True)
class Hit:
    """One ranked answer."""

    scene: str
    box: Box
    similarity: float
    """Cosine of the two embeddings, in [-1, 1]."""
    score: float
    """The detector's confidence that this is a person, in [0, 1]."""
