"""Context bipartite graph matching: who else is there? A re-ranking (SeqNet, Li and Miao, AAAI 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CBGM:
    """SeqNet's numbers: 10 and 3 for CUHK-SYSU, 30 and 4 for PRW."""

    answers: int = 10
    """The scenes of this many best answers are looked at again."""
    people: int = 3
    """Of the query's scene, the query among them."""


def rerank(
    similarities: Floats,
    query: Tensor,
    context: Tensor,
    table: Tensor,
    scenes: Sequence[slice],
    settings: CBGM,
) -> Floats:
    """Similarities [M] of one query to all detections, changed where the people around support a match.

    `query` [D] and the other people of its scene, `context` [N, D] with the surest first, are matched one to one
    with the detections of each scene looked at, so that the matched cosines sum up to the most. The detection
    that the query is matched with then gets the largest of the matched cosines. `table` [M, D] holds all
    detections, `scenes` the rows of each searched scene. The given array stays as it is.
    """
    searched = np.concatenate([np.arange(rows.start, rows.stop) for rows in scenes] or [np.zeros(0, dtype=int)])
    finite = searched[np.isfinite(similarities[searched])]
    if not len(finite) or not len(context) or settings.people < 2:
        return similarities
    best = set(finite[np.argsort(-similarities[finite], kind="stable")[: settings.answers]].tolist())
    company = np.concatenate([query[None].numpy(), context[: settings.people - 1].numpy()])
    changed = similarities.copy()
    for rows in scenes:
        if best.isdisjoint(range(rows.start, rows.stop)):
            continue
        cosines = company @ table[rows].numpy().T
        people, matches = linear_sum_assignment(cosines, maximize=True)
        of_query = np.flatnonzero(people == 0)
        if len(of_query):
            changed[rows.start + matches[of_query[0]]] = cosines[people, matches].max()
    return changed
