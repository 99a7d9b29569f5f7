"""What a model consists of and comes from, and what a recipe would make."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from personsearch.models.correlation import ImprovedCrossCorrelation, VanillaCrossCorrelation
from personsearch.models.networks import Network, build_network
from personsearch.models.tensor_files import MODEL_FILE, fingerprint
from personsearch.models.weights import outline, read_config, read_settings
from personsearch.settings import settings_to_dict
from personsearch.training.recipes import get_recipe


def describe_recipe(name: str) -> dict[str, Any]:
    """All settings of a recipe, and the parameters of the network that it makes."""
    recipe = get_recipe(name)
    with torch.device("meta"):  # the vanilla correlation alone would take a gigabyte
        network = build_network(recipe.network)
    return {**settings_to_dict(recipe), "parameters": _counted(network)}


def describe_weights(name: str) -> dict[str, Any]:
    """Name, fingerprint, parameters and config of weights by name or folder. Raises WeightsError."""
    folder, config = read_config(name)
    return {
        "name": name,
        "fingerprint": fingerprint(folder / MODEL_FILE),
        "parameters": _counted(outline(read_settings(config, folder), folder)),
        **config,
    }


def _counted(network: Network) -> dict[str, int]:
    """Parameters of each part and in total; for IGPN also those of the correlation in the paper's way of counting."""
    counts = {part: _parameters(module) for part, module in network.named_children()}
    counts["total"] = _parameters(network)
    correlations = (ImprovedCrossCorrelation, VanillaCrossCorrelation)
    in_paper = [module.paper_count() for module in network.modules() if isinstance(module, correlations)]
    return counts | ({"cross_correlation_paper_count": sum(in_paper)} if in_paper else {})


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
