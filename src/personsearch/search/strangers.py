"""How alike strangers look in a gallery: what a likeness is worth there.

People in one frame are strangers for sure, but share light and background, and are few. Two frames have many pairs
of people. Of somebody who is in both for sure, everybody else in the other frame is a stranger.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

Floats = NDArray[np.float32]

_PAIRS_OF_FRAMES = 20_000
_PAIRS_OF_PEOPLE = 1_000_000
"""More are not looked at: a rate of one in a hundred thousand is then told from ten of them."""
_SEEN_AGAIN = 0.25
"""The part of all matched pairs, the most alike, that are taken for one person."""
CHANCE = 0.2
"""With which the most alike of many strangers may pass for somebody else: one in five."""
FEWEST_PAIRS = 100
"""From which on a gallery says anything of strangers."""
FEWEST = 10
"""Strangers above a likeness from which its rate can be told."""


@dataclass(frozen=True)
class Strangers:
    """The likenesses of a gallery's pairs of strangers."""

    likenesses: Floats
    """[M], rising"""

    def __len__(self) -> int:
        return len(self.likenesses)

    def threshold(self, rate: float) -> float | None:
        """The likeness that this part of all strangers reaches; None where there are too few of them to tell."""
        above = int(rate * len(self))
        return float(self.likenesses[-min(above, len(self))]) if above >= FEWEST else None

    def reach(self, people: int, chance: float = CHANCE) -> float | None:
        """The likeness that somebody among so many strangers reaches with no more than this chance.

        Where such a one is rarer than one in M pairs, the most alike pair stands for it. None of fewer than 100 pairs,
        of which the most alike one says little.
        """
        if len(self) < FEWEST_PAIRS:
            return None
        above = max(1, int(chance / max(people, 1) * len(self)))
        return float(self.likenesses[-min(above, len(self))])


def find_strangers(readings: Tensor, scene_of: Tensor, scores: Tensor) -> Strangers:
    """The strangers among people with readings [N, D] of unit length in scenes `scene_of` [N] int64.

    Only the surer half by detection `scores` [N] is looked at, for things that pass for people are unlike all of them.
    Pairs of scenes are drawn by chance, the same ones each time, all of them where they are few. Two scenes' people are
    matched one to one, so that the matched likenesses sum up to the most. Whoever is matched among the most alike
    quarter of all is seen again for sure, and is a stranger to everybody else there. Of the others it is not known: who
    is not there is matched to the stranger most like her.
    """
    sure = scores >= (scores.double().quantile(0.5) if len(scores) else 0)
    sure &= readings.isfinite().all(dim=1)
    readings, scene_of = readings[sure], scene_of[sure]
    order = scene_of.argsort(stable=True)
    _, counts = np.unique(scene_of.numpy(), return_counts=True)
    starts = np.concatenate([[0], np.cumsum(counts)])
    table = readings[order].float().numpy()
    nothing = np.zeros(0, dtype=np.float32)
    unmatched, beside, matched, held = [nothing], [nothing], [nothing], 0
    for first, second in _pairs(len(counts)):
        if held >= _PAIRS_OF_PEOPLE:
            break
        cosines = table[starts[first] : starts[first + 1]] @ table[starts[second] : starts[second + 1]].T
        one, other = linear_sum_assignment(cosines, maximize=True)
        left = np.ones(cosines.shape, dtype=bool)
        left[one, other] = False
        unmatched.append(cosines[left])
        beside.append(_best_match(cosines, one, other)[left])
        matched.append(cosines[one, other])
        held += len(unmatched[-1])
    likenesses, matches = np.concatenate(unmatched), np.concatenate(matched)
    if len(likenesses):
        likenesses = likenesses[np.concatenate(beside) >= np.quantile(matches, 1 - _SEEN_AGAIN)]
    return Strangers(np.sort(likenesses))


def _best_match(cosines: Floats, one: NDArray[np.intp], other: NDArray[np.intp]) -> Floats:
    """[A, B]: of each pair the better of the two likenesses in which its people are matched; who is not has -inf."""
    rows, columns = np.full((len(cosines), 1), -np.inf), np.full((1, cosines.shape[1]), -np.inf)
    rows[one, 0] = columns[0, other] = cosines[one, other]
    best: Floats = np.maximum(rows, columns).astype(np.float32)
    return best


def _pairs(scenes: int) -> list[tuple[int, int]]:
    """Different pairs of so many scenes, in an order by chance."""
    every = scenes * (scenes - 1) // 2
    chosen = random.Random(0).sample(range(every), min(every, _PAIRS_OF_FRAMES))
    return [_pair(number) for number in chosen]


def _pair(number: int) -> tuple[int, int]:
    """The pair of a number, counted row by row below the diagonal: (0, 1), (0, 2), (1, 2), (0, 3) ..."""
    second = int((1 + np.sqrt(1 + 8 * number)) / 2)
    second -= second * (second - 1) // 2 > number  # the root may be rounded up
    return number - second * (second - 1) // 2, second
