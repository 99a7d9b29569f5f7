"""The benchmark that trains IGPN's second stage alone, on what one IGPN read."""

from __future__ import annotations

import importlib
import shutil
import sys
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from layout_fixtures import make_benchmark
from safetensors.torch import load_file

from personsearch import experiment
from personsearch.data.records import Benchmark
from personsearch.models.search_network import Targets
from personsearch.models.weights import load_proposer
from personsearch.runtime import mixed_precision
from personsearch.settings import settings_from_dict
from personsearch.training.batches.pairs import TrainingPairs
from personsearch.training.recipes import IGPNRecipe

EMBEDDING = "relation.prepared.embedding.weight"
SETTINGS = [
    "network.channels=8",
    "network.anchors.sizes=[48]",
    "network.proposals.after_nms=4",
    "network.test_size.short=96",
    "pairs.scenes=1",
    "pairs.per_scene=3",
    "pairs.short_sides=[96]",
    "optimizer.steps=2",
]


@pytest.fixture(scope="module")
def script() -> Iterator[Any]:
    folder = str(Path(__file__).parents[2] / "research")
    sys.path.insert(0, folder)
    yield importlib.import_module("second_stage")
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return make_benchmark(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def igpn(benchmark: Benchmark, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "load_benchmark", lambda _spec: benchmark)
        out = tmp_path_factory.mktemp("runs") / "igpn"
        return experiment.train("igpn_rendered_alone", "coco:x", out, settings=SETTINGS, backbone="random", workers=0)


def test_what_is_read_gives_what_a_whole_pass_gives(
    script: Any, benchmark: Benchmark, igpn: Path, tmp_path: Path
) -> None:
    readings = script.read_pairs(str(igpn), benchmark, 2, tmp_path / "readings.safetensors")
    loaded = load_proposer(igpn)
    for layer in (loaded.model.score, loaded.model.search):
        torch.nn.init.normal_(layer.weight, std=1.0)  # answers far from zero
    recipe = settings_from_dict(IGPNRecipe, loaded.config["recipe"])
    batches = TrainingPairs(benchmark.train, recipe.pairs, recipe.seed)
    for step in range(2):
        batch = batches[script.UNSEEN + step]
        targets = [Targets(b, i) for b, i in zip(batch.boxes, batch.identities, strict=True)]
        with mixed_precision(torch.device("cpu")), torch.inference_mode():
            whole = loaded.model(batch.images, batch.patches, targets)
        ours = script.relate(loaded.model, readings, torch.arange(3 * step, 3 * step + 3))
        assert torch.equal(ours.matches, whole.matches)
        assert torch.allclose(ours.related.boxes, whole.related.boxes)
        assert whole.related.logits.std() > 0.1
        assert torch.allclose(ours.related.logits, whole.related.logits, atol=0.05)
        assert torch.allclose(ours.related.search, whole.related.search, atol=0.05)
        for one, other in zip(ours.targets, whole.targets, strict=True):
            assert torch.equal(one.boxes, other.boxes)


def test_figures_of_other_settings_are_not_mixed(
    script: Any, benchmark: Benchmark, igpn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "load_benchmark", lambda *_: benchmark)
    words = [
        "x",
        str(tmp_path / "out"),
        "coco:x",
        "coco:x",
        str(igpn),
        "--read",
        "1",
        "--recipes",
        "igpn_rendered_alone",
    ]
    monkeypatch.setattr(sys, "argv", [*words, "--steps", "1"])
    script.main()
    before = (tmp_path / "out" / "igpn_rendered_alone-0.json").read_text()
    script.main()  # nothing is left to do
    monkeypatch.setattr(sys, "argv", [*words, "--steps", "2"])
    with pytest.raises(SystemExit, match="give another OUT"):
        script.main()
    other = shutil.copytree(igpn, tmp_path / "other")
    words[4] = str(other)
    words[-1] = "igpn_no_local_rendered_alone"  # nothing of this recipe stands in OUT, but the readings do
    monkeypatch.setattr(sys, "argv", [*words, "--steps", "1"])
    with pytest.raises(SystemExit, match=f"read from .*{igpn}.*give another OUT"):
        script.main()
    assert (tmp_path / "out" / "igpn_rendered_alone-0.json").read_text() == before


def test_only_the_second_stage_learns(
    script: Any, benchmark: Benchmark, igpn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = script.read_pairs(str(igpn), benchmark, 2, tmp_path / "readings.safetensors")
    given = Namespace(steps=80, pairs=6, rate=0.002, features=None)
    for recipe in ("igpn_rendered_alone", "igpn_no_relation_rendered_alone"):
        figures = script.run_once(recipe, str(igpn), 1, readings, benchmark, given, tmp_path / recipe)
        assert figures["losses"]["similarity2"] < 0.2, "six pairs are learned by heart"
        assert 0 <= figures["mAP"] <= 1
        old, new = (load_file(folder / "model.safetensors") for folder in (igpn, tmp_path / recipe))
        first = [name for name in old if name.split(".")[0] not in script.SECOND]
        assert first
        assert all(torch.equal(old[name], new[name]) for name in first)
        alike = torch.corrcoef(torch.stack([old[EMBEDDING].flatten(), new[EMBEDDING].flatten()]).float())[0, 1]
        assert 0.2 < alike < 1, "the embedding goes on from where it was"
    assert "local.back.weight" not in new
