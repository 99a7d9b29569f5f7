"""Boxes as offsets, and back."""

import math

import torch

from personsearch.geometry.deltas import decode_boxes, encode_boxes

STD = (0.1, 0.1, 0.2, 0.2)


def test_there_and_back() -> None:
    torch.manual_seed(0)
    corners = torch.rand(2, 20, 2) * 100
    boxes, references = torch.cat([corners, corners + torch.rand(2, 20, 2) * 50 + 5], dim=2)
    torch.testing.assert_close(decode_boxes(encode_boxes(boxes, references, STD), references, STD), boxes)


def test_offsets_are_those_of_faster_rcnn() -> None:
    reference, box = torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[5.0, 0, 25, 20]])
    expected = [(15 - 5) / 10 / 0.1, 0, math.log(2) / 0.2, 0]
    torch.testing.assert_close(encode_boxes(box, reference, STD), torch.tensor([expected]))


def test_growth_is_bounded() -> None:
    wild = decode_boxes(torch.tensor([[0.0, 0, 1e4, 1e4]]), torch.tensor([[0.0, 0, 10, 10]]), STD)
    assert wild.isfinite().all()
