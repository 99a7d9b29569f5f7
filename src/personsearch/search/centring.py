"""Each camera shifts all its readings alike, so the mean of a source says nothing about its people: it is taken off."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

FEWEST = 50
"""People whose mean is that of their source and not their own."""
ELSEWHERE = -1
"""The source of a query that is of none of the gallery's."""


@dataclass(frozen=True)
class Centres:
    """What is taken off the readings of each source."""

    means: Tensor
    """[S + 1, D]: of S sources, and last what stands for any other"""

    @classmethod
    def of(cls, readings: Tensor, source_of: Tensor, sources: int) -> Centres:
        """Of N people with readings [N, D] in sources `source_of` [N] int64, 0 ... S - 1.

        A source of fewer than 50 people takes the mean of everybody, and where those are fewer than 50, too, nothing.
        """
        sums = readings.new_zeros(sources, readings.shape[1], dtype=torch.float32)
        sums.index_add_(0, source_of, readings.float())
        counts = source_of.bincount(minlength=sources)[:, None]
        everybody = sums.sum(dim=0) / max(len(readings), 1) * (len(readings) >= FEWEST)
        means = torch.where(counts >= FEWEST, sums / counts.clamp(min=1), everybody)
        return cls(torch.cat([means, everybody[None]]))

    def take_off(self, readings: Tensor, source_of: Tensor) -> Tensor:
        """Readings [N, D] without the mean of their sources [N], of unit length; ELSEWHERE takes that of everybody."""
        return F.normalize(readings.float() - self.means[source_of])
