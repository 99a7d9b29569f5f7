"""Exact scoring of everybody in a gallery, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.errors import GalleryError
from personsearch.search.centring import ELSEWHERE, EXACT, CentredPeople
from personsearch.search.hits import GalleryHit
from personsearch.search.place import Place
from personsearch.search.rows import flat, scene_name, source_of
from personsearch.search.stored import InShards, Stored, exact
from personsearch.search.table import Snapshot

_FIRST_CANDIDATES = 256
_OF_PEOPLE = ("boxes", "scores")
_BYTES_OF_A_PERSON = 100
"""In memory beside a reading: box, score, scene, camera, length, and a few numbers more while a query is answered."""
_BYTES_OF_A_NUMBER = 16
"""Of a reading while it is compared: as Arrow has it, as torch has it, and in higher precision."""
_FEWEST_AT_A_TIME = 2000


@dataclass(frozen=True, slots=True)
class PlainPeople:
    """N people with embeddings [N, D] float32 of unit length."""

    embeddings: Tensor

    def cosines(self, query: Tensor) -> Tensor:
        """[N] to a query [D]; what is no number is like nobody."""
        return with_exact((self.embeddings @ query).nan_to_num(nan=-1.0), self, query)

    def centred(self, query: Tensor, _source: int = ELSEWHERE) -> Tensor:
        """The query as it is: embeddings are compared as the papers do it."""
        return query

    def readings(self, people: Tensor) -> Tensor:
        """[K, D] of the people with these numbers [K]."""
        return self.embeddings[people]


@dataclass(frozen=True, slots=True)
class PlainShards:
    """The same people, whose embeddings stay on the disk."""

    stored: Stored

    def cosines(self, query: Tensor) -> Tensor:
        found = torch.empty(len(self.stored))
        for people, part in self.stored.parts():
            found[people] = F.normalize(part.float(), dim=1) @ query
        return with_exact(found.nan_to_num_(nan=-1.0), self, query)

    def centred(self, query: Tensor, _source: int = ELSEWHERE) -> Tensor:
        return query

    def readings(self, people: Tensor) -> Tensor:
        return F.normalize(self.stored.take(people).float(), dim=1)


def with_exact(cosines: Tensor, people: PlainPeople | PlainShards, query: Tensor) -> Tensor:
    """Cosines [N], those of the 1,024 most alike to the last digit."""
    best = cosines.topk(min(EXACT, len(cosines))).indices
    cosines[best] = exact(people.readings(best), query).nan_to_num(nan=-1.0)
    return cosines


class SceneRows(Sequence[dict[str, Any]]):
    """Rows of an Arrow table, made when they are asked for."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < len(self._table):
            raise IndexError(number)
        return self._table.slice(number, 1).to_pylist()[0]


@dataclass(frozen=True, slots=True)
class Resident:
    """All N people of a gallery, in memory: about a gigabyte for a million, or one and a half of readings; in shards a
    twentieth of that."""

    scenes: Sequence[dict[str, Any]]
    scene_of: Tensor
    """[N] which of `scenes` a person is in."""
    boxes: Tensor
    scores: Tensor
    people: PlainPeople | PlainShards | CentredPeople
    sources: dict[Path, int]
    """Numbers of the cameras: a film, or a folder of pictures, each."""

    @classmethod
    def of(cls, table: Any, dim: int, *, centred: bool = False) -> Resident:
        """From all rows of a gallery, which `check_rows` has seen. `centred` people are without their camera's mean."""
        table = _in_order(table)
        stored = _tensor(table, "embeddings").reshape(-1, dim)
        scenes = table.drop_columns([*_OF_PEOPLE, "embeddings"]).to_pylist()

        def people(cameras: Tensor, count: int) -> PlainPeople | CentredPeople:
            if centred:
                return CentredPeople.of(stored.nan_to_num_(0.0), cameras, count)
            return PlainPeople(F.normalize(stored.float(), dim=1))

        return cls._with(table, scenes, people)

    @classmethod
    def in_shards(cls, snapshot: Snapshot, memory: int, *, centred: bool = False) -> Resident:
        """The same, with answers that are the same to the last digit among the 1,024 most alike, in so many bytes.

        Raises GalleryError where that is too little, and for a table that is damaged.
        """
        table = _in_order(snapshot.scenes())
        counts = _counts(table)
        most = people_at_a_time(int(counts.sum()), table.nbytes, snapshot.dim, memory, snapshot.folder)
        stored = InShards(snapshot, table["_rowid"].to_numpy().astype(np.int64), counts, most, finite=centred)
        scenes = SceneRows(table.drop_columns([*_OF_PEOPLE, "_rowid"]))

        def people(cameras: Tensor, count: int) -> PlainShards | CentredPeople:
            return CentredPeople.of(stored, cameras, count) if centred else PlainShards(stored)

        return cls._with(table, scenes, people)

    @classmethod
    def _with(
        cls,
        table: Any,
        scenes: Sequence[dict[str, Any]],
        people: Callable[[Tensor, int], PlainPeople | PlainShards | CentredPeople],
    ) -> Resident:
        """`people` makes them of the cameras [N] that they are of, and how many cameras there are."""
        counts = _counts(table)
        scene_of = torch.arange(len(counts)).repeat_interleave(counts)
        cameras, sources = _cameras(table)
        boxes, scores = _tensor(table, "boxes").reshape(-1, 4), _tensor(table, "scores")
        return cls(scenes, scene_of, boxes, scores, people(cameras[scene_of], len(sources)), sources)

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


def people_at_a_time(people: int, of_scenes: int, dim: int, memory: int, folder: Place) -> int:
    """How many people's readings may be in memory at once, where `of_scenes` bytes are known of the scenes.

    Raises GalleryError where hardly any.
    """
    kept = people * _BYTES_OF_A_PERSON + 2 * of_scenes
    most = (memory - kept) // (dim * _BYTES_OF_A_NUMBER)
    if most < _FEWEST_AT_A_TIME:
        least = kept + _FEWEST_AT_A_TIME * dim * _BYTES_OF_A_NUMBER
        raise GalleryError(
            f"{folder}: {people:,} people need more memory than that: give --memory {least / 1e6 + 1:.0f}MB or more, "
            "or ask several smaller galleries"
        )
    return int(most)


def _in_order(table: Any) -> Any:
    return table.sort_by([("source", "ascending"), ("frame", "ascending")]).combine_chunks()


def _counts(table: Any) -> Tensor:
    """[S] how many people are in each scene."""
    import pyarrow.compute as pc

    return torch.from_numpy(pc.list_value_length(table["scores"]).to_numpy().astype(np.int64))


def _cameras(table: Any) -> tuple[Tensor, dict[Path, int]]:
    """[S] numbers of the scenes' cameras, and the cameras."""
    sources: dict[Path, int] = {}
    numbers = []
    for batch in table.select(["source", "frame"]).to_batches(max_chunksize=1 << 16):
        for row in batch.to_pylist():
            numbers.append(sources.setdefault(camera_of(Path(row["source"]), row["frame"]), len(sources)))
    return torch.tensor(numbers, dtype=torch.int64), sources


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
