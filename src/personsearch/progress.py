"""How long operations tell how far they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Progress:
    """Told how far a long operation is; called, it wraps the items of a loop and tells how many are done."""

    def __init__(self, tell: Callable[[float, int, str], None]) -> None:
        self.tell = tell
        """Called with what is done, how much there is, and what is being done: for loops whose steps are no whole
        items, such as the frames of a video that is one file of many"""

    def __call__(self, items: Iterable[Item], text: str, total: int) -> Iterator[Item]:
        """The items; before each one it is told how many came before it."""
        for number, item in enumerate(items):
            self.tell(number, total, text)
            yield item


quiet = Progress(lambda done, total, what: None)
"""Shows nothing."""
