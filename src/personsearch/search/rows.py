"""The gallery's nouns and the form they are stored in: one Arrow row a scene."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from personsearch.data.records import Scene
from personsearch.geometry.detections import Detections
from personsearch.search.hits import picture_of
from personsearch.search.sources import Source


@dataclass(frozen=True, slots=True)
class IndexedScene:
    """One scene and everybody found in it: a row of the gallery."""

    source: Source
    width: int
    height: int
    people: Detections
    frame: int | None = None
    """Number of the frame within its video; None for a picture."""
    time: float | None = None
    """Seconds since the start of its video; None for a picture."""

    def __post_init__(self) -> None:
        """Raises ValueError for impossible boxes or scores, such as NaN: a table with them would count as damaged."""
        boxes, scores = self.people.boxes.float().cpu().numpy(), self.people.scores.float().cpu().numpy()
        if not _possible(boxes, scores, np.array([self.width, self.height] * 2)).all():
            raise ValueError("the model gave impossible boxes or scores")


def scene_of_row(row: dict[str, Any]) -> Scene:
    """A row's scene, without its people."""
    picture = picture_of(Path(row["source"]), row["frame"])
    return Scene(scene_name(row), picture, row["width"], row["height"], time=row["time"])


def scene_name(row: dict[str, Any]) -> str:
    """What a row's scene is called: its file, and its frame in a video."""
    return str(row["source"]) if row["frame"] is None else f"{row['source']}@{row['frame']}"


END = -1
"""The frame number of the row that says a video was read to its end."""


@dataclass(slots=True)
class Held:
    """The frames of one file that the gallery holds."""

    source: Source
    frames: set[int | None]
    complete: bool


def source_of(row: dict[str, Any]) -> Source:
    return Source(row["source"], row["size"], row["mtime_ns"], row["every"], row.get("digest"))


def note(held: dict[str, Held], row: dict[str, Any]) -> None:
    source = source_of(row)
    entry = held.setdefault(source.path, Held(source, set(), False))
    if row["frame"] == END:
        entry.complete = True
    else:
        entry.frames.add(row["frame"])
        entry.complete = entry.complete or row["frame"] is None


def doubles(rows: Iterable[dict[str, Any]]) -> bool:
    """Whether a scene is in twice; rows of `source` and `frame`."""
    seen = set()
    for row in rows:
        key = row["source"], row["frame"]
        if key in seen:
            return True
        seen.add(key)
    return False


def each_once(batches: Iterable[Any]) -> Iterator[Any]:
    """Record batches with the first row of each scene alone."""
    import pyarrow as pa

    seen = set()
    for batch in batches:
        new = []
        for key in zip(batch["source"].to_pylist(), batch["frame"].to_pylist(), strict=True):
            new.append(key not in seen)
            seen.add(key)
        yield batch.filter(pa.array(new, pa.bool_()))


def schema(dim: int, *, digest: bool = True) -> Any:
    """Of the table; galleries of format 1 are without the digests of contents."""
    import pyarrow as pa

    return pa.schema(
        [
            ("source", pa.string()),
            ("size", pa.int64()),
            ("mtime_ns", pa.int64()),
            ("every", pa.float64()),
            ("frame", pa.int64()),
            ("time", pa.float64()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("boxes", pa.list_(pa.list_(pa.float32(), 4))),
            ("scores", pa.list_(pa.float32())),
            ("embeddings", pa.list_(pa.list_(pa.float16(), dim))),
            *([("digest", pa.string())] if digest else []),
        ]
    )


def check_schema(table: Any, dim: int) -> None:
    """Raises ValueError for a table that is not a gallery's of this length of embeddings."""
    if table.schema not in (schema(dim), schema(dim, digest=False)):
        raise ValueError("another schema")


_OPTIONAL = {"every", "frame", "time", "digest"}


def check_rows(table: Any) -> None:
    """Raises ValueError for rows that no gallery writes: the table is damaged, though it could be read.

    The people of a row must agree in number, and their boxes must be boxes that lie near its scene.
    """
    import pyarrow.compute as pc

    for name in table.column_names:
        if name not in _OPTIONAL and table[name].null_count:
            raise ValueError(f"a row without its {name}")
    if "boxes" not in table.column_names:
        return
    counts = pc.list_value_length(table["scores"])
    for name in {"boxes", "embeddings"}.intersection(table.column_names):
        if not pc.all(pc.equal(pc.list_value_length(table[name]), counts)).as_py() and len(table):
            raise ValueError(f"{name} and scores of a scene do not agree in number")
    scene = np.repeat(np.arange(len(table)), counts.to_numpy())
    boxes, scores = flat(table, "boxes").reshape(-1, 4), flat(table, "scores")
    size = np.stack([table["width"].to_numpy(), table["height"].to_numpy()] * 2, axis=1)[scene]
    good = _possible(boxes, scores, size)
    if not good.all():
        row = int(scene[int(np.argmin(good))])
        raise ValueError(f"impossible boxes or scores of {table['source'][row].as_py()!a}")
    times = table["time"].drop_null().to_numpy()
    if not (np.isfinite(times).all() and (times >= 0).all()):
        raise ValueError("impossible times")


def _possible(boxes: Any, scores: Any, size: Any) -> Any:
    """[N] whether each box ([N, 4]) with its score ([N]) can be of a scene of that size ([N, 4] or [4], twice x y)."""
    good = np.isfinite(boxes).all(1) & np.isfinite(scores)
    good &= (boxes[:, 0] <= boxes[:, 2]) & (boxes[:, 1] <= boxes[:, 3])
    return good & (boxes >= -size).all(1) & (boxes <= 2 * size).all(1)  # some detectors do not clip


def flat(table: Any, column: str) -> Any:
    """A list column, however deep, as one flat array; raises ValueError where something is missing inside."""
    return flat_values(table[column].combine_chunks(), column)


def flat_values(values: Any, column: str) -> Any:
    """The same of an Arrow array of such a column."""
    import pyarrow as pa

    while pa.types.is_list(values.type) or pa.types.is_fixed_size_list(values.type):
        values = values.flatten()
        if values.null_count:
            raise ValueError(f"{column} with gaps")
    return values.to_numpy(zero_copy_only=False)


def row_of(
    source: Source, frame: int | None, time: float | None, width: int, height: int, people: Detections
) -> dict[str, Any]:
    return {
        "source": source.path,
        "size": source.size,
        "mtime_ns": source.mtime_ns,
        "every": source.every,
        "frame": frame,
        "time": time,
        "width": width,
        "height": height,
        "boxes": people.boxes.float().cpu().tolist(),
        "scores": people.scores.float().cpu().tolist(),
        "embeddings": list(people.embeddings.half().cpu().numpy()),
        "digest": source.digest,
    }
