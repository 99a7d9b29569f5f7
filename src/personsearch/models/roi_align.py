"""RoIAlign as a weighted sum of cells.

A bin's value is a sum of sixteen cells of the map: two by two samples, each between four cells. Summing rows of a
table by index and weight is what `embedding_bag` does, on all cores, forwards and backwards; torchvision's kernel,
the test's oracle, is much slower on a CPU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

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
    rows, along_y = _taps(y1, y2, size[0], height)  # [R, h, 4]
    columns, along_x = _taps(x1, x2, size[1], width)  # [R, w, 4]
    cells = rows[:, :, None, :, None] * width + columns[:, None, :, None, :]  # [R, h, w, 4, 4]
    weights = along_y[:, :, None, :, None] * along_x[:, None, :, None, :]
    cells, weights = (of.flatten(3).flatten(0, 2) for of in (cells, weights))  # [R h w, 16]
    table = feature_map.permute(1, 2, 0).reshape(height * width, channels)
    bins = F.embedding_bag(cells, table, mode="sum", per_sample_weights=weights)
    return bins.view(len(boxes), *size, channels).permute(0, 3, 1, 2)


def _taps(low: Tensor, high: Tensor, bins: int, length: int) -> tuple[Tensor, Tensor]:
    """The cells along one axis that the samples of each bin of [low, high] lie between, and how much each counts.

    Both [R, bins, 4]; there are `length` cells.
    """
    steps = (torch.arange(bins * _SAMPLES, device=low.device) + 0.5) / (bins * _SAMPLES)
    points = low[:, None] + (high - low)[:, None] * steps - 0.5  # [R, bins * samples], in cells
    inside = ((points >= -1) & (points <= length)).float()[..., None]
    points = points.clamp(0, length - 1)
    first = points.floor()
    share = points - first
    cells = torch.stack([first, (first + 1).clamp(max=length - 1)], dim=2).long()
    weights = torch.stack([1 - share, share], dim=2) * inside / _SAMPLES
    return cells.view(len(low), bins, 2 * _SAMPLES), weights.view(len(low), bins, 2 * _SAMPLES)
