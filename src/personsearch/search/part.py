"""A part of a gallery's people: where few may be answers, nobody else is compared."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from personsearch.search.hits import GalleryHit
from personsearch.search.ranking import Resident

_SPARSE = 8
"""Times as many people, above which it is faster to pick those."""


@dataclass(frozen=True)
class PartOfCrowd:
    """The K people of a gallery with these numbers, as a crowd of their own."""

    crowd: Resident
    people: Tensor
    """[K] int64, rising"""

    @cached_property
    def scene_of(self) -> Tensor:
        """[K] the gallery's numbers of their scenes"""
        return self.crowd.scene_of[self.people]

    @cached_property
    def scores(self) -> Tensor:
        """[K]"""
        return self.crowd.scores[self.people]

    def cosines(self, query: Tensor) -> Tensor:
        """[K] to a query [D]; see `Resident.cosines`."""
        return self.crowd.cosines_of(self.people, query)

    def cosines_of(self, people: Tensor, query: Tensor) -> Tensor:
        """The same of some of them, by their place here."""
        return self.crowd.cosines_of(self.people[people], query)

    def readings(self, people: Tensor) -> Tensor:
        """[n, D] of some of them, by their place here."""
        return self.crowd.readings(self.people[people])

    def hit(self, person: int, similarity: float) -> GalleryHit:
        """One of them, by the place here, as an answer."""
        return self.crowd.hit(int(self.people[person]), similarity)


def part_with(crowd: Resident, among: Tensor) -> PartOfCrowd | None:
    """Everybody in the scenes in which somebody is among [N] bool; None where these are too many for it to pay.

    One person is in a scene once, so whoever may not be an answer still keeps others of the same scene from being one.
    """
    scenes = crowd.scene_of[torch.nonzero(among).flatten()].unique_consecutive()  # type: ignore[no-untyped-call]
    firsts = torch.searchsorted(crowd.scene_of, scenes)  # they stand scene by scene
    counts = torch.searchsorted(crowd.scene_of, scenes, right=True) - firsts
    count = int(counts.sum())
    if count * _SPARSE > len(among):
        return None
    before = counts.cumsum(0) - counts
    return PartOfCrowd(crowd, torch.arange(count) + (firsts - before).repeat_interleave(counts))
