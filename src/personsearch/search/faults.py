"""What goes wrong inside LanceDB, in one line each, and what is left of a table that is damaged."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from personsearch.errors import BusyError, GalleryError, PersonSearchError
from personsearch.files import ADVICE
from personsearch.search.bucket import BucketPath, fault_of_store
from personsearch.search.place import Place
from personsearch.search.rows import END, check_rows, check_schema

_MOST_STATES = 4
"""Older states of a damaged table that are tried; each is read in full."""


@contextmanager
def reading(folder: Place, dim: int) -> Iterator[None]:
    """Turns LanceDB's errors in reading a table of `dim`-d embeddings into one line, which says what can be saved."""
    with _reading(folder, lambda: f"the gallery's table is {_what_is_left(folder, dim)}"):
        check_deletions(folder)
        yield


def reading_part(folder: Place) -> AbstractContextManager[None]:
    """As `reading`, for a part of a table that is too large to be looked through in memory."""
    return _reading(
        folder,
        lambda: (
            f"a part of the gallery's table is damaged; run personsearch gallery verify {folder}, which says what "
            "can be saved"
        ),
    )


def reading_index(folder: Place) -> AbstractContextManager[None]:
    """As `reading`, for what the approximate index finds."""
    return _reading(
        folder,
        lambda: (
            f"its approximate index is damaged; make it anew: personsearch gallery approximate {folder}, or leave "
            "--approximate out"
        ),
    )


@contextmanager
def _reading(folder: Place, damaged: Callable[[], str]) -> Iterator[None]:
    """`damaged` says what is, where it is not the system that fails."""
    try:
        with quiet_panics():
            yield
    except PersonSearchError:
        raise
    except BaseException as error:
        if not is_fault(error):
            raise
        why = _system_error(error, folder)
        line = damaged() if why is None else f"the gallery cannot be read ({why})"
        raise GalleryError(f"{folder}: {line}") from error


@contextmanager
def writing(folder: Place) -> Iterator[None]:
    """Turns errors of the disk or LanceDB in writing into one line."""
    try:
        with quiet_panics():
            check_deletions(folder)
            yield
    except PersonSearchError:
        raise
    except BaseException as error:
        if not is_fault(error):
            raise
        if is_conflict(error):
            raise BusyError(f"{folder}: too many programs write to it; run it again, it goes on") from error
        why = _system_error(error, folder) or (str(error) or type(error).__name__).splitlines()[0]
        if "No space left" in why:
            why = "the disk is full; free some space and run it again"
        raise GalleryError(f"{folder}: cannot be written ({why}); everything indexed before is kept") from error


def check_deletions(folder: Place) -> None:
    """Raises an error of Arrow's for a damaged list of dropped rows. A store checks what it holds by itself.

    Lance takes the memory that such a list asks for; where a wrong byte makes that terabytes, it ends the process.
    """
    import pyarrow as pa

    if isinstance(folder, BucketPath):
        return
    for path in (folder / "scenes.lance" / "_deletions").glob("*.arrow"):
        with suppress(FileNotFoundError):  # another process has just tidied up
            pa.ipc.open_file(pa.BufferReader(path.read_bytes())).read_all().validate(full=True)


def is_fault(error: BaseException) -> bool:
    """Whether an error is a fault of the library. LanceDB is Rust: its panics arrive as what is no Exception."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def is_conflict(error: BaseException) -> bool:
    """Whether a commit failed for another one that came first, so that it can be tried again."""
    return re.search(r"incompatible transaction|commit conflict|concurrent|preempted", str(error), re.I) is not None


def _system_error(error: BaseException, folder: Place) -> str | None:
    """The system's message, and what to do, if the fault is not the table's: no permission, no space, no memory, no
    thread; else None. Other errors of the system do mean that the table is damaged, such as of a missing file."""
    if isinstance(folder, BucketPath):
        known = fault_of_store(str(error))
        return None if known is None else known[1]
    if isinstance(error, MemoryError):
        return _in_words(errno.ENOMEM)
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        found = re.search(r"\(os error (\d+)\)|\bOs \{ code: (\d+)", str(error))  # as Rust writes them
        number = int(found[1] or found[2]) if found else None
    return _in_words(number) if number in ADVICE else None


def _in_words(number: int) -> str:
    return f"{os.strerror(number)}: {ADVICE[number]}"


def _what_is_left(folder: Place, dim: int) -> str:
    """What a message says of a damaged table, and what to do about it."""
    if isinstance(folder, BucketPath):
        return "damaged; index again with --force"
    with suppress(OSError):
        whole = newest_whole(folder, dim)
        if whole is not None:
            count, doomed = whole
            names = " ".join(str(path) for path in doomed)
            return (
                f"damaged in its latest state; an older one, of {count} scenes, is whole: delete {names} and it is "
                "opened, or index again with --force"
            )
    return "damaged; index again with --force"


def newest_whole(folder: Path, dim: int) -> tuple[int, list[Path]] | None:
    """(scenes in it, files to delete so that it is opened) of the newest older state that can be read in full.

    LanceDB writes a manifest at each change, opens the one of the latest, and keeps what is less than a minute older
    than the last merging. Tried on a copy of the manifests beside links to everything else: the gallery is not written
    to. None if there is none with a scene in it.
    """
    table = folder / "scenes.lance"
    manifests = sorted((table / "_versions").glob("*.manifest"))  # named by numbers that count down
    for count in range(1, min(len(manifests), _MOST_STATES + 1)):
        with tempfile.TemporaryDirectory() as folder_of_copy:
            copy = Path(folder_of_copy) / table.name
            (copy / "_versions").mkdir(parents=True)
            for manifest in manifests[count:]:
                shutil.copyfile(manifest, copy / "_versions" / manifest.name)
            for part in table.iterdir():
                if part.name != "_versions":
                    (copy / part.name).symlink_to(part.resolve())
            scenes = _count_scenes(Path(folder_of_copy), dim)
        if scenes:
            return scenes, manifests[:count]
    return None


def _count_scenes(folder: Path, dim: int) -> int:
    """How many scenes the table in `folder` holds; 0 if it is damaged, too."""
    import lancedb

    try:
        with quiet_panics():
            check_deletions(folder)
            table = lancedb.connect(str(folder)).open_table("scenes")
            rows = table.search().limit(None).to_arrow()
        check_schema(table, dim)
        check_rows(rows)
        return sum(frame != END for frame in rows["frame"].to_pylist())
    except BaseException as error:
        if not is_fault(error):
            raise
        return 0


_redirecting = threading.Lock()


@contextmanager
def quiet_panics() -> Iterator[None]:
    """Keeps the trace that a panic of Rust writes to stderr from the user, to whom it says nothing.

    Everything else written inside the block follows after it. Only in the main thread, and one block at a time.
    """
    if threading.current_thread() is not threading.main_thread() or not _redirecting.acquire(blocking=False):
        yield
        return
    try:
        with ExitStack() as stack:
            with suppress(OSError, ValueError, AttributeError):  # no stderr, or no room for a file: nothing is caught
                sys.stderr.flush()
                caught = stack.enter_context(tempfile.TemporaryFile())
                kept = os.dup(2)
                stack.callback(_give_back, kept, caught)
                os.dup2(caught.fileno(), 2)
            yield
    finally:
        _redirecting.release()


def _give_back(kept: int, caught: IO[bytes]) -> None:
    """Restores stderr, and passes on what was caught unless it is a panic's trace."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    os.dup2(kept, 2)
    os.close(kept)
    caught.seek(0)
    text = caught.read()
    if b"panicked at" not in text:
        with suppress(OSError):
            os.write(2, text)
