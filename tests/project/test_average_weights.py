"""Averaged weights lie between those that they are made of."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from personsearch.errors import WeightsError

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from average_weights import average


def two(width: int = 3) -> nn.Module:
    return nn.ModuleDict({"stem": nn.Linear(2, width), "head": nn.BatchNorm1d(2)})


def test_each_tensor_is_the_average_and_what_is_kept_stays() -> None:
    first, second = two(), two()
    was = {k: t.clone() for k, t in first.state_dict().items()}
    second["head"].num_batches_tracked.fill_(7)
    made = average(first, second, 0.25, keep=("stem.bias",)).state_dict()
    assert torch.equal(made["stem.bias"], was["stem.bias"])
    assert torch.allclose(made["stem.weight"], 0.75 * was["stem.weight"] + 0.25 * second["stem"].weight)
    assert int(made["head.num_batches_tracked"]) == 0
    assert torch.equal(average(two(), second, 1.0).state_dict()["stem.weight"], second["stem"].weight)


def test_other_networks_are_refused() -> None:
    with pytest.raises(WeightsError, match="other networks"):
        average(two(), two(4), 0.5)
