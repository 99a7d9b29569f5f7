"""Who in a gallery is most like a query: of everybody, in memory or in shards, or of those whom an index finds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.errors import GalleryError, SettingError
from personsearch.search.about import About
from personsearch.search.absence import is_absent
from personsearch.search.answering import Crowd, Ranked, rank_people
from personsearch.search.centring import ELSEWHERE
from personsearch.search.hits import Answer, GalleryHit
from personsearch.search.likenesses import Likenesses
from personsearch.search.neighbours import Neighbours, load_neighbours
from personsearch.search.part import part_with
from personsearch.search.picking import Limits, pick_rows
from personsearch.search.place import Place
from personsearch.search.ranking import Known, Resident
from personsearch.search.searchers import READINGS
from personsearch.search.stranger_file import load_strangers
from personsearch.search.strangers import Strangers, find_strangers
from personsearch.search.table import SceneTable
from personsearch.search.widening import WIDEN

_SCENES_OF_STRANGERS = 1000
"""Of a larger gallery, those whose pairs are looked at."""
_MORE = 8
"""Times as many scenes are looked at where those that an index finds have too few answers."""


class Shown(Crowd, Protocol):
    """People who can be shown."""

    def hit(self, person: int, similarity: float) -> GalleryHit:
        """One of them, as an answer."""


class Asking:
    """Asks a table. What it has read is kept until `forget`."""

    def __init__(self, folder: Place, about: About, table: SceneTable, memory: int | None, approximate: bool) -> None:
        self._folder, self._about, self._table = folder, about, table
        self._memory = memory
        self._approximate = approximate
        self._resident: Resident | None = None
        self._strangers: Strangers | None = None
        self._neighbours: Neighbours | None = None

    def forget(self) -> None:
        """The table has changed."""
        self._resident = self._strangers = self._neighbours = None

    def near(self, known: Neighbours) -> Asking:
        """The same, asked by its index, of which this is known."""
        other = Asking(self._folder, self._about, self._table, self._memory, True)
        other._resident, other._strangers, other._neighbours = self._resident, self._strangers, known
        return other

    # ---------------------------------------------------------------- who is asked

    @property
    def version(self) -> int:
        """Of the table. Raises GalleryError."""
        return self._table.version

    @property
    def readings(self) -> bool:
        """Whether the table holds readings, which are centred, and ranked by more than the cosine."""
        return self._about.read == READINGS

    def crowd(self) -> Resident:
        """Everybody, by file and frame."""
        if self._resident is None:
            if self._memory is None:
                self._resident = Resident.of(self._table.read(), self._about.dim, centred=self.readings)
            else:
                self._resident = Resident.in_shards(self._table.snapshot(), self._memory, centred=self.readings)
        return self._resident

    @property
    def people(self) -> int:
        return self.neighbours().people if self._approximate else len(self.crowd().scores)

    def neighbours(self) -> Neighbours:
        """What is known of the index; what was counted over everybody is as of this moment. Raises GalleryError where
        there is none."""
        if self._neighbours is None:
            found = load_neighbours(self._folder)
            if found is None or self._table.unindexed() is None:
                raise GalleryError(
                    f"{self._folder}: has no approximate index; make one: personsearch gallery approximate "
                    f"{self._folder}, or leave --approximate out"
                )
            same = found.version == self.version
            self._neighbours = found if same else found.counted(self.crowd(), self.version)
        return self._neighbours

    def _near(self, queries: list[Tensor], count: int) -> Resident:
        """Everybody in so many scenes that the index finds for each query."""
        known = self.neighbours()
        rows = self._table.near(queries, count, known.probes)
        return Resident.of(rows, self._about.dim, centred=self.readings, known=known)

    def strangers(self) -> Strangers:
        """How alike different people look; of 1,000 scenes where there are more."""
        if self._strangers is None:
            self._strangers = load_strangers(self._folder, self._table.version)
        if self._strangers is None:
            crowd = self.crowd()
            scenes = random.Random(0).sample(range(len(crowd.scenes)), min(len(crowd.scenes), _SCENES_OF_STRANGERS))
            rows = torch.nonzero(torch.isin(crowd.scene_of, torch.tensor(scenes))).flatten()
            self._strangers = find_strangers(crowd.readings(rows), crowd.scene_of[rows], crowd.scores[rows])
        return self._strangers

    # ---------------------------------------------------------------- what is answered

    def comparable(self, embedding: Tensor, camera: Path | None) -> Tensor:
        query = F.normalize(embedding.detach().float().cpu(), dim=0)
        if not self.readings:
            return query
        known: Known = self.neighbours() if self._approximate else self.crowd()
        source = ELSEWHERE if camera is None else known.sources.get(camera, ELSEWHERE)
        return known.centres.take_off(query[None], torch.tensor([source]))[0]

    def answer(self, query: Tensor, limits: Limits, once: bool | None, widen: int | None) -> Answer:
        once = self.readings if once is None else once
        widen = (WIDEN if self.readings else 0) if widen is None else widen
        if widen < 0:
            raise SettingError(f"widen {widen} is impossible: give 0 or more answers")
        for count in self._counts(limits):
            near = self._near([query], count)
            ranked = self._ranked(near, query, limits, once, widen)
            if len(ranked.added):  # who is like all of them may not be near the query alone
                near = self._near([query, ranked.asked], count)
            answer = self._answer(near, query, limits, once, widen)
            if len(answer.hits) >= limits.top:
                return answer
        part = None if limits.among is None else part_with(self.crowd(), limits.among)
        if limits.among is None or part is None:
            return self._answer(self.crowd(), query, limits, once, widen)
        return self._answer(part, query, replace(limits, among=limits.among[part.people]), once, widen)

    def first(self, query: Tensor, limits: Limits) -> Iterator[int]:
        """Numbers of the people in `crowd` as they are ranked by default for a query as in `answer`, best first."""
        ranked = self._ranked(self.crowd(), query, limits, True, WIDEN if self.readings else 0)
        return ranked.likenesses.falling(limits.among)

    def answer_among(self, crowd: Shown, query: Tensor, limits: Limits) -> Answer:
        """The answer of a crowd made of this one's, one person once a scene; widened where it holds readings."""
        return self._answer(crowd, query, limits, True, WIDEN if self.readings else 0)

    def _counts(self, limits: Limits) -> Sequence[int]:
        """How many scenes the index is asked for, before everybody is asked."""
        if not self._approximate or limits.among is not None:
            return ()
        scenes = self.neighbours().scenes
        return scenes, _MORE * scenes

    def _ranked(self, crowd: Shown, query: Tensor, limits: Limits, once: bool, widen: int) -> Ranked:
        def first(likenesses: Likenesses, count: int) -> Tensor:
            few = _picked(crowd, likenesses, replace(limits, top=count, per_scene=1), lambda row: crowd.hit(row, 0.0))
            return torch.tensor([row for row, _ in few], dtype=torch.int64)

        strangers = self.strangers() if widen else None
        return rank_people(
            query,
            crowd,
            once=once,
            strangers=strangers,
            choose=first,
            widen=widen,
            people=self.people,
            among=limits.among,
        )

    def _answer(self, crowd: Shown, query: Tensor, limits: Limits, once: bool, widen: int) -> Answer:
        ranked = self._ranked(crowd, query, limits, once, widen)

        def hit_of(row: int) -> GalleryHit:
            return crowd.hit(row, min(1.0, max(-1.0, float(ranked.cosines[row]))))

        hits = [hit for _, hit in _picked(crowd, ranked.likenesses, limits, hit_of)]
        absent = None
        if self.readings:  # of the papers' embeddings it was not measured
            searched = self.people if limits.among is None else int(limits.among.sum())
            absent = is_absent(hits[0].similarity if hits else -torch.inf, self.strangers(), searched)
        return Answer(hits, [hit_of(int(row)) for row in ranked.added], absent)


def _picked(
    crowd: Shown, likenesses: Likenesses, limits: Limits, hit_of: Callable[[int], GalleryHit]
) -> list[tuple[int, GalleryHit]]:
    return pick_rows(likenesses.falling(limits.among), crowd.scene_of, hit_of, limits)
