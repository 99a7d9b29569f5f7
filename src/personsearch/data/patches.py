"""Boxes cut out of a picture as patches of one size."""

from __future__ import annotations

from PIL import Image
from torch import Tensor
from torchvision.ops import roi_align

from personsearch.data.records import Box
from personsearch.data.transforms import to_tensor

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


QUERY_ASPECT = 3 / 7
"""Width to height of IGPN's query patches, before they are resized to PATCH_SIZE, which is the same."""
_PADDING = (114, 114, 114)


def query_patch(image: Image.Image, box: Box) -> Tensor:
    """The person in a box of an RGB picture, padded to 3:7 with grey and resized: [3, 224, 96] uint8.

    So people keep their proportions (IGPN, section 4.3).
    """
    x1, y1, x2, y2 = (round(value) for value in box)
    person = image.crop((x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)))
    width = max(person.width, round(person.height * QUERY_ASPECT))
    height = max(person.height, round(person.width / QUERY_ASPECT))
    canvas = Image.new("RGB", (width, height), _PADDING)
    canvas.paste(person, ((width - person.width) // 2, (height - person.height) // 2))
    resized = canvas.resize((PATCH_SIZE[1], PATCH_SIZE[0]), Image.Resampling.BILINEAR)
    return to_tensor(resized)
