"""BINet: the search network and, while training, an instance-aware branch that sees the cropped people.

Both branches share every parameter they have in common, so the second one is a second way through the first
(section 3.3): patches of the positive regions go through the whole backbone, without RoIAlign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor, nn

from personsearch.data.patches import crop_patches
from personsearch.geometry.detections import Detections
from personsearch.models.runtime import mixed_precision
from personsearch.models.search_network import EMBEDDING_DIM, Branch, SearchNetwork, SearchOutput, Targets


@dataclass(frozen=True)
class BINetOutput:
    """What both branches predict in training; `instance` speaks of the same P regions as `scene.search`."""

    scene: SearchOutput
    instance: Branch


class BINet(nn.Module):
    """The Siamese network of Figure 3. Its search branch, `network`, is what a checkpoint keeps."""

    def __init__(self, network: SearchNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, targets: Sequence[Targets]) -> BINetOutput:
        """One training pass over pictures [B, 3, H, W], RGB in [0, 255], with their people."""
        scene = self.network(images, targets)
        cuts = zip(images, scene.regions.positive_boxes(), strict=True)
        patches = torch.cat([crop_patches(image, boxes) for image, boxes in cuts])
        return BINetOutput(scene, self.encode_patches(patches))

    def encode_patches(self, patches: Tensor) -> Branch:
        """Patches [P, 3, 224, 96], RGB in [0, 255], through conv1 to conv5 and the embedding."""
        maps = self.network.stem(patches)  # [P, 1024, 14, 6]: RoIAlign's size without RoIAlign
        return self.network.head.branch(self.network.head.backbone(maps))


class InstanceReader:
    """The instance-aware branch as a reader of pictures: the "R" of Table 7 and Figure 2.

    People are found by the search branch, and read from patches cut out of the network's input.
    """

    def __init__(self, network: SearchNetwork) -> None:
        self._network = network
        self._siamese = BINet(network)

    def detect(self, image: Image.Image, score_threshold: float) -> Detections:
        """Everybody in a picture, embedded from patches."""
        found = self._network.detect(image, score_threshold)
        return replace(found, embeddings=self.embed(image, found.boxes))

    @torch.inference_mode()
    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        """[N, 256] unit embeddings of the people in boxes [N, 4], in the picture's own pixels."""
        if not len(boxes):
            return torch.zeros(0, EMBEDDING_DIM)
        pixels, scale = self._network.prepare(image)
        patches = crop_patches(pixels[0], boxes.to(pixels.device) * scale)
        with mixed_precision(pixels.device):
            return self._siamese.encode_patches(patches).embeddings.cpu()


@dataclass(frozen=True)
class PatchOutput:
    """What the instance-aware branch says about P patches, and who is on them."""

    instance: Branch
    identities: Tensor
    """[P] int64"""


class InstanceBranch(nn.Module):
    """The instance-aware branch alone, for a warm-up on cropped people before scenes are seen."""

    def __init__(self, network: SearchNetwork) -> None:
        super().__init__()
        self.siamese = BINet(network)

    def forward(self, images: Tensor, targets: Sequence[Targets]) -> PatchOutput:
        """Patches [P, 3, 224, 96], RGB in [0, 255], each with one person."""
        identities = torch.cat([target.identities for target in targets])
        return PatchOutput(self.siamese.encode_patches(images), identities)
