"""Suppression by overlap is torchvision's; by looks it spares neighbours and not twins."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import nms

from personsearch.geometry.suppression import suppress


def crowd(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=random) * 60
    boxes = torch.cat([corner, corner + 20 + 20 * torch.rand(count, 2, generator=random)], dim=1)
    scores = torch.randint(0, 20, (count,), generator=random) / 20  # ties
    return boxes, scores, F.normalize(torch.randn(count, 4, generator=random), dim=1)


def iou(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("least", [0.3, 0.5, 1.0])
def test_overlap_alone_is_ordinary_suppression(seed: int, least: float) -> None:
    boxes, scores, embeddings = crowd(60, seed)
    scores = scores + torch.arange(60) * 1e-4  # torchvision does not promise an order of ties
    assert torch.equal(suppress(boxes, scores, embeddings, least), nms(boxes, scores, least))


@pytest.mark.parametrize("seed", range(5))
def test_looks_are_asked_as_by_hand(seed: int) -> None:
    boxes, scores, embeddings = crowd(40, seed)
    kept: list[int] = []
    for place in sorted(range(40), key=lambda n: (-float(scores[n]), n)):
        overlaps = [iou(boxes[place].tolist(), boxes[other].tolist()) for other in kept]
        alike = [float(embeddings[place] @ embeddings[other]) for other in kept]
        if not any(o > 0.6 or (o > 0.2 and a > 0.5) for o, a in zip(overlaps, alike, strict=True)):
            kept.append(place)
    assert suppress(boxes, scores, embeddings, 0.6, 0.2, 0.5).tolist() == kept


def test_a_neighbour_stays_and_a_twin_goes() -> None:
    boxes = torch.tensor([[0.0, 0, 20, 60], [6.0, 0, 26, 60], [6.0, 0, 26, 60]])  # overlap 14 / 26
    looks = torch.tensor([[1.0, 0], [0.0, 1], [1.0, 0]])
    assert suppress(boxes[:2], torch.tensor([0.9, 0.8]), looks[:2], 0.6, 0.3, 0.7).tolist() == [0, 1]
    assert suppress(boxes[[0, 2]], torch.tensor([0.9, 0.8]), looks[[0, 2]], 0.6, 0.3, 0.7).tolist() == [0]


def test_nobody_stays_nobody() -> None:
    assert suppress(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, 4), 0.4).shape == (0,)
