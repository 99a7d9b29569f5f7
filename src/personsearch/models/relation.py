"""How proposals relate to the query, to each other, and to the whole scene (IGPN, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UnitFeatures(nn.Module):
    """Scales features to one length, whose mean square is 1.

    A small, blurred sight has shorter features than a sharp one of the same person, and that difference would drown
    what the two look like.
    """

    def forward(self, features: Tensor) -> Tensor:
        """[..., dim] to the same."""
        scaled: Tensor = F.normalize(features, dim=-1) * features.shape[-1] ** 0.5
        return scaled


class EmbeddedFeatures(nn.Module):
    """Takes features through an embedding, to one length, whose mean square is 1.

    Squared differences are taken channel by channel, so they cannot weigh what several channels show together. An
    embedding that a search network has learned does.
    """

    def __init__(self, dim: int, embedding: int) -> None:
        super().__init__()
        self.embedding = nn.Linear(dim, embedding)
        self.unit = UnitFeatures()

    def forward(self, features: Tensor) -> Tensor:
        """[..., dim] to [..., embedding]."""
        embedded: Tensor = self.unit(self.embedding(features))
        return embedded


class QueryRelation(nn.Module):
    """r1: how each proposal differs from the query, squared, through two layers."""

    def __init__(self, dim: int, prepared: nn.Module, width: int) -> None:
        """`prepared` gives features `width` numbers before they are compared; the paper has nothing there."""
        super().__init__()
        self.prepared = prepared
        self.layers = nn.Sequential(nn.Linear(width, dim), nn.ReLU(inplace=True), nn.Linear(dim, dim))

    def forward(self, proposals: Tensor, query: Tensor) -> Tensor:
        """Features [P, N, dim] of N proposals a pair and [P, dim] of its query to relations [P, N, dim]."""
        relations: Tensor = self.layers((self.prepared(proposals) - self.prepared(query)[:, None]).square())
        return relations


class LocalRelationBlock(nn.Module):
    """Eq. 3-5: each proposal's relation to the query, refined by those of the proposals that look like it.

    The last layer starts at zero, so that a fresh block leaves relations as they are.
    """

    def __init__(self, dim: int, embedding: int = 1024) -> None:
        super().__init__()
        self.mu = nn.Linear(dim, embedding)
        self.nu = nn.Linear(dim, embedding)
        self.g = nn.Linear(dim, embedding)
        self.back = nn.Linear(embedding, dim)
        for layer in (self.mu, self.nu, self.g):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.back.weight)
        nn.init.zeros_(self.back.bias)

    def forward(self, relations: Tensor, proposals: Tensor, present: Tensor) -> Tensor:
        """Relations r1 and features f of proposals, each [P, N, dim], to r2; `present` [P, N] tells real ones.

        Z is the sum over the proposals of the same scene, so weights are a softmax. Rows that are not present take
        part in nothing and come back as they were.
        """
        weights = self.mu(proposals) @ self.nu(proposals).transpose(1, 2)  # [P, N, N], the exponent of Eq. 3
        weights = weights.float().masked_fill(~present[:, None, :], float("-inf"))
        shares = torch.nan_to_num(F.softmax(weights, dim=2))  # a pair without any proposal has nothing to share
        refined: Tensor = relations + self.back(shares.to(relations.dtype) @ self.g(relations))
        return torch.where(present[..., None], refined, relations)


class NoLocalRelation(nn.Module):
    """Stands for the block in "w/o L" of Table 2: relations stay as they are."""

    def forward(self, relations: Tensor, _proposals: Tensor, _present: Tensor) -> Tensor:
        return relations


def mean_relation(relations: Tensor, present: Tensor) -> Tensor:
    """r^g: the mean [P, dim] of the relations [P, N, dim] of those proposals that are present; zero without any."""
    weights = present.to(relations.dtype)[..., None]
    return (relations * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
