"""A table as one JSON file and one Markdown page: the paper's figures, ours, their spread, the sign of each claim."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from personsearch.files import write_whole
from personsearch.reproduce.plan import recipe_name
from personsearch.reproduce.plots import draw
from personsearch.reproduce.tables import METRICS, Column, Row, SpeedTable, Table
from personsearch.reproduce.verdicts import Value, Verdict, judge, spread
from personsearch.reproduce.work import Wanted, Workshop
from personsearch.training.describe import describe_recipe


def write_table(wanted: Wanted, shop: Workshop) -> list[Path]:
    """Writes a table that is all measured; the files. Raises OSError."""
    make = _speed_document if isinstance(wanted.table, SpeedTable) else _document
    document, page = make(wanted, shop)
    files = [shop.out / f"{wanted.table.name}{suffix}" for suffix in (".json", ".md")]
    write_whole(files[0], json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    write_whole(files[1], page)
    if isinstance(wanted.table, Table) and wanted.table.figure:
        files.append(shop.out / f"{wanted.table.name}.svg")
        draw(wanted.table, shop.ground.columns(wanted.table), *values_of(wanted, shop, 0), files[-1])
    return files


# ------------------------------------------------------------------------------------------ figures of people found


def _document(wanted: Wanted, shop: Workshop) -> tuple[dict[str, Any], str]:
    table = wanted.table
    assert isinstance(table, Table)
    columns = shop.ground.columns(table)
    values = {metric: values_of(wanted, shop, index) for index, metric in enumerate(METRICS)}
    names = [column.name for column in columns]
    verdicts = {
        metric: list(judge(table.claims, names, columns[0].data, paper, ours, wanted.scale.trial))
        for metric, (paper, ours) in values.items()
    }
    document = {
        **_head(wanted, shop),
        "columns": [_column(column, shop) for column in columns],
        "rows": [
            {"row": row.name, **_parameters(row, shop), "figures": _cells(row, columns, values)} for row in table.rows
        ],
        "claims": {metric: [verdict.as_dict() for verdict in found] for metric, found in verdicts.items()},
    }
    lines = [*_title(wanted, shop), *_rows(table, columns, values, shop), "", *_claims(verdicts["mAP"]), ""]
    if not wanted.scale.detects:
        document["over_the_run"], told = _over_the_run(wanted, shop, table, columns)
        lines += told
    return document, "\n".join(lines)


def values_of(wanted: Wanted, shop: Workshop, metric: int, step: int | None = None) -> tuple[Value, Value]:
    """The paper's figures and ours, in percent, by row and column. With `step` ours are those of that step."""
    table = wanted.table
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
                found = [shop.figures(one) if step is None else shop.figures_at(one, step) for one in readings]
                measured = [figures[METRICS[metric]] for figures in found]
                ours[cell] = [100 * value for value in measured if value is not None]
            elif printed is not None and shop.ground.published:
                ours[cell] = [printed]  # another publication's, on the same benchmark
    return paper, ours


def _cells(row: Row, columns: Sequence[Column], values: dict[str, tuple[Value, Value]]) -> dict[str, Any]:
    return {
        column.name: {
            metric: {"paper": next(iter(paper.get((row.name, column.name), ())), None),
                     "ours": [] if row.weights is None else list(ours.get((row.name, column.name), ()))}
            for metric, (paper, ours) in values.items()
        }
        for column in columns
    }  # fmt: skip


def _parameters(row: Row, shop: Workshop) -> dict[str, Any]:
    if row.parameters is None or row.weights is None:
        return {}
    printed, entry = row.parameters
    ours = describe_recipe(recipe_name(row.weights.variant, shop.ground.suffix))["parameters"][entry]
    return {"parameters": {"paper": printed or None, "ours": ours}}


def _column(column: Column, shop: Workshop) -> dict[str, Any]:
    return {
        "name": column.name,
        "branch": column.branch,
        "gallery": {"paper": column.gallery, "ours": shop.ground.gallery(column.gallery)},
    }


def _rows(table: Table, columns: Sequence[Column], values: dict[str, tuple[Value, Value]], shop: Workshop) -> list[str]:
    counted = any(row.parameters for row in table.rows)
    heads = [head for column in columns for head in (f"{column.name}: paper", f"ours{_here(column, shop)}")]
    lines = [f"| mAP / top-1 | {' | '.join([*(['parameters: paper', 'ours'] if counted else []), *heads])} |"]
    lines.append("|---" * (1 + 2 * counted + len(heads)) + "|")
    for row in table.rows:
        cells = []
        if counted:
            found = _parameters(row, shop).get("parameters", {})
            cells += [found.get("paper") or "–", f"{found['ours'] / 1e6:.2f}M" if found else "–"]
        for column in columns:
            key = row.name, column.name
            cells.append(_slashed(values[metric][0].get(key, ()) for metric in METRICS))
            cells.append("" if row.weights is None else _slashed(values[metric][1].get(key, ()) for metric in METRICS))
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    return lines


def _here(column: Column, shop: Workshop) -> str:
    """What a gallery is here, where it is of another size."""
    size = shop.ground.gallery(column.gallery)
    return f" ({size} scenes)" if size is not None and size != column.gallery else ""


