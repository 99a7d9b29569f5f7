"""A table as one JSON file and one Markdown page: the paper's figures, ours, their spread, the sign of each claim."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from personsearch.files import write_whole
from personsearch.reproduce.over_the_runs import over_the_runs
from personsearch.reproduce.plan import recipe_name
from personsearch.reproduce.plots import draw
from personsearch.reproduce.tables import METRICS, Column, Row, SpeedTable, Table
from personsearch.reproduce.values import values_of
from personsearch.reproduce.verdicts import Value, Verdict, judge, spread
from personsearch.reproduce.work import Wanted, Workshop
from personsearch.training.describe import describe_recipe


def write_table(wanted: Wanted, shop: Workshop) -> list[Path]:
    """Writes a table that is all measured; the files. Raises OSError."""
    make = _speed_document if isinstance(wanted.table, SpeedTable) else _document
    document, page = make(wanted, shop)
    files = [wanted.out / f"{wanted.stem}{suffix}" for suffix in (".json", ".md")]
    write_whole(files[0], json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    write_whole(files[1], page)
    if isinstance(wanted.table, Table) and wanted.table.figure:
        files.append(wanted.out / f"{wanted.stem}.svg")
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
        document["over_the_runs"], told = over_the_runs(wanted, shop)
        lines += told
    return document, "\n".join(lines)


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


# ----------------------------------------------------------------------------------------------------------- seconds


def _speed_document(wanted: Wanted, shop: Workshop) -> tuple[dict[str, Any], str]:
    table = wanted.table
    assert isinstance(table, SpeedTable)
    taken = shop.folder.seconds(table)
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
        "longer": wanted.longer,
        "seeds": list(wanted.seeds),
        "training_scenes": shop.ground.train_scenes,
        "test_scenes": shop.ground.test_scenes,
        "notes": list(wanted.table.notes),
    }


def _title(wanted: Wanted, shop: Workshop) -> list[str]:
    seeds = ", ".join(map(str, wanted.seeds))
    place = f"{shop.ground.train_scenes:,} training and {shop.ground.test_scenes:,} test scenes"
    length = "" if wanted.longer == 1 else f", runs {wanted.longer:g} times as long"
    first = f"Data {wanted.data} ({place}), scale {wanted.scale.name} ({wanted.scale.says}){length}, seeds {seeds}."
    return [f"# {wanted.table.name}: {wanted.table.title}", "", first, *wanted.table.notes, ""]
