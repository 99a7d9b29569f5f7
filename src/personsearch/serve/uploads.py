"""Pictures that a visitor brings: checked as every picture is, read once by the model, kept in memory for a while."""

from __future__ import annotations

import secrets
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps
from torch import Tensor

from personsearch.data.pictures import ImageFile
from personsearch.data.records import Box
from personsearch.errors import ImageError, InputError
from personsearch.geometry.detections import Detections
from personsearch.search.audit import picture_hash
from personsearch.search.searchers import SceneEncoder
from personsearch.serve.images import jpeg
from personsearch.serve.in_turn import InTurn
from personsearch.serve.library import UnknownError

MOST_BYTES = 24_000_000
_KEPT, _DRAWN = 8, 200
"""Pictures in memory, and boxes drawn; older ones are forgotten."""
_SIDE = 1600
_NAME = "picture"


@dataclass(frozen=True)
class Upload:
    """A picture and who was found in it."""

    file: bytes
    """As JPEG, made smaller"""
    width: int
    height: int
    people: Detections
    body: bytes
    """As it was brought"""
    picture: str
    """Its hash, for the audit"""


@dataclass(frozen=True)
class Drawn:
    """A person in a box that a visitor drew."""

    reading: Tensor
    """[D], as the model read her"""
    scene: str | None = None
    """The id of the scene it was drawn in; None: in a picture of one's own"""
    picture: str | None = None
    """The hash of a picture of one's own"""


class Uploads:
    """Reads one picture at a time, by a model that is loaded for the first one."""

    def __init__(self, load: Callable[[], SceneEncoder]) -> None:
        self._load = load
        self._encoder: SceneEncoder | None = None
        self._model = InTurn("model")
        self._kept: OrderedDict[str, Upload] = OrderedDict()
        self._drawn: OrderedDict[str, Drawn] = OrderedDict()

    def add(self, body: bytes) -> str:
        """An id for the picture. Raises ImageError in words for whoever brought it, and what loading a model raises."""
        return self._model.do(lambda: self._add(body))

    def _add(self, body: bytes) -> str:
        image = _decoded(body)
        people = self._loaded().encode_scene(image)
        small = ImageOps.contain(image, (_SIDE, _SIDE)) if max(image.size) > _SIDE else image
        name = f"up{secrets.token_hex(12)}"
        self._kept[name] = Upload(jpeg(small), image.width, image.height, people, body, picture_hash(image))
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return name

    def draw(self, name: str, box: Box) -> str:
        """An id for the person in a box in a picture. Raises UnknownError, BoxError."""
        upload = self.get(name)
        return self._model.do(lambda: self._draw(_decoded(upload.body), box, None, upload.picture))

    def draw_in(self, image: Image.Image, box: Box, scene: str) -> str:
        """An id for the person in a box of a picture, which is the scene of that id. Raises BoxError."""
        return self._model.do(lambda: self._draw(image, box, scene, None))

    def _draw(self, image: Image.Image, box: Box, scene: str | None, picture: str | None) -> str:
        reading = self._loaded().encode_query(image, box)
        name = f"up{secrets.token_hex(12)}-drawn"
        self._drawn[name] = Drawn(reading, scene, picture)
        while len(self._drawn) > _DRAWN:
            self._drawn.popitem(last=False)
        return name

    def _loaded(self) -> SceneEncoder:
        self._encoder = self._encoder or self._load()
        return self._encoder

    def get(self, name: str) -> Upload:
        """Raises UnknownError."""
        upload = self._kept.get(name)
        if upload is None:
            raise UnknownError("this picture is not here any more: bring it again")
        return upload

    def person(self, person_id: str) -> Drawn:
        """One person, as the model read her. Raises UnknownError."""
        if person_id in self._drawn:
            return self._drawn[person_id]
        name, _, place = person_id.rpartition("-")
        upload = self.get(name)
        people = upload.people
        if not (place.isascii() and place.isdigit() and len(place) < 6 and int(place) < len(people)):
            raise UnknownError("this person is not in the picture: bring it again")
        return Drawn(people.embeddings[int(place)].float().cpu(), None, upload.picture)


def _decoded(body: bytes) -> Image.Image:
    if not body:
        raise InputError("the picture is empty: choose another one")
    with tempfile.TemporaryDirectory(prefix="personsearch-") as folder:
        path = Path(folder, _NAME)
        path.write_bytes(body)
        try:
            return ImageFile(path).read()
        except ImageError as error:
            raise ImageError(str(error).replace(str(path), "the picture")) from None
