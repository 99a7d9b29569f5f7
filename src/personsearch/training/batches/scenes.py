"""Training batches. A batch is a pure function of seed and step, so a resumed run needs no state to go on exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from personsearch.data.records import Scene
from personsearch.data.streams import Stream
from personsearch.data.transforms import SizeSettings, fitted, flip, pad_images, relight, resize, sides_impossible
from personsearch.errors import SettingError
from personsearch.settings import ScenesAStep, Side


@dataclass(frozen=True)
class BatchSettings:
    """What a step of training sees."""

    scenes: ScenesAStep = 2
    short_sides: tuple[Side, ...] = (600,)
    """A batch is resized to one of these, drawn for each step."""
    long_side: Side = 1000
    flip: bool = True
    light: float = 0.0
    """Brightness of a scene changes by up to this part, and its colours against each other by a quarter of it."""

    def impossible(self) -> str | None:
        """What is wrong, in words."""
        return sides_impossible(self.short_sides, self.long_side)


@dataclass(frozen=True)
class Batch:
    """Scenes of one step, padded at the right and bottom to one size."""

    images: Tensor
    """[B, 3, H, W] uint8 RGB"""
    boxes: list[Tensor]
    """One [P_i, 4] float32 a scene, in its resized pixels"""
    identities: list[Tensor]
    """One [P_i] int64 a scene"""
    seeds: list[int]
    """One a scene, for all that a training step draws at random in it"""

    def inputs(self) -> tuple[Tensor, ...]:
        """What a model is given beside the targets."""
        return (self.images,)

    def parts(self, count: int) -> list[Batch]:
        """The same scenes in `count` batches, or in as many as there are scenes if these are fewer."""
        return [
            Batch(self.images[a:b], self.boxes[a:b], self.identities[a:b], self.seeds[a:b])
            for a, b in self.shares(count)
        ]

    def shares(self, count: int) -> list[tuple[int, int]]:
        """[start, end) of the scenes of each part."""
        bounds = np.linspace(0, len(self.images), min(count, len(self.images)) + 1).astype(int).tolist()
        return list(pairwise(bounds))


class TrainingBatches(Dataset[Batch]):
    """The batches of a training run, indexed by step."""

    def __init__(
        self, scenes: Sequence[Scene], settings: BatchSettings, seed: int, share: tuple[int, int] = (0, 1)
    ) -> None:
        """Scenes without people are left out: they teach nothing that the background of others does not.

        `share` is this process's rank and the number of processes, which divide the scenes of each step. Raises
        SettingError when these are not divisible, or for an impossible light.
        """
        if settings.scenes % share[1]:
            raise SettingError(f"{share[1]} processes cannot divide {settings.scenes} scenes: change batches.scenes")
        if not 0 <= settings.light < 1:
            raise SettingError(f"batches.light {settings.light}: give a part from 0 to below 1")
        self.share = share
        self.scenes = [scene for scene in scenes if scene.persons]
        self.settings = settings
        self.seed = seed

    def __len__(self) -> int:
        """Steps in one epoch; a run may go on beyond it."""
        return max(1, len(self.scenes) // self.settings.scenes)

    def __getitem__(self, step: int) -> Batch:
        random = np.random.default_rng((self.seed, step))
        size = SizeSettings(int(random.choice(self.settings.short_sides)), self.settings.long_side)
        mirrored = (random.random(self.settings.scenes) < 0.5).tolist()
        seeds = random.integers(2**62, size=self.settings.scenes).tolist()
        indices = drawn_indices(step, self.settings.scenes, len(self.scenes), self.seed)
        everything = list(zip(indices, mirrored, seeds, strict=True))
        rank, processes = self.share
        own = len(everything) // processes
        drawn = everything[rank * own : (rank + 1) * own]
        images, boxes, identities = zip(*(self._load(size, *one) for one in drawn), strict=True)
        # as large as the whole step needs, so that anchors do not depend on how processes divide its scenes
        sizes = [fitted(self.scenes[i].width, self.scenes[i].height, size) for i, _, _ in everything]
        canvas = max(height for _, height in sizes), max(width for width, _ in sizes)
        return Batch(pad_images(images, canvas), list(boxes), list(identities), [seed for _, _, seed in drawn])

    def _load(self, size: SizeSettings, index: int, mirrored: bool, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        scene = self.scenes[index]
        image, scale = resize(scene.read(), size)
        boxes = torch.tensor([p.box for p in scene.persons], dtype=torch.float32).reshape(-1, 4) * scale
        identities = torch.tensor([p.identity for p in scene.persons], dtype=torch.int64)
        if mirrored and self.settings.flip:
            image, boxes = flip(image, boxes)
        return relight(image, self.settings.light, seed), boxes, identities


def drawn_indices(step: int, count: int, total: int, seed: int) -> list[int]:
    """The `count` indices below `total` that a step draws: each once an epoch, in a new order each time.

    Epochs follow each other without a gap.
    """
    positions = range(step * count, (step + 1) * count)
    orders = {
        e: np.random.default_rng((seed, Stream.ORDER, e)).permutation(total) for e in {p // total for p in positions}
    }
    return [int(orders[p // total][p % total]) for p in positions]
