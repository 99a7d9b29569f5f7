"""Weights as a folder: round trip, and one clear line for each damage."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from personsearch.errors import WeightsError
from personsearch.models.search_network import SearchNetwork
from personsearch.models.tensor_files import fingerprint
from personsearch.models.weights import load_weights, read_imagenet, save_weights


@pytest.fixture
def folder(tmp_path: Path, small_network: SearchNetwork) -> Path:
    save_weights(tmp_path / "w", small_network, {"licence": "Apache-2.0"})
    return tmp_path / "w"


def test_round_trip(folder: Path, small_network: SearchNetwork) -> None:
    loaded = load_weights(folder)
    assert loaded.model.settings == small_network.settings
    assert loaded.config["licence"] == "Apache-2.0"
    assert loaded.fingerprint == fingerprint(folder / "model.safetensors")
    picture = Image.new("RGB", (120, 90), "grey")
    boxes = torch.tensor([[10.0, 10, 50, 80]])
    similarity = (loaded.model.embed(picture, boxes) * small_network.embed(picture, boxes)).sum()
    assert similarity > 0.99


def test_who_may_read_new_files_may_read_weights(folder: Path) -> None:
    assert (folder / "model.safetensors").stat().st_mode == (folder / "config.json").stat().st_mode


def test_no_identity_count_in_the_weights(folder: Path) -> None:
    assert not [k for k in load_file(folder / "model.safetensors") if "lookup" in k or "queue" in k]


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="give a folder"):
        load_weights(tmp_path / "nowhere")


def test_damaged_weights(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(folder)


def test_weights_of_another_shape(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["head.embedding.weight"] = torch.zeros(128, 2048)
    save_file(tensors, path)
    with pytest.raises(WeightsError, match="another shape"):
        load_weights(folder)


def test_damaged_config(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "network": {**config["network"], "colour": 1}}))
    with pytest.raises(WeightsError, match="colour"):
        load_weights(folder)
    path.write_text("{")
    with pytest.raises(WeightsError, match="damaged"):
        load_weights(folder)


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, ("raise SystemExit(1)",))

    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_imagenet(tmp_path / "evil.pth")
