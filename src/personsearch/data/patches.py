"""Boxes cut out of a picture as patches of one size."""

from __future__ import annotations

from torch import Tensor
from torchvision.ops import roi_align

PATCH_SIZE = (224, 96)
"""Height and width of the patches that the instance-aware branch sees (BINet, section 3.3)."""


def crop_patches(image: Tensor, boxes: Tensor, size: tuple[int, int] = PATCH_SIZE) -> Tensor:
    """Patches [N, 3, *size] float32 of a picture [3, H, W] at boxes [N, 4] xyxy, bilinear, without gradient.

    Each output pixel averages as many samples as its share of the box spans, so that large people are not
    aliased. Parts of a box outside the picture are black. No boxes give [0, 3, *size].
    """
    patches: Tensor = roi_align(
        image.detach().float()[None],
        [boxes.detach().float()],
        output_size=size,
        sampling_ratio=-1,
        aligned=True,
    )
    return patches
