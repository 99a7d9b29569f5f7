"""One process a piece of work: claims on files, which the system frees when their process ends, however it ends."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from personsearch.files import locks

_SECONDS_BETWEEN_LOOKS = 0.5


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Claims a file and says whether it is ours; False while another process holds it. Freed at the end of the block.

    The file names who holds it, for people to read. It stays behind, and means nothing then. Raises OSError, which
    names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        try:
            ours = locks(file.fileno())
            if ours:
                file.truncate(0)
                file.write(json.dumps({"process": os.getpid(), "machine": platform.node()}).encode() + b"\n")
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(path)) from None
        yield ours


def do_all(names: list[str], folder: Path, is_done: Callable[[str], bool], work: Callable[[str], None]) -> None:
    """Does each piece of work once, in their order as far as others leave them; returns when all are done.

    Pieces that another process has claimed are waited for, and taken over when that process ends without having done
    them. `work` raises whatever goes wrong.
    """
    while True:
        left = [name for name in names if not is_done(name)]
        if not left:
            return
        if not any(_do(name, folder, is_done, work) for name in left):
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _do(name: str, folder: Path, is_done: Callable[[str], bool], work: Callable[[str], None]) -> bool:
    """Whether the piece of work was done here; False if another process holds it or has done it meanwhile."""
    with claimed(folder / f"{name}.claim") as ours:
        if not ours or is_done(name):
            return False
        work(name)
        return True
