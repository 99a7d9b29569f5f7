"""Exact scoring of everybody in a gallery, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from personsearch.search.hits import GalleryHit
from personsearch.search.rows import flat, scene_name, source_of

_FIRST_CANDIDATES = 256


@dataclass(frozen=True, slots=True)
class Resident:
    """All people of a gallery, in memory: about a gigabyte for a million."""

    scenes: list[dict[str, Any]]
    scene_of: Tensor
    """[N] which of `scenes` a person is in."""
    boxes: Tensor
    scores: Tensor
    embeddings: Tensor
    """[N, D] float32, unit length."""

    @classmethod
    def of(cls, table: Any, dim: int) -> Resident:
        """From all rows of a gallery, which `check_rows` has seen."""
        table = table.sort_by([("source", "ascending"), ("frame", "ascending")]).combine_chunks()
        counts = torch.tensor([len(s) for s in table["scores"].to_pylist()], dtype=torch.int64)
        embeddings = _tensor(table, "embeddings").reshape(-1, dim).float()
        return cls(
            scenes=table.drop_columns(["boxes", "scores", "embeddings"]).to_pylist(),
            scene_of=torch.arange(len(counts)).repeat_interleave(counts),
            boxes=_tensor(table, "boxes").reshape(-1, 4),
            scores=_tensor(table, "scores"),
            embeddings=torch.nn.functional.normalize(embeddings, dim=1),
        )

    def hit(self, person: int, similarity: float) -> GalleryHit:
        row = self.scenes[int(self.scene_of[person])]
        x1, y1, x2, y2 = self.boxes[person].tolist()
        return GalleryHit(
            scene=scene_name(row),
            box=(x1, y1, x2, y2),
            similarity=similarity,
            score=float(self.scores[person]),
            source=Path(row["source"]),
            frame=row["frame"],
            time=row["time"],
            width=row["width"],
            height=row["height"],
            indexed=source_of(row),
        )


def _tensor(table: Any, column: str) -> Tensor:
    return torch.from_numpy(flat(table, column).copy())


def descending(values: Tensor) -> Iterator[int]:
    """Indices by falling value, equal ones by index; sorts only as far as it is asked.

    >>> list(descending(torch.tensor([0.1, 0.9, 0.1, 0.5])))
    [1, 3, 0, 2]
    """
    array = values.numpy()  # on one thread: waking others costs more than this work
    above, count = np.inf, _FIRST_CANDIDATES
    while len(array):
        count = min(count, len(array))
        least = np.partition(array, len(array) - count)[len(array) - count]
        slab = np.flatnonzero((array >= least) & (array < above))
        yield from slab[np.argsort(-array[slab], kind="stable")].tolist()
        if count == len(array):
            return
        above, count = least, 4 * count


def too_close(hit: GalleryHit, others: Iterable[GalleryHit], min_gap: float) -> bool:
    return any(
        hit.source == other.source and hit.frame != other.frame and abs(hit.time - other.time) < min_gap
        for other in others
        if hit.time is not None and other.time is not None
    )
