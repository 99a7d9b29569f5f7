"""The gallery behind the page: read anew when it has changed, and everything in it named by opaque ids."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from personsearch.errors import GalleryError, SettingError
from personsearch.search.about import ABOUT
from personsearch.search.gallery import Gallery
from personsearch.search.hits import GalleryHit
from personsearch.search.place import Place
from personsearch.search.ranking import Resident, camera_of
from personsearch.search.rows import END, scene_name, source_of
from personsearch.search.strangers import Strangers
from personsearch.search.table import NAME

_TRIES = 5
"""Of opening a gallery that is being replaced this very moment."""


class UnknownError(SettingError):
    """An id that names nothing in this gallery."""


@dataclass(frozen=True)
class Camera:
    """A film, or the pictures of a folder."""

    path: Path
    film: bool
    scenes: tuple[int, ...]
    """Places in `Shelf.crowd.scenes`"""
    people: int
    length: float | None
    """Seconds until its last scene; None for pictures"""


@dataclass(frozen=True)
class Shelf:
    """A gallery as it was at one moment. A scene's id is opaque; a person's is it, a dash, and a place in it."""

    gallery: Gallery
    crowd: Resident
    strangers: Strangers
    scenes: dict[str, int]
    """Places in `crowd.scenes` by id"""
    cameras: dict[str, Camera]
    """By id, in the order of their paths"""
    camera_ids: dict[Path, str]
    ids: dict[int, str]
    places: dict[str, int]
    """Places in `crowd.scenes` by the names that hits have"""
    starts: Tensor
    """[S + 1] which people are in a scene: from its number here to that of the next one"""

    def scene(self, scene_id: str) -> int:
        """Raises UnknownError."""
        if scene_id not in self.scenes:
            raise UnknownError("this scene is not here any more: load the page again")
        return self.scenes[scene_id]

    def camera(self, camera_id: str) -> Camera:
        """Raises UnknownError."""
        if camera_id not in self.cameras:
            raise UnknownError("this source is not here any more: load the page again")
        return self.cameras[camera_id]

    def within(self, camera_id: str | None, after: float, before: float) -> list[int]:
        """Scenes of a camera, or of all, whose time is from `after` to `before` seconds; a picture's counts as 0."""
        chosen = list(self.ids) if camera_id is None else self.camera(camera_id).scenes
        return [number for number in chosen if after <= (self.crowd.scenes[number]["time"] or 0.0) <= before]

    def camera_of(self, scene: int) -> str:
        """The id of the camera of a scene."""
        row = self.crowd.scenes[scene]
        return self.camera_ids[camera_of(Path(row["source"]), row["frame"])]

    def people(self, scene: int) -> range:
        """The rows of a scene's people."""
        return range(int(self.starts[scene]), int(self.starts[scene + 1]))

    def person(self, person_id: str) -> int:
        """A row. Raises UnknownError."""
        scene_id, _, place = person_id.rpartition("-")
        rows = self.people(self.scene(scene_id))
        if not (place.isascii() and place.isdigit() and len(place) < 6 and int(place) < len(rows)):
            raise UnknownError("this person is not here any more: load the page again")
        return rows[int(place)]

    def person_id(self, row: int) -> str:
        scene = int(self.crowd.scene_of[row])
        return f"{self.ids[scene]}-{row - int(self.starts[scene])}"

    def scene_hit(self, scene: int) -> GalleryHit:
        """The whole of a scene, as if it were an answer."""
        row = self.crowd.scenes[scene]
        whole = (0.0, 0.0, float(row["width"]), float(row["height"]))
        path, size = Path(row["source"]), (row["width"], row["height"])
        return GalleryHit(scene_name(row), whole, 0.0, 0.0, path, row["frame"], row["time"], *size, source_of(row))

    def row_of(self, hit: GalleryHit) -> int:
        """Of a hit of this gallery."""
        rows = self.people(self.places[hit.scene])
        boxes = self.crowd.boxes[rows.start : rows.stop]
        return rows[int((boxes - torch.tensor(hit.box)).abs().sum(dim=1).argmin())]


class Library:
    """Gives the gallery of a folder as it is at this moment. For any number of threads."""

    def __init__(self, folder: Place, fresh_for: float = 2.0, memory: int | None = None) -> None:
        """`fresh_for` seconds nobody looks whether the gallery has changed; `memory` as `Gallery.open` takes it.

        Raises GalleryError.
        """
        self._memory = memory
        self.folder = folder
        self._fresh_for = fresh_for
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._looked = 0.0
        self._stamp: Any = None
        self._shelf: Shelf | None = None
        about = Gallery.open(folder).about
        self._read_by = (about.fingerprint, about.read)
        self.now()

    def now(self) -> Shelf:
        """Raises GalleryError where it is gone or damaged."""
        with self._lock:
            if self._shelf is None or time.monotonic() - self._looked >= self._fresh_for:
                stamp = self._look()
                if self._shelf is None or stamp != self._stamp:
                    self._shelf = None  # what was removed does not answer
                    self._shelf = self._open()
                    self._stamp = stamp
                self._looked = time.monotonic()
            return self._shelf

    def _look(self) -> Any:
        """What differs when a gallery has changed: who made it, and its newest version."""
        try:
            about = (self.folder / ABOUT).stat()
            versions = sorted(path.name for path in (self.folder / f"{NAME}.lance" / "_versions").iterdir())
            return about.st_mtime_ns, about.st_ino, versions
        except OSError:
            return None

    def _open(self) -> Shelf:
        for attempt in range(_TRIES):
            try:
                gallery = Gallery.open(self.folder, memory=self._memory)
                if (gallery.about.fingerprint, gallery.about.read) != self._read_by:
                    raise GalleryError("the gallery was made anew by another model: start the page again")
                return self._shelve(gallery)
            except GalleryError:
                if attempt == _TRIES - 1:
                    raise
                time.sleep(0.1)
        raise AssertionError

    def _shelve(self, gallery: Gallery) -> Shelf:
        crowd = gallery.crowd()
        counts = torch.bincount(crowd.scene_of, minlength=len(crowd.scenes))
        starts = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        ids: dict[int, str] = {}
        places: dict[str, int] = {}
        of_camera: dict[Path, list[int]] = {}
        for number, row in enumerate(crowd.scenes):
            if row["frame"] != END:
                places[scene_name(row)] = number
                of_camera.setdefault(camera_of(Path(row["source"]), row["frame"]), []).append(number)
                ids[number] = self._id("scene", scene_name(row), str(row["size"]), str(row["mtime_ns"]))
        cameras = {
            self._id("camera", str(path)): _camera(path, numbers, crowd, counts)
            for path, numbers in sorted(of_camera.items())
        }
        return Shelf(
            gallery, crowd, gallery.strangers(), {v: k for k, v in ids.items()}, cameras,
            {camera.path: name for name, camera in cameras.items()}, ids, places, starts,
        )  # fmt: skip

    def _id(self, *parts: str) -> str:
        """Tells nothing of what it names, and is the same while the server runs."""
        text = "\0".join(parts).encode(errors="surrogatepass")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()[:24]


def _camera(path: Path, numbers: list[int], crowd: Resident, counts: Tensor) -> Camera:
    rows = [crowd.scenes[number] for number in numbers]
    length = max((row["time"] for row in rows if row["time"] is not None), default=None)
    people = int(counts[torch.tensor(numbers)].sum())
    return Camera(path, rows[0]["frame"] is not None, tuple(numbers), people, length)
