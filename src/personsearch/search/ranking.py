"""Exact scoring of everybody in a gallery, in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from personsearch.errors import GalleryError
from personsearch.search.centring import ELSEWHERE, CentredPeople, Centres
from personsearch.search.hits import GalleryHit
from personsearch.search.place import Place
from personsearch.search.rows import flat, flat_values, scene_name, source_of
from personsearch.search.stored import InMemory, InShards, Stored
from personsearch.search.table import Snapshot

_OF_PEOPLE = ["boxes", "scores"]
BYTES_OF_A_PERSON = 100
"""In memory beside a reading: box, score, scene, camera, length, and a few numbers more while a query is answered."""
_BYTES_OF_A_NUMBER = 16
"""Of a reading while it is compared: as Arrow has it, as torch has it, and in higher precision."""
_FEWEST_AT_A_TIME = 2000
_ROWS_AT_A_TIME = 4096


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


class Known(Protocol):
    """What was counted over everybody."""

    @property
    def sources(self) -> dict[Path, int]:
        """Numbers of the cameras"""
        ...

    @property
    def centres(self) -> Centres:
        """What is taken off"""
        ...


@dataclass(frozen=True, slots=True)
class Resident:
    """All N people of a gallery, in memory: half a gigabyte for a million, or one and a half of readings; in shards a
    tenth of that."""

    scenes: Sequence[dict[str, Any]]
    scene_of: Tensor
    """[N] which of `scenes` a person is in."""
    boxes: Tensor
    scores: Tensor
    people: CentredPeople
    sources: dict[Path, int]
    """Numbers of the cameras: a film, or a folder of pictures, each."""

    @classmethod
    def of(cls, table: Any, dim: int, *, centred: bool = False, known: Known | None = None) -> Resident:
        """From all rows of a gallery, which `check_rows` has seen. `centred` people are without their camera's mean.
        From some rows, if the means and the cameras of all are `known`."""
        order, readings = _order(table), table["embeddings"]
        table = table.drop_columns(["embeddings"])
        stored = _scattered(readings, _starts(table, order), dim)
        table = table.take(order).combine_chunks()
        scenes = table.drop_columns(_OF_PEOPLE).to_pylist()
        return cls._with(table, scenes, InMemory(stored.nan_to_num_(0.0) if centred else stored), centred, known)

    @classmethod
    def in_shards(cls, snapshot: Snapshot, memory: int, *, centred: bool = False) -> Resident:
        """The same, with answers that are the same to the last digit among the 1,024 most alike, in so many bytes.

        Raises GalleryError where that is too little, and for a table that is damaged.
        """
        table = snapshot.scenes()
        table = table.take(_order(table)).combine_chunks()
        counts = _counts(table)
        most = people_at_a_time(int(counts.sum()), table.nbytes, snapshot.dim, memory, snapshot.folder)
        stored = InShards(snapshot, table["_rowid"].to_numpy().astype(np.int64), counts, most, finite=centred)
        scenes = SceneRows(table.drop_columns([*_OF_PEOPLE, "_rowid"]))
        return cls._with(table, scenes, stored, centred)

    @classmethod
    def _with(
        cls, table: Any, scenes: Sequence[dict[str, Any]], stored: Stored, centred: bool, known: Known | None = None
    ) -> Resident:
        counts = _counts(table)
        scene_of = torch.arange(len(counts)).repeat_interleave(counts)
        cameras, sources = _cameras(table, None if known is None else known.sources)
        boxes, scores = _tensor(table, "boxes").reshape(-1, 4), _tensor(table, "scores")
        source_of = cameras[scene_of]
        if known is not None:
            centres = known.centres
        else:
            centres = Centres.of(stored, source_of, len(sources)) if centred else Centres.none(len(sources), stored.dim)
        return cls(scenes, scene_of, boxes, scores, CentredPeople.of(stored, source_of, centres), sources)

    @property
    def centres(self) -> Centres:
        return self.people.centres

    def cosines(self, query: Tensor) -> Tensor:
        """[N] to a query [D] as `people.centred` gives it."""
        return self.people.cosines(query)

    def cosines_of(self, people: Tensor, query: Tensor) -> Tensor:
        """[K] of the people with these numbers [K] alone."""
        return self.people.cosines_of(people, query)

    def readings(self, people: Tensor) -> Tensor:
        """[K, D] of the people with these numbers [K]."""
        return self.people.readings(people)

    def hit(self, person: int, similarity: float) -> GalleryHit:
        """Somebody in it, as an answer."""
        return self.hit_in(int(self.scene_of[person]), self.boxes[person], similarity, float(self.scores[person]))

    def hit_in(self, scene: int, box: Tensor, similarity: float, score: float) -> GalleryHit:
        """An answer at a box [4] of a scene."""
        row = self.scenes[scene]
        x1, y1, x2, y2 = box.tolist()
        return GalleryHit(
            scene=scene_name(row),
            box=(x1, y1, x2, y2),
            similarity=similarity,
            score=score,
            source=_path(row["source"]),
            frame=row["frame"],
            time=row["time"],
            width=row["width"],
            height=row["height"],
            indexed=source_of(row),
        )


@lru_cache(maxsize=1 << 16)
def _path(source: str) -> Path:
    """One of few files, whose path takes longer to make than all else of a hit."""
    return Path(source)


def camera_of(path: Path, frame: int | None) -> Path:
    """What shifts all readings alike: the film, or the folder that a camera's pictures lie in."""
    return path.parent if frame is None else path


