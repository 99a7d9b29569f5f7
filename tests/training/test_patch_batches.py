"""Batches for the warm-up on patches."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from personsearch.data.records import UNLABELED, Person, Scene
from personsearch.errors import DataError
from personsearch.training.batches.patches import PatchBatches, PatchSettings


@dataclass(frozen=True)
class Striped:
    """Identity 0 red, identity 1 green, everybody else blue."""

    def read(self) -> Image.Image:
        pixels = np.zeros((100, 160, 3), dtype=np.uint8)
        pixels[:, :40, 0] = pixels[:, 60:100, 1] = pixels[:, 120:, 2] = 200
        return Image.fromarray(pixels)


PEOPLE = (
    Person((5, 10, 35, 90), 0),
    Person((65, 10, 95, 90), 1),
    Person((122, 10, 150, 90), UNLABELED),
    Person((122, 10, 150, 90), 7, visible=0.1),
)
SCENES = [Scene("a", Striped(), 160, 100, PEOPLE), Scene("b", Striped(), 160, 100)]


def test_patches_show_the_identity_they_are_said_to() -> None:
    batches = PatchBatches(SCENES, PatchSettings(identities=5, sights=3), seed=0)
    batch = batches[0]
    assert batch.images.shape == (6, 3, 224, 96), "two identities are known, though five were asked for"
    for patch, (identity,) in zip(batch.images, batch.identities, strict=True):
        assert int(patch.float().mean((1, 2)).argmax()) == int(identity)


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    one, two = (PatchBatches(SCENES, PatchSettings(), seed=1) for _ in range(2))
    two[3]
    assert torch.equal(one[5].images, two[5].images)
    assert not torch.equal(one[5].images, one[6].images)


def test_nobody_to_tell_apart() -> None:
    alone = [Scene("a", Striped(), 160, 100, PEOPLE[:1])]
    with pytest.raises(DataError, match="fewer than two identities"):
        PatchBatches(alone, PatchSettings(), seed=0)
