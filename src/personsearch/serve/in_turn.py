"""Big work of a server's many threads, done by one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Answer = TypeVar("Answer")


class InTurn:
    """Does one piece of work after the other, all in one thread, whoever asks.

    Memory that is freed stays with the thread that used it, so a model that read pictures in each of a server's forty
    threads would hold a scene's buffers forty times.
    """

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def do(self, work: Callable[[], Answer]) -> Answer:
        """What it gives or raises, once it is its turn."""
        return self._thread.submit(work).result()
