"""The paper's figures of a table and ours, by row and column."""

from __future__ import annotations

from personsearch.reproduce.tables import METRICS, Table
from personsearch.reproduce.verdicts import Value
from personsearch.reproduce.work import Wanted, Workshop


def values_of(wanted: Wanted, shop: Workshop, metric: int, step: int | None = None) -> tuple[Value, Value]:
    """The paper's figures and ours, in percent, by row and column. With `step` ours are those of that step."""
    table, folder = wanted.table, shop.folder
    assert isinstance(table, Table)
    paper: dict[tuple[str, str], list[float]] = {}
    ours: dict[tuple[str, str], list[float]] = {}
    for row in table.rows:
        for column in shop.ground.columns(table):
            cell = row.name, column.name
            printed = row.paper.get(column.name, (None, None))[metric]
            if printed is not None:
                paper[cell] = [printed]
            if row.weights is not None:
                readings = [shop.planner.reading(row, column, seed) for seed in wanted.seeds]
                found = [folder.figures(one) if step is None else folder.figures_at(one, step) for one in readings]
                measured = [figures[METRICS[metric]] for figures in found]
                ours[cell] = [100 * value for value in measured if value is not None]
            elif printed is not None and shop.ground.published:
                ours[cell] = [printed]  # another publication's, on the same benchmark
    return paper, ours
