"""IGPN on a trunk, trained by the command's own function on codes: exact, bound to its trunk, and small."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from layout_fixtures import make_benchmark
from PIL import Image
from safetensors.torch import load_file

from personsearch import experiment
from personsearch.errors import GalleryError, SettingError, WeightsError
from personsearch.files import read_json_lines
from personsearch.models.igpn_trunk import TrunkIGPN
from personsearch.models.search_network import SearchNetwork
from personsearch.models.weights import load_proposer, save_weights
from personsearch.training.logs import StepLog

TINY = [
    "network.proposals.after_nms=4",
    "network.test_size.short=64",
    "pairs.scenes=1",
    "pairs.per_scene=2",
    "optimizer.schedule=drops",
    "optimizer.steps=4",
    "optimizer.warmup=2",
    "loss.anchors.count=16",
]


@pytest.fixture(autouse=True, scope="module")
def _benchmark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    made = make_benchmark(tmp_path_factory.mktemp("data") / "pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "load_benchmark", lambda _spec: made)
        patch.setattr(StepLog, "EVERY", 2)
        yield


@pytest.fixture(scope="module")
def trunk(_network: SearchNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trunk")
    save_weights(folder, _network, {})
    return folder


def train(out: Path, trunk: Path, *more: str, resume: bool = False, gigabytes: float = 1.0, **options: object) -> Path:
    return experiment.train(
        "igpn_rendered", "coco:x", out, settings=[*TINY, *more], backbone=str(trunk), resume=resume,
        codes_gb=gigabytes, checkpoint_every=2, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(trunk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run; tests only read it."""
    return train(tmp_path_factory.mktemp("runs") / "whole", trunk)


def same(one: Path, other: Path) -> bool:
    first, second = (load_file(out / "checkpoint.safetensors") for out in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def losses(run: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in read_json_lines(run / "log.jsonl")]


def test_codes_train_as_reading_each_scene_anew(finished: Path, trunk: Path, tmp_path: Path) -> None:
    direct = train(tmp_path / "direct", trunk, gigabytes=0)
    cached = train(tmp_path / "cached", trunk, codes=finished / "codes")
    assert not (direct / "codes").exists()
    assert same(direct, cached)
    assert losses(direct) == losses(cached)
    assert [line["step"] for line in losses(direct)] == [2, 4]
    assert all(0 < line["entropy"] <= 1 for line in losses(direct))


def test_a_stopped_run_resumes_bit_for_bit(finished: Path, trunk: Path, tmp_path: Path) -> None:
    run = train(tmp_path / "run", trunk, "optimizer.steps=2")
    assert not same(run, finished)
    assert same(train(run, trunk, resume=True), finished)


def test_what_is_kept_is_what_the_trunk_lacks(finished: Path, trunk: Path) -> None:
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (finished, trunk))
    parts = {name.split(".")[0] for name in ours}
    assert parts == {"similarity", "regression", "relation", "local", "score", "delta", "search"}
    loaded = load_proposer(finished)
    assert isinstance(loaded.model, TrunkIGPN)
    held = loaded.model.rpn.conv.weight.float()
    torch.testing.assert_close(held, theirs["rpn.conv.weight"].float(), atol=0.001, rtol=0.01)
    picture = Image.effect_noise((160, 120), 60).convert("RGB")
    scene, query = loaded.model.encode_scene(picture), loaded.model.encode_query(picture, [(10.0, 10, 50, 110)])
    (proposals,) = loaded.model.answer(scene, query)
    assert len(proposals)


def test_without_its_trunk_there_is_no_igpn(finished: Path, trunk: Path, tmp_path: Path) -> None:
    ours = shutil.copytree(finished, tmp_path / "ours", ignore=shutil.ignore_patterns("codes"))
    there = shutil.copytree(trunk, tmp_path / "there")
    config = json.loads((ours / "config.json").read_text())
    config["trunk"]["name"] = str(there)
    (ours / "config.json").write_text(json.dumps(config))
    load_proposer(ours)
    other = load_file(there / "model.safetensors")
    save_weights_of(there, {name: tensor * 0.5 for name, tensor in other.items()})
    with pytest.raises(WeightsError, match=r"stands on the search network .*, that is .* here: copy"):
        load_proposer(ours)
    shutil.rmtree(there)
    with pytest.raises(WeightsError, match=r"stands on the search network .*, which is not here: copy"):
        load_proposer(ours)
    config["trunk"]["name"] = "renamed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("personsearch.models.weights.SHIPPED", trunk.parent)
        (ours / "config.json").write_text(json.dumps(config))
        load_proposer(ours)  # it ships under another name
    del config["trunk"]
    (ours / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"damaged \('trunk' is missing\)"):
        load_proposer(ours)


def save_weights_of(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    save_file(tensors, folder / "model.safetensors")


def test_codes_of_another_trunk_or_of_other_settings_are_refused(finished: Path, trunk: Path, tmp_path: Path) -> None:
    other = shutil.copytree(trunk, tmp_path / "other")
    save_weights_of(other, {n: t * 0.5 for n, t in load_file(trunk / "model.safetensors").items()})
    for backbone, more in ((other, []), (trunk, ["network.test_size.short=96"])):
        with pytest.raises(GalleryError, match="holds scene codes of other weights or another size") as caught:
            train(tmp_path / "run", backbone, *more, codes=finished / "codes")
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_a_full_disk_costs_codes_and_not_the_run(
    finished: Path, trunk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_tensors: object, part: Path, **_: object) -> None:
        part.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    said: list[str] = []
    monkeypatch.setattr("personsearch.search.scene_codes.write_tensors", full)
    run = train(tmp_path / "run", trunk, complain=said.append)
    assert same(run, finished)
    assert len(said) == 1
    assert "no more scene codes are kept" in said[0]
    assert [path.name for path in (run / "codes").iterdir()] == ["codes.json"]


def test_a_trunk_is_needed(tmp_path: Path) -> None:
    for backbone in (None, "random", str(tmp_path / "imagenet.pth")):
        with pytest.raises(SettingError, match="stands on a search network"):
            experiment.train("igpn_rendered", "coco:x", tmp_path / "run", backbone=backbone)
    with pytest.raises(SettingError, match="a trunk is frozen: give 4"):
        train(tmp_path / "run", tmp_path, "optimizer.frozen_stages=2")
    assert not (tmp_path / "run").exists()
