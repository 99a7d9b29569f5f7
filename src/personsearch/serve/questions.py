"""A question of the page: sights of a person, who she is not, and how sure an answer must be."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.errors import GalleryError, SettingError
from personsearch.search.appearances import Appearance, appearances
from personsearch.search.drawing import place_of
from personsearch.search.hits import GalleryHit
from personsearch.search.picking import Limits
from personsearch.search.refining import refined
from personsearch.search.sureness import Sureness, sureness_of
from personsearch.serve.library import Shelf, UnknownError
from personsearch.serve.uploads import Uploads

MOST_ANSWERS = 60
_ALL = 10**9


@dataclass(frozen=True)
class Question:
    """Ids of people: of the gallery, or of pictures that were brought."""

    sights: Sequence[str]
    others: Sequence[str] = ()
    sure: int = 2
    source: str | None = None


@dataclass(frozen=True)
class Found:
    """One answer."""

    appearance: Appearance
    sureness: Sureness


def ask(shelf: Shelf, uploads: Uploads, question: Question) -> list[Found]:
    """Answers, best first, at most MOST_ANSWERS. Raises SettingError without sights, UnknownError for unknown ids."""
    if not question.sights:
        raise SettingError("click on a person first")
    if question.source is not None and question.source not in shelf.sources:
        raise UnknownError("this source is not here any more: load the page again")
    query = refined(_readings(shelf, uploads, question.sights), _readings(shelf, uploads, question.others))
    within = None if question.source is None else shelf.sources[question.source]
    shown = {scene for scene, _ in _places(shelf, question.sights)}
    refused = set(_places(shelf, question.others))

    def allow(hit: GalleryHit) -> bool:
        if within is not None and str(hit.source) != within:
            return False
        return hit.scene not in shown and (hit.scene, hit.box) not in refused

    hits = shelf.gallery.answer(query, Limits(_ALL, 1, allow=allow)).hits
    sure = [hit for hit in hits if sureness_of(hit.similarity, shelf.strangers).level >= question.sure]
    return [Found(a, sureness_of(a.best.similarity, shelf.strangers)) for a in appearances(sure)[:MOST_ANSWERS]]


def _readings(shelf: Shelf, uploads: Uploads, people: Sequence[str]) -> Tensor:
    """[K, D] of unit length, without the means of their cameras."""
    found = []
    for person in people:
        if person.startswith("up"):
            reading = uploads.reading(person)
            if len(reading) != shelf.gallery.about.dim:
                raise GalleryError("what is searched was made anew by another model: start the page's program again")
            found.append(shelf.crowd.people.centred(F.normalize(reading, dim=0)))
        else:
            found.append(shelf.crowd.readings(torch.tensor([shelf.person(person)]))[0].float())
    return torch.stack(found) if found else torch.zeros(0, shelf.gallery.about.dim)


def _places(shelf: Shelf, people: Sequence[str]) -> list[tuple[str, Any]]:
    hits = [shelf.crowd.hit(shelf.person(person), 0.0) for person in people if not person.startswith("up")]
    return [(hit.scene, hit.box) for hit in hits]


def described(shelf: Shelf, found: Sequence[Found]) -> list[dict[str, Any]]:
    """Answers for the page: ids instead of paths."""
    sources = {path: name for name, path in shelf.sources.items()}
    answers = []
    for one in found:
        seen = one.appearance
        person = shelf.person_id(shelf.row_of(seen.best))
        answers.append(
            {
                "person": person,
                "scene": person.rpartition("-")[0],
                "source": sources[str(seen.source)],
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


def exported(found: Sequence[Found]) -> list[dict[str, Any]]:
    """Answers for a file: paths, times in seconds, boxes in pixels."""
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


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """One line an answer. A name that a table would run as a formula begins with an apostrophe."""
    file = io.StringIO()
    columns = list(rows[0]) if rows else ["rank", "source", "first", "last"]
    writer = csv.DictWriter(file, columns)
    writer.writeheader()
    for row in rows:
        source = str(row["source"])
        writer.writerow({**row, "source": f"'{source}" if source[:1] in "=+-@\t\r" else source})
    return file.getvalue()
