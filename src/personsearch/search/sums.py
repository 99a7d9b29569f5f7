"""Sums of the table's files. LanceDB writes each file once, so one that differs later was damaged. A store checks what
it holds by itself, so there an object's size and time stand for its sum."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress

from personsearch.search.bucket import BucketPath
from personsearch.search.faults import writing
from personsearch.search.place import Place, write
from personsearch.search.table import NAME

SUMS = "sums.json"


def note_sums(folder: Place) -> None:
    """Notes the sums of the files that are new, and forgets those that are gone. Raises GalleryError."""
    known = read_sums(folder) or {}
    with writing(folder):
        files = {name: known.get(name) or _sum(path) for name, path in _files(folder).items()}
        if files != known:
            write(folder / SUMS, (json.dumps(files, indent=1) + "\n").encode())


def read_sums(folder: Place) -> dict[str, str] | None:
    """Sums by name; None where there are none that can be read."""
    try:
        values = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in values.items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def damaged_files(folder: Place) -> list[Place]:
    """Files that are not as they were written. Those whose sums were never noted are not among them. Raises OSError."""
    known = read_sums(folder) or {}
    damaged = []
    for name, path in sorted(_files(folder).items()):
        with suppress(FileNotFoundError):  # a writer has just merged it into another one
            if known.get(name, "") not in ("", _sum(path)):
                damaged.append(path)
    return damaged


def _files(folder: Place) -> dict[str, Place]:
    """The files of the table that never change, by name."""
    table = folder / f"{NAME}.lance"
    start = len(str(table)) + 1
    files = [path for path in table.rglob("*") if path.is_file() and path.suffix != ".json"]
    return {str(path)[start:].replace(os.sep, "/"): path for path in files}


def _sum(path: Place) -> str:
    if isinstance(path, BucketPath):
        known = path.stat()
        return f"{known.st_size} bytes of {known.st_mtime_ns}"
    hashed = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()
