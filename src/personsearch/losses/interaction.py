"""The two losses that pull BINet's branches together (section 3.4)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def feature_interaction(instance: Tensor, search: Tensor) -> Tensor:
    """L_fi of Eq. 1: mean of 1 - cosine over the P positive regions; features [P, 2048]. Zero for none."""
    if len(search) == 0:
        return (instance.sum() + search.sum()) * 0
    return (1 - F.cosine_similarity(instance, search)).mean()


def prediction_interaction(instance: Tensor, search: Tensor, temperature: float) -> Tensor:
    """L_pi of Eq. 2-4: symmetric Kullback-Leibler divergence of the two softened identity distributions.

    Takes the p of Eq. 4, [P, C] over the look-up table: scaled similarities, or probabilities as the equation reads
    to the letter, which leaves a loss too small to act (docs/decisions.md). Averaged over regions like Eq. 1. Zero
    for none.
    """
    if len(search) == 0:
        return (instance.sum() + search.sum()) * 0
    log_r = F.log_softmax(instance / temperature, dim=1)
    log_s = F.log_softmax(search / temperature, dim=1)
    # KL(r||s) + KL(s||r) in one sum
    return ((log_r.exp() - log_s.exp()) * (log_r - log_s)).sum(dim=1).mean()
