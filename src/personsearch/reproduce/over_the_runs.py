"""How a table's figures and claims were earlier in the same runs: some rows learn people more slowly than others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from personsearch.reproduce.tables import Row, Table
from personsearch.reproduce.values import values_of
from personsearch.reproduce.verdicts import Value, judge, spread
from personsearch.reproduce.work import Wanted, Workshop

_SAYS = "Over the runs. The memory's loss is the search branch's in the fifty steps before, without its weight."


def over_the_runs(wanted: Wanted, shop: Workshop) -> tuple[list[dict[str, Any]], list[str]]:
    """For a JSON file and for a page: mAP and claims at each step at which all runs were judged."""
    table, every = wanted.table, wanted.scale.marks
    assert isinstance(table, Table)
    assert every is not None
    columns = shop.ground.columns(table)
    names = [column.name for column in columns]
    last = min(run.made.optimizer.steps for run in shop.runs)
    document, rows = [], []
    for step in [*range(every, last, every), last]:
        paper, ours = values_of(wanted, shop, 0, step)
        verdicts = list(judge(table.claims, names, columns[0].data, paper, ours, wanted.scale.trial))
        lost = {row.name: _losses(wanted, shop, row, step) for row in table.rows if row.weights is not None}
        rows += [_row(name, step, losses, names, ours) for name, losses in lost.items()]
        document.append(
            {
                "step": step,
                "rows": [_entry(name, losses, names, ours) for name, losses in lost.items()],
                "claims": [verdict.as_dict() for verdict in verdicts],
            }
        )
    head = [f"| mAP | steps | memory's loss | {' | '.join(names)} |", "|---" * (3 + len(names)) + "|"]
    return document, [_SAYS, "", *head, *rows, "", *_claims(table, document)]


def _losses(wanted: Wanted, shop: Workshop, row: Row, step: int) -> list[float]:
    """By seed."""
    column = shop.ground.columns(wanted.table)[0]  # type: ignore[arg-type]
    readings = [shop.planner.reading(row, column, seed) for seed in wanted.seeds]
    return [loss for reading in readings if (loss := shop.folder.memory_loss(shop.run_of(reading), step)) is not None]


def _entry(name: str, losses: Sequence[float], columns: Sequence[str], ours: Value) -> dict[str, Any]:
    return {"row": name, "loss": losses, "mAP": {column: ours[name, column] for column in columns}}


def _row(name: str, step: int, losses: Sequence[float], columns: Sequence[str], ours: Value) -> str:
    cells = [spread(ours[name, column]) for column in columns]
    return f"| {name} | {step:,} | {spread(losses, 2)} | {' | '.join(cells)} |"


def _claims(table: Table, document: Sequence[Mapping[str, Any]]) -> list[str]:
    """The claims' differences, one column a step."""
    if not table.claims:
        return []
    steps = [f"{part['step']:,} steps" for part in document]
    lines = [f"| claim, mAP after | column | {' | '.join(steps)} |", "|---" * (2 + len(steps)) + "|"]
    for claims in zip(*(part["claims"] for part in document), strict=True):
        told = [spread(claim["ours"], 2, "+") for claim in claims]
        lines.append(f"| {claims[0]['claim']} | {claims[0]['column']} | {' | '.join(told)} |")
    return [*lines, ""]
