"""Boxes at the doors: what torchvision.ops lacks. Inside the package every box is xyxy in original pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from personsearch.errors import BoxError


def clip_boxes(boxes: Tensor, width: float, height: float) -> Tensor:
    """[N, 4] xyxy boxes cut to the picture [0, width] x [0, height]; a new tensor. Empty in, empty out.

    A box wholly outside becomes one without area.

    >>> clip_boxes(torch.tensor([[-5.0, 2.0, 120.0, 50.0]]), 100, 40)
    tensor([[  0.,   2., 100.,  40.]])
    """
    limit = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limit)


def scale_boxes(boxes: Tensor, x_scale: float, y_scale: float) -> Tensor:
    """[N, 4] xyxy boxes of a picture whose width and height are multiplied by these factors; a new tensor.

    >>> scale_boxes(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 2, 10)
    tensor([[ 2., 20.,  6., 40.]])
    """
    return boxes * boxes.new_tensor([x_scale, y_scale, x_scale, y_scale])


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """[N, 4] (left, top, width, height) to (left, top, right, bottom); a new tensor.

    >>> xywh_to_xyxy(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    tensor([[1., 2., 4., 6.]])
    """
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], dim=-1)


def xyxy_to_xywh(boxes: Tensor) -> Tensor:
    """[N, 4] (left, top, right, bottom) to (left, top, width, height); a new tensor.

    >>> xyxy_to_xywh(torch.tensor([[1.0, 2.0, 4.0, 6.0]]))
    tensor([[1., 2., 3., 4.]])
    """
    return torch.cat([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], dim=-1)


def check_box(box: Sequence[float], width: float, height: float) -> tuple[float, float, float, float]:
    """The xyxy box cut to a picture of `width` x `height` pixels.

    Raises BoxError when it is not four finite numbers, has no area, or lies wholly outside the picture.

    >>> check_box((-10, 0, 50, 60), width=100, height=40)
    (0.0, 0.0, 50.0, 40.0)
    """
    numbers = [float(value) for value in box]
    shown = " ".join(f"{value:g}" for value in numbers)
    if len(numbers) != 4:
        raise BoxError(f"box '{shown}' has {len(numbers)} numbers: give four, x1 y1 x2 y2, in pixels")
    if not all(math.isfinite(value) for value in numbers):
        raise BoxError(f"box '{shown}' holds a number that is not finite: give x1 y1 x2 y2 in pixels")
    x1, y1, x2, y2 = numbers
    if x2 <= x1 or y2 <= y1:
        raise BoxError(f"box '{shown}' has no area: give x1 y1 x2 y2 with x1 < x2 and y1 < y2")
    x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))
    if x2 <= x1 or y2 <= y1:
        raise BoxError(f"box '{shown}' lies outside the picture: x goes from 0 to {width:g} and y from 0 to {height:g}")
    return x1, y1, x2, y2
