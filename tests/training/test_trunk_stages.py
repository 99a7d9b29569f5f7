"""The comparison of second stages on a trunk: it judges what `evaluate` judges, and only second stages learn in it."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from layout_fixtures import make_benchmark

from personsearch import experiment
from personsearch.data.records import Benchmark
from personsearch.evaluation.two_stage import evaluate_two_stages
from personsearch.models.search_network import SearchNetwork
from personsearch.models.weights import load_proposer, save_weights
from personsearch.search.scene_codes import codes_of

SETTINGS = [
    "network.proposals.after_nms=6",
    "network.test_size.short=96",
    "pairs.scenes=1",
    "pairs.per_scene=3",
    "optimizer.steps=2",
    "optimizer.warmup=1",
    "loss.anchors.count=16",
]


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    folder = str(Path(__file__).parents[2] / "research")
    sys.path.insert(0, folder)
    yield importlib.import_module("trunk_stages")
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return make_benchmark(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def igpn(benchmark: Benchmark, _network: SearchNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    trunk = tmp_path_factory.mktemp("trunk")
    save_weights(trunk, _network, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "load_benchmark", lambda _spec: benchmark)
        out = tmp_path_factory.mktemp("runs") / "igpn"
        return experiment.train("igpn_rendered", "coco:x", out, settings=SETTINGS, backbone=str(trunk), codes_gb=1.0)


def test_what_is_read_once_is_judged_as_evaluate_judges(
    script: Any, benchmark: Benchmark, igpn: Path, tmp_path: Path
) -> None:
    loaded = load_proposer(igpn)
    expected = evaluate_two_stages(loaded.model, benchmark)
    files, queries = script.read_test(loaded.model, codes_of(loaded, tmp_path / "codes", 10**9), benchmark, tmp_path, 6)
    answers = script.judged(loaded.model, files, queries)
    assert [set(found) for found in answers] == [set(q.gallery) - {q.scene} for q in benchmark.queries]
    assert script.ranked(benchmark, answers, None).mAP == pytest.approx(expected.mAP, abs=0.02)
    everybody = sum(len(boxes) for boxes, _, _ in answers[0].values())
    for keep in (1, 3, everybody + 1):
        assert 0 <= script.ranked(benchmark, answers, keep).mAP <= 1


def test_the_most_similar_are_ranked_by_cosine(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[Any] = []
    monkeypatch.setattr(script, "evaluate_guided", lambda _benchmark, answers: handed.extend(answers))
    boxes = torch.rand(3, 4)
    found = {
        "a": (boxes, torch.tensor([0.9, 0.2, 0.1]), torch.tensor([0.0, 0.5, 0.6])),
        "b": (boxes[:1], torch.tensor([0.8]), torch.tensor([0.7])),
    }
    script.ranked(None, [found], 2)
    script.ranked(None, [found], None)
    (two, alone) = handed
    assert two["a"][1].tolist() == [0.0]
    assert two["b"][1].tolist() == pytest.approx([0.7])
    assert alone["a"][1].tolist() == pytest.approx([0.9, 0.2, 0.1])


def test_second_stages_learn_and_what_is_finished_stays(
    script: Any, benchmark: Benchmark, igpn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "load_benchmark", lambda *_: benchmark)
    out = tmp_path / "out"
    words = ["x", str(out), "coco:x", "coco:x", str(igpn), "--codes", str(igpn / "codes"), "--read", "4"]
    words += ["--pairs", "8", "--seeds", "1", "--rate", "0.005"]
    recipes = ["igpn_rendered", "igpn_no_relation_rendered"]
    monkeypatch.setattr(sys, "argv", [*words, "--steps", "60", "--recipes", *recipes])
    script.main()
    made = {file.stem: json.loads(file.read_text()) for file in out.glob("*.json")}
    trained = {f"{recipe}-1" for recipe in recipes}
    assert made.keys() == trained | {"labelled-0", "as trained-0", "as it starts-0"}
    assert all(made[name]["losses"]["similarity2"] < 0.5 for name in trained), "they learn"
    assert all(0 <= made[name]["mAP"] <= 1 for name in trained)
    assert 0 <= made["as trained-0"]["binet_10"]["mAP"] <= 1
    monkeypatch.setattr(script, "train_second", None)  # nothing is trained again
    script.main()
    monkeypatch.setattr(sys, "argv", [*words, "--steps", "61"])
    with pytest.raises(SystemExit, match="give another OUT"):
        script.main()


def test_a_fresh_second_stage_stands_behind_the_first_one_of_the_run(script: Any, igpn: Path) -> None:
    trained = load_proposer(igpn).model
    recipe = script.get_recipe("igpn_no_local_rendered")
    network = script.fresh(str(igpn), recipe, 3)
    theirs = trained.state_dict()
    first = [name for name in network.state_dict() if name.split(".")[0] in ("similarity", "regression")]
    assert first
    assert all(torch.allclose(network.state_dict()[name], theirs[name].float(), atol=0.01) for name in first)
    assert not [name for name in network.state_dict() if name.startswith("local.")]
    assert not network.search.weight.equal(trained.search.weight)
