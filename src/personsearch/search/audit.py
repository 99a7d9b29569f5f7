"""What was asked of a gallery, and what was done to it: lines that can be added, and not be changed unseen.

Each line holds the hash of the line before it. A second file notes how many there are and the hash of the last one, so
that a line missing at the end is seen, too. Whoever may write both files can invent others; the last hash, noted
elsewhere, tells those apart.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self

from PIL import Image

from personsearch.errors import GalleryError
from personsearch.files import refusal
from personsearch.search.bucket import BucketPath
from personsearch.search.flags import auditor, user
from personsearch.search.place import Place, write

AUDIT, HEAD = "audit.jsonl", "audit.head.json"
_FIRST = "0" * 64
_TRIES = 5
"""Of reading a log that others add lines to."""
_ADVICE = "compare it with a copy; whoever could write to the folder may have changed it"


@dataclass(frozen=True)
class Audit:
    """A log that was read."""

    entries: list[dict[str, Any]]
    """In order"""
    fault: str | None
    """One line on the first thing that is wrong; None: nothing was changed or removed"""

    @property
    def head(self) -> str:
        """The hash of the last line."""
        return str(self.entries[-1].get("hash", "")) if self.entries else _FIRST


def picture_hash(picture: Image.Image) -> str:
    """SHA-256 of a picture's size and its pixels in RGB: the same for a file, an upload and a frame of a film."""
    rgb = picture.convert("RGB")
    return hashlib.sha256(f"{rgb.width}x{rgb.height} ".encode() + rgb.tobytes()).hexdigest()


def record(
    folder: Place,
    what: str,
    *,
    picture: str | None = None,
    answers: int | None = None,
    who: str | None = None,
    **more: str | int | float | bool | None,
) -> dict[str, Any]:
    """Adds a line to the log of the gallery in `folder` and returns it. For any number of processes and threads.

    `what` is what was done, such as "search"; `picture` the `picture_hash` of the query, `who` asked (this system's
    user by default). Names of files do not belong into `more`: what is removed from a gallery must not stay here.
    Raises GalleryError where nothing can be written; the log is as it was then.
    """
    try:
        with _log(folder).locked() as log:
            before = _before(folder, log)
            entry: dict[str, Any] = {
                "n": before[0] + 1,
                "when": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "who": who or user(),
                "what": what,
                "picture": picture,
                "answers": answers,
                **more,
                "before": before[1],
            }
            entry["hash"] = _hash(entry)
            log.append(json.dumps(entry).encode() + b"\n", lambda: _note(folder, entry["n"], entry["hash"]))
            return entry
    except OSError as error:
        raise GalleryError(f"{folder / AUDIT}: cannot be written {refusal(error)}") from error


def read_audit(folder: Place) -> Audit:
    """The log, checked; an empty one where there is none. Raises GalleryError for one that cannot be read."""
    for _ in range(_TRIES):
        head = _head(folder)
        audit = _read(folder, head)
        if audit.fault is None or _head(folder) == head:
            break  # else others have added lines meanwhile
    return audit


def _read(folder: Place, head: Any) -> Audit:
    """The log as it is now, beside the note of its last line that was there before."""
    path = folder / AUDIT
    try:
        lines = _log(folder).read().split(b"\n")
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read {refusal(error)}") from error
    entries: list[dict[str, Any]] = []
    before, fault = _FIRST, None
    if lines.pop():
        fault = f"{path}: its last line was cut: {_ADVICE}"
    for number, line in enumerate(lines, 1):
        entry = _parsed(line)
        if fault is None and (
            entry is None or entry.get("n") != number or entry.get("before") != before or _hash(entry) != entry["hash"]
        ):
            fault = f"{path}: line {number} was changed, added or removed: {_ADVICE}"
        if entry is not None:
            entries.append(entry)
            before = str(entry.get("hash"))
    return Audit(entries, fault or _missing_end(path, entries, head))


def _missing_end(path: Place, entries: list[dict[str, Any]], head: Any) -> str | None:
    """A line on lines that are missing at the end. The note of the last one may lag behind a kill by one line."""
    hashes = [entry.get("hash") for entry in entries]
    if head is None:
        lost = len(entries) > 1
        return f"{path}: the note of its last line, {HEAD}, is missing: {_ADVICE}" if lost else None
    known = isinstance(head, dict) and type(head.get("n")) is int and 1 <= head["n"] <= len(hashes)
    if not known or hashes[head["n"] - 1] != head.get("hash") or len(hashes) - head["n"] > 1:
        return f"{path}: lines at its end are missing, or {HEAD} was changed: {_ADVICE}"
    return None


