"""Evaluation of answers: people are read and ranked as `search` does it, and judged by the papers' rule."""

from __future__ import annotations

from dataclasses import replace

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
    found, asked = without_means(benchmark, found, asked, rules.score_threshold)
    rank = None if crops else rank_by(_strangers(benchmark, found, rules.score_threshold))
    return evaluate_search(benchmark, found, asked, rules=rules, rank=rank)


def are_crops(benchmark: Benchmark) -> bool:
    """Whether each test scene is one person, from border to border."""
    return all(
        len(scene.persons) == 1 and scene.persons[0].box == (0, 0, scene.width, scene.height)
        for scene in benchmark.test
    )


def without_means(
    benchmark: Benchmark, found: dict[str, Detections], asked: Tensor, least: float
) -> tuple[dict[str, Detections], Tensor]:
    """Readings [N, D] of people in test scenes, and those [Q, D] of queries, without the mean of their cameras.

    The mean is that of people of score `least` and more. Scenes of no camera are of one.
    """
    cameras = {scene.name: scene.camera for scene in benchmark.test}
    numbers = {camera: number for number, camera in enumerate(dict.fromkeys(cameras.values()))}
    sure = {name: people[people.scores >= least] for name, people in found.items()}
    source_of = [numbers[cameras[name]] for name in found for _ in range(len(sure[name]))]
    everybody = torch.cat([people.embeddings for people in sure.values()])
    centres = Centres.of(everybody, torch.tensor(source_of, dtype=torch.int64), len(numbers))
    centred = {
        name: replace(people, embeddings=centres.take_off(people.embeddings, _all(numbers[cameras[name]], people)))
        for name, people in found.items()
    }
    of_queries = torch.tensor([numbers[cameras[query.scene]] for query in benchmark.queries], dtype=torch.int64)
    return centred, centres.take_off(asked, of_queries)


def _all(number: int, people: Detections) -> Tensor:
    return torch.full((len(people),), number)


def _strangers(benchmark: Benchmark, found: dict[str, Detections], least: float) -> Strangers:
    kept = [found[scene.name][found[scene.name].scores >= least] for scene in benchmark.test]
    counts = torch.tensor([len(people) for people in kept])
    scene_of = torch.arange(len(kept)).repeat_interleave(counts)
    readings, scores = torch.cat([p.embeddings for p in kept]), torch.cat([p.scores for p in kept])
    return find_strangers(readings, scene_of, scores)


def rank_by(strangers: Strangers) -> Rank:
    """What ranks the people of a query's gallery as a gallery of readings does."""

    def rank(query: Tensor, people: Searched) -> Tensor:
        crowd = PeopleInMemory(people.embeddings, people.scene_of, people.scores)
        return rank_people(query, crowd, strangers=strangers).likenesses.everybody

    return rank
