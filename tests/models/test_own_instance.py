"""An instance-aware branch with weights of its own: who reads what, and files that do not fit."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from personsearch.cli.find import load_worker
from personsearch.errors import WeightsError
from personsearch.models.networks import build_network
from personsearch.models.own_instance import INSTANCE_FILE, fingerprint_of_readings, load_instance, save_instance
from personsearch.models.projections import (
    PROJECTIONS_FILE,
    SHARED_FILE,
    Projection,
    Projections,
    load_projections,
    save_projections,
)
from personsearch.models.readers import read_with
from personsearch.models.readings import read_patches
from personsearch.models.search_network import SearchNetwork
from personsearch.models.tensor_files import CONFIG_FILE, MODEL_FILE
from personsearch.models.weights import load_weights, save_weights
from personsearch.search.about import About
from personsearch.search.searchers import load_searcher

BOXES = torch.tensor([[10.0, 10, 50, 90], [100.0, 20, 130, 95]])


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (100, 200, 3), dtype=np.uint8))


def _other(network: SearchNetwork) -> SearchNetwork:
    """A network of the same shape with other weights."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1 + 0.05 * torch.randn_like(parameter))
    return network


@pytest.fixture
def other(small_network: SearchNetwork) -> SearchNetwork:
    return _other(small_network)


@pytest.fixture
def folders(tmp_path: Path, _network: SearchNetwork, other: SearchNetwork) -> tuple[Path, Path]:
    """Weights whose instance-aware branch is that of the second folder."""
    save_weights(tmp_path / "w", _network, {})
    save_weights(tmp_path / "other", other, {})
    save_instance(tmp_path / "w", _network, other)
    return tmp_path / "w", tmp_path / "other"


def test_patches_are_read_by_the_branch_and_scenes_are_not(folders: tuple[Path, Path], picture: Image.Image) -> None:
    mine, others = (load_weights(folder).model for folder in folders)
    (folders[0] / INSTANCE_FILE).unlink()
    shared = load_weights(folders[0]).model
    assert mine.instance is mine.own_instance
    assert shared.instance is shared
    read, theirs, before = (read_patches(network, picture, BOXES) for network in (mine, others, shared))
    assert torch.equal(read.pooled, theirs.pooled)
    assert torch.equal(read.rows, theirs.rows)
    assert not torch.allclose(read.pooled, before.pooled, rtol=0.01)
    patches = [read_with(network, "instance").embed(picture, BOXES) for network in (mine, others)]
    assert torch.equal(*patches)
    scenes = [read_with(network, "search").embed(picture, BOXES) for network in (mine, shared)]
    assert torch.equal(*scenes)


def test_galleries_tell_the_branch_and_nothing_else_changes(folders: tuple[Path, Path]) -> None:
    with_own = {read: load_searcher(str(folders[0]), read=read).fingerprint for read in ("search", "instance")}
    (folders[0] / INSTANCE_FILE).unlink()
    shared = {read: load_searcher(str(folders[0]), read=read).fingerprint for read in ("search", "instance")}
    assert with_own["search"] == shared["search"] == shared["instance"]
    assert with_own["instance"] != shared["instance"]


def test_projections_are_those_of_the_branch(folders: tuple[Path, Path]) -> None:
    folder = folders[0]
    of_both = fingerprint_of_readings(folder)
    blocks = (Projection(torch.zeros(d), torch.randn(4, d)) for d in (2048, 2048, 7168))
    save_projections(folder, Projections(*blocks), of_both)
    assert load_projections(folder, of_both) is not None
    assert load_searcher(str(folder)).read == "readings"
    (folder / INSTANCE_FILE).unlink()  # as by a copy that forgets it
    with pytest.raises(WeightsError, match=f"made for weights {of_both}, not for {of_both.split('-')[0]} beside it"):
        load_searcher(str(folder))


