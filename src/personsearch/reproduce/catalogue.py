"""All tables and figures of both papers by name, and making one."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

from personsearch.errors import SettingError
from personsearch.progress import Progress, quiet
from personsearch.reproduce.binet_tables import BINET_TABLES
from personsearch.reproduce.igpn_tables import IGPN_TABLES
from personsearch.reproduce.report import write_table
from personsearch.reproduce.tables import AnyTable
from personsearch.reproduce.without_detection import told_without_detection
from personsearch.reproduce.work import Say, Wanted, Workshop

TABLES: dict[str, AnyTable] = {table.name: table for table in (*BINET_TABLES, *IGPN_TABLES)}


def get_table(name: str) -> AnyTable:
    """A table or figure by name. Raises SettingError with the nearest name."""
    if name in TABLES:
        return TABLES[name]
    near = difflib.get_close_matches(name, TABLES, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    raise SettingError(f"unknown table {name}: {guess}`reproduce list` names all")


def reproduce(
    wanted: Wanted,
    *,
    only_plan: bool = False,
    only_report: bool = False,
    progress: Progress = quiet,
    say: Say = lambda _line: None,
) -> list[Path]:
    """Makes a table in a folder, and goes on there after any stop. Returns the files of the table.

    Says beforehand what there is to do; with `only_plan` that is all, and nothing is written or returned. With
    `only_report` the table is made of finished runs, and SettingError is raised where one is missing. Raises
    SettingError and DataError before any work for what is impossible, and whatever training raises.
    """
    if not wanted.scale.detects:
        wanted = replace(wanted, table=told_without_detection(wanted.table))
    shop = Workshop(wanted, progress=progress, say=say)
    if only_plan or not only_report:
        say(shop.plan())
    if only_plan:
        return []
    if only_report:
        shop.check_finished()
    else:
        shop.work()
    files: list[Path] = []
    shop.write(lambda: files.extend(write_table(wanted, shop)))
    return files
