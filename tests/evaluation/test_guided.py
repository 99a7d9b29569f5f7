"""Answers to each query are judged by the one rule; two stages do what their parts do alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from layout_fixtures import make_benchmark
from PIL import Image
from test_protocols import random_case
from torch import Tensor, nn

from personsearch.data.layouts.coco import load_coco, save_coco
from personsearch.data.records import Benchmark
from personsearch.evaluation import two_stage as guided
from personsearch.evaluation.protocols import Rules, evaluate_guided, evaluate_search
from personsearch.evaluation.two_stage import evaluate_two_stages, read_queries
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
    with pytest.raises(ValueError, match="shorter"):
        evaluate_guided(benchmark, [{}])
    assert evaluate_guided(benchmark, [{}] * len(benchmark.queries)).mAP == 0


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
    for correlation in (network.similarity, network.regression):  # zero at first, so that all queries would be alike
        nn.init.normal_(correlation.second.weight, std=0.05)
        nn.init.normal_(correlation.shared.weight, std=0.01)
    return network.eval()


class ByPlace:
    """Embeds a box by its left side."""

    def embed(self, _image: Image.Image, boxes: Tensor) -> Tensor:
        angle = boxes[:, 0] / 640
        return torch.stack([angle.cos(), angle.sin()], dim=1)


def same(one: dict[str, tuple[Tensor, Tensor]], other: dict[str, tuple[Tensor, Tensor]]) -> bool:
    """The same boxes and similarities, but for how queries asked together are rounded."""
    return one.keys() == other.keys() and all(
        a.shape == b.shape and torch.allclose(a, b, atol=0.02, rtol=1e-3)
        for name in one
        for a, b in zip(one[name], other[name], strict=True)
    )


def test_few_answers_held_at_once_are_judged_the_same(
    benchmark: Benchmark, proposer: IGPN, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = benchmark.queries
    benchmark = replace(benchmark, queries=(first, second, first))
    monkeypatch.setattr(guided, "evaluate_guided", lambda _benchmark, answers, *, rules: list(answers))
    expected: Any = evaluate_two_stages(proposer, benchmark, embedder=ByPlace())
    assert not same(expected[0], expected[1]), "or it would not matter who asks"
    for most, shares in ((1, [(0, 1), (1, 2), (2, 3)]), (8, [(0, 2), (2, 3)]), (12, [(0, 3)])):
        assert guided._shares(benchmark, most) == shares, "galleries of four scenes"
        monkeypatch.setattr(guided, "_AT_ONCE", most)
        found: Any = evaluate_two_stages(proposer, benchmark, embedder=ByPlace())
        assert all(same(*pair) for pair in zip(found, expected, strict=True))


def test_queries_are_read_in_their_order(benchmark: Benchmark, proposer: IGPN) -> None:
    codes, embeddings = read_queries(proposer, ByPlace(), benchmark)
    scenes = {scene.name: scene for scene in benchmark.test}
    for query, code, embedding in zip(benchmark.queries, codes, embeddings, strict=True):
        image = scenes[query.scene].read()
        torch.testing.assert_close(code.features, proposer.encode_query(image, [query.box]).features)
        torch.testing.assert_close(embedding, ByPlace().embed(image, torch.tensor([query.box]))[0])
    assert read_queries(proposer, None, benchmark)[1] == []
