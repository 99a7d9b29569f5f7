"""What one use of a patch does to it, and what it leaves."""

import numpy as np
import pytest
import torch

from personsearch.training.batches.variation import VariationSettings, vary

QUIET = VariationSettings(colour=0.0, coarse=0.0, hidden=0.0, grey=0.0)


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def test_without_variation_patches_are_cut_and_mirrored_alone() -> None:
    across = torch.linspace(0, 255, 112).expand(3, 256, 112).round().byte()
    varied = vary(torch.stack([across] * 40), QUIET, random()).float()
    assert varied.shape == (40, 3, 224, 96)
    steps = varied[:, 0, 100].diff(dim=1)
    rising, falling = (steps >= 0).all(1), (steps <= 0).all(1)
    assert (rising ^ falling).all()
    assert 8 < int(falling.sum()) < 32, "about half are mirrored"
    kept = (varied[:, 0, 100, -1] - varied[:, 0, 100, 0]).abs() / 255
    assert kept.min() < 0.75
    assert kept.max() > 0.9, "tight and loose cuts"


@pytest.mark.parametrize("name", ["colour", "coarse", "hidden", "grey"])
def test_each_setting_changes_pictures_by_itself(name: str) -> None:
    patches = torch.randint(0, 256, (16, 3, 256, 112), generator=torch.Generator().manual_seed(0)).byte()
    settings = VariationSettings(**{"colour": 0.0, "coarse": 0.0, "hidden": 0.0, "grey": 0.0} | {name: 1.0})
    assert not torch.equal(vary(patches, settings, random()), vary(patches, QUIET, random()))
    if name == "grey":
        varied = vary(patches, settings, random()).float()
        assert (varied.amax(1) - varied.amin(1)).max() <= 1


def test_a_hidden_part_is_a_part() -> None:
    patches = torch.full((32, 3, 256, 112), 7, dtype=torch.uint8)
    changed = vary(patches, VariationSettings(0.0, 0.0, 1.0, 0.0), random()) != 7
    share = changed.any(1).float().mean((1, 2))
    assert share.max() < 0.3
    assert (share > 0).sum() > 8, "half show another patch, which looks the same here"


def test_one_patch_and_black_patches() -> None:
    assert vary(torch.zeros(1, 3, 256, 112, dtype=torch.uint8), VariationSettings(), random()).shape[0] == 1
