"""What the command line says: results on stdout, progress and complaints on stderr. rich is imported late."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from personsearch.errors import SettingError
from personsearch.files import ADVICE, check_file
from personsearch.progress import Progress

if TYPE_CHECKING:
    from personsearch.search.hits import GalleryHit

_SECONDS_BETWEEN_LINES = 20.0
_LINES_OF_A_NAME = 3


def printable(text: object) -> str:
    """Text as one line without what a terminal would obey: control characters and the like are written as escapes.

    >>> printable("a\\nb\\x1b[2J")
    'a\\\\nb\\\\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text))


def shortened(text: str, most: int) -> str:
    """Text of at most `most` characters, its middle left out.

    >>> shortened("a-very-long-name.jpg", 11)
    'a-ver…e.jpg'
    """
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def say(line: str, *, err: bool = False) -> None:
    """One line on stdout or stderr, whatever names it holds."""
    typer.echo(printable(line), err=err)


def prepare_streams() -> None:
    """Lets a terminal that lacks some letters show escapes for them, instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def drop_unwritten() -> None:
    """Discards what could not be written to stdout, so that the program does not fail on it again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def line_of(error: OSError) -> str:
    """What the system refused, and what to do about it."""
    filled = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of a copy: what is written, not what is read
    name = error.filename2 if filled and error.filename2 else error.filename
    line = f"{name or 'input or output'}: {error.strerror or error}"
    return f"{line}; {ADVICE[error.errno]}" if error.errno in ADVICE else line


def lacks_memory(error: Exception) -> str | None:
    """A line for what torch or Python raise without memory, and None for other errors."""
    if type(error).__name__ == "OutOfMemoryError":
        return "the GPU has too little memory: close what else uses it, or give --device cpu"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return "there is too little memory: close other programs, or use a machine with more"
    return None


@contextmanager
def told_on_stop(line: Callable[[], str]) -> Iterator[None]:
    """Ends a command that Ctrl-C stops with a line, asked for then, which says what is kept and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; {line()}") from None


def print_hits(hits: Sequence[GalleryHit], rarities: Sequence[str] = ()) -> None:
    """`rarities`, one a hit, say how rarely two different people look so alike."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from personsearch.search.hits import clock

    if not hits:
        say("nobody was found in the gallery")
        return
    states = ["" if hit.state == "current" else str(hit.state) for hit in hits]
    since = ["since indexed"] if any(states) else []
    console = Console()
    table = Table(box=None, header_style="bold")
    rarity = ["so alike"] if rarities else []
    for name in ("rank", "similarity", *rarity, "score", "time", "box", *since):
        table.add_column(name, no_wrap=True)
    table.add_column("source", overflow="fold")
    longest = _LINES_OF_A_NAME * max(
        20, console.width - 50 - 15 * len([*since, *rarity])
    )  # what the other columns leave
    for rank, (hit, state) in enumerate(zip(hits, states, strict=True), 1):
        name = shortened(printable(hit.source), longest)
        when = "" if hit.time is None else clock(hit.time)
        where = " ".join(f"{v:.0f}" for v in hit.box)
        how_rare = [rarities[rank - 1]] if rarities else []
        first = (str(rank), f"{hit.similarity:.3f}", *how_rare, f"{hit.score:.2f}", when, where)
        table.add_row(*first, *([state] if since else []), Text(name))
    console.print(table)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Plain columns, the last of which may be long."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold")
    for name in columns[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(value)) for value in row))
    Console().print(table)


def refuse_overwriting(files: Sequence[Path], force: bool) -> None:
    """Raises SettingError for a file that is there already, or that cannot be written."""
    for file in files:
        check_file(file)
        if file.exists() and not force:
            raise SettingError(f"{file}: is there already; give another name, or replace it with --force")


def print_json(document: object) -> None:
    typer.echo(json.dumps(document, indent=2))


def complain(line: str) -> None:
    say(f"warning: {line}", err=True)


@contextmanager
def bar(text: str) -> Iterator[Progress]:
    """Shows progress on stderr: as a bar on a terminal, else as a line now and then."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    if not console.is_terminal:
        yield Progress(_lines(text))
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    with Bar(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as shown:
        task = shown.add_task(text, total=None)

        def tell(done: float, total: int, what: str) -> None:
            shown.update(task, completed=done, total=total, description=f"{text} {escape(printable(what)[-40:])}")

        yield Progress(tell)


def _lines(text: str) -> Callable[[float, int, str], None]:
    last = time.monotonic()

    def tell(done: float, total: int, what: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            say(f"{text}: {done / max(total, 1):.0%}, {what}", err=True)

    return tell
