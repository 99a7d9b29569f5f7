"""Online instance matching (Xiao et al., CVPR 2017): softmax over remembered embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from personsearch.data.records import UNLABELED
from personsearch.runtime import gather_rows
from personsearch.settings import Part, Positive, Range

EMPTY = -1e4
"""Logit of an empty row: its share in a softmax is zero, and differences stay finite."""


@dataclass(frozen=True)
class OIMSettings:
    """OIM's own numbers are scalar 10 and momentum 0.5; BINet's queue is 5000 on CUHK-SYSU and 500 on PRW."""

    queue: Annotated[int, Range(0, 10**6)] = 5000
    scalar: Positive = 10.0
    momentum: Part = 0.5


class OIMMemory(nn.Module):
    """One remembered embedding for each identity, and a ring of recent unlabelled ones.

    All state, the ring's cursor included, lives in buffers, so a checkpoint holds it. Logits are read from a
    snapshot, so that both branches of BINet see the same memory; `update` is then called once a step.
    """

    lookup_table: Tensor
    queue: Tensor
    queue_head: Tensor

    def __init__(self, identities: int, dim: int, settings: OIMSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("lookup_table", torch.zeros(identities, dim))
        self.register_buffer("queue", torch.zeros(settings.queue, dim))
        self.register_buffer("queue_head", torch.zeros((), dtype=torch.int64))

    def logits(self, embeddings: Tensor) -> Tensor:
        """Scaled similarities [N, identities + queue] of unit embeddings [N, D] to the memory as it is now.

        Logits of rows that are not filled yet are EMPTY.
        """
        memory = torch.cat([self.lookup_table, self.queue])  # cat copies: a later update leaves the graph alone
        logits = self.settings.scalar * embeddings @ memory.T
        return logits.masked_fill(~memory.any(dim=1), EMPTY)

    def targets(self, identities: Tensor) -> Tensor:
        """The identities [N] that the look-up table knows by now; UNLABELED for all others.

        A first sight has nothing to match. Asked to match its empty row, it would be pushed away from everybody,
        and in a short run that is most of what the network is taught (docs/decisions.md).
        """
        known = self.lookup_table.any(dim=1)[identities.clamp(min=0)]
        return torch.where(known, identities, UNLABELED)

    @torch.no_grad()
    def update(self, embeddings: Tensor, identities: Tensor) -> None:
        """Remembers unit embeddings [N, D] with their identities [N], one after the other, as OIM does.

        Each of several processes remembers what all of them give, in the order of their ranks, so all memories agree.
        """
        embeddings, identities = gather_rows(embeddings.detach().float()), gather_rows(identities)
        for embedding, identity in zip(embeddings, identities.tolist(), strict=True):
            if identity != UNLABELED:
                momentum = self.settings.momentum
                mixed = momentum * self.lookup_table[identity] + (1 - momentum) * embedding
                self.lookup_table[identity] = F.normalize(mixed, dim=0)
            elif len(self.queue):
                self.queue[self.queue_head] = embedding
                self.queue_head.copy_((self.queue_head + 1) % len(self.queue))


def oim_loss(logits: Tensor, identities: Tensor) -> Tensor:
    """Mean cross-entropy of logits [N, C] against identities [N]; unlabelled rows do not count.

    Without a labelled row the loss is zero, still attached to the graph.
    """
    labeled = identities != UNLABELED
    if not labeled.any():
        return logits.sum() * 0
    return F.cross_entropy(logits[labeled], identities[labeled])
