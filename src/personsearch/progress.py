"""How long operations tell how far they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Progress = Callable[[Iterable[Any], str, int], Iterable[Any]]
"""Wraps an iterable with a description and a total, to show how far a long operation is."""


def quiet(items: Iterable[Any], _text: str, _total: int) -> Iterable[Any]:
    """A Progress that shows nothing."""
    return items
