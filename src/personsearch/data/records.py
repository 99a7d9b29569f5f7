"""The nouns of the task. Pixels are lazy: a scene knows how to read its picture and does so when asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from PIL import Image

from personsearch.errors import ImageError

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
        """The picture, as its own `read` gives it.

        Raises ImageError, too, when it is of another size than `width` x `height`: boxes would be somewhere else.
        """
        image = self.picture.read()
        if image.size != (self.width, self.height):
            raise ImageError(f"the picture of {self.name} {other_size(image.size, (self.width, self.height))}")
        return image


def other_size(seen: tuple[int, int], stated: tuple[int, int]) -> str:
    """What is wrong with a picture, and what to do: a sentence that the caller begins with the picture's name."""
    turned = " turned upright by its Exif," if seen == stated[::-1] else ""
    return (
        f"is {seen[0]}x{seen[1]} pixels,{turned} and its boxes are for one of {stated[0]}x{stated[1]}: "
        "repair size and boxes, or put the picture that they are for in its place"
    )


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
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What the loader left out or changed, and how often; one line each."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One ranked answer."""

    scene: str
    box: Box
    similarity: float
    """Cosine of the two embeddings, in [-1, 1]."""
    score: float
    """The detector's confidence that this is a person, in [0, 1]."""
