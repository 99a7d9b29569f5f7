"""Our RoIAlign against torchvision's, gradients included."""

import torch
from torchvision.ops import roi_align as oracle

from personsearch.models.roi_align import roi_align


def _case() -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 5, 12, 20, generator=generator, requires_grad=True)
    corners = torch.rand(2, 9, 2, generator=generator) * 200 - 20  # some reach over each border
    sides = torch.rand(2, 9, 2, generator=generator) * 180 + 1
    return maps, list(torch.cat([corners, corners + sides], dim=2))


def test_equals_torchvision_with_gradient() -> None:
    maps, boxes = _case()
    ours = roi_align(maps, boxes, (14, 6), 16)
    theirs = oracle(maps, boxes, (14, 6), 1 / 16, sampling_ratio=2, aligned=True)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    seed = torch.randn_like(ours)
    (mine,) = torch.autograd.grad(ours, maps, seed)
    (other,) = torch.autograd.grad(theirs, maps, seed)
    torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)


def test_no_boxes_give_no_regions() -> None:
    maps, boxes = _case()
    assert roi_align(maps, [boxes[0][:0], boxes[1][:0]], (14, 6), 16).shape == (0, 5, 14, 6)
    assert roi_align(maps, [boxes[0][:0], boxes[1]], (14, 6), 16).shape == (9, 5, 14, 6)
