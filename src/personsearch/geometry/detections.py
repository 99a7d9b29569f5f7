"""What a model found in one picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Detections:
    """People found in one picture, in no promised order.

    >>> found = Detections.empty(256)
    >>> len(found)
    0
    """

    boxes: Tensor
    """[N, 4] float32, xyxy in pixels of the original picture."""
    scores: Tensor
    """[N] float32 in [0, 1]: confidence that this is a person."""
    embeddings: Tensor
    """[N, D] float32, unit length."""

    def __post_init__(self) -> None:
        n = len(self.boxes)
        if self.boxes.shape != (n, 4) or self.scores.shape != (n,) or self.embeddings.shape[:-1] != (n,):
            raise ValueError(
                f"boxes {tuple(self.boxes.shape)}, scores {tuple(self.scores.shape)} and embeddings "
                f"{tuple(self.embeddings.shape)} do not describe the same people"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Tensor | slice) -> Detections:
        """Selects by mask, by indices or by slice."""
        return Detections(self.boxes[index], self.scores[index], self.embeddings[index])

    @classmethod
    def empty(cls, dim: int) -> Detections:
        return cls(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dim))

    @classmethod
    def cat(cls, parts: Iterable[Detections]) -> Detections:
        """All people of several non-empty lists; raises RuntimeError on no list at all."""
        parts = list(parts)
        return cls(
            torch.cat([p.boxes for p in parts]),
            torch.cat([p.scores for p in parts]),
            torch.cat([p.embeddings for p in parts]),
        )
