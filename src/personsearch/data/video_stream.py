"""A video opened for reading: which stream is the film, its frames, and whether they are all there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

from personsearch.data.pictures import MAX_PIXELS
from personsearch.data.video_clock import VideoClock
from personsearch.data.video_end import missing_end
from personsearch.errors import VideoError

_MOST_HOLES = 100  # unreadable stretches of a container, after which the rest is given up
_LEAP = Fraction(10)  # seconds, in formats whose clock may start anew
_DAY = Fraction(86_400)
_CODEC = re.compile(rb"vide.{,400}?stsd.{12}([ -~]{4})|vids([ -~]{4})|(V_[A-Z0-9/_]+)", re.DOTALL)


@contextmanager
def in_one_line(path: Path) -> Iterator[None]:
    """Whatever the library raises at a file, and it raises nearly everything, becomes one line of VideoError."""
    try:
        yield
    except VideoError:
        raise
    except Exception as error:
        raise VideoError(
            f"{path} is not a video that can be read ({_reason(error)}): copy it again or leave it out"
        ) from error


def _reason(error: Exception) -> str:
    """One line.

    >>> _reason(IndexError("no such stream"))
    'IndexError: no such stream'
    """
    text = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
    return " ".join(str(text).split())


class VideoStream:
    """The film in a video file, read once from its start. Raises VideoError when there is none; to be closed."""

    def __init__(self, path: Path) -> None:
        try:
            import av
        except ImportError:
            raise VideoError(f"{path} needs the video extra: pip install 'personsearch[video]'") from None
        self.path = path
        with in_one_line(path):
            if not path.is_file():
                raise VideoError(f"{path} does not exist or is not a file: check the path of the video")
            self.container = av.open(
                str(path.absolute()),  # a relative name with a colon would be taken for an address
                metadata_errors="replace",  # nobody reads titles
                container_options={"protocol_whitelist": "file"},  # a play list must not reach into the net
                options={"max_pixels": str(2 * MAX_PIXELS)},  # what is just too large is still named with its size
            )
            try:
                self.stream = _film(path, self.container)
                self.rate = _positive(self.stream.average_rate)
                self.promised_frames = max(0, self.stream.frames)
            except BaseException:
                self.close()
                raise
        self._period = 1 / (self.rate or Fraction(25))
        self._clock = VideoClock(self._period, self._longest_gap())
        self._packets_read = 0
        self._end = 0.0  # seconds at which the last packet of any stream ends, by its stamp
        self._last_byte = 0  # where the last packet ends in the file
        self._lost = 0  # packets of the film that cannot be decoded, and holes in the container
        self._first_loss = Fraction(0)
        self._reason = "none is complete"
        self._began = False  # has a picture come that needs no other one?

    def close(self) -> None:
        self.container.close()

    def frames(self) -> Iterator[tuple[Fraction, Any]]:
        """(seconds since the first, frame of PyAV) of each frame that can be decoded.

        Goes on behind damage. Raises VideoError at the end if frames were left out or are missing.
        """
        count = 0
        with in_one_line(self.path):
            base = _positive(self.stream.time_base)
            for packet in chain(self._packets(), [None]):  # None: what the decoder still holds
                for frame in self._decode(packet):
                    count += 1
                    stamp = None if frame.pts is None or base is None else frame.pts * base
                    yield self._clock.tell(stamp), frame
            self._require_all(count)

    # ---------------------------------------------------------------------------------------------- reading

    def _packets(self) -> Iterator[Any]:
        from av.error import FFmpegError  # a name of this call, for the end of a program clears modules

        before_hole = -1
        for _ in range(_MOST_HOLES):
            try:
                for packet in self.container.demux():  # sound, too: its end tells whether the file is whole
                    self._note(packet)
                    if packet.stream_index == self.stream.index and (packet.size or packet.dts is not None):
                        self._packets_read += 1
                        if packet.size:  # else the frame before is shown on
                            yield packet
                return
            except FFmpegError as error:
                if self._packets_read > before_hole:  # else it is the same hole
                    self._lose(_reason(error))
                before_hole = self._packets_read

    def _decode(self, packet: Any) -> list[Any]:
        from av.error import FFmpegError

        self._began = self._began or (packet is not None and packet.is_keyframe)
        try:
            frames: list[Any] = self.stream.codec_context.decode(packet)
        except FFmpegError as error:
            if self._began or packet is None:  # a recording may begin in the middle of a group of pictures
                self._lose(_reason(error))
            self._reason = _reason(error)
            return []
        for frame in frames:
            if frame.width * frame.height > MAX_PIXELS:
                self._lose(_too_large(frame))
        return [frame for frame in frames if frame.width * frame.height <= MAX_PIXELS]

    def _lose(self, reason: str) -> None:
        self._reason = reason
        self._first_loss = self._first_loss if self._lost else self._clock.time
        self._lost += 1

    def _note(self, packet: Any) -> None:
        self._last_byte = max(self._last_byte, (packet.pos or 0) + packet.size)
        stamp = packet.dts if packet.pts is None else packet.pts
        if stamp is not None and packet.time_base:
            self._end = max(self._end, float((stamp + (packet.duration or 0)) * packet.time_base))

    # --------------------------------------------------------------------------------------- what is missing

    def _require_all(self, count: int) -> None:
        """Raises VideoError unless the file was whole and every frame could be decoded."""
        if count == 0:
            raise VideoError(
                f"{self.path} holds no frame that can be decoded ({self._reason}): copy it again or leave it out"
            )
        troubles = []
        if self._lost:
            many = "frames" if self._lost > 1 else "frame"
            troubles.append(f"is damaged after {float(self._first_loss):.1f} s ({self._lost} {many} left out)")
        shown = float(max(self._clock.time + self._period, self._packets_read * self._period))
        start = (self.container.start_time or 0) / 1_000_000
        seconds = max(shown, self._end + float(self._period), self._end + float(self._period) - start)
        of_what = missing_end(self.path, self.container, self.stream, shown, seconds, self._last_byte)
        if of_what is not None:
            troubles.append(f"stops after {count} frames ({float(self._clock.time):.1f} s) {of_what}")
        if troubles:
            raise VideoError(f"{self.path} {' and '.join(troubles)}: the rest can be used, or copy it again")

    @property
    def restarts(self) -> bool:
        """Whether the clock may start anew within a file of this format."""
        from av.format import Flags

        return bool(self.container.format.flags & Flags.ts_discont.value)

    def _longest_gap(self) -> Fraction:
        """Seconds between two frames that are believed; a longer step is a leap of the clock."""
        if self.restarts:
            longest = _LEAP
        else:  # a gap may be as long as the film
            longest = max(_LEAP, min(_DAY, Fraction(self.container.duration or 0, 1_000_000) or _DAY))
        return max(longest, 3 * self._period)


def _film(path: Path, container: Any) -> Any:
    """The video stream that players show, ready to decode."""
    from av.stream import Disposition

    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    films = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not films:
        raise VideoError(f"{path} holds no pictures that move: give a video")
    decodable = [stream for stream in films if stream.codec_context is not None]
    if not decodable:
        raise VideoError(
            f"{path} is in the codec {_codec_name(path)}, which cannot be decoded here: convert it to H.264, "
            "or leave it out"
        )
    best = container.streams.best("video")
    stream = next((one for one in decodable if best is not None and one.index == best.index), decodable[0])
    context = stream.codec_context
    if context.width * context.height > MAX_PIXELS:
        raise VideoError(f"{path} has {_too_large(context)}: make it smaller first")
    # One thread: a forked child drops inherited decoders, and must not wait for threads that it lacks.
    context.thread_count = 1
    context.options = {"max_pixels": str(2 * MAX_PIXELS)}  # the size may change on the way
    return stream


def _too_large(frame: Any) -> str:
    return f"{frame.width}x{frame.height} pixels, and {MAX_PIXELS // 1_000_000} megapixels are the limit"


def _codec_name(path: Path) -> str:
    """As the file writes it; PyAV does not say the name of what it cannot decode."""
    with path.open("rb") as file:
        head = file.read(1 << 20)
        file.seek(max(0, path.stat().st_size - (1 << 22)))
        found = _CODEC.search(head) or _CODEC.search(file.read())
    return repr(next(name for name in found.groups() if name).decode("ascii")) if found else "of an unknown name"


def _positive(value: Any) -> Fraction | None:
    return Fraction(value) if value and value > 0 else None
