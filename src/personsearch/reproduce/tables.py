"""What a table of a paper consists of: rows, columns, the paper's figures, and what it claims of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CUHK_SYSU, PRW = "cuhk-sysu", "prw"
METRICS = ("mAP", "top1")
Figures = tuple[float | None, float | None]
"""mAP and top-1 in percent; None where the paper prints none."""


@dataclass(frozen=True)
class Weights:
    """What is trained for a row."""

    variant: str
    """Of a recipe: "binet" of `binet_prw`."""
    temperature: float | None = None
    """T of BINet's Eq. 4, for similarities that OIM's scalar of 10 has scaled; the recipe's own when None."""


@dataclass(frozen=True)
class Row:
    """One line of a table. Without weights it is another publication's, and only quoted."""

    name: str
    weights: Weights | None = None
    boxes: str = "detected"
    """What is searched: "detected" people, or the "labeled" boxes."""
    reid: Weights | None = None
    """What embeds the people whom the row's weights find."""
    keep: int | Mapping[int, int] | None = None
    """How many proposals of a gallery go on; one number for each gallery size, or for all; all of them when None."""
    paper: Mapping[str, Figures] = field(default_factory=dict)
    """By the name of the column."""
    parameters: tuple[str, str] | None = None
    """Paper's number of parameters, and the entry of `describe` that counts ours."""


@dataclass(frozen=True)
class Column:
    """One evaluation of each row."""

    name: str
    data: str
    """CUHK_SYSU or PRW."""
    gallery: int | None = None
    """Scenes in a query's gallery; None for PRW, where all other test scenes are searched."""
    branch: str = "search"
    keep: int | None = None
    """Instead of the row's own."""


@dataclass(frozen=True)
class Term:
    """A figure of a table with a weight: claims are sums of them."""

    weight: float
    row: str
    column: str | None = None
    """Each column of the data, one after the other, when None."""


@dataclass(frozen=True)
class Claim:
    """What a paper says of its figures: that a sum of them is above zero, or about zero."""

    says: str
    terms: tuple[Term, ...]
    about: float | None = None
    """Claims of no difference: at most so many percent points count as none."""
    data: str | None = None
    """Claimed for this data alone."""
    printed: bool = True
    """Whether the paper's own figures must show it; some claims rest on figures that are drawn and not printed."""


@dataclass(frozen=True)
class Table:
    """A table or figure of a paper."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...] = ()
    axis: str | None = None
    """Of a figure: what its columns stand for from left to right. A figure without one is drawn as bars."""
    figure: bool = False
    notes: tuple[str, ...] = ()

    @property
    def data(self) -> tuple[str, ...]:
        """The benchmarks of the paper that it has columns of."""
        return tuple(dict.fromkeys(column.data for column in self.columns))


@dataclass(frozen=True)
class SpeedRow:
    """One line of a table of seconds."""

    name: str
    paper: float
    """Seconds, on the paper's machine."""
    task: str | None = None
    """What is timed here (`speed.py`); None for a row that is only quoted."""


@dataclass(frozen=True)
class SpeedTable:
    """A table of seconds: machines differ, so that only ratios of rows timed side by side are compared."""

    name: str
    title: str
    rows: tuple[SpeedRow, ...]
    base: str
    """The row that the others are divided by."""
    claims: tuple[Claim, ...] = ()
    """Of logarithms of seconds, so that a sum of terms is a ratio"""
    notes: tuple[str, ...] = ()


AnyTable = Table | SpeedTable


def above(says: str, higher: str, lower: str, *, data: str | None = None, printed: bool = True) -> Claim:
    """The claim that one row is above another in each column."""
    return Claim(says, (Term(1, higher), Term(-1, lower)), data=data, printed=printed)


def alike(says: str, one: str, other: str, points: float, *, data: str | None = None) -> Claim:
    """The claim that two rows differ by at most so many percent points."""
    return Claim(says, (Term(1, one), Term(-1, other)), about=points, data=data)


def higher_column(
    says: str, row: str, higher: str, lower: str, *, data: str | None = None, printed: bool = True
) -> Claim:
    """The claim that a row's figure in one column is above that in another."""
    return Claim(says, (Term(1, row, higher), Term(-1, row, lower)), data=data, printed=printed)
