"""A loss that tells people apart without a memory: for the warm-up on patches."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def supervised_contrastive(embeddings: Tensor, identities: Tensor, temperature: float) -> Tensor:
    """Each sight should be nearer to the other sights of its identity than to anybody else (Khosla et al., 2020).

    Embeddings [N, D] are unit length. For each pair of one identity: the cross-entropy of finding the second among
    all others of the batch by scaled cosine; the mean over pairs. Without a pair zero, still attached to the graph.
    """
    itself = torch.eye(len(embeddings), dtype=torch.bool, device=embeddings.device)
    pairs = (identities[:, None] == identities[None]) & ~itself
    if not pairs.any():
        return embeddings.sum() * 0
    logits = (embeddings @ embeddings.T / temperature).masked_fill(itself, float("-inf"))
    return -F.log_softmax(logits, dim=1)[pairs].mean()
