"""RoIAlign as two matrix products.

Bilinear sampling is separable, so pooling a region is one product along x and one along y. On a CPU this is much
faster than torchvision's kernel, whose backward pass runs on one thread; torchvision is the test's oracle.
"""

from __future__ import annotations

import torch
from torch import Tensor

_SAMPLES = 2  # points per bin and axis


def roi_align(maps: Tensor, boxes: list[Tensor], size: tuple[int, int], stride: int) -> Tensor:
    """Maps [B, C, H, W] at boxes (one [R_i, 4] xyxy a map, in pixels of the picture) to [R, C, *size], float32.

    Aligned, two by two samples a bin. No boxes give [0, C, *size].
    """
    # float32, because bfloat16 would round the interpolation weights to three digits
    with torch.autocast(maps.device.type, enabled=False):
        pooled = [_pool(m.float(), b.float() / stride, size) for m, b in zip(maps, boxes, strict=True)]
        return torch.cat(pooled).contiguous(memory_format=torch.channels_last)


def _pool(feature_map: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    channels, height, width = feature_map.shape
    x1, y1, x2, y2 = boxes.unbind(1)
    along_y = _weights(y1, y2, size[0], height)  # [R, h, H]
    along_x = _weights(x1, x2, size[1], width)  # [R, w, W]
    columns = feature_map.permute(2, 1, 0).reshape(width, height * channels)
    rows = (along_x.flatten(0, 1) @ columns).view(len(boxes), size[1], height, channels)  # [R, w, H, C]
    return (along_y[:, None] @ rows).permute(0, 3, 2, 1)  # [R, w, h, C] to [R, C, h, w]


def _weights(low: Tensor, high: Tensor, bins: int, length: int) -> Tensor:
    """How much each of `length` cells counts in each bin of the intervals [low, high]: [R, bins, length]."""
    steps = (torch.arange(bins * _SAMPLES, device=low.device) + 0.5) / (bins * _SAMPLES)
    points = low[:, None] + (high - low)[:, None] * steps - 0.5  # [R, bins * samples], in cells
    inside = ((points >= -1) & (points <= length)).float()
    cells = torch.arange(length, device=low.device)
    hats = (1 - (points.clamp(0, length - 1)[..., None] - cells).abs()).clamp(min=0) * inside[..., None]
    return hats.view(len(low), bins, _SAMPLES, length).mean(dim=2)
