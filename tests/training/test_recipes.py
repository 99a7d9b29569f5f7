"""The papers' settings, and settings as data."""

import json

import pytest

from personsearch.errors import SettingError
from personsearch.settings import change_settings, settings_from_dict, settings_to_dict
from personsearch.training.recipes import RECIPES, get_recipe


def test_binet_cuhk_sysu_is_section_4_3() -> None:
    recipe = get_recipe("binet_cuhk_sysu")
    o = recipe.optimizer
    assert (o.rate, o.momentum, o.weight_decay, o.steps, o.drops) == (0.001, 0.9, 0.0001, 50_000, (40_000,))
    assert (recipe.batches.scenes, recipe.batches.short_sides, recipe.batches.long_side) == (2, (600,), 1000)
    assert (recipe.network.rois, recipe.network.roi_size) == (128, (14, 6))
    assert (recipe.loss.oim.queue, recipe.loss.temperature, recipe.loss.oim_weight) == (5000, 0.3, 0.5)


def test_binet_prw_is_section_4_3() -> None:
    recipe = get_recipe("binet_prw")
    assert (recipe.optimizer.steps, recipe.optimizer.drops) == (30_000, (20_000,))
    assert (recipe.batches.short_sides, recipe.batches.long_side) == ((900,), 1500)
    assert (recipe.network.test_size.short, recipe.network.test_size.long) == (900, 1500)
    assert (recipe.loss.oim.queue, recipe.loss.temperature) == (500, 1.0)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json(name: str) -> None:
    recipe = get_recipe(name)
    assert recipe.name == name
    assert settings_from_dict(type(recipe), json.loads(json.dumps(settings_to_dict(recipe)))) == recipe


def test_baselines_differ_in_method_alone() -> None:
    for data in ("cuhk_sysu", "prw", "rendered"):
        ours, baseline = settings_to_dict(get_recipe(f"binet_{data}")), settings_to_dict(get_recipe(f"oim_{data}"))
        assert {k for k in ours if ours[k] != baseline[k]} == {"name", "method"}


def test_changes_reach_nested_settings_and_leave_the_original() -> None:
    recipe = get_recipe("binet_prw")
    changed = change_settings(recipe, ["optimizer.rate=0.01", "batches.short_sides=[400, 500]", "batches.flip=false"])
    assert (changed.optimizer.rate, changed.batches.short_sides, changed.batches.flip) == (0.01, (400, 500), False)
    assert recipe == get_recipe("binet_prw")


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ("optimizer.rte=1", "did you mean rate"),
        ("optimiser.rate=1", "did you mean optimizer"),
        ("optimizer.steps=many", "whole number"),
        ("optimizer.steps=1.5", "whole number"),
        ("batches.flip=1", "true or false"),
        ("batches.short_sides=600", "a list"),
        ("seed.x=1", "no settings of its own"),
        ("optimizer", "name=value"),
    ],
)
def test_a_wrong_change_is_one_line_of_advice(change: str, advice: str) -> None:
    with pytest.raises(SettingError, match=advice) as caught:
        change_settings(get_recipe("binet_prw"), [change])
    assert "\n" not in str(caught.value)


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(SettingError, match="did you mean binet_prw"):
        get_recipe("binet_pwr")
