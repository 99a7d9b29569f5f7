"""How proposals relate to the query, to each other, and to the whole scene (IGPN, section 3.3)."""

from __future__ import annotations

from abc import ABC, abstractmethod

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


class LocalRelation(nn.Module, ABC):
    """How the proposals of a scene refine each other's relations to the query."""

    @abstractmethod
    def forward(self, relations: Tensor, proposals: Tensor, present: Tensor) -> Tensor:
        """Relations r1 [P, N, dim] and features f [P, N, D] of proposals to r2 [P, N, dim].

        `present` [P, N] tells real ones: others take part in nothing and come back as they were.
        """

    def watched(self, _present: Tensor, _features: Tensor) -> dict[str, Tensor]:
        """What a log of training should show, of features [sum of N_i, D] of the proposals that are present."""
        return {}


class LocalRelationBlock(LocalRelation):
    """Eq. 3-5: each proposal's relation to the query, refined by those of the proposals that look like it.

    The last layer starts at zero, so that a fresh block leaves relations as they are. By the letter of Eq. 3 the
    exponent is an inner product of features as they come: where these are long, the softmax has one winner.
    """

    def __init__(self, dim: int, embedding: int = 1024, seen: int | None = None, keys: int | None = None) -> None:
        """Of relations of `dim` numbers; mu and nu see `seen` numbers of a proposal and make `keys` of them."""
        super().__init__()
        self.mu = nn.Linear(seen or dim, keys or embedding)
        self.nu = nn.Linear(seen or dim, keys or embedding)
        self.g = nn.Linear(dim, embedding)
        self.back = nn.Linear(embedding, dim)
        for layer in (self.mu, self.nu, self.g):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.back.weight)
        nn.init.zeros_(self.back.bias)

    def forward(self, relations: Tensor, proposals: Tensor, present: Tensor) -> Tensor:
        shares = self.shares(proposals, present)
        refined: Tensor = relations + self.back(shares.to(relations.dtype) @ self.g(relations))
        return refined.where(present[..., None], relations)

    def shares(self, proposals: Tensor, present: Tensor) -> Tensor:
        """How much each proposal counts for each: [P, N, N]. Z is the sum over the proposals of the same scene, so
        they are a softmax; of a pair without any proposal they are zero."""
        exponents = self.exponents(proposals).float().masked_fill(~present[:, None, :], float("-inf"))
        return F.softmax(exponents, dim=2).nan_to_num()

    def exponents(self, proposals: Tensor) -> Tensor:
        """The exponent of Eq. 3, [P, N, N]."""
        exponents: Tensor = self.mu(proposals) @ self.nu(proposals).transpose(1, 2)
        return exponents

    @torch.no_grad()
    def watched(self, present: Tensor, features: Tensor) -> dict[str, Tensor]:
        """The mean entropy of the softmax, as a part of the largest one: near 0 all attend to a single proposal."""
        counts = present.sum(dim=1)
        padded = nn.utils.rnn.pad_sequence(list(torch.split(features, counts.tolist())), batch_first=True)
        shares = self.shares(padded, present)
        entropies = -torch.xlogy(shares, shares).sum(dim=2)[present]
        largest = counts.clamp(min=2).log()[:, None].expand_as(present)[present]
        return {"entropy": (entropies / largest).mean() if len(entropies) else entropies.sum()}


class CalmRelationBlock(LocalRelationBlock):
    """The same with features of one length and the exponent over the root of its width, as in attention.

    Its softmax stays soft, so proposals attend to those that look like them. Features are only looked at: what they
    should be is not for the attention to say.
    """

    def __init__(self, dim: int, prepared: nn.Module, seen: int, embedding: int = 1024, keys: int = 256) -> None:
        """`prepared` makes `seen` numbers of one length out of a proposal's features."""
        super().__init__(dim, embedding, seen, keys)
        self.prepared = prepared
        self._damping = keys**-0.5

    def exponents(self, proposals: Tensor) -> Tensor:
        exponents: Tensor = super().exponents(self.prepared(proposals.detach())) * self._damping
        return exponents


class NoLocalRelation(LocalRelation):
    """Stands for the block in "w/o L" of Table 2: relations stay as they are."""

    def forward(self, relations: Tensor, proposals: Tensor, present: Tensor) -> Tensor:
        return relations


def mean_relation(relations: Tensor, present: Tensor) -> Tensor:
    """r^g: the mean [P, dim] of the relations [P, N, dim] of those proposals that are present; zero without any."""
    weights = present.to(relations.dtype)[..., None]
    return (relations * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
