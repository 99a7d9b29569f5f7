"""Does a video file end where it says that it does? A file that does not say counts as complete."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

_PLACEHOLDER = 1 << 30  # frames: what a live recording writes into an AVI's header
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_STATED_LENGTH = {  # by the library's name of the format: where its header states seconds
    "matroska,webm": re.compile(rb"\x15\x49\xa9\x66.{,4096}?\x44\x89(?:\x84|\x88)(?P<value>.{4})", re.DOTALL),
    "flv": re.compile(rb"\x08duration\x00(?P<value>.{8})", re.DOTALL),
}
_BEGINNINGS = {"matroska,webm": b"\x1a\x45\xdf\xa3", "flv": b"FLV\x01"}  # of files, which may be joined
_MEDIA_BOXES = (b"mdat", b"moof")


def missing_end(path: Path, container: Any, stream: Any, shown: float, seconds: float, end: int) -> str | None:
    """For a file that ends before it should, words that say of how much, such as "of 12.0 s"; else None.

    The pictures last for `shown` seconds, and the last packet of all streams, sound too, ends at `seconds`: the
    length that a header states is that of the longest stream. It was read up to byte `end`. Transport streams
    and live recordings state no length, and always count as complete.
    """
    name, size = container.format.name, path.stat().st_size
    if name.startswith("mov"):  # an edit list may hide frames, so times say nothing; byte offsets do
        beyond = any(entry.pos + entry.size > size for entry in stream.index_entries)
        return "before the end that its index gives" if beyond or _last_box_end(path) > size else None
    if name == "asf":
        stated = _asf_size(path)
        return f"at {size} of {stated} bytes" if stated > size else None
    if name == "avi" and stream.average_rate and stream.frames < _PLACEHOLDER:
        return _shorter(shown, float(stream.frames / stream.average_rate))
    if name in _BEGINNINGS and _BEGINNINGS[name] in _part(path, end):
        return "where another recording is joined to it that cannot be read"
    length = _STATED_LENGTH.get(name)
    if length and (found := length.search(_part(path, 0))) and any(found["value"]):  # else the library guesses one
        return _shorter(seconds, (container.duration or 0) / 1_000_000)
    return None


def _part(path: Path, at: int) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        return file.read(1 << 18)


def _shorter(seconds: float, promised: float) -> str | None:
    return f"of {promised:.1f} s" if promised - seconds > max(0.5, 0.02 * promised) else None


def _last_box_end(path: Path) -> int:
    """Where the last outermost box with frames or their index in it should end; 0 where nothing is known."""
    at = end = 0
    with path.open("rb") as file:
        while len(head := file.read(16)) >= 8:
            length, kind = struct.unpack_from(">I4s", head)
            if length == 1 and len(head) == 16:
                (length,) = struct.unpack_from(">Q", head, 8)
            if length < 8 or not kind.isalnum():  # up to the end of the file, or no box at all
                break
            at += length
            end = at if kind in _MEDIA_BOXES else end
            file.seek(at)
    return end


def _asf_size(path: Path) -> int:
    """Bytes of the file as its header states them; 0 where it is a broadcast and cannot know."""
    head = _part(path, 0)
    at = head.find(_ASF_PROPERTIES)
    if at < 0 or len(head) < at + 92:
        return 0
    size, flags = struct.unpack_from("<40xQ40xI", head, at)
    return 0 if flags & 1 else int(size)
