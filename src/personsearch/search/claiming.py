"""Who may write to a folder: nobody where something else is, and one at a time."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import IO

from personsearch.errors import BusyError, GalleryError
from personsearch.search.about import ABOUT

LOCK = "lock"


def check_may_create(folder: Path, force: bool, ours: Collection[str]) -> None:
    """Raises GalleryError for a folder with something else in it than `ours`, or (unless `force`) with a gallery."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise GalleryError(f"{folder}: a file is there; name a folder for the gallery")
    foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in ours)
    if foreign:
        raise GalleryError(f"{folder}: holds other files ({foreign[0]}); name a new folder for the gallery")
    if (folder / ABOUT).exists() and not force:
        raise GalleryError(f"{folder}: holds a gallery already; open it, or replace it with --force")


def take_lock(folder: Path) -> IO[str]:
    """One writer at a time; the system frees the lock of a process that was killed."""
    try:
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise GalleryError(f"{folder}: cannot be written ({error.strerror})") from error
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # no such lock on this system: two writers at once are the user's affair
        pass
    except OSError as error:
        lock.close()
        raise BusyError(f"{folder}: another index is writing to it; wait until it has ended") from error
    return lock
