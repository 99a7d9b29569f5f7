"""Which candidate box belongs to which person: match by overlap, then sample positives and negatives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import box_iou

NEGATIVE = -1
IGNORED = -2


@dataclass(frozen=True)
class Matcher:
    """Overlap rules. A candidate is positive from `positive` IoU on, negative below `negative`, else ignored."""

    positive: float
    negative: float
    best_is_positive: bool = False
    """Also take, for each person, the candidates that overlap it most, however little (RPN)."""

    def __call__(self, candidates: Tensor, persons: Tensor) -> Tensor:
        """Candidates [N, 4] and persons [P, 4] to [N]: index of the matched person, NEGATIVE or IGNORED.

        Without persons every candidate is NEGATIVE.
        """
        if len(persons) == 0:
            return torch.full((len(candidates),), NEGATIVE, device=candidates.device)
        iou = box_iou(candidates, persons)  # [N, P]
        best, match = iou.max(dim=1)
        result = torch.full_like(match, IGNORED)
        result[best < self.negative] = NEGATIVE
        result[best >= self.positive] = match[best >= self.positive]
        if self.best_is_positive and len(candidates):
            top = iou.max(dim=0).values  # [P]
            candidate, person = torch.nonzero((iou == top) & (top > 0), as_tuple=True)
            result[candidate] = person
        return result


@dataclass(frozen=True)
class Sampler:
    """Keeps at most `count` candidates, at most `positive_fraction` of them positive."""

    count: int
    positive_fraction: float

    def __call__(self, matches: Tensor, random: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Matches [N] to the indices of the kept (positives, negatives), drawn by `random`, or torch's generator."""
        positives = torch.nonzero(matches >= 0).flatten()
        negatives = torch.nonzero(matches == NEGATIVE).flatten()
        n_positive = min(len(positives), int(self.count * self.positive_fraction))
        return _draw(positives, n_positive, random), _draw(negatives, self.count - n_positive, random)


def _draw(indices: Tensor, count: int, random: torch.Generator | None) -> Tensor:
    chosen = torch.randperm(len(indices), generator=random)[:count]  # on the CPU: the same on every device
    return indices[chosen.to(indices.device)]
