"""Frames of a video as pictures (PyAV). Times are exact: presentation stamp times time base."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from personsearch.data.video_picture import to_picture
from personsearch.data.video_stream import VideoStream, in_one_line
from personsearch.errors import SettingError, VideoError

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".dav", ".divx", ".dv", ".f4v", ".flv", ".h264", ".h265", ".hevc",
    ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpe", ".mpeg",
    ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv",
})
# fmt: on
_OPEN_VIDEOS = 4  # readers kept open by a thread
_FINEST_STEP = Fraction(1, 1_000_000)  # seconds; no two frames are closer


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One frame of a video, counted from 0. Holds a path and a number, so it travels between processes."""

    path: Path
    index: int

    def read(self) -> Image.Image:
        """The frame in RGB, upright.

        Frames asked for in growing order are decoded once; going back decodes the video from its start.
        Raises VideoError when the video is missing, not a video, or damaged or at its end before this frame.
        """
        return _reader(self.path, self.index).read(self.index)


@dataclass(frozen=True, slots=True)
class SampledFrame:
    """One frame taken from a video by time."""

    index: int
    """Counted from 0, over all frames of the video."""
    time: float
    """Seconds since the first frame."""
    image: Image.Image


@dataclass(frozen=True, slots=True)
class VideoHeader:
    """What a video says of itself, with the size as its first frame shows it."""

    width: int
    height: int
    rate: float | None
    """Frames a second, the average; None when unknown."""
    frames: int | None
    """None when the file does not say."""


def sample_video(path: Path, every: float) -> Iterator[SampledFrame]:
    """The first frame, and then the first frame at or after each multiple of `every` seconds.

    A damaged or cut video yields all that could be read and then raises VideoError. Raises SettingError when
    `every` is not a positive number of seconds.
    """
    if not (math.isfinite(every) and every > 0):
        raise SettingError(f"a frame every {every:g} seconds is impossible: give a number above 0")
    return _sample(path, max(Fraction(every).limit_denominator(1_000_000), _FINEST_STEP))


def _sample(path: Path, step: Fraction) -> Iterator[SampledFrame]:
    due = Fraction(0)
    with closing(VideoStream(path)) as video:
        for index, (time, frame) in enumerate(video.frames()):
            if time >= due:
                yield _sampled(path, index, time, frame)
                due = step * (math.floor(time / step) + 1)


def frame_at(path: Path, seconds: float) -> SampledFrame:
    """The first frame at or after so many seconds. Raises VideoError when the video ends before."""
    with closing(VideoStream(path)) as video:
        for index, (time, frame) in enumerate(video.frames()):
            if time >= seconds:
                return _sampled(path, index, time, frame)
    raise VideoError(f"{path}: ends before {seconds:g} s; give an earlier moment")


def _sampled(path: Path, index: int, time: Fraction, frame: Any) -> SampledFrame:
    with in_one_line(path):
        return SampledFrame(index, float(time), to_picture(frame))


def read_header(path: Path) -> VideoHeader:
    """Size, rate and length of a video; decodes one frame. Raises VideoError when there is none."""
    with closing(VideoStream(path)) as video:
        for time, frame in video.frames():
            width, height = _sampled(path, 0, time, frame).image.size
            return VideoHeader(width, height, float(video.rate) if video.rate else None, video.promised_frames or None)
    raise VideoError(f"{path} holds no frame that can be decoded: copy it again or leave it out")


# ---------------------------------------------------------------------------- one reader a video and thread


class _SequentialReader:
    """Reads frames of one video in growing order; the last one may be asked for again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = enumerate(VideoStream(path).frames())
        self.position = -1  # of the frame decoded last
        self.image: Image.Image | None = None  # that frame, once it was asked for

    def read(self, index: int) -> Image.Image:
        """Raises VideoError when the video has no such frame."""
        if index != self.position or self.image is None:
            self.image = self._advance(index)
        return self.image.copy()  # a caller may draw on it

    def _advance(self, index: int) -> Image.Image:
        self.image = None
        for self.position, (time, frame) in self.frames:  # noqa: B020
            if self.position == index:
                return _sampled(self.path, index, time, frame).image
        raise VideoError(f"{self.path} has no frame {index}: it ends after {self.position + 1} frames")


_open_readers = threading.local()


def _reader(path: Path, index: int) -> _SequentialReader:
    """The reader of this process, thread and state of the file, or a fresh one if it is beyond the frame."""
    if index < 0:
        raise VideoError(f"{path} has no frame {index}: frames are counted from 0")
    try:
        state = path.stat()
    except OSError:
        raise VideoError(f"{path} does not exist or is not a file: check the path of the video") from None
    readers: OrderedDict[tuple[Any, ...], _SequentialReader] = _open_readers.__dict__.setdefault(
        "readers", OrderedDict()
    )
    key = (os.getpid(), path, state.st_mtime_ns, state.st_size)  # the process: a fork shares file positions
    reader = readers.pop(key, None)
    if reader is None or index < reader.position or (index == reader.position and reader.image is None):
        reader = _SequentialReader(path)
    readers[key] = reader
    if len(readers) > _OPEN_VIDEOS:
        readers.popitem(last=False)
    return reader
