"""Boxes as offsets from reference boxes (Faster R-CNN, section 3.1.2), and back."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# a predicted box may be at most this many times wider or taller than its reference; keeps exp finite
_MAX_LOG_GROWTH = math.log(1000 / 16)


def encode_boxes(boxes: Tensor, references: Tensor, std: tuple[float, float, float, float]) -> Tensor:
    """Offsets [N, 4] (dx, dy, dw, dh), divided by `std`, that lead from references to boxes, both [N, 4] xyxy."""
    rx, ry, rw, rh = _centres(references)
    bx, by, bw, bh = _centres(boxes)
    deltas = torch.stack([(bx - rx) / rw, (by - ry) / rh, (bw / rw).log(), (bh / rh).log()], dim=1)
    return deltas / deltas.new_tensor(std)


def decode_boxes(deltas: Tensor, references: Tensor, std: tuple[float, float, float, float]) -> Tensor:
    """Boxes [N, 4] xyxy: the inverse of `encode_boxes`, except that growth is bounded."""
    rx, ry, rw, rh = _centres(references)
    dx, dy, dw, dh = (deltas * deltas.new_tensor(std)).unbind(1)
    x, y = rx + dx * rw, ry + dy * rh
    w = rw * dw.clamp(max=_MAX_LOG_GROWTH).exp()
    h = rh * dh.clamp(max=_MAX_LOG_GROWTH).exp()
    return torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dim=1)


def _centres(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x1, y1, x2, y2 = boxes.unbind(1)
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
