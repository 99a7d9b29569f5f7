"""A camera's stream (RTSP and other addresses, or a device) recorded as short films, one after the other.

Packets are copied as they come and not encoded again; a device's bare pictures are encoded. A film has its name only
when it is whole. When the stream breaks off, the camera is called again.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from personsearch.errors import InputError, SettingError, VideoError

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "udp", "tcp", "srt")
_PROTOCOLS = "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,httpproxy,crypto,rtmp,srt"
"""What a stream may lead to: the net, and no file of this machine."""
_TIMEOUT = 10.0
"""Seconds without a sign of a camera after which it counts as gone."""
_WAITS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before the first, second ... call of a camera that is gone."""
_BARE = ("rawvideo", "wrapped_avframe")


def is_camera(address: str) -> bool:
    """Whether this names a stream or a device, and no file.

    >>> is_camera("rtsp://cam/1"), is_camera("device:v4l2:/dev/video0"), is_camera("photos")
    (True, True, False)
    """
    return urlsplit(address).scheme in (*SCHEMES, "device") and ":" in address


def shown(address: str) -> str:
    """An address without the password in it.

    >>> shown("rtsp://me:secret@cam:554/1?user=a&password=b")
    'rtsp://cam:554/1'
    """
    if address.startswith("device:"):
        return address
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True)
class Camera:
    """Records one stream into a folder. Raises SettingError for an address that cannot be one."""

    address: str
    folder: Path
    seconds: float = 20.0
    """The length of a film; it ends with the next picture that needs no other one."""
    waits: tuple[float, ...] = _WAITS

    def __post_init__(self) -> None:
        scheme, _, rest = self.address.partition(":")
        if not is_camera(self.address) or not rest.strip("/") or (scheme == "device" and ":" not in rest):
            raise SettingError(
                f"{shown(self.address)}: is no address of a camera; give rtsp://HOST/PATH, or "
                "device:FORMAT:NAME such as device:v4l2:/dev/video0"
            )

    @property
    def name(self) -> str:
        """What its films are called, before their times."""
        return re.sub(r"[^A-Za-z0-9]+", "-", shown(self.address).partition(":")[2]).strip("-")[:60]

    def record(self, stop: threading.Event, complain: Callable[[str], None] = lambda line: None) -> None:
        """Until `stop` is set. Calls a camera that is gone again and again, and tells when it goes and comes back.

        Raises InputError where films cannot be written.
        """
        failures = 0
        while not stop.is_set():
            try:
                for _ in self._films(stop):
                    if failures:
                        complain(f"{shown(self.address)}: is back")
                    failures = 0
                why = "the stream has ended"
            except VideoError as error:
                why = str(error)
            if stop.is_set():
                return
            if not failures:
                complain(f"{shown(self.address)}: is gone ({why}); it is called until it is back")
            stop.wait(self.waits[min(failures, len(self.waits) - 1)])
            failures += 1

    def _films(self, stop: threading.Event) -> Any:
        """Yields once, when the first packet has come. Raises VideoError when the stream breaks."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        container = self._open()
        film: _Film | None = None
        try:
            if not container.streams.video:
                raise VideoError("it sends no pictures")
            stream = container.streams.video[0]
            bare = stream.codec_context.name in _BARE
            for packet in container.demux(stream):
                if stop.is_set():
                    return
                if packet.dts is None:
                    continue
                whole = bare or packet.is_keyframe
                if film is None and not whole:
                    continue  # it needs a picture that was not sent
                if film is None or (whole and film.length(packet) >= self.seconds):
                    if film is None:
                        yield
                    else:
                        film.close()
                    film = _Film(self.folder, self.name, stream, packet)
                film.add(packet)
        except (VideoError, InputError):
            raise
        except Exception as error:
            raise VideoError(_reason(error)) from error
        finally:
            if film is not None:
                film.close()
            container.close()

    def _open(self) -> Any:
        try:
            import av
        except ImportError:
            raise InputError("cameras need the video extra: pip install 'personsearch[video]'") from None
        scheme, _, rest = self.address.partition(":")
        try:
            if scheme == "device":
                kind, _, name = rest.partition(":")
                return av.open(name, format=kind)
            options = {"protocol_whitelist": _PROTOCOLS}
            if scheme.startswith("rtsp"):
                options["rtsp_transport"] = "tcp"  # over UDP, pictures arrive with holes
            return av.open(self.address, options=options, timeout=(_TIMEOUT, _TIMEOUT))
        except Exception as error:
            raise VideoError(_reason(error)) from error


class _Film:
    """One film that is being written, under a hidden name. Its errors are the disk's: InputError."""

    def __init__(self, folder: Path, name: str, stream: Any, first: Any) -> None:
        import av

        started = datetime.now()
        self._path = folder / f"{name}-{started:%Y%m%d-%H%M%S}-{started.microsecond // 1000:03}.mkv"
        self._part = folder / f".{self._path.name}.part"
        self._base = Fraction(first.time_base)
        self._start = first.dts
        self._stream = stream
        try:
            self._container = av.open(str(self._part), "w", format="matroska")
            self._bare = stream.codec_context.name in _BARE
            if self._bare:
                self._out = self._container.add_stream("mpeg4", rate=stream.average_rate or 25)
                size = stream.codec_context
                self._out.width, self._out.height, self._out.pix_fmt = size.width, size.height, "yuv420p"
            else:
                self._out = self._container.add_stream_from_template(stream)
        except Exception as error:
            raise InputError(f"{self._path}: cannot be written ({_reason(error)})") from error
        self._last = -1
        self.packets = 0

    def length(self, packet: Any) -> float:
        """Seconds up to a packet."""
        return float((packet.dts - self._start) * self._base)

    def add(self, packet: Any) -> None:
        if self._bare:
            frames = packet.decode()
            packets = [coded for frame in frames for coded in self._encode(frame)]
        else:
            packet.pts = None if packet.pts is None else packet.pts - self._start
            packet.dts = max(self._last + 1, packet.dts - self._start)  # some cameras repeat a stamp
            self._last = packet.dts
            packet.stream = self._out
            packets = [packet]
        try:
            self._container.mux(packets)
            self.packets += 1
        except OSError as error:
            raise InputError(f"{self._path}: cannot be written ({_reason(error)})") from error

    def _encode(self, frame: Any) -> Any:
        self._last = frame.pts = self._last + 1
        frame.time_base = 1 / (self._stream.average_rate or Fraction(25))
        return self._out.encode(frame.reformat(format="yuv420p"))

    def close(self) -> None:
        """Gives the film its name; one that is empty is removed."""
        with suppress(OSError):
            if self._bare:
                self._container.mux(self._out.encode())
        with suppress(OSError):
            self._container.close()
        with suppress(OSError):
            if self.packets:
                self._part.replace(self._path)
            else:
                self._part.unlink()


def _reason(error: Exception) -> str:
    """One line, without an address, which may hold a password."""
    text = getattr(error, "strerror", None) or type(error).__name__
    return " ".join(str(text).split())


def start(camera: Camera, stop: threading.Event, complain: Callable[[str], None]) -> threading.Thread:
    """Records in a thread of its own. What ends it is told."""

    def run() -> None:
        try:
            camera.record(stop, complain)
        except InputError as error:
            complain(f"{shown(camera.address)}: no longer recorded: {error}")

    thread = threading.Thread(target=run, name=f"camera {camera.name}", daemon=True)
    thread.start()
    return thread
