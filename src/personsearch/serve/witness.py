"""What the page was asked, in the gallery's audit (search/audit.py): who, which picture, how many answers."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from personsearch.errors import PersonSearchError
from personsearch.search.audit import picture_hash, record
from personsearch.search.place import Place
from personsearch.serve.images import read_scene
from personsearch.serve.library import Shelf, UnknownError
from personsearch.serve.uploads import Uploads

_KEPT = 1000
"""Hashes of scenes in memory: a question is often asked again, with another sight or more sure."""


class Witness:
    """Notes questions. Where nothing can be written, it complains once, and the question is answered."""

    def __init__(self, folder: Place, complain: Callable[[str], None]) -> None:
        self._folder, self._complain = folder, complain
        self._complained = False
        self._hashes: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, what: str, shelf: Shelf, uploads: Uploads, sight: str, answers: int, who: str) -> None:
        """`sight` is the first that was asked with, `who` the visitor's address."""
        try:
            record(self._folder, what, picture=self._picture(shelf, uploads, sight), answers=answers, who=who)
        except PersonSearchError as error:
            if not self._complained:
                self._complain(f"questions are not noted in the audit: {error}")
            self._complained = True

    def _picture(self, shelf: Shelf, uploads: Uploads, sight: str) -> str | None:
        """The hash of the picture that shows a sight; None where it is gone."""
        if not sight.startswith("up"):
            return self._of_scene(shelf, sight.rpartition("-")[0])
        try:
            drawn = uploads.person(sight)
        except UnknownError:  # newer pictures took its place while it was asked with
            return None
        return drawn.picture if drawn.scene is None else self._of_scene(shelf, drawn.scene)

    def _of_scene(self, shelf: Shelf, scene: str) -> str | None:
        with self._lock:
            if scene not in self._hashes:
                try:
                    self._hashes[scene] = picture_hash(read_scene(shelf.scene_hit(shelf.scene(scene))))
                except PersonSearchError:
                    return None
                while len(self._hashes) > _KEPT:
                    self._hashes.popitem(last=False)
            return self._hashes[scene]
