"""A question that can be asked again: sights of one person, as `search --out` saves them in results.json."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from personsearch.data.records import Box
from personsearch.errors import InputError
from personsearch.files import refusal
from personsearch.geometry.boxes import check_box
from personsearch.search.appearances import Appearance, appearances
from personsearch.search.audit import picture_hash
from personsearch.search.gallery import Gallery
from personsearch.search.hits import GalleryHit
from personsearch.search.picking import OWN_MOMENT, Limits
from personsearch.search.ranking import camera_of
from personsearch.search.refining import refined
from personsearch.search.searchers import SceneEncoder, read_scene
from personsearch.search.sureness import Sureness, sureness_of

SURE = 2
"""Of sureness.py: the least level of an answer, unless something else is said."""
_ROUNDING = 1e-4
"""Seconds by which the time of a frame may have been rounded up, so that the next one would be read."""
_ALL = 10**9

Seen = tuple[Appearance, Sureness]


@dataclass(frozen=True)
class Sight:
    """Where the person is seen that is asked for."""

    source: Path
    time: float | None
    """Seconds into a film; None for a picture."""
    box: Box

    def shows(self, hit: GalleryHit) -> bool:
        """Whether a hit is this sight, or of the same moment."""
        if hit.source != self.source:
            return False
        return self.time is None or hit.time is None or abs(hit.time - self.time) < OWN_MOMENT


@dataclass(frozen=True)
class Question:
    """Sights, as a model reads them."""

    sights: Sequence[Sight]
    readings: Tensor
    """[K, D] of unit length"""
    picture: str
    """`picture_hash` of the first sight's picture"""
    others: Sequence[Sight] = ()
    """Who she is not"""
    other_readings: Tensor = torch.zeros(0, 0)
    """[M, D] of unit length, of the others"""


_ADVICE = "give results.json as search --out writes it"


def read_sights(path: Path) -> list[Sight]:
    """The sights in a file with a "query", or several, of source, time and box, and those that --also gave. Raises
    InputError."""
    found = _listed(path, "query", "also")
    if not found:
        raise InputError(f"{path}: holds no question; {_ADVICE}")
    return found


def read_others(path: Path) -> list[Sight]:
    """Who she is not, as --not said. Raises InputError."""
    return _listed(path, "not")


def _listed(path: Path, *names: str) -> list[Sight]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        listed = []
        for name in names:
            some = values.get(name, [])
            listed += some if isinstance(some, list) else [some]
        found = []
        for value in listed:
            x1, y1, x2, y2 = (float(number) for number in value["box"])
            time = None if value.get("time") is None else float(value["time"])
            if time is not None and not 0 <= time < math.inf:
                raise ValueError("an impossible time")
            source = Path(str(value["source"]))
            near = path.parent / source
            found.append(Sight((source if source.exists() else near).resolve(), time, (x1, y1, x2, y2)))
    except OSError as error:
        raise InputError(f"{path}: cannot be read {refusal(error, _ADVICE)}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: holds no question; {_ADVICE}") from error
    return found


def pose(encoder: SceneEncoder, sights: Sequence[Sight], others: Sequence[Sight] = ()) -> Question:
    """Reads the pictures of all sights, and of the `others` who she is not. Raises InputError for one that cannot be
    read, or a box outside of it."""
    readings, hashes = [], []
    for sight in [*sights, *others]:
        picture, _ = read_scene(sight.source, None if sight.time is None else max(0.0, sight.time - _ROUNDING))
        readings.append(encoder.encode_query(picture, check_box(sight.box, picture.width, picture.height)))
        hashes.append(picture_hash(picture))
    read = torch.stack(readings)
    return Question(sights, read[: len(sights)], hashes[0], others, read[len(sights) :])


def ask(
    gallery: Gallery,
    question: Question,
    *,
    sure: int = SURE,
    join: float | None = None,
    within: Collection[str] | None = None,
) -> list[Seen]:
    """All appearances that are at least so `sure`, best first; of the files in `within` alone, where it is given.

    The pictures of the question are left out. `join` is the longest gap of appearances.py. Raises GalleryError.
    """

    def centred(sights: Sequence[Sight], readings: Tensor) -> Tensor:
        cameras = [camera_of(s.source.resolve(), None if s.time is None else 0) for s in sights]
        if not cameras:
            return torch.zeros(0, gallery.about.dim)
        return torch.stack([gallery.comparable(one, camera) for one, camera in zip(readings, cameras, strict=True)])

    def allow(hit: GalleryHit) -> bool:
        return not any(sight.shows(hit) for sight in question.sights)

    among = None
    if within is not None:
        crowd = gallery.crowd()
        among = torch.tensor([row["source"] in within for row in crowd.scenes], dtype=torch.bool)[crowd.scene_of]

    shown = centred(question.sights, question.readings)
    query = refined(shown, centred(question.others, question.other_readings))
    hits = gallery.answer(query, Limits(_ALL, 1, allow=allow, among=among)).hits
    strangers = gallery.strangers()
    kept = [hit for hit in hits if sureness_of(hit.similarity, strangers).level >= sure]
    return [(one, sureness_of(one.best.similarity, strangers)) for one in appearances(kept, join)]
