"""Sums of the table's files. LanceDB writes each file once, so one that differs later was damaged."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from personsearch.files import write_whole
from personsearch.search.faults import writing
from personsearch.search.table import NAME

SUMS = "sums.json"


def note_sums(folder: Path) -> None:
    """Notes the sums of the files that are new, and forgets those that are gone. Raises GalleryError."""
    known = read_sums(folder) or {}
    with writing(folder):
        files = {name: known.get(name) or _sum(path) for name, path in _files(folder).items()}
        if files != known:
            write_whole(folder / SUMS, json.dumps(files, indent=1) + "\n")


def read_sums(folder: Path) -> dict[str, str] | None:
    """Sums by name; None where there are none that can be read."""
    try:
        values = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        return {str(name): str(value) for name, value in values.items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return None


def damaged_files(folder: Path) -> list[Path]:
    """Files that are not as they were written. Those whose sums were never noted are not among them. Raises OSError."""
    known = read_sums(folder) or {}
    damaged = []
    for name, path in sorted(_files(folder).items()):
        with suppress(FileNotFoundError):  # a writer has just merged it into another one
            if known.get(name, "") not in ("", _sum(path)):
                damaged.append(path)
    return damaged


def _files(folder: Path) -> dict[str, Path]:
    """The files of the table that never change, by name."""
    table = folder / f"{NAME}.lance"
    files = [path for path in table.rglob("*") if path.is_file() and path.suffix != ".json"]
    return {path.relative_to(table).as_posix(): path for path in files}


def _sum(path: Path) -> str:
    hashed = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()
