"""A gallery that holds a person often holds her several times: her first answers help to find the others."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.search.strangers import Strangers

WIDEN = 8
"""Most answers that a query is widened by."""
_AT_FIRST = 2
"""Who must agree with the query before it is widened at all."""
LOOKED_AT = 3
"""Answers that are looked at, for each that may be taken."""


def widened(query: Tensor, answers: Tensor, cosines: Tensor) -> Tensor:
    """The query q [D] together with its first answers r [K, D], all of unit length, as a query of unit length:

        q' = (q + sum_k max(c_k, 0) r_k) / |q + sum_k max(c_k, 0) r_k|

    The cosines c [K] between them say how much each counts. Without answers it is the query itself.
    """
    if not len(answers):
        return query
    return F.normalize(query + cosines.clamp(min=0) @ answers, dim=0)


def agreement(query: Tensor, answers: Tensor) -> float:
    """The mean cosine of all pairs among a query [D] and its first answers [K, D], K > 0, all of unit length.

    Sights of one person are alike among themselves. Whoever is merely like the query is hardly like the next one who
    is, so this tells better than the first answer alone whether its person is there.
    """
    everybody = torch.cat([query[None], answers])
    pairs = len(everybody) * len(answers)  # each in both orders
    return float((everybody.sum(dim=0).square().sum() - everybody.square().sum()) / pairs)


def clear(query: Tensor, answers: Tensor, strangers: Strangers, people: int) -> bool:
    """Whether a query [D] and its first answers [K, D] agree more than it would with one of `people` strangers.

    Without answers, and in a gallery without strangers to compare with, they do not: whoever is absent must not be
    searched for by the looks of somebody else.
    """
    reach = strangers.reach(people)
    return bool(len(answers)) and reach is not None and agreement(query, answers) > reach


def agreeing(query: Tensor, answers: Tensor, strangers: Strangers, people: int, most: int = WIDEN) -> Tensor:
    """Whom a query [D] is widened by: places [K] among its first answers [M, D], K <= `most`, in the order they join.

    The first two start, where they are `clear`. Then whoever is most alike, in the mean, to the query and all who
    have joined does so too, while that mean is above what one of `people` strangers reaches.
    """
    count = min(_AT_FIRST, most)
    if not clear(query, answers[:count], strangers, people):
        return torch.zeros(0, dtype=torch.int64)
    joined = list(range(min(count, len(answers))))
    group, reach = query + answers[joined].sum(dim=0), strangers.reach(people)
    while len(joined) < min(most, len(answers)):
        alike = answers @ group / (1 + len(joined))
        alike[joined] = -torch.inf
        best = int(alike.argmax())
        if reach is None or alike[best] <= reach:
            break
        joined.append(best)
        group = group + answers[best]
    return torch.tensor(joined, dtype=torch.int64)


def first_answers(likenesses: Tensor, count: int, scene_of: Tensor) -> Tensor:
    """The people [K], K <= `count`, whom a query may be widened by: the most alike, best first, one of a scene.

    `likenesses` [N] are what the gallery is ranked by, -inf for whom must not be used; `scene_of` [N] are the numbers
    of their scenes. Of equals the first comes first.
    """
    usable = int(likenesses.isfinite().sum())
    wide = min(usable, max(64, 16 * count))
    while True:
        best = _top(likenesses, wide)
        chosen: dict[int, int] = {}
        for person, scene in zip(best.tolist(), scene_of[best].tolist(), strict=True):
            if len(chosen) == count:
                break
            chosen.setdefault(scene, person)
        if len(chosen) == count or wide == usable:
            return torch.tensor(list(chosen.values()), dtype=torch.int64)
        wide = min(usable, 8 * wide)


def _top(likenesses: Tensor, count: int) -> Tensor:
    """The places of the `count` largest, falling, equals by place; all equals of the last one, too."""
    if not count:
        return torch.zeros(0, dtype=torch.int64)
    least = torch.topk(likenesses, count).values[-1]
    places = torch.nonzero(likenesses >= least).flatten()
    return places[torch.argsort(likenesses[places], descending=True, stable=True)]
