"""How a region is read from a scene's map, and features of regions that are each read once.

Several queries propose much the same boxes. Where a reading cannot tell boxes apart, they are one region.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torchvision.ops import box_iou, roi_pool

from personsearch.models.roi_align import roi_align
from personsearch.models.rpn import STRIDE


class RegionReading(Protocol):
    """Reads regions of the pictures that maps were made of."""

    def regions(self, boxes: Tensor) -> Tensor:
        """The regions [N, 4] that are read for proposals [N, 4]; equal ones have equal features."""
        ...

    def pool(self, maps: Tensor, regions: list[Tensor]) -> Tensor:
        """Maps [B, C, H, W] at regions, one [R_i, 4] a map, to [R, C, h, w]."""
        ...


class RoIPooling:
    """RoIPool, as the paper has it. It sees whole cells of a map: boxes rounded to the same are one region."""

    SIZE = (7, 7)

    def regions(self, boxes: Tensor) -> Tensor:
        return whole_cells(boxes).to(boxes.dtype) * STRIDE

    def pool(self, maps: Tensor, regions: list[Tensor]) -> Tensor:
        pooled: Tensor = roi_pool(maps.float(), regions, self.SIZE, 1 / STRIDE)
        return pooled.contiguous(memory_format=torch.channels_last)


class RoIAligning:
    """RoIAlign, as the search network has it. It tells any two boxes apart, so queries share a region only where they
    propose the same box: see `at_places`."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def regions(self, boxes: Tensor) -> Tensor:
        return boxes

    def pool(self, maps: Tensor, regions: list[Tensor]) -> Tensor:
        if not any(len(some) for some in regions):  # all are known, and need no copy of the map to be read from
            return maps.new_zeros(0, maps.shape[1], *self.size)
        return roi_align(maps, regions, self.size, STRIDE)


def at_places(boxes: Tensor, places: Tensor) -> Tensor:
    """Boxes [N, 4] moved to the nearest of places [K, 4], or to a grid of their own size where no place is near.

    Queries that propose nearly the same then read the same region. Where the person really ends is said by the box
    that the region's features predict.
    """
    if not len(places):
        return on_grid(boxes)
    overlaps, nearest = box_iou(boxes, places).max(dim=1)
    return torch.where((overlaps >= NEAR)[:, None], places[nearest], on_grid(boxes))


NEAR = 0.6
"""Overlap (IoU) of a box with a place that is near."""
SIZES, PARTS = 8, 16
"""Of the grid: sides are 2 ** (k / SIZES) pixels, centres lie at multiples of a side / PARTS."""


def on_grid(boxes: Tensor) -> Tensor:
    """The nearest boxes [N, 4] of a grid that is coarse for large boxes, fine for small ones."""
    sides = boxes[:, 2:] - boxes[:, :2]
    settled = torch.exp2(torch.round(sides.clamp(min=1).log2() * SIZES) / SIZES)
    step = settled / PARTS
    centres = torch.round((boxes[:, :2] + boxes[:, 2:]) / 2 / step) * step
    return torch.cat([centres - settled / 2, centres + settled / 2], dim=1)


def whole_cells(boxes: Tensor) -> Tensor:
    """First and last cells [N, 4] int64 that RoIPool reads for boxes [N, 4]: it rounds halves up."""
    return torch.floor(boxes / STRIDE + 0.5).long()


def first_of_each(regions: Tensor) -> Tensor:
    """Where in [N, 4] each distinct region stands first, in their order."""
    found, indices = distinct(regions)
    places = torch.arange(len(regions), device=regions.device)
    first = torch.full((len(found),), len(regions), device=regions.device)
    return first.scatter_reduce(0, indices, places, "amin").sort().values


def distinct(regions: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct ones [R, 4] of regions [N, 4], and the index [N] of each region among them."""
    found, indices = torch.unique(regions, dim=0, return_inverse=True)
    return found, indices


class RegionFeatures:
    """A cache of the features of one scene's regions, at most `most` of them (8 kB each).

    It belongs to the caller who searches a scene several times: neither scene codes nor networks hold what grows.
    """

    def __init__(self, most: int = 2048) -> None:
        self._most = most
        self._known: dict[tuple[float, ...], Tensor] = {}

    def __len__(self) -> int:
        return len(self._known)

    def read(self, regions: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """Features [N, D] of regions [N, 4]; `compute` is given only those not known yet, each once."""
        each, indices = distinct(regions)
        keys = [tuple(row) for row in each.tolist()]
        missing = [index for index, key in enumerate(keys) if key not in self._known]
        fresh = compute(each[missing])  # of no region: [0, D]
        read = {keys[index]: row for index, row in zip(missing, fresh, strict=True)}
        rows = [read[key] if key in read else self._known[key] for key in keys]
        if len(self._known) + len(read) <= self._most:
            self._known |= {key: row.clone() for key, row in read.items()}
        return torch.stack(rows)[indices] if rows else fresh
