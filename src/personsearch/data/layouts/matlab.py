"""MATLAB files, in which CUHK-SYSU and PRW are published: read with complaints that name the file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

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
        check_layout(path, names)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # scipy warns of what it could not read, and goes on
            content = loadmat(path, appendmat=False, variable_names=names or None)
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
