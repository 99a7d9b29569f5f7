"""One query from several sights of a person, and from people who are somebody else (Rocchio)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

OTHERS = 0.25
"""How much of the mean of other people is taken off."""


def refined(sights: Tensor, others: Tensor, weight: float = OTHERS) -> Tensor:
    """The query [D] of unit length for sights s [K, D], K > 0, and other people o [M, D], all of unit length:

        q = (mean s - w mean o) / |mean s - w mean o|

    The order does not count. Without other people it is the direction of the mean sight. Where nothing is left of a
    query, as with the same person on both sides and w = 1, others are not taken off. Raises ValueError without sights.
    """
    if not len(sights):
        raise ValueError("a person is searched for by one sight or more")
    mean = sights.float().mean(dim=0)
    if not float(mean.norm()) > 1e-6:  # opposite sights: the first one stands
        mean = sights[0].float()
    if not len(others):
        return F.normalize(mean, dim=0)
    left = mean - weight * others.float().mean(dim=0)
    return F.normalize(left if float(left.norm()) > 1e-6 else mean, dim=0)
