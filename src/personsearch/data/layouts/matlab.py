"""MATLAB files, in which CUHK-SYSU and PRW are published: read with complaints that name the file."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from personsearch.data.layouts.matlab_galleries import cut_galleries
from personsearch.data.layouts.matlab_layout import check_layout
from personsearch.data.layouts.reading import is_file
from personsearch.errors import DataError, PersonSearchError

Array = NDArray[Any]


def read_variable(path: Path, *names: str) -> Array:
    """The first of the variables `names` that the file holds, as scipy gives it: with two dimensions or more.

    Without names the first variable, whatever it is called. Raises DataError when the file is missing, damaged,
    of MATLAB's version 7.3, or holds none of them. `matlab_layout` checks the file before scipy reads it.
    """
    if not is_file(path):
        raise DataError(f"{path} is missing: copy the annotations again")
    try:
        with path.open("rb") as file:
            if file.read(126)[124:126] in (b"\x00\x02", b"\x02\x00"):
                raise DataError(f"{path} is of MATLAB's version 7.3, not 5 as published: copy it again")
            content = _content(file, names)
    except PersonSearchError:
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}): copy it again") from None
    except Exception:  # scipy's reader raises whatever it stumbles over
        raise DataError(f"{path} is damaged or no MATLAB file: copy it again") from None
    for name in names or [key for key in content if not key.startswith("__")]:
        if isinstance(content.get(name), np.ndarray):
            found: Array = content[name]
            return found
    raise DataError(f"{path} has no variable{' ' * bool(names)}{' or '.join(names)}: copy the published file again")


def read_galleries(path: Path, variable: str) -> tuple[Array, Iterator[tuple[str, ...]]]:
    """The records of a protocol, each with a Query and a Gallery, and the names that each gallery lists.

    The galleries of the records may lack entries without a box, which are nearly all of them: see `matlab_galleries`.
    The names are read, and may stumble, as they are asked for. Raises DataError as `read_variable` does.
    """
    cut = cut_galleries(path, variable)
    if cut is not None:
        try:
            found: Array = _content(io.BytesIO(cut[0]), (variable,))[variable]
            return found, iter(cut[1])
        except Exception:  # its complaint should be about the file as it is
            pass
    records = read_variable(path, variable)
    return records, (tuple(_names(record["Gallery"])) for record in records.reshape(-1))


def _names(gallery: Array) -> Iterator[str]:
    """Those that an uncut gallery lists, one string for each: a protocol lists millions."""
    return (sys.intern(text(entry["imname"])) for entry in gallery.reshape(-1))


def _content(file: BinaryIO, names: tuple[str, ...]) -> dict[str, Any]:
    file.seek(0)
    check_layout(file, names)
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # scipy warns of what it could not read, and goes on
        content: dict[str, Any] = loadmat(file, appendmat=False, variable_names=names or None)
    return content


@contextmanager
def as_published(path: Path) -> Iterator[None]:
    """Turns an error in going through the structures read from `path` into one line of DataError."""
    try:
        yield
    except PersonSearchError:
        raise
    except Exception:  # the reader of a structure that is not there stumbles anywhere
        raise DataError(f"{path} does not have the published structure: copy it again") from None


def text(value: Any) -> str:
    """The one string of a char array; empty for an empty one."""
    return str(value.reshape(-1)[0]) if value.size else ""
