"""Who may write to a gallery: nobody where something else is. In a folder one program at a time; in a bucket several
add scenes, and one alone takes care of what is there."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Protocol

from personsearch.errors import BusyError, GalleryError
from personsearch.files import refusal
from personsearch.search.about import ABOUT
from personsearch.search.bucket import BucketPath, require_bucket
from personsearch.search.flags import maintainer, writer
from personsearch.search.place import Place, check_name

LOCK = "lock"


def check_may_create(folder: Place, force: bool, ours: Collection[str]) -> None:
    """Raises GalleryError for a folder with something else in it than `ours`, or (unless `force`) with a gallery;
    SettingError for a name that it cannot have."""
    if isinstance(folder, BucketPath):
        require_bucket(folder)
    else:
        check_name(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise GalleryError(f"{folder}: a file is there; name a folder for the gallery")
    foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in ours)
    if foreign:
        raise GalleryError(f"{folder}: holds other files ({foreign[0]}); name a new folder for the gallery")
    if (folder / ABOUT).exists() and not force:
        raise GalleryError(f"{folder}: holds a gallery already; open it, or replace it with --force")


class Claim(Protocol):
    """The right to write to a gallery."""

    shared: bool
    """Whether others may have it, too."""

    def writing(self) -> AbstractContextManager[None]:
        """Inside, scenes may be added. Raises BusyError."""

    def alone(self, patience: float | None = None) -> AbstractContextManager[None]:
        """Inside, nobody else writes. Raises BusyError, after waiting so long for others."""

    def stay_alone(self) -> None:
        """From here on until it is closed, nobody else writes. Raises BusyError."""

    def close(self) -> None:
        """Gives the right back."""


def claim(folder: Place) -> Claim:
    """Raises BusyError for a folder that another program writes to, GalleryError where nothing may be written."""
    return BucketClaim(folder) if isinstance(folder, BucketPath) else FolderClaim(folder)


class FolderClaim:
    """One writer at a time; the system frees the lock of a process that was killed."""

    shared = False

    def __init__(self, folder: Path) -> None:
        self._lock = _locked(folder)

    def writing(self) -> AbstractContextManager[None]:
        return nullcontext()

    def alone(self, patience: float | None = None) -> AbstractContextManager[None]:
        return nullcontext()

    def stay_alone(self) -> None:
        pass

    def close(self) -> None:
        self._lock.close()


class BucketClaim:
    """Any number of writers, each for the moment of a commit, or one maintainer (flags.py)."""

    shared = True

    def __init__(self, folder: BucketPath) -> None:
        self._folder = folder
        self._alone = False
        self._until_closed = ExitStack()

    @contextmanager
    def writing(self) -> Iterator[None]:
        with nullcontext() if self._alone else writer(self._folder):
            yield

    @contextmanager
    def alone(self, patience: float | None = None) -> Iterator[None]:
        if self._alone:
            yield
            return
        with maintainer(self._folder, patience):
            self._alone = True
            try:
                yield
            finally:
                self._alone = False

    def stay_alone(self) -> None:
        self._until_closed.enter_context(self.alone())

    def close(self) -> None:
        self._until_closed.close()


def _locked(folder: Path) -> IO[str]:
    while True:
        lock = _locked_once(folder)
        if _is_there(folder, lock):
            return lock
        lock.close()  # of a gallery that was deleted between its opening and its locking


def _is_there(folder: Path, lock: IO[str]) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.fileno()), (folder / LOCK).stat())
    except OSError:
        return False


def _locked_once(folder: Path) -> IO[str]:
    try:
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise GalleryError(f"{folder}: cannot be written {refusal(error, 'name another folder')}") from error
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # no such lock on this system: two writers at once are the user's affair
        pass
    except OSError as error:
        lock.close()
        raise BusyError(f"{folder}: another index is writing to it; wait until it has ended") from error
    return lock
