"""Reads everything that a gallery consists of, and says what is damaged and what to do about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from personsearch.errors import GalleryError
from personsearch.files import refusal
from personsearch.search.audit import read_audit
from personsearch.search.contents import contents_of
from personsearch.search.erasing import is_erasing
from personsearch.search.gallery import CODES, Gallery
from personsearch.search.place import Place
from personsearch.search.rows import flat, scene_name
from personsearch.search.scene_codes import damaged_codes
from personsearch.search.sources import State
from personsearch.search.sums import damaged_files
from personsearch.search.table import INDEXES


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be."""

    line: str
    """What it is and what to do."""
    damage: bool
    """Whether something was lost or changed; otherwise it is only to be known."""


def verify(folder: Place) -> list[Finding]:
    """Everything that is found, what is damaged first. Raises GalleryError where there is no gallery at all."""
    if not Gallery.exists(folder):
        Gallery.open(folder)  # raises, and says what to do
    found = [*_table(folder), *_beside(folder)]
    return sorted(found, key=lambda finding: not finding.damage)


def _table(folder: Place) -> Iterator[Finding]:
    try:
        damaged = damaged_files(folder)
        gallery = Gallery.open(folder)
        yield from (Finding(line, True) for line in _faults_of_rows(gallery))
        contents = contents_of(gallery)
    except GalleryError as error:
        yield Finding(str(error), True)
        return
    except OSError as error:
        yield Finding(f"{error.filename}: cannot be read {refusal(error, 'index again with --force')}", True)
        return
    for path in damaged:
        what = "index again with --force, or take a copy of it"
        if INDEXES in str(path):
            what = f"make the approximate index anew: personsearch gallery approximate {folder}"
        yield Finding(f"{path}: is not as it was written; {what}", True)
    states = Counter(content.source.state() for content in contents)
    advice = {
        State.GONE: "index them where they are, or: personsearch gallery prune --missing",
        State.CHANGED: "index them again, or: personsearch gallery prune --changed",
        State.UNREADABLE: "get the right to read them",
        State.UNSURE: "index them again to be sure",
    }
    for state, what in advice.items():
        if states[state]:
            first = next(c.source.path for c in contents if c.source.state() is state)
            yield Finding(
                f"{states[state]} files {'' if state is State.UNREADABLE else 'are '}{state}, such as {first}: {what}",
                False,
            )
    for content in contents:
        if not content.complete:
            yield Finding(f"{content.source.path}: is not in to its end; index it again to go on", False)


def _faults_of_rows(gallery: Gallery) -> Iterator[str]:
    """What is wrong with rows that can be read."""
    import pyarrow as pa

    counts: Counter[str] = Counter()
    for batch in gallery.table.stream():
        rows = pa.Table.from_batches([batch])
        values = flat(rows, "embeddings").reshape(-1, gallery.about.dim)
        if not np.isfinite(values.astype(np.float32)).all():
            yield f"{gallery.folder}: people without a reading; index again with --force"
        counts.update(scene_name(row) for row in rows.select(["source", "frame"]).to_pylist())
    for name, count in counts.items():
        if count > 1:
            source = name.rpartition("@")[0] or name
            yield f"{name}: is in {count} times; run gallery remove {gallery.folder} {source}, and index it again"


def _beside(folder: Place) -> Iterator[Finding]:
    for path in damaged_codes(folder / CODES):
        yield Finding(f"{path}: a damaged code; it is computed anew when it is needed", False)
    if is_erasing(folder):
        yield Finding(
            f"{folder}: erasing was stopped, and bytes may be left: run personsearch gallery prune {folder}, and "
            "remove again what gallery show still lists",
            True,
        )
    fault = None
    try:
        fault = read_audit(folder).fault
    except GalleryError as error:
        fault = str(error)
    if fault is not None:
        yield Finding(fault, True)
