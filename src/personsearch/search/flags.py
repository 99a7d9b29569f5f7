"""Who is at work in a bucket. A store has no locks, so whoever works raises a flag: an object that says who it is.

Whoever raises a flag first and then looks at the others' is seen by everybody who looks later. Of two, at least one
sees the other, and gives way. A flag is renewed while its program lives; an old one counts for nothing, and goes. Ages
are told by the store's clock, so those of the machines need not agree.
"""

from __future__ import annotations

import getpass
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from personsearch.errors import BusyError, GalleryError
from personsearch.files import refusal
from personsearch.search.bucket import BucketPath

FLAGS = "flags"
TERM = 60.0
"""Seconds after which a flag that was not renewed counts for nothing."""
PATIENCE = 20.0
"""Seconds that a maintainer waits for others, and whoever writes a line of the audit."""
WRITERS_PATIENCE = 300.0
"""Seconds that a writer waits for a maintainer: work that took long is not to be lost."""
WRITER, MAINTAINER, AUDITOR = "writer", "maintainer", "auditor"


@contextmanager
def writer(folder: BucketPath) -> Iterator[None]:
    """Inside, no maintainer is at work; other writers may be. Raises BusyError."""
    with _raised(folder, WRITER, MAINTAINER, None, WRITERS_PATIENCE):
        yield


@contextmanager
def maintainer(folder: BucketPath, patience: float | None = None) -> Iterator[None]:
    """Inside, nobody else writes. Raises BusyError after `patience` seconds."""
    with _raised(folder, MAINTAINER, MAINTAINER, WRITER, PATIENCE if patience is None else patience):
        yield


@contextmanager
def auditor(folder: BucketPath) -> Iterator[None]:
    """Inside, nobody else writes to the audit. Raises BusyError."""
    with _raised(folder, AUDITOR, AUDITOR, None, PATIENCE):
        yield


@contextmanager
def _raised(folder: BucketPath, kind: str, gives_way_to: str, waits_for: str | None, patience: float) -> Iterator[None]:
    """Inside, the flag is up. It goes down and up again while one of those is up that it gives way to, and stays up
    while those end that it waits for: they give way to it."""
    until = time.monotonic() + patience
    try:
        while True:
            flag = _Flag(folder, kind)
            others = flag.up().others(gives_way_to)
            if not others:
                break
            flag.down()
            _wait(folder, others, until)
        try:
            with flag.renewed():
                while waits_for is not None and (others := flag.others(waits_for)):
                    _wait(folder, others, until)
                yield
        finally:
            flag.down()
    except OSError as error:
        if not str(error.filename).startswith(str(folder / FLAGS)):
            raise
        raise GalleryError(f"{folder}: cannot be written {refusal(error)}") from error


def _wait(folder: BucketPath, others: list[BucketPath], until: float) -> None:
    if time.monotonic() >= until:
        try:
            who = others[0].read_text()
        except OSError:  # it has just gone down
            who = "another program"
        raise BusyError(f"{folder}: {who} is at work on it; wait until that has ended, and run it again")
    time.sleep(random.uniform(0.05, 0.4))


class _Flag:
    def __init__(self, folder: BucketPath, kind: str) -> None:
        self._folder = folder / FLAGS
        self._path = self._folder / f"{kind}-{uuid.uuid4().hex}"

    def up(self) -> _Flag:
        """Raises it, or renews it. Raises OSError."""
        self._path.write_bytes(f"{user()} (process {os.getpid()})".encode())
        return self

    def down(self) -> None:
        """Harmless when it is down; without the store it ends by itself."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def others(self, kind: str) -> list[BucketPath]:
        """The flags of this kind that others have up. Deletes old ones. Raises OSError."""
        self.up()
        listed = {path.name: path for path in self._folder.iterdir()}
        own = listed.pop(self._path.name, None)
        found = []
        for name, path in listed.items():
            age = 0 if own is None else own.stat().st_mtime_ns - path.stat().st_mtime_ns
            if age > TERM * 1e9:
                path.unlink(missing_ok=True)
            elif name.startswith(f"{kind}-"):
                found.append(path)
        return found

    @contextmanager
    def renewed(self) -> Iterator[None]:
        """Inside, a thread keeps it up."""
        stop = threading.Event()

        def keep() -> None:
            while not stop.wait(TERM / 4):
                with suppress(OSError):
                    self.up()

        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def user() -> str:
    """Who this is, and on which machine."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):
        name = "unknown"
    return f"{name}@{socket.gethostname()}"
