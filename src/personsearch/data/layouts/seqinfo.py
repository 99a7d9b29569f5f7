"""What seqinfo.ini says of a MOTChallenge sequence; the file may be missing, and so may each of its entries."""

from __future__ import annotations

import configparser
import math
from dataclasses import dataclass
from pathlib import Path

from personsearch.data.layouts.reading import MAX_NUMBER, is_file, read_text
from personsearch.errors import DataError

SEQINFO = "seqinfo.ini"


@dataclass(frozen=True)
class SequenceInfo:
    """None for what the file does not say."""

    rate: float | None = None
    """Frames a second."""
    length: int | None = None
    """Number of frames."""
    size: tuple[int, int] | None = None
    """Width and height of the frames."""


def read_seqinfo(path: Path) -> SequenceInfo:
    """All None without the file. Raises DataError for a file of another form, or an impossible number."""
    if not is_file(path):
        return SequenceInfo()
    parser = configparser.ConfigParser(strict=False, interpolation=None)  # a name may hold %
    try:
        parser.read_string(read_text(path))
    except configparser.Error:
        raise DataError(f"{path} cannot be read as settings with a frameRate: repair or remove it") from None
    rate = _number(parser, "frameRate", path)
    length, width, height = (_number(parser, key, path) for key in ("seqLength", "imWidth", "imHeight"))
    size = (int(width), int(height)) if width and height else None
    return SequenceInfo(rate, int(length) if length else None, size)


def _number(parser: configparser.ConfigParser, key: str, path: Path) -> float | None:
    """A positive number, or None where there is none: some programs write 0 or -1 for what they do not know."""
    try:
        value = parser.getfloat("Sequence", key, fallback=0.0)
    except ValueError:
        value = math.nan
    if not value <= MAX_NUMBER or 0 < value < 0.001:
        raise DataError(f"{path} has an impossible {key}: repair or remove it")
    return value if value > 0 else None
