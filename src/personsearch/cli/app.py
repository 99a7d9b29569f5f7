"""The command line, a thin layer: each command opens what it needs, calls one function and prints its result.

Results go to stdout, as one JSON document with `--json`; progress and complaints go to stderr. torch and the
like are imported inside the commands, so that `--help` is quick.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from personsearch import __version__
from personsearch.cli import care, export, find, page, search, taking, watch
from personsearch.cli import data as cli_data
from personsearch.cli import models as cli_models
from personsearch.cli import reproduce as cli_reproduce
from personsearch.cli.console import (
    drop_unwritten,
    lacks_memory,
    line_of,
    prepare_streams,
    say,
)
from personsearch.errors import PersonSearchError

UsageError: Any = typer.BadParameter.__bases__[0]  # of the click inside of typer, which gives it no name


class _Group(TyperGroup):
    """Turns what goes wrong into one line and an exit code, for every command."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        prepare_streams()
        given = (arguments[0] if arguments else options.get("args")) or sys.argv[1:]
        if any(word == "" or (word.startswith("--") and word.find("=") == len(word) - 1) for word in given):
            say("error: an empty name was given: is a variable of the shell unset? name something", err=True)
            sys.exit(2)
        alone, options["standalone_mode"] = options.get("standalone_mode", True), False
        if not alone:
            return super().main(*arguments, **options)
        try:
            code = super().main(*arguments, **options)
        except UsageError as error:
            code = error.exit_code
            say(_line_of_usage(error), err=True)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except PersonSearchError as error:
            _fail(str(error), error.exit_code)
        except KeyboardInterrupt as stop:
            _fail(str(stop) or "stopped", 130)
        except BrokenPipeError:  # whoever reads the pipe has closed it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except OSError as error:
            drop_unwritten()
            _fail(line_of(error), 1)
        except (MemoryError, RuntimeError) as error:
            line = lacks_memory(error)
            if line is None:
                raise
            _fail(line, 1)


def _line_of_usage(error: Any) -> str:
    """What was typed that is no command, and where to look; a group of commands alone shows its help."""
    line = str(error.format_message())
    if type(error).__name__ == "NoArgsIsHelpError":
        return line
    command = "" if error.ctx is None else f"{error.ctx.command_path} "
    return f"error: {line.rstrip('.')}; {command}--help says how"


def _fail(line: str, code: int) -> None:
    say(f"error: {line}", err=True)
    raise typer.Exit(code)


app = typer.Typer(
    cls=_Group,
    help="Find one person in many whole scene pictures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


app.command()(find.demo)
app.command()(find.index)
app.command()(search.search)
app.command()(find.detect)
app.command()(watch.watch)
app.command()(page.serve)
care.gallery.command()(taking.export)
app.add_typer(care.gallery, name="gallery")
app.command()(cli_data.synthesize)
app.add_typer(cli_data.data, name="data")


app.command()(cli_models.train)
app.command()(cli_models.evaluate)
app.command()(export.export)
app.command()(cli_models.describe)
app.command()(cli_reproduce.reproduce)


def main() -> None:
    """The command; a fault of the program itself is one line, too, and exit code 70."""
    try:
        app()
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:  # a panic in native code is no Exception
        if os.environ.get(_SHOW):
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        what = f"{type(error).__name__}: {str(error)[:200]}, {Path(where.filename).name} line {where.lineno}"
        say(f"error: a fault of personsearch itself ({what}): please report it, with what {_SHOW}=1 shows", err=True)
        sys.exit(70)


_SHOW = "PERSONSEARCH_TRACEBACK"
"""Set in the environment, it shows where a fault of the program is."""


if __name__ == "__main__":
    main()
