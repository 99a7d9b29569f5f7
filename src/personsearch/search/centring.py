"""Each camera shifts all its readings alike, so the mean of a source says nothing about its people: it is taken off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from personsearch.search.likenesses import among_whom_the_largest_are
from personsearch.search.stored import InMemory, Some, Stored, exact, products

FEWEST = 50
"""People whose mean is that of their source and not their own."""
_ROWS = 512
"""People converted to float32 at a time: they stay in the cache."""
_APART = 1e-3
"""From the mean of its source: a reading that is nearer differs from it by the rounding of float16 alone."""
EXACT = 1024
"""The most alike, who are all that a search shows and widens by: float16 rounds the products of the others."""
ELSEWHERE = -1
"""The source of a query that is of none of the gallery's."""


@dataclass(frozen=True)
class Centres:
    """What is taken off the readings of each source."""

    means: Tensor
    """[S + 1, D]: of S sources, and last what stands for any other"""

    @classmethod
    def of(cls, readings: Tensor | Stored, source_of: Tensor, sources: int) -> Centres:
        """Of N people with readings [N, D] in sources `source_of` [N] int64, 0 ... S - 1.

        A source of fewer than 50 people takes the mean of everybody, and where those are fewer than 50, too, nothing.
        """
        stored = InMemory(readings) if isinstance(readings, Tensor) else readings
        # float16 are whole numbers of 2^-24, of which float64 adds up 10^8 without rounding, in whatever order
        sums = torch.zeros(sources, stored.dim, dtype=torch.float64)
        for people, part in stored.parts():
            for some, theirs, _ in _pieces(part, source_of[people]):
                sums.index_add_(0, theirs, some.double())
        counts = source_of.bincount(minlength=sources)[:, None]
        everybody = sums.sum(dim=0) / max(len(readings), 1) * (len(readings) >= FEWEST)
        means = torch.where(counts >= FEWEST, sums / counts.clamp(min=1), everybody)
        return cls(torch.cat([means, everybody[None]]).float())

    @classmethod
    def none(cls, sources: int, dim: int) -> Centres:
        """Nothing is taken off: embeddings are compared as the papers do it."""
        return cls(torch.zeros(sources + 1, dim))

    def take_off(self, readings: Tensor, source_of: Tensor) -> Tensor:
        """Readings [N, D] without the mean of their sources [N], of unit length, or 0 for who is that mean; ELSEWHERE
        takes that of everybody."""
        apart = readings.float() - self.means[source_of]
        lengths: Tensor = apart.norm(dim=1, keepdim=True)
        return apart / lengths.masked_fill_(lengths < _APART, torch.inf)


@dataclass(frozen=True)
class CentredPeople:
    """N people as they are stored, and what makes cosines of centred readings out of them without a second copy:

    cos(r - m, q) = (r q - m q) / |r - m|
    """

    stored: Stored
    """r, [N, D] float16"""
    source_of: Tensor
    """[N] int64"""
    centres: Centres
    lengths: Tensor
    """|r - m|, [N] float32; infinite where it is nothing but rounding, so that the cosine is 0"""

    @classmethod
    def of(cls, stored: Tensor | Stored, source_of: Tensor, centres: Centres) -> CentredPeople:
        """Of people in sources that the centres know."""
        stored = InMemory(stored) if isinstance(stored, Tensor) else stored
        lengths = torch.empty(len(stored))
        for people, part in stored.parts():
            found = torch.empty(len(part))  # filled in place: small tensors kept between big ones hold memory back
            for some, of, place in _pieces(part, source_of[people]):
                found[place] = (some.float() - centres.means[of]).norm(dim=1)
            lengths[people] = found
        return cls(stored, source_of, centres, lengths.masked_fill_(lengths < _APART, torch.inf))

    def cosines(self, query: Tensor) -> Tensor:
        """[N] to a query [D] float32 that is centred itself; 0 for who is the mean of a source, and -1 for what is no
        number.

        Those of the 1,024 most alike are exact, and those of the others to three decimals.
        """
        shifts = self.centres.means @ query
        moved = bool(shifts.any())
        # a third of the time of float32, for the rows stay as they are
        cosines = products(self.stored, query)
        if moved:
            cosines -= shifts[self.source_of]
        cosines.div_(self.lengths).nan_to_num_(nan=-1.0)
        count = min(EXACT, len(cosines))
        few = among_whom_the_largest_are(cosines, count)
        best = few[cosines[few].topk(count).indices]
        told = (exact(self.stored.take(best), query) - shifts[self.source_of[best]]) / self.lengths[best]
        cosines[best] = told.nan_to_num(nan=-1.0)
        return cosines

    def cosines_of(self, people: Tensor, query: Tensor) -> Tensor:
        """[K] of the people with these numbers [K] alone, as `cosines` gives them."""
        some = Some(self.stored, people)
        return CentredPeople(some, self.source_of[people], self.centres, self.lengths[people]).cosines(query)

    def centred(self, query: Tensor, source: int = ELSEWHERE) -> Tensor:
        """A query [D] of a source, or of none of them, without that source's mean, of unit length."""
        return self.centres.take_off(query[None], torch.tensor([source]))[0]

    def readings(self, people: Tensor) -> Tensor:
        """[K, D] float32 of the people with these numbers [K], centred."""
        return self.centres.take_off(self.stored.take(people), self.source_of[people])


def _pieces(readings: Tensor, source_of: Tensor) -> Iterator[tuple[Tensor, Tensor, slice]]:
    """A few readings at a time, their sources, and their places."""
    for start in range(0, len(readings), _ROWS):
        place = slice(start, start + _ROWS)
        yield readings[place], source_of[place], place
