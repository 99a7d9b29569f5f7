"""How often, and how many at once: limits that keep one visitor from taking the page from the others."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_ADDRESSES = 10_000
"""Whose pace is known; the longest unseen is forgotten first."""


class Pace:
    """A bucket for each address: `burst` requests at once, and `per_second` more as time goes on."""

    def __init__(self, burst: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._per_second, self._clock = burst, per_second, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def left(self, address: str) -> float:
        """How many requests an address may send at this moment."""
        left, then = self._left.get(address, (float(self._burst), self._clock()))
        return min(float(self._burst), left + (self._clock() - then) * self._per_second)

    def spend(self, address: str) -> bool:
        """Counts a request; False, and nothing counted, where it is one too many."""
        left = self.left(address)
        if left < 1:
            return False
        self._left[address] = left - 1, self._clock()
        self._left.move_to_end(address)
        while len(self._left) > _MOST_ADDRESSES:
            self._left.popitem(last=False)
        return True


class Turns:
    """At most `most` at once."""

    def __init__(self, most: int) -> None:
        self._free = most

    def take(self) -> bool:
        if not self._free:
            return False
        self._free -= 1
        return True

    def give_back(self) -> None:
        self._free += 1
