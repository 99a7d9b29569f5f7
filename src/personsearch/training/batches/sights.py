"""Batches of cropped people for training a re-id network: annotated boxes, and detected ones that fit them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.ops import box_iou

from personsearch.data.patches import crop_patches
from personsearch.data.records import UNLABELED, Scene
from personsearch.data.streams import Stream
from personsearch.errors import DataError
from personsearch.settings import Part, PeopleAStep
from personsearch.training.batches.scenes import Batch, drawn_indices


@dataclass(frozen=True)
class ReidBatchSettings:
    """What a step of a re-id network's training sees."""

    patches: PeopleAStep = 64
    flip: bool = True
    """Mirrors a patch in half of the cases."""
    detected_iou: Part = 0.7
    """A detected box with at least this overlap with an annotated person is a sight of that identity, too."""
    min_visible: Part = 0.0
    """Annotated people with a smaller visible part are left out."""


@dataclass(frozen=True)
class _Sight:
    scene: int
    box: Tensor
    identity: int


class ReidBatches(Dataset[Batch]):
    """The sights of all labelled people, read when needed; a batch is a pure function of seed and step."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        detected: Mapping[str, Tensor],
        settings: ReidBatchSettings,
        size: tuple[int, int],
        seed: int,
    ) -> None:
        """`detected` holds boxes [N, 4] by the name of their scene; `size` is the height and width of patches.

        Raises DataError when fewer than two identities are seen.
        """
        self.scenes, self.settings, self.size, self.seed = scenes, settings, size, seed
        self.sights = [
            sight
            for index, scene in enumerate(scenes)
            for sight in _sights(index, scene, detected.get(scene.name), settings)
        ]
        if len({sight.identity for sight in self.sights}) < 2:
            raise DataError("fewer than two identities are seen well: lower batches.min_visible, or give other data")

    def __getitem__(self, step: int) -> Batch:
        random = np.random.default_rng((self.seed, Stream.SIGHTS, step))
        drawn = [self.sights[i] for i in drawn_indices(step, self.settings.patches, len(self.sights), self.seed)]
        mirrored = (random.random(len(drawn)) < 0.5) & self.settings.flip
        rows_of_scene: dict[int, list[int]] = defaultdict(list)
        for row, sight in enumerate(drawn):
            rows_of_scene[sight.scene].append(row)
        patches = torch.empty(len(drawn), 3, *self.size, dtype=torch.uint8)
        for scene, rows in rows_of_scene.items():  # each picture is read once
            image = np.array(self.scenes[scene].read(), dtype=np.uint8)
            boxes = torch.stack([drawn[row].box for row in rows])
            cut = crop_patches(torch.from_numpy(image).permute(2, 0, 1), boxes, self.size).round().byte()
            for row, patch in zip(rows, cut, strict=True):
                patches[row] = patch.flip(2) if mirrored[row] else patch
        whole = torch.tensor([[0.0, 0.0, self.size[1], self.size[0]]])
        identities = [torch.tensor([sight.identity]) for sight in drawn]
        return Batch(patches, [whole] * len(drawn), identities, [step] * len(drawn))


def _sights(index: int, scene: Scene, detected: Tensor | None, settings: ReidBatchSettings) -> Iterator[_Sight]:
    """The labelled people of a scene, then the detected boxes that fit one of them."""
    seen = [p for p in scene.persons if p.identity != UNLABELED and p.visible >= settings.min_visible]
    boxes = torch.tensor([p.box for p in seen], dtype=torch.float32).reshape(-1, 4)
    for person, box in zip(seen, boxes, strict=True):
        yield _Sight(index, box, person.identity)
    if detected is None or not len(detected) or not seen:
        return
    overlaps, owners = box_iou(detected.float(), boxes).max(dim=1)
    for box, overlap, owner in zip(detected.float(), overlaps.tolist(), owners.tolist(), strict=True):
        if overlap >= settings.detected_iou:
            yield _Sight(index, box, seen[owner].identity)
