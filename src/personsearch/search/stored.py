"""The readings of N people as they are stored: all in memory, or part by part from the table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from personsearch.search.table import Snapshot

_AT_A_TIME = 1024
"""Of some people, how many are put beside each other at a time, which stay in the cache, too."""


class Stored(Protocol):
    """Readings [N, D] float16."""

    def __len__(self) -> int:
        """N"""

    @property
    def dim(self) -> int:
        """D"""

    def parts(self) -> Iterator[tuple[Tensor | slice, Tensor]]:
        """Everybody once: which people, and their readings [n, D]. Raises GalleryError."""

    def take(self, people: Tensor) -> Tensor:
        """[K, D] of the people with these numbers [K]. Raises GalleryError."""


@dataclass(frozen=True)
class InMemory:
    """All of them, as one part."""

    values: Tensor
    """[N, D]"""

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dim(self) -> int:
        return self.values.shape[1]

    def parts(self) -> Iterator[tuple[Tensor | slice, Tensor]]:
        yield slice(None), self.values

    def take(self, people: Tensor) -> Tensor:
        return self.values.index_select(0, people)  # three times as fast as brackets


@dataclass(frozen=True)
class Some:
    """Those of them with some numbers, looked up when they are asked for."""

    of: Stored
    people: Tensor
    """[K] int64"""

    def __len__(self) -> int:
        return len(self.people)

    @property
    def dim(self) -> int:
        return self.of.dim

    def parts(self) -> Iterator[tuple[Tensor | slice, Tensor]]:
        for start in range(0, len(self.people), _AT_A_TIME):
            part = slice(start, start + _AT_A_TIME)
            yield part, self.of.take(self.people[part])

    def take(self, people: Tensor) -> Tensor:
        return self.of.take(self.people[people])


class InShards:
    """Shards of whole scenes, of about so many people each: no more than one of them is in memory."""

    def __init__(
        self, snapshot: Snapshot, rows: NDArray[np.int64], counts: Tensor, most: int, *, finite: bool = False
    ) -> None:
        """`rows` [S] are the numbers that the table has for scenes, of `counts` [S] people each. Where all is to be
        `finite`, what is no number is 0."""
        self._snapshot, self._most, self._finite = snapshot, most, finite
        self._rows = rows
        self._counts = counts.numpy()
        self._starts = np.concatenate([[0], np.cumsum(self._counts)])
        self._in_order = np.argsort(rows)  # as they lie on the disk

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def dim(self) -> int:
        return self._snapshot.dim

    def parts(self) -> Iterator[tuple[Tensor | slice, Tensor]]:
        before = np.cumsum(self._counts[self._in_order]) - self._counts[self._in_order]
        for scenes in np.split(self._in_order, np.flatnonzero(np.diff(before // self._most)) + 1):
            scenes = scenes[self._counts[scenes] > 0]
            if len(scenes):
                yield torch.from_numpy(self._people(scenes)), self._read(scenes)

    def take(self, people: Tensor) -> Tensor:
        if not len(people):
            return torch.zeros(0, self.dim, dtype=torch.float16)
        scenes = np.unique(np.searchsorted(self._starts, people.numpy(), side="right") - 1)
        scenes = scenes[np.argsort(self._rows[scenes])]
        there = self._people(scenes)
        order = np.argsort(there)
        return self._read(scenes)[torch.from_numpy(order[np.searchsorted(there[order], people.numpy())])]

    def _people(self, scenes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the people of some scenes, scene by scene."""
        counts = self._counts[scenes]
        ends = np.cumsum(counts)
        numbers: NDArray[np.int64] = np.arange(ends[-1]) - np.repeat(ends - counts - self._starts[scenes], counts)
        return numbers

    def _read(self, scenes: NDArray[np.int64]) -> Tensor:
        """[n, D] of the people of scenes in the order of the table."""
        read = self._snapshot.readings(self._rows[scenes].tolist(), int(self._counts[scenes].sum()))
        return read.nan_to_num_(0.0) if self._finite else read


def products(stored: Stored, query: Tensor) -> Tensor:
    """[N] float32: those of stored readings with a query [D], rounded to float16."""
    found = torch.empty(len(stored))
    for people, part in stored.parts():
        found[people] = torch.mv(part, query.half()).float()
    return found


def exact(readings: Tensor, query: Tensor) -> Tensor:
    """[K] float32: products of readings [K, D] with a query [D], the same to the last digit in whatever company."""
    found: Tensor = torch.linalg.vecdot(readings.double(), query.double())
    return found.float()
