"""Answers are evaluated as `search` gives them: without the means of cameras, and ranked by its rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from layout_fixtures import make_benchmark
from torch import Tensor
from torch.nn import functional as F

from personsearch.data.records import Benchmark, Person
from personsearch.errors import SettingError
from personsearch.evaluation.answers import CameraMeans, are_crops, evaluate_answers, rank_by
from personsearch.evaluation.evaluate import JudgeSettings, evaluate_weights
from personsearch.evaluation.protocols import Searched
from personsearch.geometry.detections import Detections
from personsearch.models.projections import Projection, Projections, save_projections
from personsearch.models.search_network import SearchNetwork
from personsearch.models.tensor_files import MODEL_FILE, fingerprint
from personsearch.models.weights import save_weights
from personsearch.search.answering import PeopleInMemory, rank_people
from personsearch.search.strangers import Strangers, find_strangers


def unit(count: int, dim: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(count, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    return make_benchmark(tmp_path / "pictures")


@pytest.fixture
def projections() -> Projections:
    def some(dim: int) -> Projection:
        return Projection(torch.zeros(dim), unit(4, dim, dim))

    return Projections(some(2048), some(2048), some(7168))


def test_the_mean_of_each_camera_is_that_of_its_sure_people(benchmark: Benchmark) -> None:
    """More than fifty sure people a camera; a doubtful one has no say, and loses the mean like everybody."""
    found = {}
    for number, scene in enumerate(benchmark.test):
        scores = torch.ones(60)
        scores[-1] = 0.1
        boxes = torch.tensor([[0.0, 0, 5, 9]]).repeat(60, 1)
        found[scene.name] = Detections(boxes, scores, unit(60, 6, number))
    asked = unit(len(benchmark.queries), 6, 99)
    taken = CameraMeans.of(benchmark, found, 0.5)
    centred, queries = taken.off_people(found), taken.off_queries(benchmark, asked)
    means = {}
    for camera in {scene.camera for scene in benchmark.test}:
        own = [found[scene.name].embeddings[:-1] for scene in benchmark.test if scene.camera == camera]
        means[camera] = torch.cat(own).mean(dim=0)
    for scene in benchmark.test:
        expected = F.normalize(found[scene.name].embeddings - means[scene.camera], dim=1)
        assert torch.allclose(centred[scene.name].embeddings, expected, atol=1e-5)
    cameras = {scene.name: scene.camera for scene in benchmark.test}
    for row, query in enumerate(benchmark.queries):
        assert torch.allclose(queries[row], F.normalize(asked[row] - means[cameras[query.scene]], dim=0), atol=1e-5)


def test_people_are_ranked_as_by_a_gallery() -> None:
    people, query = unit(80, 6, 1).double(), unit(1, 6, 2)[0].double()
    people[[20, 30]] = F.normalize(people[5] + 0.1 * unit(2, 6, 3).double())  # in three scenes
    scene_of, scores = torch.arange(80) // 4, torch.linspace(0.5, 1, 80).double()
    strangers = find_strangers(people, scene_of, scores)
    ranked = rank_by(strangers)(query, Searched(people @ query, people, scores, scene_of))
    crowd = PeopleInMemory(people, scene_of, scores)
    assert torch.equal(ranked, rank_people(query, crowd, strangers=strangers).likenesses.everybody)
    there = people[5]  # her answers are clear of strangers: everybody is ranked again
    widened = rank_by(strangers)(there, Searched(people @ there, people, scores, scene_of))
    assert not torch.allclose(widened, rank_people(there, crowd).likenesses.everybody)


def test_who_cannot_be_compared_ranks_last() -> None:
    people = F.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(0)))
    cosines = people @ people[0]
    people[3], cosines[3] = 0.0, -torch.inf  # as the evaluator gives who has no number
    nobody = Strangers(np.zeros(0, np.float32))
    ranked = rank_by(nobody)(people[0], Searched(cosines, people, torch.ones(5), torch.arange(5)))
    assert ranked[3] == -torch.inf
    assert ranked[[0, 1, 2, 4]].isfinite().all()


def test_crops_fill_their_pictures(benchmark: Benchmark) -> None:
    assert not are_crops(benchmark)
    crops = tuple(replace(scene, persons=(Person((0, 0, scene.width, scene.height), 1),)) for scene in benchmark.test)
    assert are_crops(replace(benchmark, test=crops))


@pytest.mark.parametrize("boxes", ["detected", "labeled"])
def test_a_small_network_is_evaluated_end_to_end(
    small_network: SearchNetwork, projections: Projections, benchmark: Benchmark, boxes: str
) -> None:
    result = evaluate_answers(small_network, projections, benchmark, boxes=boxes)
    assert len(result.average_precisions) == len(benchmark.queries)


def test_answers_need_projections_and_a_search_network(
    small_network: SearchNetwork, projections: Projections, benchmark: Benchmark, tmp_path: Path
) -> None:
    save_weights(tmp_path / "w", small_network, {})
    how = JudgeSettings(answers=True, boxes="labeled")
    with pytest.raises(SettingError, match=r"no projections\.safetensors"):
        evaluate_weights(str(tmp_path / "w"), benchmark, how)
    save_projections(tmp_path / "w", projections, fingerprint(tmp_path / "w" / MODEL_FILE))
    result, nothing = evaluate_weights(str(tmp_path / "w"), benchmark, how)
    assert nothing is None
    assert len(result.average_precisions) == len(benchmark.queries)
    with pytest.raises(SettingError, match="branch"):
        evaluate_weights(str(tmp_path / "w"), benchmark, replace(how, branch="instance"))
