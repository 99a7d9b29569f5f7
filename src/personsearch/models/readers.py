"""Who reads a picture: finds the people in it, and embeds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor

from personsearch.data.patches import crop_patches
from personsearch.data.transforms import to_tensor
from personsearch.errors import SettingError
from personsearch.geometry.detections import Detections
from personsearch.models.binet import encode_patches
from personsearch.models.search_network import EMBEDDING_DIM, SearchNetwork
from personsearch.runtime import mixed_precision


class Embedder(Protocol):
    """Embeds people in given boxes: a re-id network, or any `Reader`."""

    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        """[N, D] unit embeddings of the people in boxes [N, 4], in the picture's own pixels."""
        ...


class ReidEmbedder(Embedder, Protocol):
    """A re-id network: ours, or one from elsewhere."""

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        ...


class Reader(Embedder, Protocol):
    """Finds people in a picture and embeds them: a `SearchNetwork`, one of the wrappers below, or a small fake."""

    def detect(self, image: Image.Image, score_threshold: float) -> Detections:
        """The people found with this score or more; boxes in the picture's own pixels."""
        ...


class InstanceReader:
    """The instance-aware branch as a reader of pictures: the "R" of Table 7 and Figure 2.

    People are found by the search branch, and read from patches cut out of the original picture.
    """

    def __init__(self, network: SearchNetwork) -> None:
        self._network = network

    def detect(self, image: Image.Image, score_threshold: float) -> Detections:
        """Everybody in a picture, embedded from patches."""
        found = self._network.detect(image, score_threshold)
        return replace(found, embeddings=self.embed(image, found.boxes))

    @torch.inference_mode()
    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        """[N, 256] unit embeddings of the people in boxes [N, 4], in the picture's own pixels."""
        if not len(boxes):
            return torch.zeros(0, EMBEDDING_DIM)
        device = self._network.stem.mean.device
        pixels = to_tensor(image)
        with mixed_precision(device):
            return encode_patches(self._network.instance, crop_patches(pixels, boxes).to(device)).embeddings.cpu()


@dataclass(frozen=True)
class ReidReader:
    """A re-id network alone: it finds nobody, and embeds whom it is shown."""

    network: ReidEmbedder

    def detect(self, image: Image.Image, score_threshold: float) -> Detections:
        return Detections.empty(self.network.dim)

    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        return self.network.embed(image, boxes)


@dataclass(frozen=True)
class DetectThenEmbed:
    """A detector whose people another network tells apart: "Faster R-CNN + ResNet50" of IGPN's Figure 6."""

    detector: SearchNetwork
    embedder: ReidEmbedder
    least: float = 0.0
    """People found with a lower score get zeros for an embedding: they count for detection alone."""

    def detect(self, image: Image.Image, score_threshold: float) -> Detections:
        """Everybody that the detector finds, embedded anew."""
        found = self.detector.detect(image, score_threshold)
        sure = found.scores >= self.least
        embeddings = torch.zeros(len(found), self.embedder.dim)
        embeddings[sure] = self.embed(image, found.boxes[sure])
        return replace(found, embeddings=embeddings)

    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        """[N, D] unit embeddings of the people in boxes [N, 4]."""
        return self.embedder.embed(image, boxes)


def read_with(network: SearchNetwork, branch: str) -> Reader:
    """The network itself, or its instance-aware branch. Raises SettingError for another branch."""
    if branch not in _BRANCHES:
        raise SettingError(f"branch {branch}: choose one of {', '.join(_BRANCHES)}")
    return _BRANCHES[branch](network)


_BRANCHES: dict[str, Callable[[SearchNetwork], Reader]] = {
    "search": lambda network: network,
    "instance": InstanceReader,
}
