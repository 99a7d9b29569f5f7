"""An index cut into pieces that any machine can do: a picture, or some minutes of a film.

Pieces are read in any order, and come back as the scenes that one process would have found. Whoever keeps the gallery
cuts, and writes what comes back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from personsearch.data.pictures import ImageFile
from personsearch.data.video import read_header, sample_video
from personsearch.errors import InputError
from personsearch.geometry.detections import Detections
from personsearch.search.ahead import ahead
from personsearch.search.hits import clock
from personsearch.search.reading_scenes import SceneReader, in_one_line
from personsearch.search.rows import IndexedScene
from personsearch.search.searchers import SceneEncoder
from personsearch.search.sources import Source

MINUTES = 2.0
MOST = 8
"""Pieces of a film: each passes over all frames before its own, for frames are counted from the start."""


@dataclass(frozen=True)
class Piece:
    """A picture, or the part of a film from `after` to `before` seconds."""

    source: Source
    after: float = 0.0
    before: float = math.inf
    held: frozenset[int | None] = frozenset()
    """Frames that are in already"""

    @property
    def last(self) -> bool:
        """Whether the end of the file is in it."""
        return self.before == math.inf

    @property
    def name(self) -> str:
        name = Path(self.source.path).name
        return name if self.source.every is None else f"{name} {clock(self.after)}"


@dataclass
class Encoded:
    """What became of a piece."""

    piece: Piece
    fingerprint: str
    """Of the weights that read it"""
    scenes: list[IndexedScene] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """One line for each frame that the model failed on"""
    fault: str | None = None
    """One line where the file cannot be read, or not to its end"""


class Workers(Protocol):
    """Who reads pieces."""

    def encode(self, pieces: Iterable[Piece]) -> Iterator[Encoded]:
        """Each piece once, as they are done. Raises GalleryError where nobody is left to read them."""


def pieces_of(source: Source, held: Iterable[int | None]) -> list[Piece]:
    """Raises InputError for a film that cannot be read."""
    if source.every is None:
        return [Piece(source)]
    header = read_header(Path(source.path))
    seconds = (header.frames or 0) / (header.rate or 1)
    count = max(1, min(MOST, math.ceil(seconds / (60 * MINUTES))))
    starts = [seconds * number / count for number in range(count)]
    return [
        Piece(source, after, before, frozenset(held))
        for after, before in zip(starts, [*starts[1:], math.inf], strict=True)
    ]


def read_piece(encoder: SceneEncoder, piece: Piece) -> Encoded:
    """Whatever is wrong with the file is in what comes back."""
    done = Encoded(piece, encoder.fingerprint)
    path = Path(piece.source.path)
    try:
        for _ in in_one_line(path, _read(encoder, piece, done)):
            pass
    except InputError as error:
        done.fault = str(error)
    return done


def _read(encoder: SceneEncoder, piece: Piece, done: Encoded) -> Iterator[None]:
    path, reader = Path(piece.source.path), SceneReader(encoder)
    if piece.source.every is None:
        done.scenes.append(_on_cpu(reader.read(piece.source, ImageFile(path).read())))
        return
    with closing(ahead(sample_video(path, piece.source.every))) as samples:
        for sample in samples:
            if sample.time >= piece.before:
                return
            if sample.time >= piece.after and sample.index not in piece.held:
                try:
                    scene = reader.read(piece.source, sample.image, sample.index, sample.time)
                    done.scenes.append(_on_cpu(scene))
                except InputError as error:
                    done.left_out.append(str(error))
            yield


def _on_cpu(scene: IndexedScene) -> IndexedScene:
    """As a machine without a GPU can take it."""
    found = scene.people
    return replace(scene, people=Detections(found.boxes.cpu(), found.scores.cpu(), found.embeddings.cpu()))


class Assembly:
    """Tells when all pieces of a file are back, and what is wrong with it."""

    def __init__(self) -> None:
        self._missing: dict[str, int] = {}
        self._left_out: dict[str, list[str]] = {}
        self._faults: dict[str, str] = {}

    def expect(self, pieces: Sequence[Piece]) -> None:
        self._missing[pieces[0].source.path] = len(pieces)

    def add(self, done: Encoded, finish: Callable[[Source], None]) -> None:
        """Calls `finish` for a film that is whole. Raises InputError when the last piece of a file is back that is not,
        as one process would."""
        path = done.piece.source.path
        self._missing[path] -= 1
        self._left_out.setdefault(path, []).extend(done.left_out)
        if done.fault is not None and (done.piece.last or path not in self._faults):
            self._faults[path] = done.fault
        if self._missing[path]:
            return
        left_out = self._left_out[path]
        if path in self._faults:
            raise InputError(self._faults[path])
        if left_out:
            raise InputError(f"{left_out[0]}" + (f", and so {len(left_out) - 1} more frames" if left_out[1:] else ""))
        if done.piece.source.every is not None:
            finish(done.piece.source)
