"""What a second look is worth: the trunk's people are asked first, then IGPN looks at the most promising scenes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from personsearch.data.records import Benchmark, Query
from personsearch.errors import SettingError
from personsearch.evaluation.answers import CameraMeans, strangers_of
from personsearch.evaluation.one_stage import read_people
from personsearch.evaluation.protocols import Rules, SearchResult, evaluate_guided
from personsearch.evaluation.two_stage import read_queries
from personsearch.geometry.detections import Detections
from personsearch.models.igpn_trunk import TrunkIGPN
from personsearch.models.projections import Projections
from personsearch.models.readers import Reader
from personsearch.models.readings import PeopleReader
from personsearch.models.search_network import SearchNetwork
from personsearch.progress import Progress, quiet
from personsearch.search.answering import Crowd, PeopleInMemory, rank_people
from personsearch.search.completed import Completed, Found, who_stays
from personsearch.search.looking_again import EACH
from personsearch.search.proposals import Answers, ProposalSearch
from personsearch.search.strangers import Strangers
from personsearch.search.two_stage import embeddings_at


@dataclass(frozen=True)
class Asked:
    """A benchmark as it is ranked: people of each scene, queries [Q, D], and how."""

    benchmark: Benchmark
    people: Mapping[str, Detections]
    queries: Tensor
    rules: Rules
    means: CameraMeans | None = None
    strangers: Strangers | None = None
    """Whoever has them ranks as `search` does, and not by the cosine."""

    def likenesses(self, number: int, crowd: Crowd) -> Tensor:
        """[N] what the people of a query's gallery are ranked by."""
        answers = self.strangers is not None
        ranked = rank_people(self.queries[number], crowd, once=answers, strangers=self.strangers)
        return ranked.likenesses.everybody

    def gallery(self, query: Query) -> list[str]:
        """Its scenes that are searched."""
        return [name for name in dict.fromkeys(query.gallery) if name != query.scene or self.rules.own_scene]

    def crowd(self, names: Sequence[str]) -> PeopleInMemory:
        """Everybody in scenes."""
        some = [self.people[name] for name in names]
        scene_of = torch.arange(len(some)).repeat_interleave(torch.tensor([len(people) for people in some]).long())
        vectors = torch.cat([torch.zeros(0, self.queries.shape[1]), *(people.embeddings for people in some)])
        return PeopleInMemory(vectors, scene_of, torch.cat([torch.zeros(0), *(people.scores for people in some)]))


@dataclass(frozen=True)
class Looked:
    """Whom IGPN finds in each query's most promising scenes, beside those who are held."""

    asked: Asked
    found: list[Answers]
    """Of each query, best first in each scene"""
    read: list[dict[str, Tensor]]
    """How they are read, [N, D] each"""

    def result(self, each: int = EACH) -> SearchResult:
        """Judges everybody, the first `each` of the found of a scene among them."""
        return evaluate_guided(self.asked.benchmark, _answers(self, each), rules=self.asked.rules)


def look(
    proposer: TrunkIGPN,
    trunk: SearchNetwork,
    benchmark: Benchmark,
    count: int,
    *,
    rules: Rules,
    projections: Projections | None = None,
    progress: Progress = quiet,
) -> Looked:
    """Reads the test scenes, and looks again at the `count` most promising ones of each query's gallery.

    People are read and ranked by the trunk's embeddings and their cosines, as the papers do it; with `projections` by
    readings, as `search` does. Raises SettingError for less than one scene.
    """
    if count < 1:
        raise SettingError(f"look again {count}: give 1 scene or more")
    reader: Reader = trunk if projections is None else PeopleReader(trunk, projections, rules.score_threshold)
    asked = _asked(reader, benchmark, rules, projections is not None, progress)
    chosen = [promising(asked, number, count) for number in range(len(benchmark.queries))]
    asking: dict[str, list[int]] = {}
    for number, names in enumerate(chosen):
        for name in names:
            asking.setdefault(name, []).append(number)
    codes, _ = read_queries(proposer, None, benchmark, progress)
    found = ProposalSearch(proposer, codes, benchmark.test, progress=progress).propose(asking)
    best = [{name: proposals[:EACH] for name, proposals in answers.items()} for answers in found]
    return Looked(asked, best, embeddings_at(reader, benchmark.test, best, progress=progress))


def _asked(reader: Reader, benchmark: Benchmark, rules: Rules, answers: bool, progress: Progress) -> Asked:
    found, queries = read_people(reader, benchmark, boxes="detected", query="box", rules=rules, progress=progress)
    held = {name: people[people.scores >= rules.score_threshold] for name, people in found.items()}
    if not answers:
        return Asked(benchmark, held, queries, rules)
    means = CameraMeans.of(benchmark, held, rules.score_threshold)
    held = means.off_people(held)
    strangers = strangers_of(benchmark, held, rules.score_threshold)
    return Asked(benchmark, held, means.off_queries(benchmark, queries), rules, means, strangers)


def promising(asked: Asked, number: int, count: int) -> list[str]:
    """The scenes of a query's gallery with somebody most like the person, best first; those without anybody last."""
    names = asked.gallery(asked.benchmark.queries[number])
    crowd = asked.crowd(names)
    most = torch.full((len(names),), -torch.inf)
    most.scatter_reduce_(0, crowd.scene_of, asked.likenesses(number, crowd).to(most), "amax")
    return [names[place] for place in most.argsort(descending=True, stable=True)[:count].tolist()]


def _answers(looked: Looked, each: int) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Boxes and likenesses of each scene of each query's gallery."""
    asked = looked.asked
    for number, query in enumerate(asked.benchmark.queries):
        names = asked.gallery(query)
        crowd, boxes = asked.crowd(names), torch.cat([torch.zeros(0, 4), *(asked.people[name].boxes for name in names)])
        found = []
        for place, name in enumerate(names):
            if name in looked.read[number]:
                again, readings = looked.found[number][name][:each], looked.read[number][name][:each]
                if asked.means is not None:
                    readings = asked.means.take_off(name, readings)
                found.append(Found(again.boxes, readings, again.similarities, torch.full((len(readings),), place)))
        asked_for = asked.queries[number]
        everybody = Completed(crowd, *who_stays(crowd, boxes, Found.joined(found, len(asked_for)), asked_for))
        boxes = torch.cat([boxes, everybody.found.boxes])
        likenesses, scene_of = asked.likenesses(number, everybody), everybody.scene_of
        seen = likenesses.isfinite()
        yield {
            name: (boxes[seen & (scene_of == place)], likenesses[seen & (scene_of == place)])
            for place, name in enumerate(names)
        }
