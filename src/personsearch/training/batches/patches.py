"""Batches of cropped people for the warm-up on patches: a few identities, several sights of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as TF

from personsearch.data.patches import PATCH_SIZE, crop_patches
from personsearch.data.records import UNLABELED, Scene
from personsearch.data.streams import Stream
from personsearch.data.transforms import SizeSettings, resize
from personsearch.errors import DataError
from personsearch.settings import Part, Range
from personsearch.training.batches.scenes import Batch

_MARGIN = 1.1
"""Patches are kept a little larger than their box, so that each use can cut another part."""
_KEPT_SIZE = (256, 112)


@dataclass(frozen=True)
class PatchSettings:
    """What a step of the warm-up on patches sees."""

    identities: Annotated[int, Range(2)] = 12
    sights: Annotated[int, Range(2)] = 4
    """Of each identity."""
    min_visible: Part = 0.4
    """People with a smaller visible part are left out."""


class PatchBatches(Dataset[Batch]):
    """The patches of all labelled people, held in memory (64 kB each); a batch is a function of seed and step."""

    def __init__(self, scenes: Sequence[Scene], settings: PatchSettings, seed: int) -> None:
        """Reads every scene once. Raises DataError when fewer than two identities are seen."""
        self.settings, self.seed = settings, seed
        cut = [_cut(scene, settings.min_visible) for scene in scenes if scene.persons]
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
        patches = torch.stack([_vary(self.patches[row], random) for row in rows])
        whole = torch.tensor([[0.0, 0.0, PATCH_SIZE[1], PATCH_SIZE[0]]])
        return Batch(patches, [whole] * len(rows), list(torch.tensor(identities)[:, None]), [step] * len(rows))


def _cut(scene: Scene, min_visible: float) -> tuple[Tensor, Tensor]:
    """The patches of a scene's labelled people and their identities."""
    seen = [p for p in scene.persons if p.identity != UNLABELED and p.visible >= min_visible]
    boxes = torch.tensor([p.box for p in seen], dtype=torch.float32).reshape(-1, 4)
    centres, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * _MARGIN
    image, scale = resize(scene.read(), SizeSettings(min(scene.width, scene.height), max(scene.width, scene.height)))
    patches = crop_patches(image, torch.cat([centres - halves, centres + halves], dim=1) * scale, _KEPT_SIZE)
    return patches.round().byte(), torch.tensor([p.identity for p in seen], dtype=torch.int64)


def _vary(patch: Tensor, random: np.random.Generator) -> Tensor:
    """One use of a kept patch: another cut, mirrored or not, other light, perhaps a part hidden."""
    height, width = int(random.integers(216, 257)), int(random.integers(92, 113))
    top, left = int(random.integers(0, 257 - height)), int(random.integers(0, 113 - width))
    out: Tensor = TF.resize(patch[:, top : top + height, left : left + width], list(PATCH_SIZE), antialias=False)
    if random.random() < 0.5:
        out = out.flip(2)
    light = float(random.uniform(0.75, 1.3)) * torch.from_numpy(random.uniform(0.93, 1.07, (3, 1, 1))).float()
    out = (out.float() * light).clamp(0, 255).byte()
    if random.random() < 0.4:
        h, w = int(random.integers(30, 100)), int(random.integers(20, 60))
        y, x = int(random.integers(0, 224 - h)), int(random.integers(0, 96 - w))
        out[:, y : y + h, x : x + w] = int(random.integers(60, 180))
    return out
