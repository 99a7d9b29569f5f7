"""Removing people for good: no byte of their rows, codes or older states of the table stays on the disk.

A note says that erasing has begun. It goes when all is done, and the next writer that finds it goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from personsearch.data.records import Scene
from personsearch.search.faults import writing
from personsearch.search.hits import file_and_frame
from personsearch.search.place import Place, remove_all
from personsearch.search.scene_codes import code_name, drop_codes
from personsearch.search.table import SceneTable

ERASING = "erasing"
_COUNTED = ("strangers.npz", ".strangers.npz.part", "neighbours.npz", ".neighbours.npz.part")
"""Files of what was counted over all people; they are counted anew."""


def is_erasing(folder: Place) -> bool:
    """Whether something was being erased when its program ended."""
    return (folder / ERASING).exists()


def begin_erasing(folder: Place) -> None:
    """Raises GalleryError."""
    with writing(folder):
        (folder / ERASING).touch()


def only(batches: Iterable[Any], paths: Collection[str], *, others: bool = False) -> Iterator[Any]:
    """Record batches with only the rows of some files, or of all `others`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    named = pa.array(sorted(paths), pa.string())
    for batch in batches:
        found = pc.is_in(batch["source"], value_set=named)
        yield batch.filter(pc.invert(found) if others else found)


def finish_erasing(table: SceneTable, scenes: Iterable[Scene], codes: Place, unfinished: Place) -> None:
    """Deletes older states, codes of other scenes than these, and an index never finished. Raises GalleryError.

    Nothing on the disk names a removed file after that: the whole table was written anew, and no commit of it holds a
    condition with a path.
    """
    table.clean()
    with writing(table.folder):
        remove_all(unfinished)
        drop_codes(codes, {code_name(*file_and_frame(scene.picture)) for scene in scenes})
        for name in _COUNTED:
            (table.folder / name).unlink(missing_ok=True)
        (table.folder / ERASING).unlink(missing_ok=True)
