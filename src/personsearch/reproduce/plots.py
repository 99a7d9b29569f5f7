"""The papers' figures as SVG: ours as lines or bars, the paper's printed figures as crosses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from personsearch.files import written_whole
from personsearch.reproduce.tables import Column, Table
from personsearch.reproduce.verdicts import Value
from personsearch.training.curves import check_drawing

_SALT = "personsearch"
"""Of the names inside a picture, which are otherwise drawn by chance: the same figures give the same file."""


def draw(table: Table, columns: Sequence[Column], paper: Value, ours: Value, picture: Path) -> None:
    """Draws the mAP of a figure's rows. Raises OSError, PersonSearchError without matplotlib."""
    check_drawing()
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": _SALT, "svg.fonttype": "none"}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot(ylabel="mAP, %", title=f"{table.name}: {table.title}")
        (_bars if table.axis is None else _lines)(axes, table, columns, paper, ours)
        axes.grid(alpha=0.3)
        with written_whole(picture) as part:
            figure.savefig(part, format="svg", metadata={"Date": None})


def _lines(axes: Any, table: Table, columns: Sequence[Column], paper: Value, ours: Value) -> None:
    """A line a row, over the columns from left to right."""
    places = range(len(columns))
    for number, row in enumerate(table.rows):
        found = [(x, ours[row.name, column.name]) for x, column in zip(places, columns, strict=True)
                 if ours.get((row.name, column.name))]  # fmt: skip
        if found:
            middles, spreads = [mean(values) for _, values in found], [_spread(values) for _, values in found]
            axes.errorbar(
                [x for x, _ in found], middles, spreads, color=f"C{number}", marker="o", capsize=3, label=row.name
            )
        printed = [(x, *paper[row.name, column.name]) for x, column in zip(places, columns, strict=True)
                   if (row.name, column.name) in paper]  # fmt: skip
        if printed:
            axes.plot(*zip(*printed, strict=True), "x", color=f"C{number}", label=f"{row.name}, paper")
    axes.set_xticks(list(places), [column.name for column in columns])
    axes.set_xlabel(f"{table.axis} (of the paper)")
    axes.legend(fontsize="small")


def _bars(axes: Any, table: Table, columns: Sequence[Column], paper: Value, ours: Value) -> None:
    """A bar for each row and column."""
    cells = [(row.name, column.name) for row in table.rows for column in columns]
    places = range(len(cells))
    heights = [mean(ours[cell]) if ours.get(cell) else 0.0 for cell in cells]
    axes.bar(places, heights, yerr=[_spread(ours.get(cell, ())) for cell in cells], capsize=3, label="ours")
    printed = [(x, *paper[cell]) for x, cell in zip(places, cells, strict=True) if cell in paper]
    if printed:
        axes.plot(*zip(*printed, strict=True), "x", color="C1", label="paper")
    names = [row if len(columns) == 1 else column for row, column in cells]
    axes.set_xticks(list(places), names, rotation=30, ha="right")
    axes.legend(fontsize="small")


def _spread(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0
