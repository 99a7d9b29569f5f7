"""How operations that take long report their progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


class Progress:
    """Receives how far a long operation is. Called, it wraps the items of a loop and reports how many are done."""

    def __init__(self, tell: Callable[[float, int, str], None]) -> None:
        self.tell = tell
        """Called with the amount done, the total, and a text: directly where steps are no whole items, such as the
        frames of a video that is one file of many"""

    def __call__(self, items: Iterable[Item], text: str, total: int) -> Iterator[Item]:
        """The items; before each one, the number of items before it is reported."""
        for number, item in enumerate(items):
            self.tell(number, total, text)
            yield item


quiet = Progress(lambda done, total, what: None)
"""Shows nothing."""
