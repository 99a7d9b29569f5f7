"""Re-id networks, the second stage behind IGPN (its section 4.3): ResNet-50, and PCB with its horizontal stripes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from personsearch.data.patches import crop_patches
from personsearch.data.transforms import to_tensor
from personsearch.errors import SettingError
from personsearch.models.paces import PacedModule, Paces
from personsearch.models.resnet import HEAD_CHANNELS, LAYOUTS, Head, Stem
from personsearch.models.search_network import Targets
from personsearch.runtime import mixed_precision
from personsearch.settings import Range, Side

_TOGETHER = 64
"""Patches that are embedded in one go."""


@dataclass(frozen=True)
class ReidSettings:
    """Numbers of a re-id network; the defaults are a plain ResNet-50."""

    layout: str = "torchvision"
    """Layout of the ImageNet weights that the backbone starts from: see `resnet.LAYOUTS`."""
    size: tuple[Side, Side] = (384, 128)
    """Height and width of its patches."""
    stride: int = 2
    """Of conv5; PCB keeps its maps fine with 1."""
    stripes: Annotated[int, Range(1, 64)] = 1
    """Into how many pieces conv5's maps are cut, from head to foot."""
    reduced: Annotated[int, Range(0, 8192)] = 0
    """Numbers that each stripe is reduced to; 0 leaves the 2048 as they are."""


@dataclass(frozen=True)
class ReidOutput:
    """Features of P patches, and who is on them."""

    stripes: Tensor
    """[P, S, D]"""
    identities: Tensor
    """[P] int64"""


class StripeReduction(nn.Module):
    """PCB's: each stripe has a layer of its own to fewer numbers, with batch norm and ReLU."""

    def __init__(self, stripes: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), nn.ReLU())
            for _ in range(stripes)
        )

    def forward(self, stripes: Tensor) -> Tensor:
        """[P, S, inputs] to [P, S, outputs]."""
        return torch.stack([layer(stripes[:, stripe]) for stripe, layer in enumerate(self.layers)], dim=1)


class ReidNet(PacedModule):
    """Embeds cropped people. Identity counts and classifiers live in its criterion."""

    def __init__(self, stem: Stem, head: Head, reduce: nn.Module, settings: ReidSettings) -> None:
        super().__init__()
        self.stem = stem
        self.head = head
        self.reduce = reduce
        self.settings = settings

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return embedding_dim(self.settings)

    def paces(self) -> Paces:
        return {"fresh": [self.reduce]}

    def forward(self, patches: Tensor, targets: Sequence[Targets]) -> ReidOutput:
        """Patches [P, 3, 384, 128], RGB in [0, 255], each with one person."""
        return ReidOutput(self.read(patches), torch.cat([target.identities for target in targets]))

    def read(self, patches: Tensor) -> Tensor:
        """Patches [P, 3, 384, 128], RGB in [0, 255], to features of each stripe: [P, S, D]."""
        maps = self.head.maps(self.stem(patches))
        stripes = F.adaptive_avg_pool2d(maps, (self.settings.stripes, 1))[..., 0].transpose(1, 2)
        reduced: Tensor = self.reduce(stripes)
        return reduced.float()

    @torch.inference_mode()
    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        """[N, S D] unit embeddings of the people in boxes [N, 4] xyxy, in the picture's own pixels."""
        device = self.stem.mean.device
        pixels = to_tensor(image)
        embeddings = [torch.zeros(0, self.dim)]
        for block in torch.split(boxes.cpu().float(), _TOGETHER):
            if len(block):
                with mixed_precision(device):
                    stripes = self.read(crop_patches(pixels, block, self.settings.size).to(device))
                embeddings.append(F.normalize(stripes.flatten(1)).cpu())
        return torch.cat(embeddings)


def stripe_dim(settings: ReidSettings) -> int:
    """Length of one stripe's features."""
    return settings.reduced or HEAD_CHANNELS


def embedding_dim(settings: ReidSettings) -> int:
    """Length of an embedding: that of all stripes one after the other."""
    return settings.stripes * stripe_dim(settings)


def build_reid(settings: ReidSettings) -> ReidNet:
    """A re-id network with random weights. Raises SettingError for an unknown layout or impossible stripes."""
    if settings.layout not in LAYOUTS:
        raise SettingError(f"network.layout {settings.layout}: choose one of {', '.join(LAYOUTS)}")
    for name, value, least in (
        ("stripes", settings.stripes, 1),
        ("reduced", settings.reduced, 0),
        ("size", min(settings.size), 32),
    ):
        if value < least:
            raise SettingError(f"network.{name} {value}: give {least} or more")
    if settings.stride not in (1, 2):
        raise SettingError(f"network.stride {settings.stride}: choose 1 or 2")
    layout = LAYOUTS[settings.layout]
    reduce = StripeReduction(settings.stripes, HEAD_CHANNELS, settings.reduced) if settings.reduced else nn.Identity()
    return ReidNet(Stem(layout), Head(layout, settings.stride), reduce, settings)
