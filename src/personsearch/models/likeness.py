"""Relations that cannot name anybody: how alike two people are, how sure the trunk is of them, and who competes.

A relation made of differences between embeddings, channel by channel, learns the few identities of a training split by
heart. One that sees the likeness alone has nothing to learn them by.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from personsearch.models.relation import CalmRelationBlock
from personsearch.models.search_network import EMBEDDING_DIM, RoIHead, box_scores

SCORE = EMBEDDING_DIM
"""Where in a reading the logarithm of the trunk's score stands; four deltas of the box follow."""
READING = EMBEDDING_DIM + 5
"""Length of a reading."""
LIKENESS, SURENESS, DELTAS = 0, 1, slice(2, 6)
"""Where in a relation the cosine, the logarithm of the score and the trunk's deltas stand."""
_COSINES = 10.0
"""What cosines are multiplied by in the softmax over a scene."""


class TrunkHead(nn.Module):
    """All that a search network's head says of a region in one row: its reading."""

    def __init__(self, head: RoIHead) -> None:
        super().__init__()
        self.trunk = head

    def forward(self, regions: Tensor) -> Tensor:
        """Pooled regions [R, 1024, h, w] to readings [R, 261]: embedding, log score, deltas."""
        features, logits, fits, deltas = self.trunk(regions)
        sure = box_scores(logits, fits).clamp(min=_LEAST_SCORE).log()
        return torch.cat([self.trunk.branch(features).embeddings, sure[:, None], deltas], dim=1)


_LEAST_SCORE = 1e-6


class LikenessRelation(nn.Module):
    """r1: the cosine of proposal and query, what the trunk says of the proposal, and what two layers make of both."""

    def __init__(self, dim: int, hidden: int = 64) -> None:
        super().__init__()
        given = DELTAS.stop
        self.layers = nn.Sequential(nn.Linear(2, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, dim - given))

    def forward(self, proposals: Tensor, query: Tensor) -> Tensor:
        """Readings [P, N, 261] of N proposals a pair and [P, 261] of its query to relations [P, N, dim]."""
        cosines = (proposals[..., :SCORE] * query[:, None, :SCORE]).sum(dim=2, keepdim=True)
        known = torch.cat([cosines, proposals[..., SCORE:]], dim=2)
        return torch.cat([known, self.layers(known[..., :2]).to(known.dtype)], dim=2)


class _Embedding(nn.Module):
    """The embedding of a reading, scaled so that its mean square is 1."""

    def forward(self, readings: Tensor) -> Tensor:
        scaled: Tensor = readings[..., :EMBEDDING_DIM] * EMBEDDING_DIM**0.5
        return scaled


class CalmCompetition(CalmRelationBlock):
    """L on a trunk: the calm block, and what every proposal is told about the scene's most alike.

    The person is at one place of a scene at most, so whoever is less alike than another is hardly the one asked for.
    Both parts start without a say.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, _Embedding(), EMBEDDING_DIM, embedding=256)
        self.compete = nn.Sequential(nn.Linear(4, 64), nn.ReLU(inplace=True), nn.Linear(64, dim))
        for parameter in self.compete[2].parameters():
            nn.init.zeros_(parameter)

    def forward(self, relations: Tensor, proposals: Tensor, present: Tensor) -> Tensor:
        refined = super().forward(relations, proposals, present)
        told = self.compete(rivalry(relations[..., LIKENESS], relations[..., SURENESS], present))
        return torch.where(present[..., None], refined + told.to(refined.dtype), relations)


def rivalry(likenesses: Tensor, sureness: Tensor, present: Tensor) -> Tensor:
    """Of each proposal [P, N, 4]: how far its likeness [P, N] is behind the scene's best, that best, its share in a
    softmax over the scene, and its sureness [P, N]. Of those not present, anything finite."""
    least = likenesses.masked_fill(~present, -1.0)
    best = least.max(dim=1, keepdim=True).values if least.shape[1] else least
    shares = (_COSINES * likenesses.masked_fill(~present, -1e4)).softmax(dim=1)
    return torch.stack([best - least, best.expand_as(least), shares, sureness], dim=2)
