"""Readings: people as they look below the embedding, in the scene's map and on a patch of the original picture.

A reading is three projections (projections.py), each of unit length, weighed and side by side: what the search branch
pools from the scene's map, what the instance-aware branch pools from the patch, and the patch's conv4 map row by row,
from head to foot. It has unit length itself, so the product of two readings is the weighed mean of three cosines. The
two branches err differently, and what is low and local carries over best to other cameras.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from personsearch.data.patches import crop_patches
from personsearch.data.records import Scene
from personsearch.data.transforms import SizeSettings, to_tensor
from personsearch.errors import DataError
from personsearch.geometry.detections import Detections
from personsearch.models.binet import ROWS, row_means
from personsearch.models.projections import DIM, Projections, fit_projection
from personsearch.models.resnet import HEAD_CHANNELS, STEM_CHANNELS
from personsearch.models.search_network import SceneMap, SearchNetwork
from personsearch.progress import Progress, quiet
from personsearch.runtime import mixed_precision

WEIGHTS = (1.0, 1.0, 0.5)
"""Of the cosines of scene, patch and rows in the product of two readings."""
_TOGETHER = 16
"""Patches read at once: more are no faster, and memory stays flat."""


@dataclass(frozen=True)
class PatchFeatures:
    """N patches below the embedding, each the mean of the patch and its mirror image."""

    pooled: Tensor
    """[N, 2048]: conv5, pooled"""
    rows: Tensor
    """[N, 7168]: the means of seven rows of conv4, 1,024 channels each, from the head downwards"""

    @classmethod
    def empty(cls, count: int) -> PatchFeatures:
        """Room for so many."""
        return cls(torch.zeros(count, HEAD_CHANNELS), torch.zeros(count, ROWS * STEM_CHANNELS))


@torch.inference_mode()
def read_patches(network: SearchNetwork, image: Image.Image, boxes: Tensor) -> PatchFeatures:
    """What a network's instance-aware branch sees on the patches of an RGB picture at boxes [N, 4] xyxy, in the
    picture's own pixels."""
    branch = network.instance
    device = branch.stem.mean.device
    pixels = to_tensor(image)
    read = PatchFeatures.empty(len(boxes))  # filled in place: small tensors kept between big ones hold memory back
    for start in range(0, len(boxes), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        patches = crop_patches(pixels, boxes[part]).to(device)
        with mixed_precision(device):
            maps = branch.stem(torch.cat([patches, patches.flip(3)]))  # [2 P, 1024, 14, 6]
            pooled = branch.head.backbone(maps)
        rows = row_means(maps).flatten(1)
        read.pooled[part] = pooled.unflatten(0, (2, -1)).mean(dim=0)
        read.rows[part] = rows.unflatten(0, (2, -1)).mean(dim=0)  # type: ignore[no-untyped-call]
    return read


def join(scene: Tensor, patch: Tensor, rows: Tensor) -> Tensor:
    """A reading [N, 3 d] of three projected features [N, d] of unit length, or all zeros where nothing was read."""
    weighed = [weight**0.5 * block for weight, block in zip(WEIGHTS, (scene, patch, rows), strict=True)]
    return F.normalize(torch.cat(weighed, dim=1))


class PeopleReader:
    """Finds people in scenes by the search branch, and reads them.

    Who is found with a score below `least` is not read, but has zeros: evaluation of detection alone asks for them.
    """

    def __init__(self, network: SearchNetwork, projections: Projections, least: float = 0.0) -> None:
        self._network = network
        self._projections = projections
        self._least = least

    @property
    def test_size(self) -> SizeSettings:
        """What pictures are resized to."""
        return self._network.test_size

    @property
    def dim(self) -> int:
        """Length of a reading."""
        return sum(len(block.axes) for block in vars(self._projections).values())

    def detect(self, image: Image.Image, score_threshold: float = 0.5) -> Detections:
        """Everybody in a picture, by falling score, with readings [N, 3 d] as embeddings."""
        boxes, scores, features = self._network.find(self._network.read(image), score_threshold)
        boxes, scores, sure = boxes.cpu(), scores.cpu(), (scores >= self._least).cpu()
        readings = torch.zeros(len(boxes), self.dim)
        readings[sure] = self._readings(image, boxes[sure], features.cpu()[sure])
        return Detections(boxes, scores, readings)

    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        """Readings [N, 3 d] of the people in boxes [N, 4] xyxy, in the picture's own pixels."""
        return self.embed_in(self._network.read(image), image, boxes)

    def embed_in(self, scene: SceneMap, image: Image.Image, boxes: Tensor) -> Tensor:
        """The same in a picture that the network has read already."""
        features = self._network.features(scene, boxes)
        return self._readings(image, boxes, features.cpu())

    def _readings(self, image: Image.Image, boxes: Tensor, features: Tensor) -> Tensor:
        patches, by = read_patches(self._network, image, boxes), self._projections
        return join(by.scene(features), by.patch(patches.pooled), by.rows(patches.rows))


class CropReader:
    """Reads people who are cropped already: there is no scene around them, so the scene's part stays empty."""

    def __init__(self, network: SearchNetwork, projections: Projections) -> None:
        self._network = network
        self._projections = projections

    def detect(self, image: Image.Image, score_threshold: float = 0.5) -> Detections:
        """The whole picture as one sure person."""
        box = torch.tensor([[0.0, 0.0, image.width, image.height]])
        return Detections(box, torch.ones(1), self.embed(image, box))

    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        """Readings [N, 3 d] of the people in boxes [N, 4] xyxy, in the picture's own pixels."""
        patches, by = read_patches(self._network, image, boxes), self._projections
        return join(torch.zeros(len(boxes), len(by.scene.axes)), by.patch(patches.pooled), by.rows(patches.rows))


FIT_PEOPLE = 2000
"""More do not change what a projection keeps."""


def fit_projections(
    network: SearchNetwork, scenes: Sequence[Scene], people: int = FIT_PEOPLE, progress: Progress = quiet
) -> Projections:
    """The projections of a network, from the first `people` whom it finds in scenes taken by chance, always the same.

    Raises DataError where it finds too few.
    """
    order = random.Random(0).sample(range(len(scenes)), len(scenes))
    pooled, patches, held = torch.zeros(people, HEAD_CHANNELS), PatchFeatures.empty(people), 0
    for place in progress(order, "fitting projections", len(order)):
        if held == people:
            break
        image = scenes[place].read()
        boxes, _, features = network.find(network.read(image), score_threshold=0.5)
        count = min(len(boxes), people - held)
        read, part = read_patches(network, image, boxes[:count].cpu()), slice(held, held + count)
        pooled[part], patches.pooled[part], patches.rows[part] = features[:count].cpu(), read.pooled, read.rows
        held += count
    if held <= DIM:
        raise DataError(f"found {held} people in {len(scenes)} scenes, too few to fit projections to: give more scenes")
    kinds = (pooled, patches.pooled, patches.rows)
    return Projections(*(fit_projection(features[:held]) for features in kinds))
