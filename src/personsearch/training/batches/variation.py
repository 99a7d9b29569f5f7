"""How one patch becomes many: what cameras, boxes and passers-by do to a person, for a whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from personsearch.data.patches import PATCH_SIZE
from personsearch.settings import Part

Rng = np.random.Generator

MARGIN = 1.2
"""Patches are kept this much larger than their box, so that a use may be cut looser or tighter."""
_TIGHTEST, _LOOSEST = 0.84, 1.18
"""Of a cut, in heights and widths of the box."""
_COARSEST = 0.22
"""Least part of its pixels that a patch keeps along a side: about 50 of 224."""


@dataclass(frozen=True)
class VariationSettings:
    """How patches are varied while training; the shares are of all patches."""

    colour: float = 1.0
    """How far colours and light go: 0 not at all; at 1 brightness changes by a quarter (one standard deviation)."""
    coarse: Part = 0.5
    """Share of patches that lose resolution."""
    hidden: Part = 0.5
    """Share of patches of which a part is hidden."""
    grey: Part = 0.04
    """Share of patches without colour."""


def vary(patches: Tensor, settings: VariationSettings, random: Rng) -> Tensor:
    """Patches [N, 3, H, W] uint8 with MARGIN around their box, each cut, mirrored, lit and hidden anew:
    [N, 3, 224, 96] uint8."""
    varied = _cut(patches.float(), random)
    varied = _coarsen(varied, settings.coarse, random)
    varied = _relight(varied, settings, random)
    varied = _hide(varied, settings.hidden, random)
    return varied.clamp(0, 255).round().byte()


def _column(values: NDArray[Any]) -> Tensor:
    """Numbers [N] or [N, 3] as [N, 1 or 3, 1, 1]."""
    return torch.from_numpy(values).float().reshape(len(values), -1, 1, 1)


def _cut(patches: Tensor, random: Rng) -> Tensor:
    """A part of each patch about as large as its box, mirrored or not, at the size of patches."""
    count = len(patches)
    size = random.uniform(_TIGHTEST, _LOOSEST, (count, 1)) * random.uniform(0.95, 1.05, (count, 2))
    size = np.minimum(size / MARGIN, 1.0)  # parts of the kept patch, across and down
    place = random.uniform(-1, 1, (count, 2)) * (1 - size) * 0.5
    mirrored = np.where(random.random(count) < 0.5, -1.0, 1.0)
    theta = np.zeros((count, 2, 3), np.float32)
    theta[:, 0, 0], theta[:, 1, 1] = size[:, 0] * mirrored, size[:, 1]
    theta[:, :, 2] = place
    grid = F.affine_grid(torch.from_numpy(theta), [count, 3, *PATCH_SIZE], align_corners=False)
    return F.grid_sample(patches, grid, mode="bilinear", padding_mode="border", align_corners=False)


_GROUPS = 8
"""Patches that lose resolution do so in this many groups, each to one size: one interpolation for all of a group."""


def _coarsen(patches: Tensor, share: float, random: Rng) -> Tensor:
    """Fewer pixels, and back: what a far person, a soft lens or a strong compression leaves."""
    chosen = torch.from_numpy(np.flatnonzero(random.random(len(patches)) < share))
    varied = patches.clone()
    for group in chosen.chunk(_GROUPS):
        kept = float(np.exp(random.uniform(np.log(_COARSEST), 0)))
        small = (max(8, round(PATCH_SIZE[0] * kept)), max(4, round(PATCH_SIZE[1] * kept)))
        coarse = F.interpolate(patches[group], small, mode="area")
        coarse = coarse + torch.from_numpy(random.normal(0, random.uniform(0, 6), coarse.shape)).float()
        varied[group] = F.interpolate(coarse, PATCH_SIZE, mode="bilinear", align_corners=False)
    return varied


def _relight(patches: Tensor, settings: VariationSettings, random: Rng) -> Tensor:
    """Other light, other white, another camera's contrast and colours."""
    count, far = len(patches), settings.colour
    gain = _column(np.exp(random.normal(0, 0.25 * far, (count, 1)) + random.normal(0, 0.07 * far, (count, 3))))
    contrast, colour = (_column(np.exp(random.normal(0, 0.22 * far, count))) for _ in range(2))
    gamma = _column(np.exp(random.normal(0, 0.18 * far, count)))
    colour = torch.where(_column(random.random(count)) < settings.grey, 0.0, colour)
    lit = 255 * (patches.clamp(min=0) / 255) ** gamma * gain
    middle = lit.mean(dim=(1, 2, 3), keepdim=True)
    lit = middle + (lit - middle) * contrast
    grey = lit.mean(dim=1, keepdim=True)
    return grey + (lit - grey) * colour


def _hide(patches: Tensor, share: float, random: Rng) -> Tensor:
    """A rectangle of each chosen patch shows a part of another patch, or one colour."""
    count = len(patches)
    height, width = PATCH_SIZE
    chosen = random.random(count) < share
    tall, wide = random.uniform(0.12, 0.45, count) * height, random.uniform(0.2, 0.6, count) * width
    top, left = random.uniform(0, 1, count) * (height - tall), random.uniform(0, 1, count) * (width - wide)
    y, x = torch.arange(height)[None, None, :, None], torch.arange(width)[None, None, None, :]
    inside = (y >= _column(top)) & (y < _column(top + tall)) & (x >= _column(left)) & (x < _column(left + wide))
    others = patches[torch.from_numpy(random.permutation(count))]
    plain = _column(random.uniform(0, 255, (count, 3)))
    cover = torch.where(_column(random.random(count)) < 0.5, others, plain)
    return torch.where(inside & torch.from_numpy(chosen)[:, None, None, None], cover, patches)
