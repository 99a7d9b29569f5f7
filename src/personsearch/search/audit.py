"""What was asked of a gallery, and what was done to it: lines that can be added, and not be changed unseen.

Each line holds the hash of the line before it. A second file notes how many there are and the hash of the last one, so
that a line missing at the end is seen, too. Whoever may write both files can invent others; the last hash, noted
elsewhere, tells those apart.
"""

from __future__ import annotations

import errno
import getpass
import hashlib
import io
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from personsearch.errors import GalleryError
from personsearch.files import write_whole

AUDIT, HEAD = "audit.jsonl", "audit.head.json"
_FIRST = "0" * 64
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
    folder: Path,
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
        with _locked(folder) as file:
            before = _before(folder, file)
            entry: dict[str, Any] = {
                "n": before[0] + 1,
                "when": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "who": who or _user(),
                "what": what,
                "picture": picture,
                "answers": answers,
                **more,
                "before": before[1],
            }
            entry["hash"] = _hash(entry)
            _append(folder, file, entry)
            return entry
    except OSError as error:
        raise GalleryError(f"{folder / AUDIT}: cannot be written ({error.strerror or error})") from error


def read_audit(folder: Path) -> Audit:
    """The log, checked; an empty one where there is none. Raises GalleryError for one that cannot be read."""
    path = folder / AUDIT
    head = _head(folder)
    try:
        lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    except OSError as error:
        raise GalleryError(f"{path}: cannot be read ({error.strerror or error})") from error
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


def _missing_end(path: Path, entries: list[dict[str, Any]], head: Any) -> str | None:
    """A line on lines that are missing at the end. The note of the last one may lag behind a kill by one line."""
    hashes = [entry.get("hash") for entry in entries]
    if head is None:
        lost = len(entries) > 1
        return f"{path}: the note of its last line, {HEAD}, is missing: {_ADVICE}" if lost else None
    known = isinstance(head, dict) and type(head.get("n")) is int and 1 <= head["n"] <= len(hashes)
    if not known or hashes[head["n"] - 1] != head.get("hash") or len(hashes) - head["n"] > 1:
        return f"{path}: lines at its end are missing, or {HEAD} was changed: {_ADVICE}"
    return None


@contextmanager
def _locked(folder: Path) -> Iterator[io.FileIO]:
    """The log, open for reading and adding, for one at a time."""
    with (folder / AUDIT).open("a+b", buffering=0) as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except ImportError:  # no such lock on this system
            pass
        yield file


def _before(folder: Path, file: io.FileIO) -> tuple[int, str]:
    """Number and hash of what the next line follows: the last line, or what the note of it says where they disagree,
    so that whatever is missing or was added stays seen."""
    number, last = _last(file)
    head = _head(folder)
    if head is None or head == {"n": number, "hash": last}:
        return number, last
    if not (isinstance(head, dict) and type(head.get("n")) is int):
        return number, _FIRST
    if head["n"] == number - 1:  # killed between the line and its note
        _note(folder, number, last)
        return number, last
    return head["n"], str(head.get("hash"))


def _append(folder: Path, file: io.FileIO, entry: dict[str, Any]) -> None:
    """Whole or not at all, and on the disk when it returns."""
    size = file.seek(0, os.SEEK_END)
    line = json.dumps(entry).encode() + b"\n"
    try:
        if file.write(line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())
        _note(folder, entry["n"], entry["hash"])
    except OSError:
        os.truncate(file.fileno(), size)
        raise


def _note(folder: Path, number: int, last: str) -> None:
    write_whole(folder / HEAD, json.dumps({"n": number, "hash": last}) + "\n")


def _last(file: io.FileIO) -> tuple[int, str]:
    """Number and hash of the last line. What a kill has left of a line is cut off."""
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
    if not whole:
        return 0, _FIRST
    entry = _parsed(whole.rpartition(b"\n")[2]) or {}
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


def _head(folder: Path) -> Any:
    """None where there is no note; {} for one that cannot be read."""
    try:
        return json.loads((folder / HEAD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return {}


def _user() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):
        name = "unknown"
    return f"{name}@{socket.gethostname()}"
