"""A ranked answer of a search, and where its picture is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from personsearch.data.pictures import ImageFile
from personsearch.data.records import Box, Hit, Picture, Scene
from personsearch.data.video import VideoFrame
from personsearch.data.video_seek import frame_by_seeking
from personsearch.search.sources import Source, State


def clock(seconds: float) -> str:
    """Hours, minutes, seconds and tenths.

    >>> clock(3661.27)
    '01:01:01.3'
    """
    tenths = round(seconds * 10)
    return f"{tenths // 36000:02}:{tenths // 600 % 60:02}:{tenths // 10 % 60:02}.{tenths % 10}"


@dataclass(frozen=True, slots=True)
class GalleryHit(Hit):
    """One ranked answer, and where its picture is."""

    source: Path
    frame: int | None
    time: float | None
    """Seconds since the start of the video; None for a picture."""
    width: int
    height: int
    indexed: Source | None = None
    """The file as it was when the box was found in it; None where that was just now."""

    @property
    def picture(self) -> Picture:
        return picture_of(self.source, self.frame)

    def read(self) -> Image.Image:
        """The scene. Raises ImageError or VideoError."""
        if self.frame is not None and self.time is not None:
            image = frame_by_seeking(self.source, self.time)
            if image is not None:
                return image
        return self.picture.read()

    @property
    def state(self) -> State:
        """Whether the file still is what the box was found in; looks at the disk each time."""
        return State.CURRENT if self.indexed is None else self.indexed.state()

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
            "state": str(self.state),
        }


@dataclass(frozen=True)
class Answer:
    """What a gallery says to one query."""

    hits: list[GalleryHit]
    """Best first"""
    added: list[GalleryHit]
    """The first answers whose looks were added to the query's before everybody was ranked again; most often none"""
    absent: bool | None = None
    """Whether nobody looks like her or him (absence.py); None where that is not known"""


def picture_of(source: Path, frame: int | None) -> Picture:
    """A picture file, or a frame of a video."""
    return ImageFile(source) if frame is None else VideoFrame(source, frame)


def file_and_frame(picture: Picture) -> tuple[Path, int | None]:
    """Where a picture is. Raises TypeError for one that is neither a file nor a frame of a video."""
    if isinstance(picture, VideoFrame):
        return picture.path, picture.index
    if isinstance(picture, ImageFile):
        return picture.path, None
    raise TypeError(f"{picture} is neither a file nor a frame of a video")


def hit_of(scene: Scene, box: Box, similarity: float, score: float) -> GalleryHit:
    """A box in a scene as an answer."""
    source, frame = file_and_frame(scene.picture)
    return GalleryHit(scene.name, box, similarity, score, source, frame, scene.time, scene.width, scene.height)
