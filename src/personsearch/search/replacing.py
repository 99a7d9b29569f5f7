"""A gallery that takes the place of another one, so that a kill leaves one of them whole.

The new one is made in a folder inside of the old one. When it is whole, the old `gallery.json` goes first and the new
one comes last; where only the new one's is there, whoever opens the gallery next finishes what was begun.
"""

from __future__ import annotations

from personsearch.search.about import ABOUT
from personsearch.search.claiming import claim
from personsearch.search.faults import writing
from personsearch.search.neighbours import NEIGHBOURS
from personsearch.search.place import Place, bring, remove_all
from personsearch.search.stranger_file import STRANGERS
from personsearch.search.sums import SUMS
from personsearch.search.table import NAME

NEW = "new"
"""Where a gallery is made that is to replace another one, until it is closed."""


def is_replacing(folder: Place) -> bool:
    """Whether a new gallery was taking the place of the old one when its program ended. Raises OSError."""
    return not (folder / ABOUT).is_file() and (folder / NEW / ABOUT).is_file()


def take_place(folder: Place) -> None:
    """Makes what is in `NEW` the gallery, or finishes that. Raises GalleryError."""
    new, table = folder / NEW, f"{NAME}.lance"
    with writing(folder):
        (folder / ABOUT).unlink(missing_ok=True)
        if (new / table).exists():
            clear(folder)
            bring(new / table, folder / table)
        bring(new / ABOUT, folder / ABOUT)
        remove_all(new)


def finish_replacing(folder: Place) -> None:
    """Raises GalleryError, BusyError where the program that has begun it still lives."""
    own = claim(folder)
    try:
        with own.alone():
            if is_replacing(folder):
                take_place(folder)
    finally:
        own.close()


def clear(folder: Place) -> None:
    """Deletes a table and what was counted of it: the versions of the next one, and some of its files, have the same
    names. Raises OSError."""
    for name in (STRANGERS, NEIGHBOURS, SUMS):
        (folder / name).unlink(missing_ok=True)
    remove_all(folder / f"{NAME}.lance")
