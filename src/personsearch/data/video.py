"""Frames of a video as pictures (PyAV). Times are exact: presentation stamp times time base."""

from __future__ import annotations

import math
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from personsearch.errors import SettingError, VideoError

VIDEO_SUFFIXES = frozenset({".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".wmv"})
_OPEN_VIDEOS = 4  # readers kept open by a thread


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
    return _sample(path, Fraction(every).limit_denominator(1_000_000))


def _sample(path: Path, step: Fraction) -> Iterator[SampledFrame]:
    due = Fraction(0)
    with _opened(path) as (container, stream):
        for index, (time, frame) in enumerate(_decode(path, container, stream)):
            if time >= due:
                yield SampledFrame(index, float(time), _to_image(frame))
                due = step * (math.floor(time / step) + 1)


def read_header(path: Path) -> VideoHeader:
    """Size, rate and length of a video; decodes one frame. Raises VideoError when there is none."""
    with _opened(path) as (container, stream):
        for _, frame in _decode(path, container, stream):
            width, height = _to_image(frame).size
            rate = float(stream.average_rate) if stream.average_rate else None
            return VideoHeader(width, height, rate, stream.frames or None)
    raise VideoError(f"{path} holds no frame that can be decoded: copy it again or leave it out")


# ---------------------------------------------------------------------------------------------- decoding


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """(container, video stream), closed at the end."""
    container, stream = _open(path)
    try:
        yield container, stream
    finally:
        container.close()


def _open(path: Path) -> tuple[Any, Any]:
    try:
        import av
    except ImportError:
        raise VideoError(f"{path} needs the video extra: pip install 'personsearch[video]'") from None
    if not path.is_file():
        raise VideoError(f"{path} does not exist or is not a file: check the path of the video")
    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError):
        raise VideoError(f"{path} is not a video that can be opened: copy it again or leave it out") from None
    if not container.streams.video:
        container.close()
        raise VideoError(f"{path} holds sound but no pictures: give a video")
    stream = container.streams.video[0]
    # One thread: a forked child drops inherited decoders, and must not wait for threads that it lacks.
    stream.codec_context.thread_count = 1
    return container, stream


def _decode(path: Path, container: Any, stream: Any) -> Iterator[tuple[Fraction, Any]]:
    """(seconds since the first, frame) of each frame; raises VideoError where the stream breaks or is cut."""
    from av.error import FFmpegError  # a name of this call, for the end of a program clears modules

    rate = Fraction(stream.average_rate or 25)
    first: Fraction | None = None
    time, count = Fraction(0), 0
    try:
        for frame in container.decode(stream):
            stamp = frame.pts * frame.time_base if frame.pts is not None else count / rate
            first = stamp if first is None else first
            time, count = stamp - first, count + 1
            yield time, frame
    except FFmpegError:
        raise VideoError(
            f"{path} is damaged after {count} frames ({float(time):.1f} s): what came before can be used, "
            "or copy it again"
        ) from None
    promised = _promised_seconds(container, stream, rate)
    missing = promised - (time + 1 / rate)
    if missing > max(0.5, 0.02 * promised):
        raise VideoError(
            f"{path} stops after {count} frames ({float(time):.1f} s) of {promised:.1f} s: "
            "what came before can be used, or copy it again"
        )


def _promised_seconds(container: Any, stream: Any, rate: Fraction) -> float:
    """How long the header says the pictures last; 0 where it says nothing."""
    promises = [float(stream.frames / rate)]
    if stream.duration is not None:
        promises.append(float(stream.duration * stream.time_base))
    elif container.duration is not None and len(container.streams) == 1:  # else it may be that of the sound
        promises.append(container.duration / 1_000_000)
    return max(promises)


def _to_image(frame: Any) -> Image.Image:
    image: Image.Image = frame.to_image(threads=1)  # its threads would live as long as the frame, see _open
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image


# ---------------------------------------------------------------------------- one reader a video and thread


class _SequentialReader:
    """Reads frames of one video in growing order; the last one may be asked for again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.container, stream = _open(path)
        self.frames = enumerate(_decode(path, self.container, stream))
        self.position = -1  # of the frame decoded last
        self.image: Image.Image | None = None  # that frame, once it was asked for

    def read(self, index: int) -> Image.Image:
        """Raises VideoError when the video has no such frame."""
        if index != self.position or self.image is None:
            self.image = self._advance(index)
        return self.image.copy()  # a caller may draw on it

    def _advance(self, index: int) -> Image.Image:
        self.image = None
        for self.position, (_, frame) in self.frames:  # noqa: B020
            if self.position == index:
                return _to_image(frame)
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
