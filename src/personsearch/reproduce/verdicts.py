"""What became of a paper's claims: the sign of each, by seed, beside the paper's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from personsearch.reproduce.tables import Claim, Term

Value = Mapping[tuple[str, str], Sequence[float]]
"""By row and column: one figure for each seed, or one for all of them where it is only quoted."""


@dataclass(frozen=True)
class Verdict:
    """A claim for one column, or for the columns that its terms name."""

    says: str
    column: str
    paper: float | None
    """The paper's own difference; None where it prints none."""
    ours: tuple[float, ...]
    """By seed; empty where something was not measured."""
    about: float | None
    trial: bool = False
    """Whether the runs are too short to say anything"""

    @property
    def sign(self) -> str:
        """In words."""
        if not self.ours:
            return "not measured"
        if self.trial:
            return "not judged: a trial"
        middle = mean(self.ours)
        spread = stdev(self.ours) if len(self.ours) > 1 else 0.0
        one = " (one seed)" if len(self.ours) == 1 else ""
        if self.about is not None:
            return f"no difference, as in the paper{one}" if abs(middle) <= max(self.about, spread) else f"differs{one}"
        if min(self.ours) > 0:
            return "as in the paper" + (one or f", in each of {len(self.ours)} seeds")
        if middle > 0:
            return "as in the paper in the mean, not in each seed"
        if max(self.ours) < 0:
            return "the other way round" + (one or f", in each of {len(self.ours)} seeds")
        return "not reproduced" if middle == 0 else "the other way round in the mean, not in each seed"

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        return {
            "claim": self.says,
            "column": self.column,
            "paper": self.paper,
            "ours": list(self.ours),
            "sign": self.sign,
        }


def judge(
    claims: Sequence[Claim], columns: Sequence[str], data: str, paper: Value, ours: Value, trial: bool = False
) -> Iterator[Verdict]:
    """A verdict for each claim and column. `data` is the benchmark of the paper that is measured or stood in for."""
    for claim in claims:
        if claim.data not in (None, data):
            continue
        named = list(dict.fromkeys(term.column for term in claim.terms if term.column is not None))
        if any(name not in columns for name in named):
            continue
        for column in [", ".join(named)] if named else columns:
            theirs, made = combined(claim.terms, column, paper), combined(claim.terms, column, ours)
            yield Verdict(claim.says, column, theirs[0] if theirs else None, made, claim.about, trial)


def combined(terms: Sequence[Term], column: str, values: Value) -> tuple[float, ...]:
    """The sum of terms for each seed; () where one of them is missing."""
    found = [values.get((term.row, term.column or column), ()) for term in terms]
    if not all(found):
        return ()
    seeds = max(len(some) for some in found)
    each = [some * seeds if len(some) == 1 else some for some in map(list, found)]
    return tuple(
        math.fsum(term.weight * some[seed] for term, some in zip(terms, each, strict=True)) for seed in range(seeds)
    )


def spread(values: Sequence[float], digits: int = 1, sign: str = "") -> str:
    """
    >>> spread([1.0, 3.0]), spread([2.04]), spread([])
    ('2.0 ± 1.4', '2.0', '–')
    """
    if not values:
        return "–"
    middle = f"{mean(values):{sign}.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ± {stdev(values):.{digits}f}"
