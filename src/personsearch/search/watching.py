"""Folders that are watched: which files have arrived and are complete.

A file is complete when its size and its time have stayed for some seconds. Where the system tells of changes
(watchfiles), folders are looked through then; and once a minute in any case, for shares of the net tell nothing.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from personsearch.errors import InputError, SettingError
from personsearch.search.files import find_files

SETTLE = 3.0
"""Seconds without a change after which a file is complete."""
_LOOK_EVERY = 60.0
_TICK = 0.5

State = tuple[int, int]


class Arrivals:
    """Files of some folders, each given out once for each state in which it was complete."""

    def __init__(self, folders: Sequence[Path], settle: float = SETTLE) -> None:
        self._folders = folders
        self._settle = settle
        self._seen: dict[Path, tuple[State, float]] = {}
        self._given: dict[Path, State] = {}
        self.waiting = False
        """Whether a file is there that was not complete at the last look."""

    def look(self, now: float | None = None) -> list[Path]:
        """The files that are complete and were not given out as they are. `now` is in seconds since 1970."""
        now = time.time() if now is None else now
        ready, seen = [], {}
        for path in _files(self._folders):
            try:
                about = path.stat()
            except OSError:  # gone meanwhile
                continue
            state = about.st_size, about.st_mtime_ns
            if self._given.get(path) == state:
                continue
            before, since = self._seen.get(path, (None, now))
            if before is None:  # what was there long before is complete
                since = min(now, max(about.st_mtime, about.st_ctime))
            elif before != state:
                since = now
            if now - since >= self._settle:
                ready.append(path)
                self._given[path] = state
            else:
                seen[path] = state, since
        self._seen, self.waiting = seen, bool(seen)
        return ready

    def again(self, paths: Sequence[Path]) -> None:
        """Gives these out once more, as they could not be taken."""
        for path in paths:
            self._given.pop(path, None)
        self.waiting = self.waiting or bool(paths)


def arrivals(
    folders: Sequence[Path], stop: threading.Event, settle: float = SETTLE
) -> Iterator[tuple[Arrivals, list[Path]]]:
    """Files as they are complete, and now and then none, so that other things can be done, until `stop` is set.

    Raises SettingError for what is no folder, or without watchfiles.
    """
    try:
        from watchfiles import watch
    except ImportError as error:
        raise SettingError("watching needs watchfiles; install it: pip install 'personsearch[watch]'") from error
    for folder in folders:
        if not folder.is_dir():
            raise SettingError(f"{folder}: no such folder; name one to watch")
    found = Arrivals(folders, settle)
    looked = -math.inf  # what comes before the folders are watched is seen by the first look after it
    yield found, found.look()
    for changes in watch(
        *folders, stop_event=stop, rust_timeout=round(1000 * _TICK), yield_on_timeout=True, watch_filter=None, step=50
    ):
        if changes or found.waiting or time.monotonic() - looked >= _LOOK_EVERY:
            looked = time.monotonic()
            yield found, found.look()


def _files(folders: Sequence[Path]) -> list[Path]:
    """[] for a folder that is gone for the moment, as a disk that is not there."""
    files: dict[Path, None] = {}
    for folder in folders:
        with suppress(InputError, OSError):
            files |= dict.fromkeys(find_files([folder], may_be_empty=True).files)
    return list(files)
