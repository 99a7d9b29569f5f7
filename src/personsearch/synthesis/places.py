"""A place: the solids of its layout, and where people can stand and cameras hang.

A place's number fixes its kind, its layout and its cameras; it says nothing about who walks there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from personsearch.synthesis.layouts import KINDS, Layout
from personsearch.synthesis.props import skyline
from personsearch.synthesis.shapes import Builder, StaticMesh
from personsearch.synthesis.streams import Stream


@dataclass(frozen=True)
class Place:
    kind: str
    layout: Layout
    mesh: StaticMesh
    blocks: NDArray[np.float64]  # [N, 5] see Builder.blocks
    crowns: NDArray[np.float64]  # [N, 3] see Builder.crowns

    def free(self, x: float, y: float, margin: float = 0.32) -> bool:
        """Whether somebody can stand here."""
        x1, y1, x2, y2 = self.layout.area
        if not (x1 < x < x2 and y1 < y < y2):
            return False
        if not len(self.blocks):
            return True
        dx, dy = x - self.blocks[:, 0], y - self.blocks[:, 1]
        c, s = np.cos(self.blocks[:, 4]), np.sin(self.blocks[:, 4])
        u, v = np.abs(c * dx + s * dy), np.abs(c * dy - s * dx)
        return not bool(((u < self.blocks[:, 2] + margin) & (v < self.blocks[:, 3] + margin)).any())

    def clear_for_camera(self, x: float, y: float) -> bool:
        """Whether a camera hangs free here: away from walls and things, and not inside the crown of a tree."""
        near = np.hypot(self.crowns[:, 0] - x, self.crowns[:, 1] - y) < self.crowns[:, 2] + 0.6
        return self.free(x, y, 0.9) and not bool(near.any())


def build_place(seed: int, number: int) -> Place:
    """The place with this number. Numbers run through the kinds in turn."""
    rng = np.random.default_rng([seed, Stream.PLACE, number])
    b = Builder()
    make = KINDS[number % len(KINDS)]
    layout = make(b, rng)
    if not layout.ceiling:
        skyline(b, rng)
    blocks = np.asarray(b.blocks, np.float64).reshape(-1, 5)
    return Place(make.__name__, layout, b.finish(), blocks, np.asarray(b.crowns, np.float64).reshape(-1, 3))
