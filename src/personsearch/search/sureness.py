"""How much a likeness is worth in one gallery, told by how rarely two different people there look so alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from personsearch.search.strangers import FEWEST_PAIRS, Strangers

ANYBODY, LITTLE, ALIKE, VERY = range(4)
"""Levels of sureness; the higher ones are rarer among strangers."""
NAMES = ("hardly alike", "a little alike", "alike", "very alike")
_RATES = (1.0, 0.1, 0.01, 0.001)
"""The most strangers that look so alike, of each level: one in ten, in a hundred, in a thousand."""
_COSINES = (-1.0, 0.3, 0.5, 0.7)
"""The least likeness of each level in a gallery of so few people that strangers cannot be counted."""


@dataclass(frozen=True, slots=True)
class Sureness:
    """What one likeness is worth."""

    level: int
    """ANYBODY to VERY"""
    rate: float | None
    """The part of this gallery's pairs of different people who look so alike, or more; None where too few are known.
    Where none of M pairs does, it is 1 / (M + 1): no less can be told."""

    @property
    def rarity(self) -> str:
        """In short; empty where too few are known.

        >>> Sureness(VERY, 0.00034).rarity
        '1 in 2,900'
        """
        return "" if self.rate is None else f"1 in {_round(1 / self.rate):,}"

    @property
    def words(self) -> str:
        """In plain words.

        >>> Sureness(VERY, 0.00034).words
        'very alike: about 1 in 2,900 pairs of different people here look so alike'
        """
        if self.rate is None:
            return f"{NAMES[self.level]}: too few people are here to tell how rare that is"
        if self.rate > 0.5:
            return f"{NAMES[self.level]}: most different people here look so alike"
        return f"{NAMES[self.level]}: about {self.rarity} pairs of different people here look so alike"


def sureness_of(likeness: float, strangers: Strangers) -> Sureness:
    """Of a cosine, in a gallery with these strangers."""
    if len(strangers) < FEWEST_PAIRS:
        level = max(level for level in range(len(_COSINES)) if likeness >= _COSINES[level] or not level)
        return Sureness(level, None)
    above = len(strangers) - int(np.searchsorted(strangers.likenesses, np.float32(likeness), side="left"))
    rate = (above + 1) / (len(strangers) + 1)
    return Sureness(max(level for level in range(len(_RATES)) if rate <= _RATES[level]), rate)


def _round(number: float) -> int:
    """To two digits: more would promise what was not measured."""
    return int(float(f"{number:.1e}"))
