"""The papers' tables as data: their figures show what they claim, and recipes exist for all that they name."""

from __future__ import annotations

import math

import pytest

from personsearch.data.sources import LAYOUTS
from personsearch.reproduce.catalogue import TABLES, get_table
from personsearch.reproduce.plan import recipe_name
from personsearch.reproduce.tables import CUHK_SYSU, METRICS, PRW, SpeedTable, Table
from personsearch.reproduce.verdicts import Verdict, combined, judge
from personsearch.training.recipes import RECIPES

SEARCH = [table for table in TABLES.values() if isinstance(table, Table)]
SPEED = [table for table in TABLES.values() if isinstance(table, SpeedTable)]


def _printed(table: Table, data: str, metric: int = 0) -> dict[tuple[str, str], list[float]]:
    return {
        (row.name, column.name): [value]
        for row in table.rows
        for column in table.columns
        if column.data == data and (value := row.paper.get(column.name, (None, None))[metric]) is not None
    }


def test_all_tables_and_figures_of_both_papers_are_there() -> None:
    binet = [*(f"binet-table-{number}" for number in range(1, 9)), "binet-figure-2", "binet-figure-4"]
    binet.append("binet-open-points")
    igpn = [*(f"igpn-table-{number}" for number in range(1, 6)), *(f"igpn-figure-{number}" for number in (4, 5, 6))]
    assert list(TABLES) == [*binet, *igpn]


@pytest.mark.parametrize("table", SEARCH, ids=lambda table: table.name)
def test_the_papers_own_figures_show_what_it_claims(table: Table) -> None:
    """So a figure that is copied wrongly, or a claim that is turned round, is seen."""
    judged = 0
    for data in table.data:
        columns = [column.name for column in table.columns if column.data == data]
        paper = _printed(table, data)
        for claim in table.claims:
            for verdict in judge([claim], columns, data, paper, paper):
                if not claim.printed:
                    continue
                assert verdict.paper is not None or table.axis, f"{claim.says}: {verdict.column} is not printed"
                if verdict.paper is not None:
                    judged += 1
                    assert "as in the paper" in verdict.sign, (claim.says, verdict.column, verdict.paper)
    assert judged or not any(claim.printed for claim in table.claims)


@pytest.mark.parametrize("table", SPEED, ids=lambda table: table.name)
def test_the_papers_own_seconds_show_what_it_claims(table: SpeedTable) -> None:
    paper = {(row.name, "s"): [100 * math.log(row.paper)] for row in table.rows}
    for verdict in judge(table.claims, ["s"], "", paper, paper):
        assert "as in the paper" in verdict.sign, verdict


@pytest.mark.parametrize("table", SEARCH, ids=lambda table: table.name)
def test_names_are_unique_and_those_that_claims_and_figures_use_exist(table: Table) -> None:
    rows, columns = [row.name for row in table.rows], [column.name for column in table.columns]
    assert len(set(rows)) == len(rows)
    assert len(set(columns)) == len(columns)
    for row in table.rows:
        assert set(row.paper) <= set(columns), row.name
        for figures in row.paper.values():
            assert len(figures) == len(METRICS)
            assert all(value is None or 0 < value < 100 for value in figures)
    for claim in table.claims:
        assert {term.row for term in claim.terms} <= set(rows), claim.says
        assert {term.column for term in claim.terms} <= {None, *columns}, claim.says


@pytest.mark.parametrize("table", SEARCH, ids=lambda table: table.name)
def test_each_row_has_a_recipe_for_each_data(table: Table) -> None:
    for row in table.rows:
        for weights in (row.weights, row.reid):
            for data in ("cuhk_sysu", "prw", "rendered") if weights is not None else ():
                assert recipe_name(weights.variant, data) in RECIPES  # type: ignore[union-attr]
    assert set(table.data) <= {CUHK_SYSU, PRW} <= set(LAYOUTS)


def test_figures_that_two_tables_print_are_the_same() -> None:
    """BINet's Tables 1, 2, 4, 5, 6 and 7 and Figure 4 repeat each other where weights and evaluation are the same."""
    seen: dict[object, dict[float, str]] = {}
    for table in SEARCH:
        if not table.name.startswith("binet") or table.name == "binet-table-3":  # whose default T is in dispute
            continue
        for row in table.rows:
            for column in table.columns:
                printed = row.paper.get(column.name, (None, None))[0]
                if row.weights is not None and printed is not None:
                    key = (row.weights, row.boxes, column.data, column.gallery, column.branch)
                    seen.setdefault(key, {})[printed] = table.name
    assert len(seen) > 25
    assert not {key: values for key, values in seen.items() if len(values) > 1}


@pytest.mark.parametrize(
    ("ours", "about", "sign"),
    [
        ((), None, "not measured"),
        ((1.0,), None, "as in the paper (one seed)"),
        ((1.0, 2.0), None, "as in the paper, in each of 2 seeds"),
        ((3.0, -1.0), None, "as in the paper in the mean, not in each seed"),
        ((-3.0, 1.0), None, "the other way round in the mean, not in each seed"),
        ((-3.0, -1.0), None, "the other way round, in each of 2 seeds"),
        ((0.0,), None, "not reproduced"),
        ((0.4, -0.9), 1.0, "no difference, as in the paper"),
        ((4.0, 4.5), 1.0, "differs"),
    ],
)
def test_the_sign_of_a_claim(ours: tuple[float, ...], about: float | None, sign: str) -> None:
    assert Verdict("", "", 1.0, ours, about).sign == sign


def test_sums_of_terms_are_taken_seed_by_seed_and_quoted_figures_hold_for_all_seeds() -> None:
    (claim,) = [claim for claim in get_table("binet-table-4").claims if "QEEPS" in claim.says]
    values = {("BINet (ours)", "c"): [91.0, 88.0], ("QEEPS", "c"): [88.9]}
    assert combined(claim.terms, "c", values) == pytest.approx((2.1, -0.9))
    assert combined(claim.terms, "c", {("QEEPS", "c"): [88.9]}) == ()