def test_galleries_from_before_the_branch_are_asked_as_they_were_made(
    folders: tuple[Path, Path], picture: Image.Image
) -> None:
    """To the last digit, by readings and by the instance-aware branch; without their projections readings are not."""
    folder, own = folders[0], (folders[0] / INSTANCE_FILE).read_bytes()
    (folder / INSTANCE_FILE).unlink()
    blocks = [Projection(torch.zeros(d), torch.randn(4, d)) for d in (2048, 2048, 7168)]
    save_projections(folder, Projections(*blocks), fingerprint_of_readings(folder))
    before = {read: load_searcher(str(folder), read=read) for read in ("readings", "instance")}
    (folder / INSTANCE_FILE).write_bytes(own)
    (folder / PROJECTIONS_FILE).rename(folder / SHARED_FILE)
    save_projections(folder, Projections(*blocks), fingerprint_of_readings(folder))
    for read, made in before.items():
        about = About(str(folder), made.fingerprint, made.dim, made.score_threshold, "", read=read)
        assert load_worker(about, None, "cpu").fingerprint == made.fingerprint  # on another machine, too
        again = load_searcher(str(folder), read=read, like=made.fingerprint)
        assert again.fingerprint == made.fingerprint
        assert torch.equal(again.model.embed(picture, BOXES), made.model.embed(picture, BOXES))
        otherwise = load_searcher(str(folder), read=read)
        assert otherwise.fingerprint != made.fingerprint
        assert load_searcher(str(folder), read=read, like=otherwise.fingerprint).fingerprint == otherwise.fingerprint
        assert not torch.allclose(otherwise.model.embed(picture, BOXES), made.model.embed(picture, BOXES), atol=1e-3)
    (folder / SHARED_FILE).unlink()
    assert load_searcher(str(folder), like=before["readings"].fingerprint).fingerprint != before["readings"].fingerprint


def test_a_branch_beside_other_weights_is_refused(folders: tuple[Path, Path], small_network: SearchNetwork) -> None:
    """As where a folder's weights were written anew, by training or by a copy, and the branch stayed."""
    folder, others = folders
    line = f"{INSTANCE_FILE}: made for weights .*, not for .* beside it; make it anew: python tools/own_instance.py"
    kept = (folder / CONFIG_FILE).read_text()
    shutil.copyfile(others / MODEL_FILE, folder / MODEL_FILE)
    with pytest.raises(WeightsError, match=line):
        load_weights(folder)
    save_weights(folder, small_network, {})  # with a config.json of its own
    for text in ((folder / CONFIG_FILE).read_text(), kept.replace("beside", "by"), '{"instance": 3}'):
        config = json.loads(text)
        with pytest.raises(WeightsError, match=line):
            load_instance(folder, small_network, config)
    (folder / INSTANCE_FILE).unlink()
    assert load_weights(folder).model.own_instance is None


def test_training_goes_on_without_the_branch(folders: tuple[Path, Path], small_network: SearchNetwork) -> None:
    """A run from such weights shares them between its branches again, and saves nothing else."""
    from personsearch.models.tensor_files import kept_state
    from personsearch.models.weights import whole_network

    network = whole_network(folders[0], small_network.settings)
    assert isinstance(network, SearchNetwork)
    assert network.own_instance is None
    assert kept_state(network).keys() == small_network.state_dict().keys()


def test_a_branch_that_is_damaged_or_of_another_shape_is_refused(
    folders: tuple[Path, Path], small_network: SearchNetwork
) -> None:
    path = folders[0] / INSTANCE_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=f"{INSTANCE_FILE}: damaged"):
        load_weights(folders[0])
    shutil.copyfile(folders[1] / "model.safetensors", path)
    with pytest.raises(WeightsError, match=f"{INSTANCE_FILE}: weights of another shape"):
        load_weights(folders[0])
    deeper = build_network(dataclasses.replace(small_network.settings, conv4_blocks=3))
    assert isinstance(deeper, SearchNetwork)
    path.write_bytes(whole)
    with pytest.raises(WeightsError, match="of another shape"):
        save_instance(folders[0], small_network, deeper)
    assert path.read_bytes() == whole
