"""Features of regions, each read once. RoIPool sees whole cells of a map, so boxes that round alike are one region."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from personsearch.models.rpn import STRIDE


def whole_cells(boxes: Tensor) -> Tensor:
    """First and last cells [N, 4] int64 that RoIPool takes boxes [N, 4] for: it rounds halves up."""
    return torch.floor(boxes / STRIDE + 0.5).long()


def distinct_regions(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The regions [R, 4] that RoIPool sees in boxes [N, 4], as boxes of whole cells, and which one each box is [N]."""
    cells, places = torch.unique(whole_cells(boxes), dim=0, return_inverse=True)
    return cells.to(boxes.dtype) * STRIDE, places


class RegionFeatures:
    """What was read of one scene's regions so far, for whoever asks next. Holds at most `most` regions (8 kB each).

    Belongs to whoever asks a scene several times; codes of scenes and networks hold nothing that grows.
    """

    def __init__(self, most: int = 2048) -> None:
        self._most = most
        self._known: dict[tuple[float, ...], Tensor] = {}

    def __len__(self) -> int:
        return len(self._known)

    def read(self, boxes: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Features [N, D] of boxes [N, 4]; `compute` is given only regions not known yet, as boxes of whole cells."""
        regions, places = distinct_regions(boxes)
        keys = [tuple(row) for row in regions.tolist()]
        missing = [place for place, key in enumerate(keys) if key not in self._known]
        fresh = compute(regions[missing])  # of no region: [0, D]
        read = {keys[place]: row for place, row in zip(missing, fresh, strict=True)}
        rows = [read[key] if key in read else self._known[key] for key in keys]
        if len(self._known) + len(read) <= self._most:
            self._known |= {key: row.clone() for key, row in read.items()}
        return torch.stack(rows)[places] if rows else fresh
