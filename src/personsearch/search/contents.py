"""What is in a gallery, file by file, and which galleries a folder holds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personsearch.errors import GalleryError, InputError
from personsearch.search.about import ABOUT
from personsearch.search.bucket import BucketPath, require_bucket
from personsearch.search.gallery import Gallery
from personsearch.search.place import Place
from personsearch.search.replacing import NEW
from personsearch.search.rows import END, source_of
from personsearch.search.sources import Source


@dataclass
class Content:
    """What a gallery holds of one file."""

    source: Source
    scenes: int = 0
    people: int = 0
    first: float | None = None
    """Seconds into the film of its first scene; None for a picture"""
    last: float | None = None
    complete: bool = False
    """Whether the file is in to its end"""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON. Looks at the file."""
        source = self.source
        return {
            "source": source.path, "scenes": self.scenes, "people": self.people, "first": self.first,
            "last": self.last, "every": source.every, "complete": self.complete, "written": source.mtime_ns / 1e9,
            "state": str(source.state()),
        }  # fmt: skip


def contents_of(gallery: Gallery) -> list[Content]:
    """By path. Raises GalleryError."""
    columns = ["source", "size", "mtime_ns", "every", "digest", "frame", "time", "scores"]
    found: dict[str, Content] = {}
    for row in gallery.table.rows(columns):
        content = found.setdefault(row["source"], Content(source_of(row)))
        if row["frame"] == END:
            content.complete = True
            continue
        content.complete = content.complete or row["frame"] is None
        content.scenes += 1
        content.people += len(row["scores"])
        if (time := row["time"]) is not None:
            content.first = time if content.first is None else min(content.first, time)
            content.last = time if content.last is None else max(content.last, time)
    return [found[path] for path in sorted(found)]


def matching(gallery: Gallery, wanted: Iterable[Path]) -> list[Source]:
    """The gallery's files that these paths name: a file, or a folder with all below it, there or gone by now.

    Raises InputError for a path of which the gallery holds nothing.
    """
    held = gallery.indexed()
    found: dict[str, Source] = {}
    for path in wanted:
        names = {str(path), str(path.absolute()), str(path.resolve())}
        own = [s for s in held if s.path in names or any(str(p) in names for p in Path(s.path).parents)]
        if not own:
            raise InputError(
                f"{path}: the gallery {gallery.folder} holds nothing of it; personsearch gallery show lists what it has"
            )
        found |= {source.path: source for source in own}
    return [found[path] for path in sorted(found)]


def galleries_in(folder: Place) -> list[Place]:
    """The galleries in a folder and below, or the folder itself; hidden folders are passed over. Raises InputError, and
    GalleryError for a bucket that is not there."""
    if isinstance(folder, BucketPath):
        return _galleries_in_bucket(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name one that holds galleries")
    found: list[Place] = []
    for parent, folders, files in os.walk(folder):
        if ABOUT in files or (NEW in folders and Gallery.exists(Path(parent))):
            found.append(Path(parent))
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    return found


def _galleries_in_bucket(folder: BucketPath) -> list[Place]:
    require_bucket(folder)
    found: list[BucketPath] = []
    for about in sorted(folder.rglob(ABOUT)):
        place = about.parent
        hidden = any(name.startswith(".") for name in place.key.removeprefix(folder.key).split("/"))
        if not hidden and not any(place.key.startswith(f"{other.key}/") for other in found):
            found.append(place)
    return [*found]


def _size(folder: Place) -> int:
    """Bytes of its files, as far as they may be looked at."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # also what another program has just deleted
            size += path.stat().st_size if path.is_file() else 0
    return size


def summary(folder: Place) -> dict[str, Any]:
    """What a list says of a gallery; of a damaged one, what is wrong with it."""
    size = _size(folder)
    try:
        gallery = Gallery.open(folder)
        contents = contents_of(gallery)
    except GalleryError as error:
        return {"gallery": str(folder), "bytes": size, "fault": str(error)}
    about = gallery.about
    return {
        "gallery": str(folder),
        "bytes": size,
        "sources": len(contents),
        "scenes": sum(content.scenes for content in contents),
        "people": sum(content.people for content in contents),
        "model": about.model,
        "read": about.read,
        "min_score": about.min_score,
        "created": about.created,
        "keep_days": about.keep_days,
        "fault": None,
    }