class _Log(Protocol):
    """The lines, wherever they lie."""

    def read(self) -> bytes:
        """All lines; nothing where there is none. Raises OSError."""

    def locked(self) -> AbstractContextManager[Self]:
        """Inside, nobody else adds a line. Raises OSError, GalleryError."""

    def last(self) -> tuple[int, str]:
        """Number and hash of the last line. What a kill has left of a line is cut off."""

    def append(self, line: bytes, then: Callable[[], None]) -> None:
        """Adds a line and does that, or nothing of both. Raises OSError."""


def _log(folder: Place) -> _Log:
    return _BucketLog(folder) if isinstance(folder, BucketPath) else _FileLog(folder / AUDIT)


class _BucketLog:
    """Objects of so many lines each: an object is written anew to add to it."""

    lines = 256

    def __init__(self, folder: BucketPath) -> None:
        self._place, self._folder = folder, folder / AUDIT

    def read(self) -> bytes:
        return b"".join(path.read_bytes() for path in sorted(self._folder.glob("*.jsonl")))

    @contextmanager
    def locked(self) -> Iterator[Self]:
        with auditor(self._place):
            yield self

    def last(self) -> tuple[int, str]:
        return _known(self._last_object()[1].rstrip(b"\n").rpartition(b"\n")[2])

    def append(self, line: bytes, then: Callable[[], None]) -> None:
        path, held = self._last_object()
        if held.count(b"\n") >= self.lines:
            path, held = self._object(int(path.name.partition(".")[0]) + 1), b""
        path.write_bytes(held + line)
        try:
            then()
        except OSError:
            path.write_bytes(held) if held else path.unlink(missing_ok=True)
            raise

    def _last_object(self) -> tuple[BucketPath, bytes]:
        found = sorted(self._folder.glob("*.jsonl"))
        return (found[-1], found[-1].read_bytes()) if found else (self._object(0), b"")

    def _object(self, number: int) -> BucketPath:
        return self._folder / f"{number:09}.jsonl"


class _FileLog:
    """A file that lines are added to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: io.FileIO

    def read(self) -> bytes:
        return self._path.read_bytes() if self._path.exists() else b""

    @contextmanager
    def locked(self) -> Iterator[Self]:
        with self._path.open("a+b", buffering=0) as self._file:
            try:
                import fcntl

                fcntl.flock(self._file, fcntl.LOCK_EX)
            except ImportError:  # no such lock on this system
                pass
            yield self

    def last(self) -> tuple[int, str]:
        file = self._file
        size = file.seek(0, os.SEEK_END)
        block = b""
        for reach in (1 << 12, 1 << 20, size):
            start = max(0, size - reach)
            file.seek(start)
            block = file.read(size - start)
            if block.count(b"\n") > 1 or start == 0:
                break
        whole, _, rest = block.rpartition(b"\n")
        if rest:
            os.truncate(file.fileno(), size - len(rest))
        return _known(whole.rpartition(b"\n")[2])

    def append(self, line: bytes, then: Callable[[], None]) -> None:
        size = self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
            then()
        except OSError:
            os.truncate(self._file.fileno(), size)
            raise


def _before(folder: Place, log: _Log) -> tuple[int, str]:
    """Number and hash of what the next line follows: the last line, or what the note of it says where they disagree,
    so that whatever is missing or was added stays seen."""
    number, last = log.last()
    head = _head(folder)
    if head is None or head == {"n": number, "hash": last}:
        return number, last
    if not (isinstance(head, dict) and type(head.get("n")) is int):
        return number, _FIRST
    if head["n"] == number - 1:  # killed between the line and its note
        _note(folder, number, last)
        return number, last
    return head["n"], str(head.get("hash"))


def _note(folder: Place, number: int, last: str) -> None:
    write(folder / HEAD, (json.dumps({"n": number, "hash": last}) + "\n").encode())


def _known(line: bytes) -> tuple[int, str]:
    """Number and hash that a line tells; those before the first line for an empty one."""
    entry = _parsed(line) or {}
    return (entry["n"] if type(entry.get("n")) is int else 0), str(entry.get("hash", _FIRST))


def _parsed(line: bytes) -> dict[str, Any] | None:
    """None for a line that this module did not write."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("hash"), str) else None


def _hash(entry: dict[str, Any]) -> str:
    facts = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _head(folder: Place) -> Any:
    """None where there is no note; {} for one that cannot be read."""
    try:
        return json.loads((folder / HEAD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return {}
