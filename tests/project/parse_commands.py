"""Parses the commands of the documentation, a JSON list of lists of words on stdin, without running them.

Each goes through the option parser of its own command or script, and recipes, settings and data through the
functions that read them. Prints one line for each command that is refused. For test_docs.py, in a process of its own.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer

from personsearch.cli.app import app
from personsearch.data.sources import split_spec
from personsearch.reproduce.benchmarks import check_data
from personsearch.reproduce.catalogue import get_table
from personsearch.reproduce.scales import get_scale
from personsearch.settings import change_settings
from personsearch.training.recipes import get_recipe

ROOT = Path(__file__).parents[2]


class ParsedError(Exception):
    """Raised instead of what a script does once it knows its options."""


def parse(words: Sequence[str]) -> None:
    """Raises whatever the command raises for words that it does not know."""
    program, *rest = words
    if program == "personsearch":
        parse_personsearch(rest)
    elif program == "python" and "argparse" in (ROOT / rest[0]).read_text(encoding="utf-8"):
        parse_script(rest[0], rest[1:])
    elif program == "python":
        count_arguments(rest[0], rest[1:])
    else:
        raise ValueError(f"{program} is no command of this project")


def parse_personsearch(words: Sequence[str]) -> None:
    command: Any = typer.main.get_command(app)
    context, rest = command.make_context("personsearch", list(words)), list(words)
    while hasattr(command, "resolve_command"):
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, list(rest), parent=context)
    if "recipe" in context.params:
        change_settings(get_recipe(context.params["recipe"]), context.params["settings"] or [])
    if "table" in context.params:
        parse_reproduce(context.params)
    elif context.params.get("data") is not None:  # export has the sample where none is given
        split_spec(context.params["data"])


def parse_reproduce(given: dict[str, Any]) -> None:
    if given["table"] != "list":
        check_data(get_table(given["table"]), given["data"], get_scale(given["scale"]))


def parse_script(script: str, words: Sequence[str]) -> None:
    """By the script's own parser: it is run up to the moment at which its options are known."""
    real = argparse.ArgumentParser.parse_args

    def parse_args(parser: argparse.ArgumentParser) -> None:
        given = real(parser)
        for recipe in getattr(given, "recipes", []):
            change_settings(get_recipe(recipe), getattr(given, "set", []))
        raise ParsedError

    path = ROOT / script
    with (
        patch.object(sys, "argv", [str(path), *words]),
        patch.object(sys, "path", [str(path.parent), *sys.path]),
        patch.object(argparse.ArgumentParser, "parse_args", parse_args),
    ):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except ParsedError:
            return
    raise ValueError(f"{script} did not look at its options")


def count_arguments(script: str, words: Sequence[str]) -> None:
    """A script without options: its docstring says which arguments it takes."""
    docstring = ast.get_docstring(ast.parse((ROOT / script).read_text(encoding="utf-8"))) or ""
    usage = re.search(rf"python {re.escape(script)}(.*?)(?:  |\n|$)", docstring)
    assert usage is not None, f"{script} does not say how it is run"
    names = re.findall(r"\[?[A-Z][A-Z.a-z]*\]?", usage[1])
    needed = [name for name in names if not name.startswith("[")]
    assert len(needed) <= len(words) <= len(names), f"{script} takes {' '.join(names)}"


def main() -> None:
    for words in json.load(sys.stdin):
        try:
            parse(words)
        except (Exception, SystemExit) as error:
            print(f"{' '.join(words)}: {type(error).__name__} {error}")


if __name__ == "__main__":
    main()
