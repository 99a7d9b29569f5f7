"""Reads Radiance pictures (.hdr, RGBE): linear light far beyond white, as photographed light probes are published."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from personsearch.errors import DataError

MOST_PIXELS = 8192 * 4096
"""Larger files are refused: a probe keeps 256x128 pixels of what it reads."""

_SIZE = re.compile(rb"-Y (\d{1,9}) \+X (\d{1,9})")


def read_radiance(path: Path) -> NDArray[Any]:
    """Linear RGB [H, W, 3] float32 of a Radiance file with flat or run-length coded rows, top row first.

    Raises DataError for anything else, for damaged files and for those over MOST_PIXELS; OSError where it
    cannot be read.
    """
    with path.open("rb") as file:
        if not file.readline(200).startswith(b"#?"):
            raise DataError(f"{path}: is no Radiance picture: leave it out or convert it to .hdr")
        width, height = _size(path, [file.readline(1000) for _ in range(100)])
        file.seek(0)
        content = file.read(MOST_PIXELS * 5)
    start = content.index(b"-Y ", content.index(b"\n\n"))
    rows = content[content.index(b"\n", start) + 1 :]
    rgbe = np.empty((height, width, 4), np.uint8)
    at = 0
    for y in range(height):
        coded = rows[at : at + 4] == bytes((2, 2, width >> 8 & 255, width & 255)) and 8 <= width < 32768
        at = _coded(path, rows, at + 4, rgbe[y]) if coded else _flat(path, rows, at, rgbe[y])
    scale = np.where(rgbe[..., 3:] > 0, np.ldexp(np.float32(1.0), rgbe[..., 3:].astype(np.int32) - 136), 0)
    return np.asarray(rgbe[..., :3] * scale, np.float32)


def _damaged(path: Path) -> DataError:
    return DataError(f"{path}: is damaged: fetch it again or leave it out")


def _size(path: Path, lines: list[bytes]) -> tuple[int, int]:
    """Width and height, from the line behind the header's empty one."""
    if b"\n" not in lines:
        raise _damaged(path)
    head, line = lines[: lines.index(b"\n")], lines[lines.index(b"\n") + 1 :]
    if any(word.startswith(b"FORMAT=") and word.strip() != b"FORMAT=32-bit_rle_rgbe" for word in head):
        raise DataError(f"{path}: is no RGBE picture: convert it to 32-bit_rle_rgbe")
    size = _SIZE.fullmatch(line[0].strip()) if line else None
    if size is None:
        raise DataError(f"{path}: its rows do not run from the top left (-Y +X), or it is damaged: convert it")
    height, width = int(size[1]), int(size[2])
    if not width or not height:
        raise _damaged(path)
    if width * height > MOST_PIXELS:
        raise DataError(f"{path}: has {width}x{height} pixels: scale it down, 1024x512 is enough")
    return width, height


def _flat(path: Path, rows: bytes, at: int, out: NDArray[np.uint8]) -> int:
    """Copies a row of plain pixels [W, 4]; gives the position behind it."""
    line = np.frombuffer(rows[at : at + out.size], np.uint8)
    if line.size != out.size or (line.reshape(-1, 4)[:, :3] == 1).all(1).any():  # the mark of an older run-length code
        raise _damaged(path)
    out[:] = line.reshape(-1, 4)
    return at + out.size


def _coded(path: Path, rows: bytes, at: int, out: NDArray[np.uint8]) -> int:
    """Decodes a row, channel by channel, into [W, 4]; gives the position behind it."""
    width = len(out)
    row = bytearray()
    for channel in range(1, 5):
        while len(row) < channel * width:
            count = rows[at] if at < len(rows) else 0
            if count > 128:
                values = rows[at + 1 : at + 2] * (count - 128)
                at += 2
            else:
                values = rows[at + 1 : at + 1 + count]
                at += 1 + count
            if not values or len(values) != (count - 128 if count > 128 else count):
                raise _damaged(path)
            row += values
        if len(row) > channel * width:
            raise _damaged(path)
    out[:] = np.frombuffer(row, np.uint8).reshape(4, width).T
    return at
