"""The networks of the two papers in one table: what has weights of its own in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from personsearch.models.guided import GuidedNetwork
from personsearch.models.igpn import IGPN, IGPNSettings, build_igpn
from personsearch.models.igpn_trunk import TrunkIGPN, TrunkIGPNSettings, build_trunk_igpn
from personsearch.models.reid import ReidNet, ReidSettings, build_reid, embedding_dim
from personsearch.models.resnet import Head, load_imagenet
from personsearch.models.search_network import EMBEDDING_DIM, NetworkSettings, SearchNetwork, build_search_network

Network = SearchNetwork | GuidedNetwork | ReidNet


@dataclass(frozen=True)
class Kind:
    """One kind of network. Its class's name stands in config.json."""

    network: type[Network]
    settings: type[Any]
    """Of such a network, and of nothing else."""
    build: Callable[[Any], Any]
    """From settings to a network with random weights; raises SettingError for impossible ones."""
    conv5: str
    """Where conv5 lies in such a network, for `get_submodule`."""
    dim: Callable[[Any], int | None]
    """From settings to the length of an embedding; None for a network that makes none."""


KINDS = (
    Kind(SearchNetwork, NetworkSettings, build_search_network, "head.backbone", lambda _: EMBEDDING_DIM),
    Kind(IGPN, IGPNSettings, build_igpn, "head", lambda _: None),
    Kind(TrunkIGPN, TrunkIGPNSettings, build_trunk_igpn, "head.trunk.backbone", lambda _: None),
    Kind(ReidNet, ReidSettings, build_reid, "head", embedding_dim),
)
KIND_OF_CLASS: Mapping[str, Kind] = {kind.network.__name__: kind for kind in KINDS}


def kind_of(settings: Any) -> Kind:
    """The kind of network that has such settings."""
    return next(kind for kind in KINDS if kind.settings is type(settings))


def build_network(settings: Any) -> Network:
    """The network that has these settings, with random weights. Raises SettingError for impossible ones."""
    network: Network = kind_of(settings).build(settings)
    return network


def load_backbone(network: Network, imagenet: Mapping[str, Tensor]) -> None:
    """Fills conv1 to conv5 of any network with ImageNet weights."""
    load_imagenet(network.stem, conv5_of(network), imagenet)


def conv5_of(network: Network) -> Head:
    """conv5 of any network."""
    head = network.get_submodule(kind_of(network.settings).conv5)
    assert isinstance(head, Head)
    return head
