"""What a model consists of and comes from, and what a recipe would make."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from personsearch.models.correlation import ImprovedCrossCorrelation, VanillaCrossCorrelation
from personsearch.models.igpn import IGPN, IGPNSettings, build_igpn
from personsearch.models.search_network import NetworkSettings, build_search_network
from personsearch.models.weights import MODEL_FILE, Trainable, fingerprint, read_config, read_settings
from personsearch.settings import settings_to_dict
from personsearch.training.recipes import get_recipe


def describe_recipe(name: str) -> dict[str, Any]:
    """All settings of a recipe, and the parameters of the network that it makes."""
    recipe = get_recipe(name)
    return {**settings_to_dict(recipe), "parameters": _counted(_empty(recipe.network))}


def describe_weights(name: str) -> dict[str, Any]:
    """Name, fingerprint, parameters and config of some weights. Raises WeightsError."""
    folder, config = read_config(name)
    kind: type[IGPNSettings] | type[NetworkSettings] = IGPNSettings
    if config["class"] != IGPN.__name__:
        kind = NetworkSettings
    network = _empty(read_settings(kind, config, folder))
    return {
        "name": name,
        "fingerprint": fingerprint(folder / MODEL_FILE),
        "parameters": _counted(network),
        **config,
    }


def _empty(settings: NetworkSettings | IGPNSettings) -> Trainable:
    """The network without memory for its weights: the vanilla correlation alone would take a gigabyte."""
    with torch.device("meta"):
        return build_igpn(settings) if isinstance(settings, IGPNSettings) else build_search_network(settings)


def _counted(network: Trainable) -> dict[str, int]:
    """Parameters of each part and in total; for IGPN also those of the correlation in the paper's way of counting."""
    counts = {part: _parameters(module) for part, module in network.named_children()}
    counts["total"] = _parameters(network)
    correlations = (ImprovedCrossCorrelation, VanillaCrossCorrelation)
    in_paper = [module.paper_count() for module in network.modules() if isinstance(module, correlations)]
    return counts | ({"cross_correlation_paper_count": sum(in_paper)} if in_paper else {})


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
