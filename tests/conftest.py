"""Shared by all tests: few threads, and a search network small in everything but its layers."""

from __future__ import annotations

import copy

import pytest
import torch

from personsearch.data.transforms import SizeSettings
from personsearch.models.rpn import AnchorSettings, ProposalSettings
from personsearch.models.search_network import NetworkSettings, SearchNetwork, build_search_network

torch.set_num_threads(1)  # tiny work: a second thread would wait more than it helps

SMALL = NetworkSettings(
    anchors=AnchorSettings((24.0, 48.0), (2.0,)),
    rois=8,
    train_proposals=ProposalSettings(50, 20),
    test_proposals=ProposalSettings(50, 10),
    test_size=SizeSettings(64, 128),
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Region sampling draws from torch's generator: a test must not depend on those before it."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def _network() -> SearchNetwork:
    torch.manual_seed(0)
    network = build_search_network(SMALL)
    for name, buffer in network.named_buffers():
        if name.endswith("scale"):
            buffer.fill_(0.5)
    return network


@pytest.fixture
def small_network(_network: SearchNetwork) -> SearchNetwork:
    """A search network with fixed random weights, whose activations stay in range; each test has its own."""
    return copy.deepcopy(_network)
