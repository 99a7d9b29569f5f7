"""The gallery's nouns and the form they are stored in: one Arrow row a scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from personsearch.data.pictures import ImageFile
from personsearch.data.records import Box, Hit, Picture, Scene
from personsearch.data.video import VideoFrame
from personsearch.geometry.detections import Detections


def clock(seconds: float) -> str:
    """Hours, minutes, seconds and tenths.

    >>> clock(3661.27)
    '01:01:01.3'
    """
    tenths = round(seconds * 10)
    return f"{tenths // 36000:02}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}.{tenths % 10}"


@dataclass(frozen=True, slots=True)
class Source:
    """One file as it was when it was indexed: another size or time means another content."""

    path: str
    """Absolute, links resolved."""
    size: int
    mtime_ns: int
    every: float | None = None
    """Seconds between the sampled frames of a video; None for a picture."""

    @classmethod
    def of(cls, path: Path, every: float | None = None) -> Source:
        """Raises OSError if there is no such file."""
        stat = path.stat()
        return cls(str(path.resolve()), stat.st_size, stat.st_mtime_ns, every)


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


@dataclass(frozen=True, slots=True)
class GalleryHit(Hit):
    """One ranked answer, and where its picture is."""

    source: Path
    frame: int | None
    time: float | None
    """Seconds since the start of the video; None for a picture."""
    width: int
    height: int

    @property
    def picture(self) -> Picture:
        return picture_of(self.source, self.frame)

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "source": str(self.source),
            "time": self.time,
            "frame": self.frame,
            "box": [round(v, 2) for v in self.box],
            "similarity": round(self.similarity, 5),
            "score": round(self.score, 5),
            "width": self.width,
            "height": self.height,
        }


def picture_of(source: Path, frame: int | None) -> Picture:
    """A picture file, or a frame of a video."""
    return ImageFile(source) if frame is None else VideoFrame(source, frame)


def scene_name(row: dict[str, Any]) -> str:
    """What a row's scene is called: its file, and its frame in a video."""
    return str(row["source"]) if row["frame"] is None else f"{row['source']}@{row['frame']}"


def file_and_frame(picture: Picture) -> tuple[Path, int | None]:
    """Where a picture is. Raises TypeError for one that is neither a file nor a frame of a video."""
    if isinstance(picture, VideoFrame):
        return picture.path, picture.index
    if isinstance(picture, ImageFile):
        return picture.path, None
    raise TypeError(f"{picture} is neither a file nor a frame of a video")


def hit_of(scene: Scene, box: Box, similarity: float, score: float) -> GalleryHit:
    """A place in a scene as an answer."""
    source, frame = file_and_frame(scene.picture)
    return GalleryHit(scene.name, box, similarity, score, source, frame, scene.time, scene.width, scene.height)


END = -1
"""The frame number of the row that says a video was read to its end."""


@dataclass(slots=True)
class Held:
    """What the gallery has of one file."""

    source: Source
    frames: set[int | None]
    complete: bool


def note(held: dict[str, Held], row: dict[str, Any]) -> None:
    source = Source(row["source"], row["size"], row["mtime_ns"], row["every"])
    entry = held.setdefault(source.path, Held(source, set(), False))
    if row["frame"] == END:
        entry.complete = True
    else:
        entry.frames.add(row["frame"])
        entry.complete = entry.complete or row["frame"] is None


def schema(dim: int) -> Any:
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
        ]
    )


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
    }
