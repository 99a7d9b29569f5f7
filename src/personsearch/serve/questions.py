"""A question of the page: sights of a person, who she is not, and how sure an answer must be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.errors import GalleryError, SettingError
from personsearch.search.appearances import MOST_HITS, Appearance, appearances
from personsearch.search.centring import ELSEWHERE
from personsearch.search.drawing import place_of
from personsearch.search.picking import Limits
from personsearch.search.refining import refined
from personsearch.search.sureness import Sureness, sureness_of
from personsearch.serve.library import Shelf
from personsearch.serve.uploads import Uploads

MOST_ANSWERS = 60


@dataclass(frozen=True)
class Question:
    """Ids of people: of the gallery, or of pictures that were brought."""

    sights: Sequence[str]
    others: Sequence[str] = ()
    sure: int = 2
    source: str | None = None
    after: float = 0.0
    before: float = math.inf
    """Seconds of films, from and to"""

    @property
    def timed(self) -> bool:
        return self.after > 0 or self.before < math.inf


@dataclass(frozen=True)
class Found:
    """One answer."""

    appearance: Appearance
    sureness: Sureness


@dataclass(frozen=True)
class Reply:
    """What a question is answered."""

    found: list[Found]
    """Best first"""
    absent: bool | None
    """Whether nobody looks like her; None where that is not known"""
    searched: int
    """How many sights of people were compared"""


def ask(shelf: Shelf, uploads: Uploads, question: Question) -> Reply:
    """At most MOST_ANSWERS answers. Raises SettingError without sights, UnknownError for unknown ids."""
    if not question.sights:
        raise SettingError("click on a person first")
    sights, others = ([_person(shelf, uploads, one) for one in some] for some in (question.sights, question.others))
    query = refined(_stacked(shelf, sights), _stacked(shelf, others))
    among = _among(shelf, question, sights, others)
    answer = shelf.gallery.answer(query, Limits(MOST_HITS, 1, among=among))
    sure = [hit for hit in answer.hits if sureness_of(hit.similarity, shelf.strangers).level >= question.sure]
    found = [Found(a, sureness_of(a.best.similarity, shelf.strangers)) for a in appearances(sure)[:MOST_ANSWERS]]
    return Reply(found, answer.absent, int(among.sum()))


@dataclass(frozen=True)
class _Person:
    reading: Tensor
    """[D] of unit length, without the mean of her camera"""
    scene: int | None
    """Where she is in the gallery"""
    row: int | None
    """Her row, where the gallery has found her itself"""


def _person(shelf: Shelf, uploads: Uploads, name: str) -> _Person:
    if not name.startswith("up"):
        row = shelf.person(name)
        return _Person(shelf.crowd.readings(torch.tensor([row]))[0].float(), int(shelf.crowd.scene_of[row]), row)
    drawn = uploads.person(name)
    if len(drawn.reading) != shelf.gallery.about.dim:
        raise GalleryError("what is searched was made anew by another model: start the page's program again")
    scene = None if drawn.scene is None else shelf.scene(drawn.scene)
    camera = ELSEWHERE if scene is None else shelf.crowd.sources[shelf.camera(shelf.camera_of(scene)).path]
    return _Person(shelf.crowd.people.centred(F.normalize(drawn.reading, dim=0), camera), scene, None)


def _stacked(shelf: Shelf, people: Sequence[_Person]) -> Tensor:
    if not people:
        return torch.zeros(0, shelf.gallery.about.dim)
    return torch.stack([person.reading for person in people])


def _among(shelf: Shelf, question: Question, sights: Sequence[_Person], others: Sequence[_Person]) -> Tensor:
    """[N] who may be an answer: nobody of the scenes in which she was shown, nor who was said to be somebody else."""
    allowed = torch.ones(len(shelf.crowd.scenes), dtype=torch.bool)
    if question.source is not None or question.timed:
        allowed[:] = False
        films = [
            number
            for number in shelf.within(question.source, question.after, question.before)
            if not question.timed or shelf.crowd.scenes[number]["time"] is not None
        ]
        allowed[torch.tensor(films, dtype=torch.int64)] = True
    allowed[torch.tensor([one.scene for one in sights if one.scene is not None], dtype=torch.int64)] = False
    among = allowed[shelf.crowd.scene_of]
    among[torch.tensor([one.row for one in others if one.row is not None], dtype=torch.int64)] = False
    return among


def described(shelf: Shelf, found: Sequence[Found]) -> list[dict[str, Any]]:
    """Answers for the page: ids instead of paths."""
    answers = []
    for one in found:
        seen = one.appearance
        person = shelf.person_id(shelf.row_of(seen.best))
        scene = person.rpartition("-")[0]
        answers.append(
            {
                "person": person,
                "scene": scene,
                "source": shelf.camera_of(shelf.scene(scene)),
                "name": place_of(seen.source),
                "first": seen.first,
                "last": seen.last,
                "best": seen.best.time,
                "frames": len(seen.hits),
                "sure": one.sureness.level,
                "words": one.sureness.words,
            }
        )
    return answers


COLUMNS = ["rank", "source", "first", "last", "frames", "best_time", "best_frame", "x1", "y1", "x2", "y2"]
COLUMNS += ["similarity", "sure", "strangers"]


def exported(found: Sequence[Found]) -> list[dict[str, Any]]:
    """Answers for a file, of these columns: paths, times in seconds, boxes in pixels."""
    rows = []
    for rank, one in enumerate(found, 1):
        seen, (x1, y1, x2, y2) = one.appearance, one.appearance.best.box
        rows.append(
            {
                "rank": rank, "source": str(seen.source), "first": seen.first, "last": seen.last,
                "frames": len(seen.hits), "best_time": seen.best.time, "best_frame": seen.best.frame,
                "x1": round(x1, 1), "y1": round(y1, 1), "x2": round(x2, 1), "y2": round(y2, 1),
                "similarity": round(seen.best.similarity, 5), "sure": one.sureness.level,
                "strangers": one.sureness.rate,
            }
        )  # fmt: skip
    return rows