def _slashed(figures: Iterable[Sequence[float]]) -> str:
    return " / ".join(spread(values) for values in figures)


def _claims(verdicts: Sequence[Verdict], unit: str = "mAP") -> list[str]:
    lines = [f"| claim | column | paper, {unit} | ours | sign |", "|---|---|---|---|---|"]
    for verdict in verdicts:
        paper = "–" if verdict.paper is None else f"{verdict.paper:+.2f}"
        ours = spread(verdict.ours, 2, "+")
        lines.append(f"| {verdict.says} | {verdict.column} | {paper} | {ours} | {verdict.sign} |")
    return lines


# ------------------------------------------------------------------------------------------ earlier in the same runs


def _over_the_run(
    wanted: Wanted, shop: Workshop, table: Table, columns: Sequence[Column]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Figures and claims at each step at which all runs were judged: some learn more slowly than others."""
    assert wanted.scale.marks is not None
    last = min(run.made.optimizer.steps for run in shop.runs)
    steps = [*range(wanted.scale.marks, last, wanted.scale.marks), last]
    names = [column.name for column in columns]
    document: list[dict[str, Any]] = []
    signs: dict[tuple[str, str], list[str]] = {}
    lines = [
        "Over the runs. The memory's loss is the search branch's in the fifty steps before, without its weight.",
        "",
    ]
    lines += [f"| mAP | steps | memory's loss | {' | '.join(names)} |", "|---" * (3 + len(names)) + "|"]
    for step in steps:
        paper, ours = values_of(wanted, shop, 0, step)
        found = list(judge(table.claims, names, columns[0].data, paper, ours, wanted.scale.trial))
        for one in found:
            signs.setdefault((one.says, one.column), []).append(spread(one.ours, 2, "+"))
        rows = []
        for row in (row for row in table.rows if row.weights is not None):
            found_losses = [
                shop.memory_loss(shop.planner.reading(row, columns[0], seed), step) for seed in wanted.seeds
            ]
            losses = [loss for loss in found_losses if loss is not None]
            cells = [spread(ours[row.name, name]) for name in names]
            lines.append(f"| {row.name} | {step:,} | {spread(losses, 2)} | {' | '.join(cells)} |")
            rows.append({"row": row.name, "loss": losses, "mAP": {name: ours[row.name, name] for name in names}})
        document.append({"step": step, "rows": rows, "claims": [one.as_dict() for one in found]})
    if signs:
        lines += ["", f"| claim, mAP after | column | {' | '.join(f'{step:,} steps' for step in steps)} |"]
        lines.append("|---" * (2 + len(steps)) + "|")
        lines += [f"| {says} | {column} | {' | '.join(told)} |" for (says, column), told in signs.items()]
    return document, [*lines, ""]


# ----------------------------------------------------------------------------------------------------------- seconds


def _speed_document(wanted: Wanted, shop: Workshop) -> tuple[dict[str, Any], str]:
    table = wanted.table
    assert isinstance(table, SpeedTable)
    taken = shop.seconds()
    middles = {name: median(seconds) for name, seconds in taken.items()}
    paper_base = next(row.paper for row in table.rows if row.name == table.base)
    paper = {(row.name, _TIME): [100 * math.log(row.paper)] for row in table.rows}
    ours = {(name, _TIME): [100 * math.log(seconds)] for name, seconds in middles.items()}
    verdicts = list(judge(table.claims, [_TIME], "", paper, ours, wanted.scale.trial))
    document = {
        **_head(wanted, shop),
        "rows": [{"row": row.name, "paper": row.paper, "ours": taken.get(row.name, [])} for row in table.rows],
        "claims": [verdict.as_dict() for verdict in verdicts],
    }
    lines = [*_title(wanted, shop), f"| | paper, s | to {table.base} | ours, s | to {table.base} |", "|---" * 5 + "|"]
    for row in table.rows:
        here = middles.get(row.name)
        cells = ["–", "–"] if here is None else [f"{here:.3g}", f"{here / middles[table.base]:.2f}"]
        lines.append(f"| {row.name} | {row.paper:g} | {row.paper / paper_base:.2f} | {' | '.join(cells)} |")
    lines += ["", "Differences are of 100 times the logarithm: about percent.", ""]
    return document, "\n".join([*lines, *_claims(verdicts, "about %"), ""])


_TIME = "seconds"


# -------------------------------------------------------------------------------------------------------------- both


def _head(wanted: Wanted, shop: Workshop) -> dict[str, Any]:
    return {
        "table": wanted.table.name,
        "title": wanted.table.title,
        "data": wanted.data,
        "scale": wanted.scale.name,
        "seeds": list(wanted.seeds),
        "training_scenes": shop.ground.train_scenes,
        "test_scenes": shop.ground.test_scenes,
        "notes": list(wanted.table.notes),
    }


def _title(wanted: Wanted, shop: Workshop) -> list[str]:
    seeds = ", ".join(map(str, wanted.seeds))
    place = f"{shop.ground.train_scenes:,} training and {shop.ground.test_scenes:,} test scenes"
    first = f"Data {wanted.data} ({place}), scale {wanted.scale.name} ({wanted.scale.says}), seeds {seeds}."
    return [f"# {wanted.table.name}: {wanted.table.title}", "", first, *wanted.table.notes, ""]
