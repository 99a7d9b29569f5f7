"""What is to go from a gallery: what is too old, what is gone, and what has changed since it was indexed.

How old something is tells the time at which its file was last written: for a film, when the recording ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from personsearch.errors import GalleryError
from personsearch.search.audit import record
from personsearch.search.gallery import Gallery
from personsearch.search.limits import check_days
from personsearch.search.place import Place
from personsearch.search.sources import Source, State

DAY = 86_400


@dataclass(frozen=True)
class Rule:
    """What is to go. Raises SettingError for days that cannot be."""

    older_than: float | None = None
    """Days"""
    missing: bool = False
    """Files that are not where they were"""
    changed: bool = False
    """Files that are not as they were indexed"""

    def __post_init__(self) -> None:
        check_days(self.older_than)

    @property
    def empty(self) -> bool:
        return self == Rule()


def too_old(source: Source, days: float | None, now: float | None = None) -> bool:
    """Whether a file was last written more than so many days ago; never when None."""
    return days is not None and (time.time() if now is None else now) - source.mtime_ns / 1e9 > days * DAY


def doomed(sources: Iterable[Source], rule: Rule, now: float | None = None) -> list[tuple[Source, str]]:
    """Which of a gallery's files are to go, and why."""
    found = []
    for source in sources:
        state = source.state() if rule.missing or rule.changed else State.CURRENT
        if too_old(source, rule.older_than, now):
            found.append((source, f"older than {rule.older_than:g} days"))
        elif (rule.missing and state is State.GONE) or (rule.changed and state is State.CHANGED):
            found.append((source, str(state)))
    return found


def prune(gallery: Gallery, rule: Rule) -> list[tuple[Source, str]]:
    """Erases what is to go from a gallery that is open for writing, and every byte of what was dropped before.

    Raises GalleryError.
    """
    found = doomed(gallery.indexed(), rule)
    if found or gallery.table.leftovers():
        gallery.erase([source.path for source, _ in found])
    return found


def retain(gallery: Gallery, complain: Callable[[str], None] = lambda line: None) -> list[Source]:
    """Erases what is older than the gallery keeps (`Gallery.keep_for`), with a line in its audit; [] where nothing is.

    `complain` hears what else went. Raises GalleryError.
    """
    found = [source for source in gallery.indexed() if too_old(source, gallery.about.keep_days)]
    if found:
        had_index = gallery.table.unindexed() is not None
        gallery.erase([source.path for source in found])
        try:
            record(gallery.folder, "prune", answers=len(found))
        except GalleryError as error:
            complain(f"not noted in the audit: {error}")
        if had_index:
            complain(index_went(gallery.folder))
    return found


def index_went(folder: Place) -> str:
    """What to say where erasing has taken the approximate index along."""
    return f"the approximate index went, too; make it anew: personsearch gallery approximate {folder}"
