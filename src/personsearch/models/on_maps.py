"""The part of OIM* and BINet that knows people: conv5 and the embedding, on conv4 maps of given boxes.

conv1 to conv4 are frozen, so that their maps of a box never change: they are made once and kept. Nobody is detected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from personsearch.data.patches import crop_patches
from personsearch.models.binet import BINetOutput, original_maps
from personsearch.models.paces import PacedModule
from personsearch.models.search_network import BoxOutput, SearchNetwork, Targets


def scene_maps(network: SearchNetwork, image: Tensor, boxes: Tensor) -> Tensor:
    """People with what surrounds them: maps [P, 1024, 14, 6] pooled from that of a picture [3, H, W]."""
    return network.pool(network.stem(image[None]), [boxes])


def resized_maps(network: SearchNetwork, image: Tensor, boxes: Tensor) -> Tensor:
    """People without it: maps [P, 1024, 14, 6] of patches resized to 224x96."""
    maps: Tensor = network.stem(crop_patches(image, boxes))
    return maps


MAPS: Mapping[str, Callable[[SearchNetwork, Tensor, Tensor], Tensor]] = {
    "scene": scene_maps,
    "resized": resized_maps,
    "original": original_maps,
}
"""Where maps of boxes come from: the scene, resized patches, or patches in their own size ("-O" of Table 6)."""


def identities_of(targets: Sequence[Targets]) -> Tensor:
    """[P] of the people in a batch."""
    return torch.cat([target.identities for target in targets])


class SearchOnMaps(PacedModule):
    """OIM* in given boxes."""

    def __init__(self, network: SearchNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, scenes: Tensor, targets: Sequence[Targets]) -> BoxOutput:
        """Maps [P, 1024, 14, 6] of people in their scenes, and who they are."""
        return BoxOutput(self.network.head.read(scenes), identities_of(targets))


class BINetOnMaps(PacedModule):
    """BINet in given boxes: both branches are conv5 and embedding of one network."""

    def __init__(self, network: SearchNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, scenes: Tensor, patches: Tensor, targets: Sequence[Targets]) -> BINetOutput:
        """Maps [P, 1024, 14, 6] of people in their scenes, those of their patches, and who they are."""
        read = self.network.head.read
        return BINetOutput(BoxOutput(read(scenes), identities_of(targets)), read(patches))
