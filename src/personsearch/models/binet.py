"""BINet: the search network and, while training, an instance-aware branch that sees the cropped people.

Both branches share every parameter they have in common, so the second one is a second way through the first
(section 3.3): patches of the positive regions go through the whole backbone, without RoIAlign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from personsearch.data.patches import crop_patches
from personsearch.data.transforms import pad_images
from personsearch.models.paces import PacedModule, Paces
from personsearch.models.resnet import STEM_CHANNELS
from personsearch.models.search_network import BoxOutput, Branch, InstanceNetwork, SearchNetwork, SearchOutput, Targets


@dataclass(frozen=True)
class BINetOutput:
    """What both branches predict in training; `instance` speaks of the same P people as `scene.search`."""

    scene: SearchOutput | BoxOutput
    instance: Branch


class PatchEncoder(Protocol):
    """How the instance-aware branch sees the regions of a batch."""

    def __call__(self, network: SearchNetwork, images: Tensor, boxes: Sequence[Tensor]) -> Branch:
        """Pictures [B, 3, H, W] and the P regions in them, one [P_i, 4] a picture, to what the branch says of each."""
        ...


ROWS = 7
"""Of a patch's conv4 map: two lines each of fourteen."""


def encode_patches(network: SearchNetwork | InstanceNetwork, patches: Tensor) -> Branch:
    """Patches [P, 3, 224, 96], RGB in [0, 255], through conv1 to conv5 and the embedding."""
    return network.head.read(network.stem(patches))  # maps [P, 1024, 14, 6]: RoIAlign's size without RoIAlign


def row_means(maps: Tensor) -> Tensor:
    """The means of the rows of conv4 maps [P, 1024, 14, w], from the head downwards: [P, 7, 1024]."""
    cells = maps.permute(0, 2, 3, 1).reshape(len(maps), ROWS, -1, maps.shape[1])  # no copy where channels come last
    return cells.mean(dim=2, dtype=torch.float32)


def resized_patches(network: SearchNetwork, images: Tensor, boxes: Sequence[Tensor]) -> Branch:
    """Every region resized to 224x96: BINet, and "-R" of Table 6."""
    patches = torch.cat([crop_patches(image, regions) for image, regions in zip(images, boxes, strict=True)])
    return encode_patches(network, patches)


_LEAST_SIDE = 64
"""Narrow patches are padded to it: on maps one cell wide, PyTorch 2.15's bfloat16 convolutions on a CPU now and then
give numbers that are not finite."""


def original_maps(network: SearchNetwork, image: Tensor, boxes: Tensor) -> Tensor:
    """Maps [P, 1024, 14, 6] of patches in their own size, cut from a picture [3, H, W] at boxes [P, 4]."""
    pooled = [torch.zeros(0, STEM_CHANNELS, *network.settings.roi_size, device=image.device)]
    for x1, y1, x2, y2 in boxes.tolist():
        left, top, right, bottom = math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)
        patch = image[None, :, max(top, 0) : bottom, max(left, 0) : right]
        patch = pad_images([patch[0]], (_LEAST_SIDE, _LEAST_SIDE))
        whole = torch.tensor([[x1 - max(left, 0), y1 - max(top, 0), x2 - max(left, 0), y2 - max(top, 0)]])
        pooled.append(network.pool(network.stem(patch), [whole.to(image.device)]))
    return torch.cat(pooled)


def original_patches(network: SearchNetwork, images: Tensor, boxes: Sequence[Tensor]) -> Branch:
    """Every region in its own size, and RoIAlign after the stem, so at the search branch's scale: "-O" of Table 6."""
    maps = [original_maps(network, image, regions) for image, regions in zip(images, boxes, strict=True)]
    return network.head.read(torch.cat(maps))


class BINet(PacedModule):
    """The Siamese network of Figure 3. Its search branch, `network`, is what a checkpoint keeps."""

    def __init__(self, network: SearchNetwork, encoder: PatchEncoder = resized_patches) -> None:
        super().__init__()
        self.network = network
        self._encoder = encoder

    def paces(self) -> Paces:
        return self.network.paces()

    def forward(self, images: Tensor, targets: Sequence[Targets]) -> BINetOutput:
        """One training pass over pictures [B, 3, H, W], RGB in [0, 255], with their people."""
        scene = self.network(images, targets)
        return BINetOutput(scene, self._encoder(self.network, images, scene.regions.positive_boxes()))


@dataclass(frozen=True)
class PatchOutput:
    """What the instance-aware branch says about P patches, and who is on them."""

    instance: Branch
    rows: Tensor
    """[P, 7, 1024]: the rows of the patches' conv4 maps"""
    identities: Tensor
    """[P] int64"""


class InstanceBranch(PacedModule):
    """The instance-aware branch alone, for a warm-up on cropped people before scenes are seen."""

    def __init__(self, network: SearchNetwork) -> None:
        super().__init__()
        self.network = network

    def paces(self) -> Paces:
        return self.network.paces()

    def forward(self, images: Tensor, targets: Sequence[Targets]) -> PatchOutput:
        """Patches [P, 3, 224, 96], RGB in [0, 255], each with one person."""
        identities = torch.cat([target.identities for target in targets])
        maps = self.network.stem(images)
        instance = self.network.head.read(maps)
        return PatchOutput(instance, row_means(maps), identities)
