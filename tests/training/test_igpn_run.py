"""IGPN trained by the command's own function: what is written, exact resume, warm starts, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from layout_fixtures import make_benchmark
from PIL import Image
from safetensors.torch import load_file

from personsearch import experiment
from personsearch.errors import SettingError, WeightsError
from personsearch.models.igpn import IGPN
from personsearch.models.weights import load_proposer, load_weights
from personsearch.settings import change_settings
from personsearch.training import methods
from personsearch.training.describe import describe_recipe, describe_weights
from personsearch.training.loop import Training
from personsearch.training.recipes import get_recipe

TINY = [
    "network.channels=8",
    "network.anchors.sizes=[48]",
    "network.proposals.after_nms=4",
    "network.test_size.short=96",
    "pairs.scenes=1",
    "pairs.short_sides=[96]",
    "optimizer.steps=4",
    "optimizer.warmup=2",
]


@pytest.fixture(autouse=True, scope="module")
def _benchmark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    made = make_benchmark(tmp_path_factory.mktemp("data") / "pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "load_benchmark", lambda _spec: made)
        yield


def train(out: Path, *more: str, backbone: Path | str = "random", resume: bool = False) -> Path:
    settings = [*TINY, *more]
    return experiment.train(
        "igpn_rendered_alone", "coco:x", out, settings=settings, backbone=backbone, resume=resume, workers=0,
        checkpoint_every=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run; tests only read it."""
    return train(tmp_path_factory.mktemp("runs") / "whole")


def test_a_run_leaves_a_proposer_that_answers(finished: Path) -> None:
    loaded = load_proposer(finished)
    assert isinstance(loaded.model, IGPN)
    assert loaded.config["recipe"]["name"] == "igpn_rendered_alone"
    picture = Image.effect_noise((160, 120), 60).convert("RGB")
    scene = loaded.model.encode_scene(picture)
    (proposals,) = loaded.model.answer(scene, loaded.model.encode_query(picture, [(10.0, 10.0, 50.0, 110.0)]))
    assert ((proposals.similarities >= 0) & (proposals.similarities <= 1)).all()


def test_a_stopped_run_resumes_bit_for_bit(finished: Path, tmp_path: Path) -> None:
    train(tmp_path / "run", "optimizer.schedule=drops", "optimizer.steps=2")
    train(tmp_path / "run", "optimizer.schedule=drops", resume=True)
    whole = train(tmp_path / "whole", "optimizer.schedule=drops")
    one, two = (load_file(out / "checkpoint.safetensors") for out in (tmp_path / "run", whole))
    assert all(torch.equal(one[name], two[name]) for name in two)


def test_a_search_network_warms_igpn_up(tmp_path: Path) -> None:
    settings = ["network.rois=8", "batches.short_sides=[64]", "optimizer.steps=1"]
    warm = experiment.train(
        "oim_rendered", "coco:x", tmp_path / "warm", settings=settings, backbone="random", workers=0
    )
    out = train(tmp_path / "run", "optimizer.rate=1e-30", backbone=warm)
    old, new = load_file(warm / "model.safetensors"), load_file(out / "model.safetensors")
    assert torch.equal(old["stem.layer3.5.conv3.weight"], new["stem.layer3.5.conv3.weight"])
    assert torch.equal(old["head.backbone.layer4.2.conv1.weight"], new["head.layer4.2.conv1.weight"])
    assert torch.equal(old["head.embedding.weight"], new["relation.prepared.embedding.weight"])


def test_weights_of_the_other_class_are_refused(finished: Path) -> None:
    with pytest.raises(WeightsError, match="holds weights of IGPN, not of SearchNetwork"):
        load_weights(finished)
    with pytest.raises(WeightsError, match="holds weights of IGPN, not of SearchNetwork"):
        train(finished.parent / "other", backbone=finished)


def test_what_igpn_cannot_do_yet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="choose one of igpn"):
        train(tmp_path / "run", "method=oim")
    with pytest.raises(SettingError, match="leave evaluate_on out"):
        experiment.train("igpn_rendered_alone", "coco:x", tmp_path / "run", evaluate_on="coco:y")
    for imagenet in (None, tmp_path / "resnet50.safetensors"):
        with pytest.raises(SettingError, match="binet-rendered ships"):
            experiment.train("igpn_rendered_alone", "coco:x", tmp_path / "run", backbone=imagenet)
    assert not (tmp_path / "run").exists()


def test_the_paper_s_counts_are_described(finished: Path) -> None:
    ours = describe_recipe("igpn_cuhk_sysu")["parameters"]
    vanilla = describe_recipe("igpn_vccl_cuhk_sysu")["parameters"]
    assert round(ours["cross_correlation_paper_count"] / 1e6, 2) == 10.52
    assert round(vanilla["cross_correlation_paper_count"] / 1e6, 2) == 254.80
    assert ours["total"] == sum(ours[part] for part in ours if part not in ("total", "cross_correlation_paper_count"))
    trained = describe_weights(str(finished))
    assert trained["class"] == "IGPN"
    assert trained["parameters"]["total"] == sum(t.numel() for n, t in load_proposer_parameters(finished).items())
    assert "cross_correlation_paper_count" not in describe_recipe("binet_prw")["parameters"]


def load_proposer_parameters(folder: Path) -> dict[str, torch.Tensor]:
    """The trained tensors of a weights file, without the constants of norms."""
    constants = ("scale", "shift", "mean", "std")
    tensors = load_file(folder / "model.safetensors")
    return {name: tensor for name, tensor in tensors.items() if name.rsplit(".", 1)[-1] not in constants}


def test_correlations_have_a_rate_of_their_own(tmp_path: Path) -> None:
    settings = [*TINY, "optimizer.fresh_factor=5", "optimizer.correlation_factor=3"]
    recipe = change_settings(get_recipe("igpn_rendered_alone"), settings)
    prepared = methods.prepare(recipe, make_benchmark(tmp_path / "pictures"), "random", (0, 1), "cpu")
    training = Training(prepared.model, prepared.criterion, prepared.batches, recipe.optimizer, {})
    factors = {id(p): group["factor"] for group in training.optimizer.param_groups for p in group["params"]}
    found: dict[str, set[float]] = {}
    for name, parameter in prepared.model.named_parameters():
        if parameter.requires_grad:
            found.setdefault(name.split(".")[0], set()).add(factors[id(parameter)])
    assert found == {
        "stem": {1.0}, "head": {1.0}, "similarity": {3.0}, "regression": {3.0},
        "relation": {5.0}, "local": {5.0}, "score": {5.0}, "delta": {5.0}, "search": {5.0},
    }  # fmt: skip
