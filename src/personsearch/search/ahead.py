"""What comes next is made ready beside the work on what is there."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(steps: Iterator[T]) -> Generator[T]:
    """The same steps, each made in a thread of its own while the caller works on the one before.

    What a step raises comes where the step would have come. Pictures are decoded so beside the network: decoding
    leaves Python alone, and so does the network.
    """
    end = object()
    with ThreadPoolExecutor(1, "ahead") as thread:
        coming = thread.submit(next, steps, end)
        while (step := coming.result()) is not end:
            coming = thread.submit(next, steps, end)
            yield step  # type: ignore[misc]
