"""Answers to each query are judged by the one rule; two stages do what their parts do alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from layout_fixtures import make_benchmark
from PIL import Image
from test_protocols import random_case
from torch import Tensor, nn

from personsearch.data.coco import load_coco, save_coco
from personsearch.data.records import Benchmark
from personsearch.evaluation.protocols import Rules, evaluate_guided, evaluate_search
from personsearch.experiment import quiet
from personsearch.guided import embed_again, evaluate_two_stages, keep_best, propose_all
from personsearch.models.igpn import IGPN, IGPNSettings, build_igpn
from personsearch.models.rpn import AnchorSettings, ProposalSettings


@pytest.mark.parametrize("seed", range(8))
def test_answers_that_ignore_who_asks_are_judged_like_detections(seed: int) -> None:
    benchmark, found, queries = random_case(seed)
    expected = evaluate_search(benchmark, found, queries)
    rules = Rules()
    answers = []
    for query in queries:
        searched = {}
        for name, detections in found.items():
            kept = detections[detections.scores >= rules.score_threshold]
            searched[name] = (kept.boxes, (kept.embeddings.double() @ query.double()).float())
        answers.append(searched)
    result = evaluate_guided(benchmark, answers)
    assert result.mAP == pytest.approx(expected.mAP, abs=0.02)  # float32 breaks some ties
    assert len(result.average_precisions) == len(queries)


def test_one_mapping_a_query() -> None:
    benchmark, _, _ = random_case(0)
    with pytest.raises(ValueError, match="1 answers for"):
        evaluate_guided(benchmark, [{}])
    assert evaluate_guided(benchmark, [{}] * len(benchmark.queries)).mAP == 0


def test_the_best_of_the_whole_gallery_are_kept() -> None:
    boxes = torch.arange(12.0).reshape(3, 4)
    answers = {
        "a": (boxes, torch.tensor([0.9, 0.1, 0.5])),
        "b": (boxes[:2], torch.tensor([0.8, 0.5])),
        "c": (boxes[:0], torch.zeros(0)),
    }
    kept = keep_best(answers, 3)
    assert kept["a"][1].tolist() == pytest.approx([0.9, 0.5])
    assert torch.equal(kept["a"][0], boxes[[0, 2]])
    assert kept["b"][1].tolist() == pytest.approx([0.8])
    assert len(kept["c"][0]) == 0
    assert {name: len(b) for name, (b, _) in keep_best(answers, 99).items()} == {"a": 3, "b": 2, "c": 0}
    assert keep_best({}, 3) == {}


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    save_coco(make_benchmark(tmp_path / "pictures"), tmp_path / "coco")
    return load_coco(tmp_path / "coco")


@pytest.fixture(scope="module")
def proposer() -> IGPN:
    torch.manual_seed(0)
    settings = IGPNSettings(channels=4, anchors=AnchorSettings((96.0,), (2.0,)), proposals=ProposalSettings(30, 4))
    network = build_igpn(settings)
    nn.init.normal_(network.score.weight, std=0.5)
    return network.eval()


class ByPlace:
    """Embeds a box by its left side."""

    def embed(self, _image: Image.Image, boxes: Tensor) -> Tensor:
        angle = boxes[:, 0] / 640
        return torch.stack([angle.cos(), angle.sin()], dim=1)


def test_every_scene_of_a_gallery_answers(benchmark: Benchmark, proposer: IGPN) -> None:
    answers = propose_all(proposer, benchmark, quiet)
    for query, found in zip(benchmark.queries, answers, strict=True):
        assert set(found) == set(query.gallery)
        assert all(len(boxes) == len(similarities) <= 4 for boxes, similarities in found.values())
    again = embed_again(ByPlace(), benchmark, answers, quiet)
    for query, before, after in zip(benchmark.queries, answers, again, strict=True):
        for name, (boxes, cosines) in after.items():
            assert torch.equal(boxes, before[name][0])
            torch.testing.assert_close(cosines, ((boxes[:, 0] - query.box[0]) / 640).cos())


def test_two_stages_are_judged(benchmark: Benchmark, proposer: IGPN) -> None:
    alone = evaluate_two_stages(proposer, benchmark, rules=Rules(), progress=quiet)
    assert len(alone.average_precisions) == len(benchmark.queries)
    both = evaluate_two_stages(proposer, benchmark, embedder=ByPlace(), keep=3, rules=Rules(), progress=quiet)
    assert 0 <= both.mAP <= 1
