"""What the command line says: results on stdout, progress and complaints on stderr. rich is imported late."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from personsearch.errors import SettingError

if TYPE_CHECKING:
    from personsearch.search.rows import GalleryHit

_SECONDS_BETWEEN_LINES = 20.0


def print_hits(hits: Sequence[GalleryHit]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from personsearch.search.rows import clock

    if not hits:
        typer.echo("nobody was found in the gallery")
        return
    states = ["" if hit.state == "current" else str(hit.state) for hit in hits]
    since = ["since indexed"] if any(states) else []
    table = Table("rank", "similarity", "score", "time", "box", *since, "source", box=None, header_style="bold")
    for rank, (hit, state) in enumerate(zip(hits, states, strict=True), 1):
        when = "" if hit.time is None else clock(hit.time)
        where = " ".join(f"{v:.0f}" for v in hit.box)
        first = (str(rank), f"{hit.similarity:.3f}", f"{hit.score:.2f}", when, where)
        table.add_row(*first, *([state] if since else []), Text(str(hit.source)))
    console = Console()
    table.columns[-1].overflow = "fold"
    console.print(table)


def refuse_overwriting(files: Sequence[Path], force: bool) -> None:
    """Raises SettingError for a file that is there already."""
    for file in files:
        if file.exists() and not force:
            raise SettingError(f"{file}: is there already; give another name, or replace it with --force")


def print_json(document: object) -> None:
    typer.echo(json.dumps(document, indent=2))


def complain(line: str) -> None:
    typer.echo(f"warning: {line}", err=True)


@contextmanager
def bar(text: str) -> Iterator[Callable[[float, int, str], None]]:
    """Shows on stderr how far it is, told (done, total, what): a bar, or now and then a line where no one looks."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(text)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as shown:
        task = shown.add_task(text, total=None)

        def tell(done: float, total: int, what: str) -> None:
            shown.update(task, completed=done, total=total, description=f"{text} {escape(what[-40:])}")

        yield tell


def progress_of(tell: Callable[[float, int, str], None]) -> Callable[[Iterable[Any], str, int], Iterable[Any]]:
    """What a long operation wraps its items in, told to a bar."""

    def shown(items: Iterable[Any], text: str, total: int) -> Iterable[Any]:
        for number, item in enumerate(items):
            tell(number, total, text)
            yield item

    return shown


def _lines(text: str) -> Callable[[float, int, str], None]:
    last = time.monotonic()

    def tell(done: float, total: int, what: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            typer.echo(f"{text}: {done / max(total, 1):.0%}, {what}", err=True)

    return tell


def flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in facts.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
