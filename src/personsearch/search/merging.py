"""Several galleries of one model as one, no scene twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from personsearch.errors import GalleryError, SettingError
from personsearch.files import beside
from personsearch.search.about import ABOUT
from personsearch.search.claiming import check_may_create
from personsearch.search.contents import Content, contents_of
from personsearch.search.erasing import only
from personsearch.search.faults import writing
from personsearch.search.gallery import OURS, Gallery
from personsearch.search.place import Place, move, remove_all
from personsearch.search.replacing import clear
from personsearch.search.sources import State
from personsearch.search.table import NAME


@dataclass(frozen=True)
class MergeReport:
    """What became one."""

    scenes: int
    people: int
    sources: int
    left_out: int
    """Files of which another gallery's scenes, or those of the same content, were taken."""


def merge(folders: Sequence[Place], into: Place) -> MergeReport:
    """Puts the scenes of all galleries into one, which is made if it is not there; the others stay as they are.

    Of a file in several galleries, the one counts that has it as it is on the disk, then one that has all of it, then
    the one with more scenes, then the first named. A file that is gone is left out where another one has its content:
    it was moved. All is there in one step, or nothing: a kill leaves `into` as it was. The days to keep are the fewest.
    Raises GalleryError for other models or another least score, SettingError for a gallery that is named twice.
    """
    if not folders:
        raise SettingError("nothing to merge: name the galleries")
    places: list[Place] = [folder.resolve() for folder in folders]
    if len({*places, into.resolve()}) <= len(places):
        raise SettingError(f"{into}: a gallery is named twice; name each once, and another one to merge into")
    there = Gallery.exists(into)
    if not there:
        check_may_create(into, False, OURS)
    with ExitStack() as stack:
        target = stack.enter_context(Gallery.open(into, write=True)) if there else None
        if target is not None:
            stack.enter_context(target.alone())
        galleries = [*([] if target is None else [target]), *(Gallery.open(folder) for folder in folders)]
        _require_one_kind(galleries)
        kept, left_out = _winners([contents_of(gallery) for gallery in galleries])
        days = min((g.about.keep_days for g in galleries if g.about.keep_days is not None), default=None)
        if target is None:
            _make(into, galleries, kept, days)
        else:
            target.keep_for(days)  # first: a kill in between lets nobody stay longer
            target.fill(_rows(galleries, kept))
    merged = contents_of(Gallery.open(into))
    return MergeReport(sum(c.scenes for c in merged), sum(c.people for c in merged), len(merged), left_out)


def _require_one_kind(galleries: Sequence[Gallery]) -> None:
    first = galleries[0]
    for other in galleries[1:]:
        other.require_model(first.about.fingerprint, first.about.read)
        if other.about.min_score != first.about.min_score:
            raise GalleryError(
                f"{other.folder}: holds people of score {other.about.min_score:g} and more, {first.folder} of "
                f"{first.about.min_score:g}; index one of them again with the other's --min-score"
            )


def _winners(contents: Sequence[Sequence[Content]]) -> tuple[list[set[str]], int]:
    """Which files are taken from each gallery, and how many are not."""
    best: dict[str, tuple[Any, int, Content]] = {}
    total = 0
    states = {}
    for number, listed in enumerate(contents):
        for content in listed:
            total += 1
            states[number, content.source.path] = state = content.source.state()
            worth = (state is State.CURRENT, content.complete, content.scenes, -number)
            path = content.source.path
            if path not in best or worth > best[path][0]:
                best[path] = (worth, number, content)
    known = {c.source.digest for _, number, c in best.values() if states[number, c.source.path] is State.CURRENT}
    kept: list[set[str]] = [set() for _ in contents]
    seen: set[str | None] = {None}
    for path, (_, number, content) in best.items():
        digest = content.source.digest
        if states[number, path] is State.GONE and digest is not None:
            if digest in known or digest in seen:
                continue
            seen.add(digest)
        kept[number].add(path)
    return kept, total - sum(map(len, kept))


def _rows(galleries: Sequence[Gallery], kept: Sequence[set[str]]) -> Iterator[Any]:
    """The record batches of what is taken."""
    streams = [gallery.table.stream() for gallery in galleries]  # all are opened before the first one is written
    return chain.from_iterable(only(stream, paths) for stream, paths in zip(streams, kept, strict=True))


def _make(into: Place, galleries: Sequence[Gallery], kept: Sequence[set[str]], days: float | None) -> None:
    """A new gallery, made under a hidden name beside its place."""
    part = beside(into, "part") if isinstance(into, Path) else into.with_name(f".{into.name}.part")
    about = galleries[0].about
    with writing(part):
        remove_all(part)  # of a merge that was killed
    try:
        with Gallery.create(
            part, model=about.model, fingerprint=about.fingerprint, dim=about.dim, min_score=about.min_score,
            read=about.read, reid=about.reid,
        ) as made:  # fmt: skip
            made.fill(_rows(galleries, kept))
            made.keep_for(days)
        with writing(into):
            _put(part, into.resolve())
    finally:
        with suppress(OSError):
            remove_all(part)


def _put(part: Place, into: Place) -> None:
    """Where the place holds something of a gallery's, such as the lock of an index that failed or an old audit, it
    stays; `gallery.json` comes last. Raises OSError."""
    if not into.exists():
        move(part, into)
        return
    clear(into)
    for name in (f"{NAME}.lance", ABOUT):
        move(part / name, into / name)
