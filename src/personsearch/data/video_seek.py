"""One frame of a long film, read from the key frame before it instead of from the start of the film."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from PIL import Image

from personsearch.data.video_picture import to_picture
from personsearch.data.video_stream import VideoStream, in_one_line
from personsearch.errors import VideoError

_EXACT = 1e-6
"""Seconds by which the time of one and the same frame may differ."""


def frame_by_seeking(path: Path, time: float) -> Image.Image | None:
    """The frame that is shown at exactly this many seconds after the first one, in RGB, upright.

    None where that cannot be told: the file has no stamps, its clock may start anew, it cannot be sought in, or no
    frame has that time. Then `VideoFrame` counts frames from the start. Raises VideoError for what is no video.
    """
    with closing(VideoStream(path)) as video, in_one_line(path):
        base, stream = video.stream.time_base, video.stream
        first = next((frame.pts for frame in video.container.decode(stream)), None)
        if first is None or base is None or video.restarts:
            return None
        try:
            video.container.seek(first + round(time / base), stream=stream, backward=True)
            for frame in video.container.decode(stream):
                shown = None if frame.pts is None else float((frame.pts - first) * base)
                if shown is None or shown > time + _EXACT:
                    return None
                if shown >= time - _EXACT and not frame.is_corrupt:
                    return to_picture(frame)
        except (OSError, VideoError):  # FFmpeg's errors are OSErrors; damage before the frame: count instead
            return None
    return None
