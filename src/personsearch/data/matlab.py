"""MATLAB files, in which CUHK-SYSU and PRW are published: read with complaints that name the file."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from personsearch.errors import DataError

Array = NDArray[Any]

_DAMAGE = (MatReadError, ValueError, TypeError, KeyError, IndexError, EOFError, MemoryError, struct.error, zlib.error)


def read_variable(path: Path, *names: str) -> Array:
    """The first of the variables `names` that the file holds, as scipy gives it: with two dimensions or more.

    Without names the first variable, whatever it is called. Raises DataError when the file is missing, damaged,
    of MATLAB's version 7.3, or holds none of them.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing: copy the annotations again")
    try:
        content: Mapping[str, Array] = loadmat(path, appendmat=False)
    except NotImplementedError:
        raise DataError(f"{path} is of MATLAB's version 7.3, not 5 as published: copy it again") from None
    except _DAMAGE:
        raise DataError(f"{path} is damaged or no MATLAB file: copy it again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): copy it again") from None
    for name in names or [key for key in content if not key.startswith("__")]:
        if name in content:
            return content[name]
    raise DataError(f"{path} has no variable{' ' * bool(names)}{' or '.join(names)}: copy the published file again")


@contextmanager
def as_published(path: Path) -> Iterator[None]:
    """Turns a stumble over the structure of what `path` held into one line of DataError."""
    try:
        yield
    except (KeyError, ValueError, IndexError, TypeError, AttributeError, OverflowError):
        raise DataError(f"{path} does not have the published structure: copy it again") from None


def text(value: Any) -> str:
    """The one string of a char array; empty for an empty one."""
    return str(value.reshape(-1)[0]) if value.size else ""
