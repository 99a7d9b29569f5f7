"""Batches of cropped people for the warm-up on patches: a few identities, several sights of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from personsearch.data.patches import PATCH_SIZE, crop_patches
from personsearch.data.records import UNLABELED, Scene
from personsearch.data.streams import Stream
from personsearch.data.transforms import SizeSettings, resize
from personsearch.errors import DataError
from personsearch.settings import Part, Range
from personsearch.training.batches.scenes import Batch
from personsearch.training.batches.variation import MARGIN, VariationSettings, vary

_KEPT_SIZE = (256, 112)


@dataclass(frozen=True)
class PatchSettings:
    """What a step of the warm-up on patches sees."""

    identities: Annotated[int, Range(2, 1000)] = 12
    sights: Annotated[int, Range(2, 100)] = 4
    """Of each identity."""
    min_visible: Part = 0.4
    """People with a smaller visible part are left out."""
    variation: VariationSettings = VariationSettings()


class PatchBatches(Dataset[Batch]):
    """The patches of all labelled people, held in memory (86 kB each); a batch is a function of seed and step."""

    def __init__(self, scenes: Sequence[Scene], settings: PatchSettings, seed: int) -> None:
        """Reads every scene once. Raises DataError when fewer than two identities are seen."""
        self.settings, self.seed = settings, seed
        with ThreadPoolExecutor(os.cpu_count()) as readers:
            peopled = [scene for scene in scenes if scene.persons]
            cut = list(readers.map(partial(_cut, min_visible=settings.min_visible), peopled))
        self.patches = torch.cat([patches for patches, _ in cut])  # [N, 3, 256, 112] uint8
        owners = torch.cat([identities for _, identities in cut])
        known = sorted(set(owners.tolist()))
        if len(known) < 2:
            raise DataError("fewer than two identities are seen well: lower patches.min_visible, or give other data")
        self.sights = {int(i): torch.nonzero(owners == i).flatten().numpy() for i in known}

    def __getitem__(self, step: int) -> Batch:
        random = np.random.default_rng((self.seed, Stream.PATCHES, step))
        count = min(self.settings.identities, len(self.sights))
        chosen = random.choice(list(self.sights), count, replace=False)
        rows, identities = [], []
        for identity in chosen.tolist():
            seen = self.sights[identity]
            rows += random.choice(seen, self.settings.sights, replace=len(seen) < self.settings.sights).tolist()
            identities += [identity] * self.settings.sights
        patches = vary(self.patches[rows], self.settings.variation, random)
        whole = torch.tensor([[0.0, 0.0, PATCH_SIZE[1], PATCH_SIZE[0]]])
        return Batch(patches, [whole] * len(rows), list(torch.tensor(identities)[:, None]), [step] * len(rows))


def _cut(scene: Scene, min_visible: float) -> tuple[Tensor, Tensor]:
    """The patches of a scene's labelled people and their identities."""
    seen = [p for p in scene.persons if p.identity != UNLABELED and p.visible >= min_visible]
    boxes = torch.tensor([p.box for p in seen], dtype=torch.float32).reshape(-1, 4)
    centres, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * MARGIN
    image, scale = resize(scene.read(), SizeSettings(min(scene.width, scene.height), max(scene.width, scene.height)))
    patches = crop_patches(image, torch.cat([centres - halves, centres + halves], dim=1) * scale, _KEPT_SIZE)
    return patches.round().byte(), torch.tensor([p.identity for p in seen], dtype=torch.int64)
