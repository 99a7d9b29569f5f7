"""Weights that are damaged or cannot be written: one line of WeightsError or OSError, and what was there stays."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from personsearch.errors import SettingError, WeightsError
from personsearch.models import tensor_files, weights
from personsearch.models.search_network import SearchNetwork
from personsearch.models.weights import load_weights, save_weights
from personsearch.runtime import checked_device
from personsearch.training.describe import describe_weights


@pytest.fixture
def folder(tmp_path: Path, small_network: SearchNetwork) -> Path:
    save_weights(tmp_path / "w", small_network, {"embedding": 256})
    return tmp_path / "w"


def test_embeddings_say_how_long_they_are(folder: Path, small_network: SearchNetwork, tmp_path: Path) -> None:
    assert load_weights(folder).config["embedding"] == 256
    save_weights(tmp_path / "silent", small_network, {})
    assert load_weights(tmp_path / "silent").config["embedding"] == 256


_ODD: list[Any] = [None, "x", [], {}, -1, 0, 1.5, 10**30, float("nan"), True, [1], {"a": 1}]


def test_any_odd_value_in_a_config_is_one_line(folder: Path) -> None:
    """Each value by each odd one: what is refused is refused in one line, and nothing else is raised."""
    config = json.loads((folder / "config.json").read_text())
    network = config["network"]
    changed = [{**config, key: odd} for key in ("class", "network", "embedding") for odd in _ODD]
    changed += [{**config, "network": {**network, key: odd}} for key in network for odd in _ODD]
    inner = network["anchors"]
    changed += [{**config, "network": {**network, "anchors": {**inner, key: odd}}} for key in inner for odd in _ODD]
    lines = []
    for document in [*changed, [], "text", 5]:
        (folder / "config.json").write_text(json.dumps(document))
        try:
            describe_weights(str(folder))
            settings = weights.read_settings(document, folder)
            weights.outline(settings, folder)
            weights._with_embedding(document, settings, folder)
        except WeightsError as error:
            lines.append(str(error))
    assert len(lines) > 0.8 * len(changed)
    assert not any("\n" in line for line in lines)


@pytest.mark.parametrize(
    "text", ['{"class": ' + "[" * 100_000, "\xff\xfe", "", '{"class": "SearchNetwork"}', '{"class": ["SearchNetwork"]}']
)
def test_what_is_no_config_is_one_line(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=r"config\.json: damaged"):
        load_weights(folder)


def test_sizes_that_the_weights_do_not_have_take_no_memory(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["network"]["anchors"]["sizes"] = [24.0] * 100_000  # 400 GB of output layers
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="another shape"):
        load_weights(folder)


def test_weights_that_are_not_finite_are_neither_written_nor_read(folder: Path, small_network: SearchNetwork) -> None:
    before = (folder / "model.safetensors").read_bytes()
    with torch.no_grad():
        next(small_network.parameters()).view(-1)[0] = 1e6  # finite, but not in float16
    with pytest.raises(WeightsError, match="not finite"):
        save_weights(folder, small_network, {})
    assert (folder / "model.safetensors").read_bytes() == before
    tensors = load_file(folder / "model.safetensors")
    next(iter(tensors.values())).view(-1)[0] = torch.nan
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(WeightsError, match="not finite"):
        load_weights(folder)


def test_a_name_that_is_no_folder_of_weights(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for name in (str(tmp_path / "file"), "x" * 5000, str(tmp_path / "file" / "w"), "", "a\0b"):
        with pytest.raises(WeightsError, match="give a folder"):
            load_weights(name)


def test_a_full_disk_leaves_the_weights_that_were_there(
    folder: Path, small_network: SearchNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(_tensors: object, path: Path, **_options: Any) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(tensor_files, "save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_weights(folder, small_network, {"other": 1})
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(folder / "model.safetensors"))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """The library's own words for it, from a process that may not write large files."""
    code = (
        "import resource, signal, sys, torch\n"
        "from pathlib import Path\n"
        "from personsearch.models.tensor_files import save_tensors\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n"
        "    save_tensors(Path(sys.argv[1]), {'a': torch.zeros(100_000)}, {})\n"
        "except OSError as error:\n"
        "    print(error.errno, error.filename)\n"
    )
    path = tmp_path / "w.safetensors"
    said = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(errno.EFBIG), str(path)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["foo", "mps", "cuda:999", "cuda:-1", "", "cuda:x"])
def test_a_device_that_is_not_here_is_named(name: str) -> None:
    with pytest.raises(SettingError, match="give"):
        checked_device(name)
    assert checked_device("cpu") == "cpu"
    assert checked_device() in ("cpu", "cuda")
