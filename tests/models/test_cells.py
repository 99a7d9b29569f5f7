"""Regions are read once, and a region is exactly what RoIPool cannot tell apart."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import box_iou, roi_pool

from personsearch.models.region_features import (
    NEAR,
    RegionFeatures,
    RoIPooling,
    at_places,
    first_of_each,
    on_grid,
    whole_cells,
)


def some_boxes(count: int, seed: int) -> Tensor:
    corners = torch.rand(count, 2, 2, generator=torch.Generator().manual_seed(seed)) * 300
    return torch.cat([corners.min(dim=1).values, corners.max(dim=1).values + 1], dim=1)


def test_roi_pool_sees_whole_cells() -> None:
    maps = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    boxes = torch.cat([some_boxes(200, 1), torch.tensor([[8.0, 24.0, 40.0, 56.0], [0.0, 0.0, 1.0, 1.0]])])  # halves too
    ours = roi_pool(maps, [whole_cells(boxes).float() * 16], (7, 7), 1 / 16)
    assert torch.equal(ours, roi_pool(maps, [boxes], (7, 7), 1 / 16))


def cells(boxes: Tensor) -> Tensor:
    return RoIPooling().regions(boxes)


class Reader:
    """Says of a region its corners, and counts what it was given."""

    def __init__(self) -> None:
        self.given: list[int] = []

    def __call__(self, regions: Tensor) -> Tensor:
        self.given.append(len(regions))
        return regions * 2


def test_every_region_is_read_once() -> None:
    reader, features = Reader(), RegionFeatures()
    boxes = some_boxes(50, 2)
    expected = whole_cells(boxes) * 32.0
    assert torch.equal(features.read(cells(boxes), reader), expected)
    assert torch.equal(features.read(cells(boxes.flip(0)), reader), expected.flip(0))
    moved = boxes + 0.0
    moved[0] += 64
    assert torch.equal(features.read(cells(moved), reader), whole_cells(moved) * 32.0)
    distinct = len(whole_cells(boxes).unique(dim=0))
    assert reader.given == [distinct, 0, 1]
    assert len(features) == distinct + 1


def test_memory_is_bounded() -> None:
    reader, features = Reader(), RegionFeatures(most=10)
    first, second = some_boxes(8, 3), some_boxes(8, 4)
    features.read(cells(first), reader)
    assert torch.equal(features.read(cells(second), reader), whole_cells(second) * 32.0)
    assert len(features) == 8


def test_no_boxes_have_no_features() -> None:
    features = RegionFeatures()
    assert features.read(torch.zeros(0, 4), Reader()).shape == (0, 4)


def test_the_grid_is_near_and_settled() -> None:
    boxes = some_boxes(500, 5)
    boxes[:, 2:] += 10
    settled = on_grid(boxes)
    assert torch.equal(on_grid(settled), settled), "on the grid a box stays where it is"
    assert box_iou(boxes, settled).diagonal().min() > 0.8
    nearly = boxes + 0.01
    assert (on_grid(nearly) == settled).all(dim=1).float().mean() > 0.95, "boxes that are nearly the same are one"
    assert len(on_grid(boxes[:0])) == 0


def test_boxes_move_to_the_nearest_place_or_to_the_grid() -> None:
    boxes, places = some_boxes(300, 6), some_boxes(200, 7)
    moved = at_places(boxes, places)
    for box, own, where in zip(boxes, on_grid(boxes), moved, strict=True):
        overlaps = [float(box_iou(box[None], place[None])) for place in places]
        best = max(range(len(places)), key=lambda k: overlaps[k])
        assert torch.equal(where, places[best] if overlaps[best] >= NEAR else own)
    near = (box_iou(boxes, places).max(dim=1).values >= NEAR).float().mean()
    assert 0.05 < near < 0.95, "both happen"
    assert torch.equal(at_places(places, places), places)
    assert torch.equal(at_places(boxes, places[:0]), on_grid(boxes))
    assert at_places(boxes[:0], places).shape == (0, 4)


def test_the_first_of_equal_regions_stays() -> None:
    regions = whole_cells(some_boxes(300, 8) / 8)
    seen, expected = set(), []
    for index, region in enumerate(map(tuple, regions.tolist())):
        if region not in seen:
            expected.append(index)
        seen.add(region)
    assert 10 < len(expected) < 290
    assert first_of_each(regions).tolist() == expected
    assert first_of_each(regions[:0]).tolist() == []
