"""Which runs and readings a table needs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from personsearch.errors import SettingError
from personsearch.reproduce.benchmarks import Ground
from personsearch.reproduce.catalogue import TABLES, get_table
from personsearch.reproduce.plan import Planner, Run, estimate, read_seeds, readings_of, runs_of, steps_of
from personsearch.reproduce.report import _parameters
from personsearch.reproduce.scales import SCALES, get_scale
from personsearch.reproduce.speed import timed_runs
from personsearch.reproduce.tables import SpeedTable, Table
from personsearch.training.describe import describe_recipe
from personsearch.training.recipes import IGPNRecipe, Recipe, get_recipe

SYSU = Ground("cuhk-sysu:S", "cuhk-sysu", 11_206, 15_080, 6978)
PRW = Ground("prw:P", "prw", 5704, 14_907, 6112)
SMALL = Ground("coco:R", "coco", 280, 1100, 120)
SEARCH = [table for table in TABLES.values() if isinstance(table, Table)]


def planner(ground: Ground, scale: str = "paper", *changes: str) -> Planner:
    return Planner(get_scale(scale), ground, changes)


def names(table: str, made: Planner, *seeds: int) -> list[str]:
    found = get_table(table)
    assert isinstance(found, Table)
    return [run.name for run in runs_of(found, made, seeds or (0,))]


def test_tables_share_runs() -> None:
    for ground, scale in ((SYSU, "paper"), (PRW, "paper"), (SMALL, "small"), (SMALL, "tiny")):
        made = planner(ground, scale)
        second = names("binet-table-2", made)
        for other in ("1", "4", "5", "7"):
            if ground is SYSU or other != "5":
                assert set(names(f"binet-table-{other}", made)) <= {*second, "oim-seed0"}
    assert len(names("binet-table-2", planner(PRW), 0, 1, 2)) == 18


def test_longer_runs_lie_beside_the_others_and_start_from_the_same() -> None:
    table = get_table("binet-table-4")
    assert isinstance(table, Table)
    for scale, ground, steps in (("small", SMALL, [420, 1260, 1260]), ("paper", SYSU, [50_000, 50_000])):
        usual, twice = (runs_of(table, Planner(get_scale(scale), ground, (), n), [0]) for n in (1.0, 2.0))
        assert [run.made.optimizer.steps for run in usual] == steps
        first = len(steps) - 2  # the detector that small runs start from keeps its length
        assert twice[:first] == usual[:first]
        for one, other in zip(usual[first:], twice[first:], strict=True):
            assert other.name == one.name.replace("-seed0", "-x2-seed0")
            assert other.made.optimizer.steps == 2 * one.made.optimizer.steps
            if other.made.optimizer.schedule == "drops":
                assert other.made.optimizer.drops == tuple(2 * drop for drop in one.made.optimizer.drops)
            assert (other.start, other.whole) == (one.start, one.whole)


def test_a_temperature_that_the_recipe_has_is_no_run_of_its_own() -> None:
    """T belongs to OIM's scalar of 10; rendered recipes have 20."""
    assert names("binet-table-3", planner(SYSU)) == ["binet-seed0", *(f"binet-t{t}-seed0" for t in ("0.5", "1", "3"))]
    assert "binet-seed0" in names("binet-table-3", planner(PRW))
    table = get_table("binet-table-3")
    assert isinstance(table, Table)
    for ground in (SYSU, PRW, SMALL):
        made = [run.made for run in runs_of(table, planner(ground, "tiny"), [0])]
        per_scalar = [r.loss.temperature * 10 / r.loss.oim.scalar for r in made if isinstance(r, Recipe)]
        assert per_scalar == pytest.approx([0.3, 0.5, 1.0, 3.0])


def test_settings_of_the_paper_are_the_recipes_own() -> None:
    for ground in (SYSU, PRW):
        for table in SEARCH:
            if ground.columns(table):
                for run in runs_of(table, planner(ground), [3]):
                    temperature = [each for each in run.settings if each.startswith("loss.temperature=")]
                    assert list(run.settings) == [*temperature, "seed=3"]
                    assert run.start is None


@pytest.mark.parametrize("table", SEARCH, ids=lambda table: table.name)
def test_what_a_run_starts_from_comes_before_it(table: Table) -> None:
    for ground, scale in ((SYSU, "paper"), (SMALL, "paper"), (SMALL, "small"), (SMALL, "tiny")):
        seen: list[Run] = []
        for run in runs_of(table, planner(ground, scale), (0, 1)):
            before = [other.name for other in seen]
            assert run.start in (None, "random", "binet-rendered", *before)
            assert run.detector in (None, *before)
            assert run.name not in before
            assert f"seed={run.name[-1]}" in run.settings
            seen.append(run)


def test_the_small_protocol_has_the_papers_epochs() -> None:
    made = planner(SMALL, "small")
    runs = {run.name: run.made for run in runs_of(get_table("binet-table-1"), made, [0])}  # type: ignore[arg-type]
    assert runs["binet-seed0"].optimizer.steps == runs["oim-seed0"].optimizer.steps == 9 * 280 // 2
    assert runs["start-detector-seed0"].optimizer.steps == 3 * 280 // 2
    paper = get_recipe("binet_cuhk_sysu")
    assert 2 * paper.optimizer.steps / SYSU.train_scenes == pytest.approx(9, abs=0.1)
    igpn = get_recipe("igpn_cuhk_sysu")
    assert igpn.optimizer.steps == pytest.approx(steps_of(igpn, SYSU, 25), rel=0.01)
    settings = runs["binet-seed0"]
    assert isinstance(settings, Recipe)
    assert settings.optimizer.frozen_stages == 3
    assert settings.network.rois * settings.network.positive_fraction == 8


