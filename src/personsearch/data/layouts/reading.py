"""What the readers of all layouts share: text with or without a byte order mark, names, boxes, what was left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from personsearch.data.records import Box
from personsearch.errors import BoxError, DataError
from personsearch.geometry.boxes import check_box

MAX_NUMBER = 2**53
"""Largest number of an identity, camera or frame: some layouts store floats, which are not exact beyond it."""


class Tally(Counter[str]):
    """How often a loader left something out or changed it, by what it did; for `Benchmark.notes`."""

    def lines(self) -> tuple[str, ...]:
        return tuple(f"{number:,} {what}" for what, number in self.items() if number)


def read_text(path: Path) -> str:
    """A text in UTF-8, with a byte order mark or without. Raises DataError when there is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path} is missing: copy it again") from None
    except UnicodeDecodeError:
        raise DataError(f"{path} cannot be read as text in UTF-8: save it so, or copy it again") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({getattr(error, 'strerror', error)}): copy it again") from None


def is_file(path: Path) -> bool:
    """Whether there is one; False also for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def check_name(name: str, where: str) -> None:
    """Raises DataError for a file name that is empty, absolute, leads out of its folder, or cannot be one."""
    parts = PurePosixPath(name).parts
    own = Path(name)
    if not parts or ".." in (*parts, *own.parts) or own.is_absolute() or own.drive:
        raise DataError(f"{where} names the file {name[:60]!r}, outside its folder: give a name below that")
    try:
        encoded = os.fsencode(name)
    except UnicodeEncodeError:
        encoded = b"\0"
    if b"\0" in encoded:
        raise DataError(f"{where} names the file {name[:60]!r}, which no file can be called: repair it")


def whole(value: float) -> int | None:
    """The value as a whole number; None where it has a fraction, is not finite, or is absurdly large."""
    if not abs(value) <= MAX_NUMBER or value != int(value):
        return None
    return int(value)


def fit_box(box: Sequence[float], width: int, height: int, tally: Tally) -> Box | None:
    """The box cut to its picture; None, and counted, where less than a pixel of it is there."""
    try:
        inside = check_box(box, width, height)
    except BoxError:
        tally["boxes have less than a pixel in their picture: left out"] += 1
        return None
    if 2 * _area(inside) < _area(box):
        tally["boxes lie for more than half outside their picture: cut"] += 1
    return inside


def _area(box: Sequence[float]) -> float:
    x1, y1, x2, y2 = box
    return (x2 - x1) * (y2 - y1)
