"""The papers' settings, and settings as data."""

import json

import pytest

from personsearch.errors import SettingError
from personsearch.settings import change_settings, flat, settings_from_dict, settings_to_dict
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


def test_a_group_changes_what_it_names_and_leaves_the_rest() -> None:
    recipe = get_recipe("binet_prw")
    changed = change_settings(recipe, ['loss={"oim": {"scalar": 7}, "temperature": 0.5}'])
    one_by_one = change_settings(recipe, ["loss.oim.scalar=7", "loss.temperature=0.5"])
    assert changed == one_by_one
    assert changed.loss.oim.queue == recipe.loss.oim.queue == 500  # not the class's own 5000
    assert change_settings(recipe, ["optimizer={}"]) == recipe


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_groups_of_every_recipe_may_be_written_whole(name: str) -> None:
    recipe = get_recipe(name)
    for group, values in settings_to_dict(recipe).items():
        if isinstance(values, dict):
            assert change_settings(recipe, [f"{group}={json.dumps(values)}", f"{group}={{}}"]) == recipe


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_no_step_is_larger_than_any_memory(name: str) -> None:
    """What a step holds, how wide a layer is: a number far too large is refused at once."""
    recipe = get_recipe(name)
    sizes = ("scenes", "per_scene", "patches", "identities", "sights", "views", "queue", "rois", "channels", "stripes")
    for path, value in flat(settings_to_dict(recipe)).items():
        if path.rpartition(".")[2] in sizes and type(value) is int:
            with pytest.raises(SettingError, match=f"{path} 1000000000 is impossible"):
                change_settings(recipe, [f"{path}=1000000000"])


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 100_000, "[" * 900 + "]" * 900, "x" * 5000, '{"a":' * 50_000])
def test_a_value_of_any_length_is_one_short_line(text: str) -> None:
    for setting in ("optimizer.steps", "optimizer", "batches.short_sides", "optimizer.drops"):
        with pytest.raises(SettingError) as caught:
            change_settings(get_recipe("binet_prw"), [f"{setting}={text}"])
        assert len(str(caught.value)) < 300
        assert "\n" not in str(caught.value)


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(SettingError, match="did you mean binet_prw"):
        get_recipe("binet_pwr")
