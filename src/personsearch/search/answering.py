"""From one query to what everybody is ranked by: one person once a scene, and the query widened where that is safe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from personsearch.search.likenesses import Likenesses
from personsearch.search.once_a_scene import LEAD, SURENESS
from personsearch.search.strangers import Strangers
from personsearch.search.widening import LOOKED_AT, WIDEN, agreeing, first_answers, widened

AGAIN = 1024
"""People who are compared with a widened query, too: whoever was less alike than all of them stays behind, and a query
among millions reads the gallery once."""
_MANY = 16
"""Times as many people, above which it is faster to pick those."""
_BEHIND = 4.0
"""More than two cosines can differ by."""


class Crowd(Protocol):
    """The N people that are searched."""

    @property
    def scene_of(self) -> Tensor:
        """[N] int64, numbers of their scenes"""
        ...

    @property
    def scores(self) -> Tensor:
        """[N], of their detections"""
        ...

    def cosines(self, query: Tensor) -> Tensor:
        """[N] to a query [D] of unit length; -inf for whoever cannot be compared."""
        ...

    def cosines_of(self, people: Tensor, query: Tensor) -> Tensor:
        """[K] to a query of those with these numbers [K] alone."""
        ...

    def readings(self, people: Tensor) -> Tensor:
        """[K, D] of the people with these numbers [K], of unit length."""
        ...


@dataclass(frozen=True)
class PeopleInMemory:
    """A crowd of N people as they are."""

    vectors: Tensor
    """[N, D] of unit length"""
    scene_of: Tensor
    scores: Tensor

    def cosines(self, query: Tensor) -> Tensor:
        return self.vectors @ query

    def cosines_of(self, people: Tensor, query: Tensor) -> Tensor:
        return self.vectors[people] @ query

    def readings(self, people: Tensor) -> Tensor:
        return self.vectors[people]


@dataclass(frozen=True)
class Ranked:
    """What one query makes of N people."""

    cosines: Tensor
    """[N] to the query itself: what is shown"""
    likenesses: Likenesses
    """What they are ranked by"""
    asked: Tensor
    """[D] the query, widened or not"""
    added: Tensor
    """[K] the people whom the query was widened by, as they joined; none where it was not"""


def rank_people(
    query: Tensor,
    crowd: Crowd,
    *,
    once: bool = True,
    lead: float = LEAD,
    sureness: float = SURENESS,
    strangers: Strangers | None = None,
    choose: Callable[[Likenesses, int], Tensor] | None = None,
    widen: int = WIDEN,
    people: int | None = None,
    among: Tensor | None = None,
) -> Ranked:
    """Ranks everybody in a crowd for a query [D] of unit length.

    With `once` by the rule of `once_a_scene`, else by the cosine. The query is widened by up to `widen` of its first
    answers, by those who are `agreeing` more than the gallery's `strangers` do. A person who is absent has no such
    answers, so is not searched for by the looks of somebody else. `choose` takes so many first answers [K]; by default
    `first_answers`. `people` are all who are searched, where the crowd is only a part of them, and `among` [N] bool
    those who may be answers.
    """

    def likeness(cosines: Tensor) -> Likenesses:
        return Likenesses(cosines, crowd.scene_of, crowd.scores, once, lead, sureness)

    cosines = crowd.cosines(query)
    first = likeness(cosines)
    added = torch.zeros(0, dtype=torch.int64)
    if strangers is None or not widen:
        return Ranked(cosines, first, query, added)
    count = LOOKED_AT * widen
    best = first_answers(first.everybody, count, crowd.scene_of) if choose is None else choose(first, count)
    answers = crowd.readings(best).to(query)
    joined = agreeing(query, answers, strangers, len(cosines) if people is None else people, widen)
    if not len(joined):
        return Ranked(cosines, first, query, added)
    added = best[joined]
    again = widened(query, answers[joined], cosines[added].to(query))
    return Ranked(cosines, likeness(_compared_again(crowd, again, cosines, among)), again, added)


def _compared_again(crowd: Crowd, widened: Tensor, cosines: Tensor, among: Tensor | None) -> Tensor:
    """Cosines [N] to a widened query of the `AGAIN` who were most alike before it was, and of all who were as alike and
    may not be answers: they keep others of their scenes from being one. The rest keep their order behind them."""
    if len(cosines) <= _MANY * AGAIN:
        return crowd.cosines(widened)
    near = cosines.topk(AGAIN, sorted=False).indices
    if among is not None:
        allowed = cosines.where(among, -torch.inf).topk(AGAIN).values
        least = allowed.where(allowed > -torch.inf, torch.inf).amin()
        near = torch.nonzero(cosines >= least).flatten()
    behind = cosines - _BEHIND
    behind[near] = crowd.cosines_of(near, widened)
    return behind