def people_at_a_time(people: int, of_scenes: int, dim: int, memory: int, folder: Place) -> int:
    """How many people's readings may be in memory at once, where `of_scenes` bytes are known of the scenes.

    Raises GalleryError where hardly any.
    """
    kept = people * BYTES_OF_A_PERSON + 2 * of_scenes
    most = (memory - kept) // (dim * _BYTES_OF_A_NUMBER)
    if most < _FEWEST_AT_A_TIME:
        least = kept + _FEWEST_AT_A_TIME * dim * _BYTES_OF_A_NUMBER
        raise GalleryError(
            f"{folder}: {people:,} people need more memory than that: give --memory {least / 1e6 + 1:.0f}MB or more, "
            "or ask several smaller galleries"
        )
    return int(most)


def _order(table: Any) -> Any:
    """Numbers of the rows, by file and frame."""
    import pyarrow.compute as pc

    return pc.sort_indices(table, sort_keys=[("source", "ascending"), ("frame", "ascending")])


def _starts(table: Any, order: Any) -> NDArray[np.int64]:
    """[S] where the people of each row begin, once rows are in that order; one number more, of all."""
    counts, order = _counts(table).numpy(), order.to_numpy()
    starts = np.empty(len(counts) + 1, np.int64)
    starts[order] = np.cumsum(counts[order]) - counts[order]
    starts[-1] = counts.sum()
    return starts


def _scattered(lists: Any, starts: NDArray[np.int64], dim: int) -> Tensor:
    """[N, D] of a column of lists, each from its start on.

    A part at a time, for a sorted copy would take as much memory again.
    """
    values = np.empty((starts[-1], dim), np.float16)
    first = 0
    for chunk in lists.chunks:
        for start in range(0, len(chunk), _ROWS_AT_A_TIME):
            part = chunk.slice(start, _ROWS_AT_A_TIME)
            counts = part.value_lengths().to_numpy().astype(np.int64)
            before = np.cumsum(counts) - counts
            rows = np.repeat(starts[first : first + len(part)] - before, counts) + np.arange(counts.sum())
            values[rows] = flat_values(part, "embeddings").reshape(-1, dim)
            first += len(part)
    return torch.from_numpy(values)


def _counts(table: Any) -> Tensor:
    """[S] how many people are in each scene."""
    import pyarrow.compute as pc

    return torch.from_numpy(pc.list_value_length(table["scores"]).to_numpy().astype(np.int64))


def _cameras(table: Any, known: dict[Path, int] | None) -> tuple[Tensor, dict[Path, int]]:
    """[S] numbers of the scenes' cameras, and the cameras; those alone that are `known`, if any are."""
    sources: dict[Path, int] = {} if known is None else known
    numbers = []
    for batch in table.select(["source", "frame"]).to_batches(max_chunksize=1 << 16):
        for row in batch.to_pylist():
            camera = camera_of(Path(row["source"]), row["frame"])
            numbers.append(sources.setdefault(camera, len(sources)) if known is None else known.get(camera, ELSEWHERE))
    return torch.tensor(numbers, dtype=torch.int64), sources


def _tensor(table: Any, column: str) -> Tensor:
    return torch.from_numpy(flat(table, column).copy())


def too_close(hit: GalleryHit, others: Iterable[GalleryHit], min_gap: float) -> bool:
    return min_gap > 0 and any(
        hit.source == other.source and hit.frame != other.frame and abs(hit.time - other.time) < min_gap
        for other in others
        if hit.time is not None and other.time is not None
    )
