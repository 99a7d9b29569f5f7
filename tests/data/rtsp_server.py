"""A camera on loopback: speaks as much RTSP as a player needs, and sends a film as RTP over the same connection."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable

import av
from av.codec.context import Flags
from PIL import Image

_CLOCK = 90_000
_MOST = 1400


class RtspServer:
    """Sends `frames` pictures at `rate` to whoever plays, each time from the start, and then hangs up."""

    def __init__(self, picture: Callable[[int], Image.Image], frames: int, rate: int = 5, speed: float = 1.0) -> None:
        self.played = 0
        self._rate, self._speed = rate, speed
        self._extra, self._packets = _encoded(picture, frames, rate)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"rtsp://me:secret@127.0.0.1:{self._socket.getsockname()[1]}/cam"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError, ValueError):
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        for line, number in _requests(connection):
            method = line.split()[0]
            more, body = "", ""
            if method == "OPTIONS":
                more = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
            elif method == "DESCRIBE":
                body = self._description()
                more = f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n"
            elif method == "SETUP":
                more = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n"
            connection.sendall(f"RTSP/1.0 200 OK\r\nCSeq: {number}\r\n{more}\r\n{body}".encode())
            if method == "PLAY":
                self.played += 1
                self._play(connection)
                return

    def _description(self) -> str:
        return (
            "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=cam\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
            f"a=rtpmap:96 MP4V-ES/{_CLOCK}\r\na=fmtp:96 profile-level-id=1;config={self._extra.hex()}\r\n"
            "a=control:video\r\n"
        )

    def _play(self, connection: socket.socket) -> None:
        sequence = 0
        for number, packet in enumerate(self._packets):
            for start in range(0, len(packet), _MOST):
                part = packet[start : start + _MOST]
                last = 0x80 if start + _MOST >= len(packet) else 0
                stamp = number * _CLOCK // self._rate
                header = struct.pack(">BBHII", 0x80, 96 | last, sequence & 0xFFFF, stamp, 7)
                connection.sendall(struct.pack(">cBH", b"$", 0, len(header) + len(part)) + header + part)
                sequence += 1
            time.sleep(1 / self._rate / self._speed)


def _requests(connection: socket.socket) -> object:
    """(first line, CSeq) of each request."""
    held = b""
    while True:
        while b"\r\n\r\n" not in held:
            block = connection.recv(4096)
            if not block:
                return
            held += block
        head, _, held = held.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        number = next(line.partition(":")[2].strip() for line in lines if line.lower().startswith("cseq"))
        yield lines[0], number


def _encoded(picture: Callable[[int], Image.Image], frames: int, rate: int) -> tuple[bytes, list[bytes]]:
    context = av.CodecContext.create("mpeg4", "w")
    first = picture(0)
    context.width, context.height, context.pix_fmt, context.bit_rate = *first.size, "yuv420p", 4_000_000
    context.framerate, context.gop_size = rate, rate
    context.flags |= Flags.global_header
    packets = []
    for number in range(frames):
        packets += [bytes(packet) for packet in context.encode(av.VideoFrame.from_image(picture(number)))]
    packets += [bytes(packet) for packet in context.encode()]
    return bytes(context.extradata), packets
