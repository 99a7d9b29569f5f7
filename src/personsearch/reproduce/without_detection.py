"""What of a table can be told where nobody is detected, and what not: a table becomes a smaller one."""

from __future__ import annotations

from dataclasses import replace

from personsearch.errors import SettingError
from personsearch.reproduce.tables import AnyTable, Row, Table
from personsearch.training.recipes import IDENTITY_VARIANTS


def told_without_detection(table: AnyTable) -> Table:
    """The table with its rows of annotated boxes; where it has none, with its other rows read at annotated boxes.

    Its notes name the claims that are left out. Raises SettingError where nothing is left.
    """
    rows = [] if not isinstance(table, Table) else [row for row in table.rows if _is_told(row)]
    if not isinstance(table, Table) or not any(row.weights for row in rows):
        raise SettingError(
            f"{table.name} is about detection or seconds, which --scale identity leaves out: give --scale small"
        )
    notes = list(table.notes)
    if any(row.weights and row.boxes == "labeled" for row in rows):
        rows = [row for row in rows if row.boxes == "labeled"]
    else:
        rows = [replace(row, boxes="labeled") for row in rows]
        notes.append("People are read at annotated boxes, where the paper's are detected.")
    names = {row.name for row in rows}
    measured = {row.name for row in rows if row.weights}
    claims = tuple(claim for claim in table.claims if {term.row for term in claim.terms} <= names)
    untold = [claim.says for claim in table.claims if not {term.row for term in claim.terms} <= measured]
    if untold:
        notes.append(f"Not told at this scale, which detects nobody: {'; '.join(untold)}.")
    return replace(table, rows=tuple(rows), claims=claims, notes=tuple(notes))


def _is_told(row: Row) -> bool:
    """Whether a row is quoted, or of a network that needs no detector to be trained and read."""
    return row.weights is None or (row.reid is None and row.weights.variant in IDENTITY_VARIANTS)
