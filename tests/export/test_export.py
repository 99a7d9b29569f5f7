"""How exports are compared and fitted, without one: tests/project/test_exports.py makes them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from layout_fixtures import make_benchmark

from personsearch.data.records import Benchmark
from personsearch.errors import DataError, SettingError
from personsearch.evaluation.one_stage import Evaluation
from personsearch.evaluation.protocols import PROFILES, evaluate_search
from personsearch.export.exporting import ExportSettings
from personsearch.export.parity import Judged, compare
from personsearch.export.quantizing import calibration_scenes, sample_inputs
from personsearch.geometry.detections import Detections
from personsearch.models.search_network import InstanceNetwork, SearchNetwork
from personsearch.progress import quiet
from personsearch.runtime import exact_arithmetic, has_fast_bfloat16


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return make_benchmark(tmp_path_factory.mktemp("data") / "pictures")


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ({"to": "tensorrt"}, "choose one of onnx, openvino"),
        ({"to": "onnx", "int8": True}, "by --calibrate"),
        ({"to": "onnx", "calibrate": "coco:x"}, "give --int8"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(how: dict[str, object], line: str) -> None:
    with pytest.raises(SettingError, match=line):
        ExportSettings(**how)  # type: ignore[arg-type]


def _judged(benchmark: Benchmark, shift: float, turn: float) -> Judged:
    """Everybody annotated is found, `shift` pixels beside, with embeddings that are turned by an angle."""
    gallery = {}
    for scene in benchmark.test:
        boxes = torch.tensor([person.box for person in scene.persons] or torch.zeros(0, 4).tolist()).reshape(-1, 4)
        embeddings = torch.tensor([[np.cos(turn), np.sin(turn)]]).float().repeat(len(boxes), 1)
        gallery[scene.name] = Detections(boxes + shift, torch.full((len(boxes),), 0.9 - shift / 100), embeddings)
    queries = torch.tensor([[np.cos(turn), np.sin(turn)]]).float().repeat(len(benchmark.queries), 1)
    judged = evaluate_search(benchmark, gallery, queries)
    return Judged.of(Evaluation(benchmark, judged, gallery, queries, PROFILES["strict"]))


def test_differences_are_measured(benchmark: Benchmark) -> None:
    parity = compare(_judged(benchmark, 0, 0), _judged(benchmark, 1, 0.2), "coco:x", benchmark, 0.1)
    assert parity.people == parity.found_by_both > 0
    assert 0.5 < parity.least_overlap < 1
    assert parity.largest_score_difference == pytest.approx(0.01, abs=1e-6)
    assert parity.least_cosine == pytest.approx(np.cos(0.2), abs=1e-5)
    assert not parity.agrees
    same = compare(_judged(benchmark, 0, 0), _judged(benchmark, 0, 0), "coco:x", benchmark, 0.1)
    assert (same.least_overlap, same.largest_score_difference, same.agrees) == (1, 0, True)
    assert (same.map_patches_torch, same.fall) == (None, 0)
    apart = compare(_judged(benchmark, 0, 0), _judged(benchmark, 5000, 0), "coco:x", benchmark, 0.1)
    assert apart.found_by_both == 0


def test_a_branch_with_weights_of_its_own_is_held_to_the_gate(benchmark: Benchmark) -> None:
    well, badly = _judged(benchmark, 0, 0), _judged(benchmark, 0, 0.5)
    badly = dataclasses.replace(badly, mean_ap=well.mean_ap - 0.02)
    parity = compare(well.beside(well), well.beside(badly), "coco:x", benchmark, 0.1)
    assert parity.worse == (parity.map_patches_torch, parity.map_patches_exported)
    assert parity.fall == pytest.approx(2)
    assert not parity.passes
    assert parity.queries == len(benchmark.queries)
    assert parity.least_cosine == pytest.approx(np.cos(0.5), abs=1e-5)
    better = compare(well.beside(badly), well.beside(well), "coco:x", benchmark, 0.1)
    assert better.fall == 0


def test_ranges_of_a_branch_of_its_own_are_learnt_from_patches(
    benchmark: Benchmark, small_network: SearchNetwork
) -> None:
    network = small_network.eval()
    network.own_instance = InstanceNetwork(network.stem, network.head)
    samples = sample_inputs(network, calibration_scenes(benchmark, "coco:x", 2), quiet)
    assert {part: len(x) for part, x in samples.items()} == {
        "stem": 2,
        "rpn": 2,
        "head": 2,
        "instance_stem": 2,
        "instance_head": 2,
    }
    assert {tuple(x.shape[1:]) for x in samples["instance_stem"]} == {(3, 224, 96)}


def test_ranges_are_learnt_from_people(benchmark: Benchmark, small_network: SearchNetwork) -> None:
    scenes = calibration_scenes(benchmark, "coco:x", 2)
    samples = sample_inputs(small_network.eval(), scenes, quiet)
    assert [len(samples[part]) for part in ("stem", "rpn", "head")] == [4, 2, 4]
    assert {tuple(x.shape[1:]) for x in samples["head"]} == {(14, 6, 1024)}
    nobody = dataclasses.replace(
        benchmark, train=(), test=tuple(dataclasses.replace(scene, persons=()) for scene in benchmark.test)
    )
    with pytest.raises(DataError, match="has nobody in it"):
        calibration_scenes(nobody, "coco:x", 2)


def test_exact_arithmetic_is_float32_and_ends() -> None:
    before = has_fast_bfloat16(torch.device("cpu"))
    with exact_arithmetic():
        assert not has_fast_bfloat16(torch.device("cpu"))
    assert has_fast_bfloat16(torch.device("cpu")) == before
