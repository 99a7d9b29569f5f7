"""A gallery's people together with those who were found since: some take the place of others, the rest are new."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torchvision.ops import box_iou

from personsearch.search.answering import Crowd
from personsearch.search.hits import GalleryHit
from personsearch.search.ranking import Resident

SAME = 0.5
"""Boxes that overlap (IoU) so much show one person."""
C = TypeVar("C", bound=Crowd)


@dataclass(frozen=True)
class Found:
    """M people who were found in scenes of a crowd."""

    boxes: Tensor
    """[M, 4]"""
    readings: Tensor
    """[M, D] of unit length, as the crowd's are compared"""
    scores: Tensor
    """[M], of whoever found them"""
    scene_of: Tensor
    """[M] int64, numbers of their scenes"""

    @classmethod
    def nobody(cls, dim: int) -> Found:
        return cls(torch.zeros(0, 4), torch.zeros(0, dim), torch.zeros(0), torch.zeros(0, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Tensor | slice) -> Found:
        return Found(self.boxes[index], self.readings[index], self.scores[index], self.scene_of[index])

    @classmethod
    def joined(cls, parts: list[Found], dim: int) -> Found:
        """All of them."""
        several = [cls.nobody(dim), *parts]
        return cls(*(torch.cat([getattr(p, name) for p in several]) for name in cls.__dataclass_fields__))


def who_stays(crowd: Crowd, boxes: Tensor, found: Found, query: Tensor) -> tuple[Tensor, Found]:
    """Numbers [G] of the people in a crowd, with boxes [N, 4], for whom somebody found stands, and the found who stay.

    Of two boxes of one scene that show one person the more alike stays, by the cosine to the query [D]; of equals the
    one held.
    """
    held = torch.nonzero(torch.isin(crowd.scene_of, found.scene_of)).flatten()
    same = crowd.scene_of[held][:, None] == found.scene_of
    same &= box_iou(boxes[held], found.boxes) >= SAME
    cosines = crowd.cosines_of(held, query)
    more = (found.readings.to(query) @ query).to(cosines)[None] > cosines[:, None]
    return held[(same & more).any(dim=1)], found[~(same & ~more).any(dim=0)]


@dataclass(frozen=True)
class Completed(Generic[C]):
    """A crowd of N people, of whom some are `gone`, and M found people, who have the numbers from N on."""

    crowd: C
    gone: Tensor
    """[G] numbers of those whom a found person stands for"""
    found: Found

    @property
    def scene_of(self) -> Tensor:
        return torch.cat([self.crowd.scene_of, self.found.scene_of])

    @property
    def scores(self) -> Tensor:
        return torch.cat([self.crowd.scores, self.found.scores.to(self.crowd.scores)])

    def cosines(self, query: Tensor) -> Tensor:
        held = self.crowd.cosines(query).index_fill(0, self.gone, -torch.inf)
        return torch.cat([held, self._found(query).to(held)])

    def cosines_of(self, people: Tensor, query: Tensor) -> Tensor:
        new = people >= self._held
        cosines = torch.empty(len(people), dtype=query.dtype)
        cosines[~new] = self.crowd.cosines_of(people[~new], query).to(query)
        cosines[new] = self._found(query)[people[new] - self._held]
        return cosines.masked_fill(torch.isin(people, self.gone), -torch.inf)

    def readings(self, people: Tensor) -> Tensor:
        new = people >= self._held
        readings = torch.empty(len(people), self.found.readings.shape[1])
        readings[~new] = self.crowd.readings(people[~new]).to(readings)
        readings[new] = self.found.readings[people[new] - self._held].to(readings)
        return readings

    def _found(self, query: Tensor) -> Tensor:
        return self.found.readings.to(query) @ query

    @property
    def _held(self) -> int:
        return len(self.crowd.scores)


class CompletedGallery(Completed[Resident]):
    """The same of a gallery's people, who can be shown."""

    def hit(self, person: int, similarity: float) -> GalleryHit:
        place = person - self._held
        if place < 0:
            return self.crowd.hit(person, similarity)
        scene, box = int(self.found.scene_of[place]), self.found.boxes[place]
        return self.crowd.hit_in(scene, box, similarity, float(self.found.scores[place]))
