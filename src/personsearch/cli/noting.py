"""The line that a command leaves in the audit of a gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from personsearch.cli.console import complain
from personsearch.errors import GalleryError

if TYPE_CHECKING:
    from PIL.Image import Image

    from personsearch.search.place import Place


def note(folder: Place, what: str, picture: Image | str | None = None, answers: int | None = None) -> None:
    """`picture` is the query's, or its hash. Complains where nothing can be written, as on a disk that is read only:
    what was asked is answered."""
    from personsearch.search.audit import picture_hash, record

    known = picture if picture is None or isinstance(picture, str) else picture_hash(picture)
    try:
        record(folder, what, picture=known, answers=answers)
    except GalleryError as error:
        complain(f"not noted in the audit: {error}")
