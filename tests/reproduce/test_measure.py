"""Readings that share their work are what each would be alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from judge_fakes import FakeDetector, FakeProposer
from layout_fixtures import make_benchmark
from PIL import Image
from torch import Tensor

from personsearch.data.records import Benchmark
from personsearch.evaluation.one_stage import evaluate_model
from personsearch.evaluation.two_stage import evaluate_two_stages
from personsearch.geometry.detections import Detections
from personsearch.models.reid import ReidSettings, build_reid
from personsearch.models.weights import save_weights
from personsearch.progress import quiet
from personsearch.reproduce import measure as module
from personsearch.reproduce.measure import measure
from personsearch.reproduce.plan import Reading


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return make_benchmark(tmp_path_factory.mktemp("data") / "pictures")


def sized(made: Benchmark, size: int | None) -> Benchmark:
    """With a size: smaller galleries, fewer people who are asked for, another order, and a person more in a scene."""
    if size is None:
        return made
    late = [tuple(sorted(query.gallery, key=lambda name: name == "h")[:size]) for query in made.queries]
    asked = [replace(query, gallery=gallery) for query, gallery in zip(made.queries, late, strict=True)]
    test = list(made.test)
    if size == 3:
        test[3] = replace(test[3], persons=test[0].persons[:1])
    return replace(made, queries=tuple(reversed(asked)), test=tuple(test))


class Reader:
    """Finds people at fixed places and embeds them by where they are."""

    def __init__(self) -> None:
        self.read = 0

    def detect(self, _image: Image.Image, score_threshold: float) -> Detections:
        self.read += 1
        boxes = torch.tensor([[20.0, 30, 70, 150], [70, 80, 100, 140], [180, 90, 270, 290], [330, 240, 350, 285]])
        return Detections(boxes, torch.tensor([0.9, 0.8, 0.7, 0.6]), self.embed(_image, boxes))

    def embed(self, _image: Image.Image, boxes: Tensor) -> Tensor:
        self.read += 1
        return torch.nn.functional.normalize(torch.stack([boxes.sum(1).sin(), boxes.prod(1).log().cos()], 1), dim=1)


@pytest.mark.parametrize("boxes", ["detected", "labeled"])
def test_shared_readings_are_those_made_alone(
    boxes: str, made: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader()
    monkeypatch.setattr(module, "_reader", lambda *_: reader)
    monkeypatch.setattr(module, "is_proposer", lambda _: False)
    readings = [Reading("a-seed0", boxes, "search", None, None, size) for size in (None, 2, 3, 4)]
    found = dict(measure(readings, tmp_path, lambda size: sized(made, size), "cpu", quiet))
    assert set(found) == set(readings)
    shared, reader.read = reader.read, 0
    for reading in readings:
        alone = evaluate_model(reader, sized(made, reading.gallery), boxes=boxes).result.as_dict()
        assert found[reading] == pytest.approx(alone)
    assert shared < reader.read
    assert len({str(figures) for figures in found.values()}) > 1


def test_numbers_of_kept_proposals_share_their_work(
    made: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposer, other = FakeProposer(FakeDetector(made, "igpn")), FakeDetector(made, "reid")
    monkeypatch.setattr(module, "is_proposer", lambda _: True)
    monkeypatch.setattr(module, "load_proposer", lambda *_: SimpleNamespace(model=proposer))
    monkeypatch.setattr(module, "load_reid", lambda *_: SimpleNamespace(model=other))
    asked: list[int] = []
    real = proposer.answer
    monkeypatch.setattr(proposer, "answer", lambda *given: (asked.append(1), real(*given))[1])
    kept = [(None, 1), (None, 2), (None, 4), (None, 100), (3, 2), (3, 3)]
    readings = [Reading("a-seed0", "detected", "search", "r-seed0", keep, size) for size, keep in kept]
    found = dict(measure(readings, tmp_path, lambda size: sized(made, size), "cpu", quiet))
    shared = len(asked)
    asked.clear()
    for reading in readings:
        alone: Any = evaluate_two_stages(
            proposer,
            sized(made, reading.gallery),
            embedder=other,
            keep=reading.keep,  # type: ignore[arg-type]
        )
        assert found[reading] == pytest.approx(alone.as_dict())
    assert shared < len(asked) / 2
    assert len({figures["mAP"] for figures in found.values()}) > 1
    just_igpn = [replace(reading, reid=None, keep=None) for reading in readings[:1]]
    ((_, figures),) = measure(just_igpn, tmp_path, lambda size: sized(made, size), "cpu", quiet)
    assert figures == pytest.approx(evaluate_two_stages(proposer, made).as_dict())  # type: ignore[arg-type]


def test_weights_of_a_re_id_network_are_read(made: Benchmark, tmp_path: Path) -> None:
    save_weights(tmp_path / "reid-seed0", build_reid(ReidSettings(size=(64, 32))), {})
    reading = Reading("reid-seed0", "labeled", "search", None, None, None)
    ((_, figures),) = measure([reading], tmp_path, lambda size: sized(made, size), "cpu", quiet)
    assert 0 < (figures["mAP"] or 0) <= 1
