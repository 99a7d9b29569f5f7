"""Features of regions, each read once. RoIPool sees whole cells of a map: boxes rounded to the same are one region."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from personsearch.models.rpn import STRIDE


def whole_cells(boxes: Tensor) -> Tensor:
    """First and last cells [N, 4] int64 that RoIPool reads for boxes [N, 4]: it rounds halves up."""
    return torch.floor(boxes / STRIDE + 0.5).long()


def distinct_regions(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct regions [R, 4] of boxes [N, 4], as boxes of whole cells, and the index [N] of each box's region."""
    cells, indices = torch.unique(whole_cells(boxes), dim=0, return_inverse=True)
    return cells.to(boxes.dtype) * STRIDE, indices


class RegionFeatures:
    """A cache of the features of one scene's regions, at most `most` of them (8 kB each).

    It belongs to the caller who searches a scene several times: neither scene codes nor networks hold what grows.
    """

    def __init__(self, most: int = 2048) -> None:
        self._most = most
        self._known: dict[tuple[float, ...], Tensor] = {}

    def __len__(self) -> int:
        return len(self._known)

    def read(self, boxes: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Features [N, D] of boxes [N, 4]; `compute` is given only regions not known yet, as boxes of whole cells."""
        regions, indices = distinct_regions(boxes)
        keys = [tuple(row) for row in regions.tolist()]
        missing = [index for index, key in enumerate(keys) if key not in self._known]
        fresh = compute(regions[missing])  # of no region: [0, D]
        read = {keys[index]: row for index, row in zip(missing, fresh, strict=True)}
        rows = [read[key] if key in read else self._known[key] for key in keys]
        if len(self._known) + len(read) <= self._most:
            self._known |= {key: row.clone() for key, row in read.items()}
        return torch.stack(rows)[indices] if rows else fresh
