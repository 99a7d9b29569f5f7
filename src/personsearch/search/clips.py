"""Clips of a film, from when to when somebody is seen, with everybody else blurred."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image

from personsearch.data.records import Box
from personsearch.data.video_picture import to_picture
from personsearch.data.video_stream import VideoStream, in_one_line
from personsearch.search.appearances import Appearance
from personsearch.search.blurring import blurred

AROUND = 0.5
"""Seconds before the first and after the last hit that a clip shows, too."""
_KNOWN = 2.0
"""Seconds between two hits within which the person is taken to move evenly; in longer gaps everything is blurred."""
_BASE = Fraction(1, 1000)


@dataclass(frozen=True)
class Clip:
    """One appearance in a film, and the file that is to show it."""

    appearance: Appearance
    path: Path

    def holds(self, time: float) -> bool:
        return self._first - AROUND <= time <= self._last + AROUND

    @property
    def _first(self) -> float:
        return self.appearance.first or 0.0

    @property
    def _last(self) -> float:
        return self.appearance.last or 0.0

    @property
    def end(self) -> float:
        return self._last + AROUND

    def box_at(self, time: float) -> Box | None:
        """Where the person is, between the boxes of the hits before and after; None where that is not known."""
        hits = self.appearance.hits
        before = [hit for hit in hits if (hit.time or 0.0) <= time]
        after = [hit for hit in hits if (hit.time or 0.0) >= time]
        if not before or not after:
            nearest = after[0] if after else before[-1]
            return nearest.box if abs((nearest.time or 0.0) - time) <= AROUND else None
        first, second = before[-1], after[0]
        gap = (second.time or 0.0) - (first.time or 0.0)
        if gap > _KNOWN:
            return None
        share = (time - (first.time or 0.0)) / gap if gap else 0.0
        x1, y1, x2, y2 = (a + share * (b - a) for a, b in zip(first.box, second.box, strict=True))
        return x1, y1, x2, y2


def write_clips(source: Path, clips: Sequence[Clip], *, blur: bool = True) -> None:
    """Writes all clips of one film (H.264 in MP4, without sound), which is read once.

    Raises VideoError for a film that cannot be read to the end of the last clip: what it gave is written. Raises
    OSError for a full disk.
    """
    end = max(clip.end for clip in clips)
    writers = {clip: _Writer(clip) for clip in clips}
    try:
        with closing(VideoStream(source)) as film:
            for stamp, frame in film.frames():
                time = float(stamp)
                if time > end:
                    break
                wanted = [clip for clip in clips if clip.holds(time)]
                if wanted:
                    with in_one_line(source):
                        picture = to_picture(frame)
                    for clip in wanted:
                        writers[clip].add(time, blurred(picture, clip.box_at(time)) if blur else picture)
    finally:
        for writer in writers.values():
            writer.close()


class _Writer:
    """One clip, opened with its first picture. Its errors are the disk's."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._container: Any = None
        self._file: Any = None
        self._start = 0.0
        self._last = -1
        self._failed = False

    def add(self, time: float, picture: Image.Image) -> None:
        """Raises OSError."""
        import av

        even = picture.crop((0, 0, max(2, picture.width // 2 * 2), max(2, picture.height // 2 * 2)))
        try:
            if self._container is None:
                self._open(even)
                self._start = time
            frame = av.VideoFrame.from_image(even.resize((self._stream.width, self._stream.height)))
            frame.pts = self._last = max(self._last + 1, round((time - self._start) / _BASE))
            frame.time_base = _BASE
            self._container.mux(self._stream.encode(frame))
        except BaseException:
            self._failed = True
            raise

    def _open(self, picture: Image.Image) -> None:
        import av

        self._file = self._clip.path.open("wb")
        self._container = av.open(self._file, "w", format="mp4")
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        self._stream = self._container.add_stream(codec, rate=25)
        self._stream.width, self._stream.height, self._stream.pix_fmt = *picture.size, "yuv420p"
        self._stream.codec_context.time_base = _BASE
        self._stream.codec_context.thread_count = 1

    def close(self) -> None:
        """Raises OSError, unless something has failed before."""
        if self._container is None:
            return
        try:
            if not self._failed:
                self._container.mux(self._stream.encode())
                self._container.close()
                self._file.flush()
                os.fsync(self._file.fileno())
        finally:
            with suppress(Exception):  # after an error, the index cannot be written either
                self._container.close()
            with suppress(OSError):
                self._file.close()
            self._container = None
