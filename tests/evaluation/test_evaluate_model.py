"""A model is read once a scene; queries at their box or at a detection; what is kept of each query."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from layout_fixtures import make_benchmark
from PIL import Image
from torch import Tensor

from personsearch.data.layouts.coco import load_coco, save_coco
from personsearch.data.patches import crop_patches
from personsearch.data.records import Benchmark
from personsearch.errors import SettingError
from personsearch.evaluation.cbgm import CBGM
from personsearch.evaluation.evaluate import resized
from personsearch.evaluation.one_stage import evaluate_model
from personsearch.evaluation.protocols import PROFILES, rules_of
from personsearch.evaluation.report import draw_worst, per_query
from personsearch.geometry.detections import Detections
from personsearch.models.binet import encode_patches
from personsearch.models.readers import read_with
from personsearch.models.search_network import SearchNetwork
from personsearch.models.weights import load_weights, save_weights


class ByPlace:
    """Embeds a box by its left side, so each box has its own; detects what it is told, a pixel to the right."""

    def __init__(self, benchmark: Benchmark) -> None:
        self.boxes = {s.read().getpixel((0, 0)): [p.box for p in s.persons] for s in benchmark.test}
        self.read: list[object] = []

    def detect(self, image: Image.Image, score_threshold: float) -> Detections:
        self.read.append(image.getpixel((0, 0)))
        boxes = torch.tensor(self.boxes[image.getpixel((0, 0))]).reshape(-1, 4) + torch.tensor([1.0, 0, 1, 0])
        return Detections(boxes, torch.full((len(boxes),), 0.9), self.embed(image, boxes))

    def embed(self, _image: Image.Image, boxes: Tensor) -> Tensor:
        angle = boxes[:, 0] / 640
        return torch.stack([angle.cos(), angle.sin()], dim=1)


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    save_coco(make_benchmark(tmp_path / "pictures"), tmp_path / "coco")
    return load_coco(tmp_path / "coco")


def test_queries_at_the_box_or_at_the_detection(benchmark: Benchmark) -> None:
    lefts = torch.tensor([query.box[0] for query in benchmark.queries]) / 640
    model = ByPlace(benchmark)
    at_box = evaluate_model(model, benchmark)
    assert len(model.read) == len(set(model.read)) == len(benchmark.test)
    torch.testing.assert_close(at_box.query_embeddings, torch.stack([lefts.cos(), lefts.sin()], dim=1))
    at_detection = evaluate_model(model, benchmark, query="detection")
    shifted = lefts + 1 / 640
    torch.testing.assert_close(at_detection.query_embeddings, torch.stack([shifted.cos(), shifted.sin()], dim=1))
    model.boxes = {colour: [] for colour in model.boxes}
    nobody = evaluate_model(model, benchmark, query="detection")
    torch.testing.assert_close(nobody.query_embeddings, at_box.query_embeddings)
    assert nobody.result.mAP == 0


def test_labeled_boxes_are_searched_as_they_are(benchmark: Benchmark) -> None:
    labeled = evaluate_model(ByPlace(benchmark), benchmark, boxes="labeled")
    for scene in benchmark.test:
        assert labeled.detections[scene.name].boxes.tolist() == [list(p.box) for p in scene.persons]
    assert labeled.result.detection_ap == 1


def test_unknown_choices_are_refused(benchmark: Benchmark, small_network: SearchNetwork) -> None:
    for wrong, known in (({"boxes": "all"}, "detected, labeled"), ({"query": "best"}, "box, detection")):
        with pytest.raises(SettingError, match=f"choose one of {known}"):
            evaluate_model(ByPlace(benchmark), benchmark, **wrong)
    with pytest.raises(SettingError, match="choose one of search, instance"):
        read_with(small_network, "both")
    with pytest.raises(SettingError, match="choose one of strict, seqnet"):
        rules_of("mild")


def test_scenes_are_read_in_the_size_that_is_asked_for(small_network: SearchNetwork, tmp_path: Path) -> None:
    save_weights(tmp_path, small_network, {})
    network = load_weights(tmp_path, change=partial(resized, size=(50, 70))).model
    assert network.prepare(Image.new("RGB", (300, 200)))[0].shape == (1, 3, 47, 70)
    assert resized(small_network.settings, None) == small_network.settings
    for size in ((20, 60), (80, 60)):
        with pytest.raises(SettingError, match="the short side first"):
            resized(small_network.settings, size)


def test_rules_of_a_profile() -> None:
    rules = rules_of("seqnet", 0.2, (30, 4))
    assert (rules.score_threshold, rules.cbgm, rules.own_scene) == (0.2, CBGM(30, 4), True)
    assert rules_of("strict") == PROFILES["strict"]


def test_the_instance_branch_reads_patches_of_the_original_picture(small_network: SearchNetwork) -> None:
    image = Image.effect_noise((160, 96), 60).convert("RGB")
    boxes = torch.tensor([[10.0, 5, 40, 80], [60, 10, 90, 90]])
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    with torch.no_grad():
        expected = encode_patches(small_network, crop_patches(pixels, boxes)).embeddings
    reader = read_with(small_network, "instance")
    torch.testing.assert_close(reader.embed(image, boxes), expected, atol=0.02, rtol=0)
    assert reader.embed(image, boxes[:0]).shape == (0, 256)
    found = reader.detect(image, 0.0)
    torch.testing.assert_close(found.embeddings, reader.embed(image, found.boxes), atol=0.02, rtol=0)


def test_each_query_is_kept_and_the_worst_are_drawn(benchmark: Benchmark, tmp_path: Path) -> None:
    evaluation = evaluate_model(ByPlace(benchmark), benchmark)
    records = json.loads(json.dumps(per_query(evaluation.benchmark, evaluation.result)))
    assert [record["identity"] for record in records] == [query.identity for query in benchmark.queries]
    assert [record["ap"] for record in records] == list(evaluation.result.average_precisions)
    worst, other = draw_worst(evaluation, 2, tmp_path / "worst")
    assert [path.name for path in (worst, other)] == ["worst01.jpg", "worst02.jpg"]
    with Image.open(worst) as sheet:
        assert sheet.width == 1760
    assert draw_worst(evaluation, 0, tmp_path / "none") == []
