"""What a model consists of and comes from, and what a recipe would make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from personsearch.errors import WeightsError
from personsearch.models.correlation import ImprovedCrossCorrelation, VanillaCrossCorrelation
from personsearch.models.igpn import IGPN, IGPNSettings, build_igpn
from personsearch.models.reid import ReidNet, ReidSettings, build_reid
from personsearch.models.search_network import NetworkSettings, SearchNetwork, build_search_network
from personsearch.models.weights import MODEL_FILE, Trainable, fingerprint, outline, read_config, read_settings
from personsearch.settings import settings_to_dict
from personsearch.training.recipes import get_recipe


def describe_recipe(name: str) -> dict[str, Any]:
    """All settings of a recipe, and the parameters of the network that it makes."""
    recipe = get_recipe(name)
    return {**settings_to_dict(recipe), "parameters": _counted(_empty(recipe.network))}


def describe_weights(name: str) -> dict[str, Any]:
    """Name, fingerprint, parameters and config of some weights. Raises WeightsError."""
    folder, config = read_config(name)
    if config["class"] not in _SETTINGS:
        raise WeightsError(f"{folder}: holds weights of {config['class']}, which this version does not know")
    settings = read_settings(_SETTINGS[config["class"]], config, folder)
    network = outline(_BUILDERS[type(settings)], settings, folder)
    return {
        "name": name,
        "fingerprint": fingerprint(folder / MODEL_FILE),
        "parameters": _counted(network),
        **config,
    }


_SETTINGS: dict[str, type[Any]] = {
    SearchNetwork.__name__: NetworkSettings,
    IGPN.__name__: IGPNSettings,
    ReidNet.__name__: ReidSettings,
}
_BUILDERS: dict[type[Any], Callable[[Any], Trainable]] = {
    NetworkSettings: build_search_network,
    IGPNSettings: build_igpn,
    ReidSettings: build_reid,
}


def _empty(settings: Any) -> Trainable:
    """The network without memory for its weights: the vanilla correlation alone would take a gigabyte."""
    with torch.device("meta"):
        return _BUILDERS[type(settings)](settings)


def _counted(network: Trainable) -> dict[str, int]:
    """Parameters of each part and in total; for IGPN also those of the correlation in the paper's way of counting."""
    counts = {part: _parameters(module) for part, module in network.named_children()}
    counts["total"] = _parameters(network)
    correlations = (ImprovedCrossCorrelation, VanillaCrossCorrelation)
    in_paper = [module.paper_count() for module in network.modules() if isinstance(module, correlations)]
    return counts | ({"cross_correlation_paper_count": sum(in_paper)} if in_paper else {})


def _parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
