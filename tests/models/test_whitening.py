"""The embedding layer's start from data."""

import pytest
import torch
from torch import nn

from personsearch.models.whitening import whiten


def test_what_all_have_in_common_is_gone() -> None:
    torch.manual_seed(0)
    features = 5 + torch.randn(200, 30) * torch.linspace(0.1, 2, 30)
    layer = nn.Linear(30, 8)
    whiten(layer, features)
    embeddings = layer(features)
    torch.testing.assert_close(embeddings.mean(0), torch.zeros(8), atol=1e-4, rtol=0)
    assert embeddings.norm(dim=1).mean().item() == pytest.approx(1, abs=1e-3)
    covariance = embeddings.T @ embeddings
    off = covariance - torch.diag(covariance.diag())
    assert off.abs().max() < 1e-3 * covariance.diag().max(), "components must not repeat each other"
    spread = covariance.diag().sqrt()
    assert (spread[:-1] >= spread[1:] - 1e-4).all()


def test_too_few_features() -> None:
    with pytest.raises(ValueError, match="too few"):
        whiten(nn.Linear(30, 8), torch.randn(8, 30))
