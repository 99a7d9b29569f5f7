"""Which parameters move how fast."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from personsearch.losses.criteria import Criterion, ReidCriterion
from personsearch.losses.oim import OIMMemory, OIMSettings
from personsearch.models.binet import BINet, InstanceBranch
from personsearch.models.igpn import build_igpn
from personsearch.models.paces import PacedModule
from personsearch.models.reid import build_reid
from personsearch.models.search_network import build_search_network
from personsearch.training.optimizers import OptimizerSettings, parameter_groups
from personsearch.training.recipes import get_recipe

SETTINGS = OptimizerSettings(fresh_factor=3.0, correlation_factor=2.0)


def _factors(*parts: nn.Module) -> dict[str, float]:
    """The factor of each parameter, by its name."""
    names = {id(p): name for part in parts for name, p in part.named_parameters()}
    return {names[id(p)]: group["factor"] for group in parameter_groups(parts, SETTINGS) for p in group["params"]}


@pytest.mark.parametrize("wrap", [lambda network: network, BINet, InstanceBranch])
def test_of_a_search_network_backbone_and_embedding_are_given(wrap) -> None:
    with torch.device("meta"):
        network = wrap(build_search_network(get_recipe("binet_rendered").network))
    for name, factor in _factors(network, Criterion()).items():
        given = name.removeprefix("network.").startswith(("stem.", "head.backbone.", "head.embedding."))
        assert factor == (1 if given else 3), name


@pytest.mark.parametrize(
    "recipe", ["igpn_rendered_alone", "igpn_cuhk_sysu", "igpn_vccl_cuhk_sysu", "igpn_no_local_prw"]
)
def test_of_igpn_the_backbone_is_given_and_correlations_have_their_own(recipe: str) -> None:
    with torch.device("meta"):
        network = build_igpn(get_recipe(recipe).network)
    for name, factor in _factors(network).items():
        expected = {"stem": 1, "head": 1, "similarity": 2, "regression": 2}.get(name.split(".")[0], 3)
        assert factor == expected, name


def test_of_a_reid_network_reductions_and_classifiers_are_fresh() -> None:
    network, criterion = build_reid(get_recipe("pcb_rendered").network), ReidCriterion(4, 6, 256)
    for name, factor in _factors(network, criterion).items():
        assert factor == (1 if name.startswith(("stem.", "head.")) else 3), name


def test_groups_keep_their_order_and_the_networks_own_and_leave_out_what_is_frozen() -> None:
    """Checkpoints number parameters in this order."""

    class Net(PacedModule):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c, self.d = (nn.Linear(1, 1, bias=False) for _ in range(4))
            self.d.requires_grad_(False)

        def paces(self):
            return {"correlation": [self.b], "fresh": [self.a]}

    net, plain = Net(), nn.Linear(1, 1, bias=False)
    groups = parameter_groups([net, plain], SETTINGS)
    assert [(group["factor"], group["params"]) for group in groups] == [
        (1.0, [net.c.weight, plain.weight]),
        (3.0, [net.a.weight]),
        (2.0, [net.b.weight]),
    ]


def test_nothing_trained_gives_no_groups() -> None:
    assert parameter_groups([OIMMemory(2, 4, OIMSettings())], SETTINGS) == []
