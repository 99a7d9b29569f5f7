"""Exact scoring of everybody in a gallery, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from personsearch.search.centring import ELSEWHERE, CentredPeople
from personsearch.search.hits import GalleryHit
from personsearch.search.rows import flat, scene_name, source_of

_FIRST_CANDIDATES = 256


@dataclass(frozen=True, slots=True)
class PlainPeople:
    """N people with embeddings [N, D] float32 of unit length."""

    embeddings: Tensor

    def cosines(self, query: Tensor) -> Tensor:
        """[N] to a query [D]; what is no number is like nobody."""
        return (self.embeddings @ query).nan_to_num(nan=-1.0)

    def centred(self, query: Tensor, _source: int = ELSEWHERE) -> Tensor:
        """The query as it is: embeddings are compared as the papers do it."""
        return query

    def readings(self, people: Tensor) -> Tensor:
        """[K, D] of the people with these numbers [K]."""
        return self.embeddings[people]


@dataclass(frozen=True, slots=True)
class Resident:
    """All N people of a gallery, in memory: about a gigabyte for a million, or one and a half of readings."""

    scenes: list[dict[str, Any]]
    scene_of: Tensor
    """[N] which of `scenes` a person is in."""
    boxes: Tensor
    scores: Tensor
    people: PlainPeople | CentredPeople
    sources: dict[Path, int]
    """Numbers of the cameras: a film, or a folder of pictures, each."""

    @classmethod
    def of(cls, table: Any, dim: int, *, centred: bool = False) -> Resident:
        """From all rows of a gallery, which `check_rows` has seen. `centred` people are without their camera's mean."""
        table = table.sort_by([("source", "ascending"), ("frame", "ascending")]).combine_chunks()
        counts = torch.tensor([len(s) for s in table["scores"].to_pylist()], dtype=torch.int64)
        stored = _tensor(table, "embeddings").reshape(-1, dim)
        scenes = table.drop_columns(["boxes", "scores", "embeddings"]).to_pylist()
        scene_of = torch.arange(len(counts)).repeat_interleave(counts)
        cameras = [camera_of(Path(row["source"]), row["frame"]) for row in scenes]
        sources = {camera: number for number, camera in enumerate(dict.fromkeys(cameras))}
        if centred:
            numbers = torch.tensor([sources[camera] for camera in cameras], dtype=torch.int64)
            people: PlainPeople | CentredPeople = CentredPeople.of(
                stored.nan_to_num_(0.0), numbers[scene_of], len(sources)
            )
        else:
            people = PlainPeople(torch.nn.functional.normalize(stored.float(), dim=1))
        return cls(
            scenes=scenes,
            scene_of=scene_of,
            boxes=_tensor(table, "boxes").reshape(-1, 4),
            scores=_tensor(table, "scores"),
            people=people,
            sources=sources,
        )

    def cosines(self, query: Tensor) -> Tensor:
        """[N] to a query [D] as `people.centred` gives it."""
        return self.people.cosines(query)

    def readings(self, people: Tensor) -> Tensor:
        """[K, D] of the people with these numbers [K]."""
        return self.people.readings(people)

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


def camera_of(path: Path, frame: int | None) -> Path:
    """What shifts all readings alike: the film, or the folder that a camera's pictures lie in."""
    return path.parent if frame is None else path


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
    return min_gap > 0 and any(
        hit.source == other.source and hit.frame != other.frame and abs(hit.time - other.time) < min_gap
        for other in others
        if hit.time is not None and other.time is not None
    )
