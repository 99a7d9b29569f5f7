"""The annotations of a MOTChallenge sequence, gt.txt. Its columns depend on who wrote it:

    frame, id, left, top, width, height, flag                         everywhere
    ..., class, visible                                               MOT16 and later
    ..., x, y, z in metres, or -1                                     MOT15
    ..., class and then whatever a program of one's own adds

So from the eighth column on, what a column holds is seen from its numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from personsearch.data.layouts.reading import Tally, read_text, whole
from personsearch.data.records import UNLABELED, Box
from personsearch.errors import DataError

_LEAST = 7
"""Columns that every file has."""
_CLASS, _VISIBLE = 7, 8
"""Columns, counted from 0."""
_PEDESTRIAN = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One line that counts."""

    frame: int
    identity: int
    """UNLABELED for -1."""
    corners: Box
    """x1, y1, x2, y2, as they stand there: across the border of the picture, too."""
    visible: float


def read_rows(path: Path, tally: Tally) -> list[Row]:
    """The people of gt.txt in its order, at least one. Lines of flag 0 and of other classes are counted in `tally`.

    Raises DataError for a line that is damaged, and where nobody is left.
    """
    lines = _read_lines(path)
    has_class = _has_class(list(lines.values()))
    visible = _visible_column(list(lines.values())) if has_class else None
    rows, seen = [], set()
    classes = set()
    for count, values in lines.items():
        where = f"line {count} of {path}"
        category = int(values[_CLASS]) if has_class else _PEDESTRIAN
        classes.add(category)
        if values[6] == 0:
            tally[f"lines of {path.name} have flag 0: left out"] += 1
        elif category != _PEDESTRIAN:
            tally[f"lines of {path.name} are of class {category}, not {_PEDESTRIAN}: left out"] += 1
        else:
            row = _row(values, visible, where)
            if row.identity != UNLABELED and (row.frame, row.identity) in seen:
                raise DataError(f"{where} has identity {row.identity} twice in a frame: remove one")
            seen.add((row.frame, row.identity))
            rows.append(row)
    if not rows:
        raise DataError(f"{path} annotates nobody: {_advice(classes)}")
    return rows


def _advice(classes: set[int]) -> str:
    if classes and _PEDESTRIAN not in classes:
        found = ", ".join(map(str, sorted(classes)))
        return f"its eighth column holds the classes {found}, and people are class {_PEDESTRIAN}: renumber them"
    return "give the ground truth of a training sequence"


def _read_lines(path: Path) -> dict[int, list[float]]:
    """The values of each line that is not blank, by the line's number, counted from 1."""
    lines: dict[int, list[float]] = {}
    columns = 0
    for count, line in enumerate(read_text(path).splitlines(), start=1):
        content = line.strip().rstrip(", \t")
        if not content:
            continue
        where = f"line {count} of {path}"
        try:
            values = [float(value) for value in (content.split(",") if "," in content else content.split())]
        except ValueError:
            raise DataError(f"{where} is not numbers with commas between: repair it") from None
        columns = columns or len(values)
        if len(values) < _LEAST:
            raise DataError(f"{where} has {len(values)} columns, not the 7 or more of MOTChallenge: repair it")
        if len(values) != columns:
            raise DataError(f"{where} has {len(values)} columns and the lines before have {columns}: repair it")
        if not all(math.isfinite(value) for value in values[:_LEAST]):
            raise DataError(f"{where} holds a number that is not finite: repair it")
        lines[count] = values
    return lines


def _has_class(lines: Sequence[Sequence[float]]) -> bool:
    """Whether the eighth column tells classes: whole numbers that are not all 0. Metres have fractions, or are -1."""
    column = [values[_CLASS] for values in lines if len(values) > _CLASS]
    return any(column) and all(value >= 0 and whole(value) is not None for value in column)


def _visible_column(lines: Sequence[Sequence[float]]) -> int | None:
    """The ninth column where it is the last, or holds parts of 1; else nothing tells how well people are seen."""
    column = [values[_VISIBLE] for values in lines if len(values) > _VISIBLE]
    parts = all(0 <= value <= 1 for value in column) and any(0 < value < 1 for value in column)
    return _VISIBLE if parts or (column and len(lines[0]) == _VISIBLE + 1) else None


def _row(values: Sequence[float], visible: int | None, where: str) -> Row:
    left, top, width, height = values[2:6]
    frame, identity = whole(values[0]), whole(values[1])
    if frame is None or identity is None or identity < UNLABELED:
        raise DataError(f"{where} has the frame {values[0]:g} and the identity {values[1]:g}: give whole numbers")
    seen = 1.0 if visible is None else values[visible]
    if math.isnan(seen):
        raise DataError(f"{where} holds a number that is not finite: repair it")
    return Row(frame, identity, (left, top, left + width, top + height), min(max(seen, 0.0), 1.0))