def test_a_run_of_the_small_protocol_takes_25_minutes_at_most() -> None:
    for table in SEARCH:
        for run in runs_of(table, planner(SMALL, "small"), [0]):
            if not run.name.startswith(("binet_o", "binet0_o")):  # whose patches go through the stem one by one
                assert (estimate([run], SCALES["small"]) or 0) <= 25 * 60, run.name


def test_galleries_stay_apart_where_the_papers_are() -> None:
    for scenes in (30, 120, 500, 5000):
        ground = Ground("coco:R", "coco", 280, 1100, scenes)
        sizes = [ground.gallery(size) or 0 for size in (50, 100, 500, 1000, 2000, 4000)]
        assert sizes == sorted(set(sizes))
        assert max(sizes) < scenes
    assert SYSU.gallery(4000) == 4000
    assert PRW.gallery(None) is None
    assert [SMALL.keep(10, 100), PRW.keep(1200, None), SMALL.keep(1200, None)] == [10, 1200, 24]


def test_readings_of_a_table() -> None:
    table = get_table("igpn-figure-5")
    assert isinstance(table, Table)
    found = readings_of(table, planner(SYSU), (0, 1))
    assert len(found) == 2 * 3 * 6
    assert len({reading.name for reading in found}) == len(found)
    few = [(reading.gallery, reading.keep) for reading in found if reading.run == "igpn-seed0" and reading.reid]
    assert few[:6] == [(size, size) for size in (50, 100, 500, 1000, 2000, 4000)]
    assert few[6:] == list(zip((50, 100, 500, 1000, 2000, 4000), (10, 10, 25, 25, 25, 50), strict=True))
    labeled = [reading for reading in found if reading.run == "reid-seed1"]
    assert {(reading.boxes, reading.keep, reading.reid) for reading in labeled} == {("labeled", None, None)}


def test_changes_reach_every_run_and_unknown_ones_are_refused() -> None:
    made = planner(SYSU, "paper", "optimizer.accumulate=2")
    assert all(run.made.optimizer.accumulate == 2 for run in runs_of(get_table("igpn-table-3"), made, [0]))  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"unknown setting optimizer\.speed"):
        names("binet-table-1", planner(SYSU, "paper", "optimizer.speed=2"))


def test_changes_reach_the_recipes_that_have_them() -> None:
    table = get_table("igpn-table-3")
    assert isinstance(table, Table)
    runs = runs_of(table, planner(SYSU, "paper", "network.channels=64"), [0])
    guided = [run.made for run in runs if isinstance(run.made, IGPNRecipe)]
    assert {made.network.channels for made in guided} == {64}
    assert len(guided) < len(runs)


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("binet-table-3", "loss.temperature=1"),
        ("binet-table-2", "loss.direction=search"),
        ("binet-open-points", "loss.softening=probabilities"),
        ("igpn-table-1", "network.correlation=vanilla"),
    ],
)
def test_changes_that_take_away_what_a_table_compares_are_refused(table: str, change: str) -> None:
    with pytest.raises(SettingError, match=rf"{change} makes \S+-seed0 and \S+-seed0 the same: leave it out"):
        names(table, planner(SYSU, "paper", change), 0, 1)


def test_all_runs_of_a_table_differ() -> None:
    for table in SEARCH:
        for ground, scale in ((SYSU, "paper"), (PRW, "paper"), (SMALL, "paper"), (SMALL, "small"), (SMALL, "tiny")):
            if ground.columns(table):
                runs_of(table, planner(ground, scale, "optimizer.accumulate=2"), (0, 1))


@pytest.mark.parametrize("change", ["seed=3", " seed =3", "name=mine", "method=oim"])
def test_what_rows_and_seeds_say_is_no_change(change: str) -> None:
    with pytest.raises(SettingError, match="rows and --seeds say this; leave it out"):
        names("binet-table-1", planner(SYSU, "paper", change))


def test_changes_of_a_table_of_seconds_are_checked() -> None:
    table = get_table("igpn-table-5")
    assert isinstance(table, SpeedTable)
    assert [run.name for run in timed_runs(table, planner(SYSU))] == ["igpn-seed0", "oim-seed0"]
    with pytest.raises(SettingError, match=r"unknown setting network\.speed"):
        timed_runs(table, planner(SYSU, "paper", "network.speed=2"))


@pytest.mark.parametrize("text", ["", "a", "1,,2", "-1", "0;1", "4294967296"])
def test_seeds_that_are_none(text: str) -> None:
    with pytest.raises(SettingError, match="such as 0,1,2"):
        read_seeds(text)


def test_seeds() -> None:
    assert read_seeds("2,0,2") == (2, 0)


def test_parameters_are_counted_of_the_networks_that_are_trained() -> None:
    """Of every row that prints them, on the papers' data and on rendered people."""
    for ground in (SYSU, SMALL):
        shop: Any = SimpleNamespace(ground=ground)
        rows = [row for table in SEARCH for row in table.rows if row.parameters is not None]
        assert rows
        for row in rows:
            assert row.weights is not None
            (recipe,) = {run.recipe for run in planner(ground).runs(row.weights, 0)[-1:]}
            counted = describe_recipe(recipe)["parameters"]
            assert _parameters(row, shop)["parameters"]["ours"] in counted.values()
