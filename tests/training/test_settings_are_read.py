"""A setting that nobody reads lies to whoever sets it: each one is read by a step of training or by inference."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from layout_fixtures import make_benchmark
from PIL import Image

import personsearch
from personsearch.data.records import Benchmark
from personsearch.data.transforms import SizeSettings
from personsearch.models.rpn import ProposalSettings
from personsearch.models.search_network import NetworkSettings, build_search_network
from personsearch.models.weights import save_weights
from personsearch.settings import change_settings
from personsearch.training.batches.codes import Keeping
from personsearch.training.loop import Training
from personsearch.training.methods import prepare
from personsearch.training.recipes import AnyRecipe, TrunkRecipe, get_recipe

PACKAGE = Path(personsearch.__file__).parent
COPIERS = (PACKAGE / "settings.py", PACKAGE / "training" / "recipes.py")
"""They read settings only to write them elsewhere."""
ONE_STEP = ["optimizer.steps=1", "optimizer.warmup=1"]
SMALL = [*ONE_STEP, "network.rois=8", "network.test_size.short=96", "loss.oim.queue=4", "batches.short_sides=[96]"]
RUNS = {
    "search": {
        "binet_prw": [*SMALL, "optimizer.drops=[1]"],
        "patches_rendered": [*SMALL, "patches.identities=2", "patches.sights=2"],
        "binet_identity": [*ONE_STEP, "network.test_size.short=96", "views.scenes=1"],
    },
    "igpn": {
        "igpn_cuhk_sysu": [*ONE_STEP, "network.channels=8", "network.test_size.short=96", "pairs.short_sides=[96]"]
    },
    "igpn on a trunk": {
        "igpn_rendered": [
            *ONE_STEP,
            "network.test_size.short=64",
            "pairs.scenes=1",
            "optimizer.schedule=drops",
            "optimizer.drops=[1]",
        ]
    },
    "reid": {"reid_prw": [*ONE_STEP, "network.size=[64, 32]", "batches.patches=4"]},
}
"""Small runs of each kind of recipe, which read all of its settings between them."""


def _kinds(settings: Any) -> Iterator[type[Any]]:
    """The settings class and those of the settings in it."""
    yield type(settings)
    for field in fields(settings):
        inner = getattr(settings, field.name)
        if is_dataclass(inner) and field.name != "trunk":  # which its own training reads
            yield from _kinds(inner)


def _listen(kind: type[Any], read: set[tuple[type[Any], str]], patch: pytest.MonkeyPatch) -> None:
    """Notes which fields of a settings class the package reads, but for copies of them."""
    names = {field.name for field in fields(kind)}

    def spy(self: Any, name: str) -> Any:
        caller = Path(sys._getframe(1).f_code.co_filename)
        if name in names and PACKAGE in caller.parents and caller not in COPIERS:
            read.add((kind, name))
        return object.__getattribute__(self, name)

    patch.setattr(kind, "__getattribute__", spy)


def _backbone(recipe: AnyRecipe, out: Path) -> str:
    """A trunk with settings of its own where one is needed: what training reads of a trunk's settings are those."""
    if not isinstance(recipe, TrunkRecipe):
        return "random"
    trunk = NetworkSettings(box_fit=True, test_proposals=ProposalSettings(50, 10), test_size=SizeSettings(64, 128))
    save_weights(out.parent / "trunk", build_search_network(trunk), {"embedding": 256})
    return str(out.parent / "trunk")


def _train_and_use(recipe: AnyRecipe, benchmark: Benchmark, out: Path) -> None:
    torch.manual_seed(0)
    found = {scene.name: torch.tensor([person.box for person in scene.persons]) for scene in benchmark.train}
    made = prepare(
        recipe, benchmark, _backbone(recipe, out), (0, 1), "cpu", lambda: found, Keeping(out / "codes", 10**9)
    )
    made.start()
    Training(made.model, made.criterion, made.batches, recipe.optimizer, {}).run(out, resume=False, workers=0)
    network, picture = made.network.eval(), Image.effect_noise((160, 120), 60).convert("RGB")
    if recipe.method in ("igpn", "igpn_on_trunk"):
        network.answer(network.encode_scene(picture), network.encode_query(picture, [(10.0, 10.0, 50.0, 110.0)]))
    elif recipe.method == "reid":
        network.embed(picture, torch.tensor([[10.0, 10, 50, 110]]))
    else:
        network.detect(picture)


@pytest.mark.parametrize("kind", RUNS)
def test_every_setting_is_read(kind: str, tmp_path: Path) -> None:
    recipes = {name: change_settings(get_recipe(name), changes) for name, changes in RUNS[kind].items()}
    kinds = {inner for recipe in recipes.values() for inner in _kinds(recipe)}
    benchmark = make_benchmark(tmp_path / "pictures")
    read: set[tuple[type[Any], str]] = set()
    with pytest.MonkeyPatch.context() as patch:
        for inner in kinds:
            _listen(inner, read, patch)
        for name, recipe in recipes.items():
            (tmp_path / name).mkdir()
            _train_and_use(recipe, benchmark, tmp_path / name)
    every = {(inner, field.name) for inner in kinds for field in fields(inner)}
    people_read = {(type(recipe), "name") for recipe in recipes.values()}
    assert not {f"{inner.__name__}.{name}" for inner, name in every - read - people_read}
