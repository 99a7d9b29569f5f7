"""Evaluation of answers: people are read and ranked as `search` does it, and judged by the papers' rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from personsearch.data.records import Benchmark
from personsearch.evaluation.one_stage import read_people
from personsearch.evaluation.protocols import PROFILES, Rank, Rules, Searched, SearchResult, evaluate_search
from personsearch.geometry.detections import Detections
from personsearch.models.projections import Projections
from personsearch.models.readings import CropReader, PeopleReader
from personsearch.models.search_network import SearchNetwork
from personsearch.progress import Progress, quiet
from personsearch.search.answering import PeopleInMemory, rank_people
from personsearch.search.centring import Centres
from personsearch.search.strangers import Strangers, find_strangers


def evaluate_answers(
    network: SearchNetwork,
    projections: Projections,
    benchmark: Benchmark,
    *,
    boxes: str = "detected",
    query: str = "box",
    rules: Rules = PROFILES["strict"],
    progress: Progress = quiet,
) -> SearchResult:
    """Reads all people of a benchmark, takes each camera's mean off them, and ranks as a gallery does by default.

    Of cropped people, who fill their pictures, patches alone are read, and they are ranked by the cosine. `boxes` and
    `query` are those of `read_people`.
    """
    crops = are_crops(benchmark)
    reader = CropReader(network, projections) if crops else PeopleReader(network, projections, rules.score_threshold)
    found, asked = read_people(reader, benchmark, boxes=boxes, query=query, rules=rules, progress=progress)
    means = CameraMeans.of(benchmark, found, rules.score_threshold)
    found, asked = means.off_people(found), means.off_queries(benchmark, asked)
    rank = None if crops else rank_by(strangers_of(benchmark, found, rules.score_threshold))
    return evaluate_search(benchmark, found, asked, rules=rules, rank=rank)


def are_crops(benchmark: Benchmark) -> bool:
    """Whether each test scene is one person, from border to border."""
    return all(
        len(scene.persons) == 1 and scene.persons[0].box == (0, 0, scene.width, scene.height)
        for scene in benchmark.test
    )


@dataclass(frozen=True)
class CameraMeans:
    """The means of a benchmark's cameras. Scenes of no camera are of one."""

    centres: Centres
    numbers: dict[str, int]
    """Of each scene's camera."""

    @classmethod
    def of(cls, benchmark: Benchmark, found: Mapping[str, Detections], least: float) -> CameraMeans:
        """Those of the people of score `least` and more with readings [N, D]."""
        cameras = {scene.name: scene.camera for scene in benchmark.test}
        order = {camera: number for number, camera in enumerate(dict.fromkeys(cameras.values()))}
        numbers = {name: order[camera] for name, camera in cameras.items()}
        sure = {name: people[people.scores >= least] for name, people in found.items()}
        source_of = torch.tensor([numbers[name] for name in found for _ in range(len(sure[name]))], dtype=torch.int64)
        everybody = torch.cat([people.embeddings for people in sure.values()])
        return cls(Centres.of(everybody, source_of, len(order)), numbers)

    def take_off(self, name: str, readings: Tensor) -> Tensor:
        """Readings [N, D] of people in a scene without the mean of its camera, of unit length."""
        return self.centres.take_off(readings, torch.full((len(readings),), self.numbers[name]))

    def off_people(self, found: Mapping[str, Detections]) -> dict[str, Detections]:
        """People of scenes by their names, with such readings."""
        return {
            name: replace(people, embeddings=self.take_off(name, people.embeddings)) for name, people in found.items()
        }

    def off_queries(self, benchmark: Benchmark, readings: Tensor) -> Tensor:
        """The same for those [Q, D] of the benchmark's queries."""
        of = torch.tensor([self.numbers[query.scene] for query in benchmark.queries], dtype=torch.int64)
        return self.centres.take_off(readings, of)


def strangers_of(benchmark: Benchmark, found: Mapping[str, Detections], least: float) -> Strangers:
    """How alike different people of score `least` and more look in the test scenes, of whom there are readings."""
    kept = [found[scene.name][found[scene.name].scores >= least] for scene in benchmark.test]
    counts = torch.tensor([len(people) for people in kept])
    scene_of = torch.arange(len(kept)).repeat_interleave(counts)
    readings, scores = torch.cat([p.embeddings for p in kept]), torch.cat([p.scores for p in kept])
    return find_strangers(readings, scene_of, scores)


def rank_by(strangers: Strangers) -> Rank:
    """What ranks the people of a query's gallery as a gallery of readings does."""

    def rank(query: Tensor, people: Searched) -> Tensor:
        crowd = PeopleInMemory(people.embeddings, people.scene_of, people.scores)
        ranked = rank_people(query, crowd, strangers=strangers).likenesses.everybody
        return ranked.masked_fill(people.cosines == -torch.inf, -torch.inf)

    return rank
