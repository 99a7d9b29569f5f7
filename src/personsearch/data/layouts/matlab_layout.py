"""Is a MATLAB file laid out as it should be? Checked before scipy reads it, for scipy's reader trusts a file's numbers:
damaged ones made it divide by zero, ask for absurd memory, or read outside its memory and end the program.

The format is MATLAB's "MAT-File Format", version 5: elements of a kind, a size in bytes, and that many bytes, padded
to a multiple of 8. A matrix is an element that holds elements; a compressed one has a checksum at its end.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO

HEADER = 128
_INT8, _INT32, _UINT32, MATRIX, COMPRESSED, _UTF8 = 1, 5, 6, 14, 15, 16
_ITEM = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
"""Bytes of a number of each kind."""
_TEXT = {1, 2, 3, 4, 16, 17, 18}
"""Kinds that hold letters."""
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMERIC = range(6, 16)
_MAX_DEPTH = 20
"""Matrices within each other. The published files have five."""
_WALKED = 4_000_000
"""Bytes of a compressed matrix that is walked through; in a larger one its checksum is relied on, to save time."""
_CHUNK = 1_000_000


class LayoutError(ValueError):
    """The file is not laid out as its format says."""


def check_layout(file: BinaryIO, names: Collection[str]) -> None:
    """Raises LayoutError when something is wrong with the file, or OSError when it cannot be read.

    Of variables that are not in `names` only the outermost sizes are checked; without names, all are checked in full.
    """
    length = file.seek(0, io.SEEK_END)
    file.seek(0)
    order = _byte_order(file.read(HEADER))
    tag = struct.Struct(f"{order}II")
    while file.tell() < length:
        kind, size = _unpack(tag, file.read(8))
        end = file.tell() + size
        if size == 0 or end > length:
            raise LayoutError("an element ends beyond the file")
        if kind == COMPRESSED:
            content = _decompressed(file, size)
        elif kind == MATRIX:
            content = tag.pack(kind, size) + file.read(size)
        else:
            raise LayoutError("an element is no matrix")
        if content is not None:
            _Walk(content, order, names).check()
        file.seek(end)


def _byte_order(header: bytes) -> str:
    """As `struct` writes it."""
    orders = {b"IM": "<", b"MI": ">"}
    mark = header[HEADER - 2 :]
    if len(header) < HEADER or 0 in header[:4] or mark not in orders:
        raise LayoutError("no header of version 5")
    return orders[mark]


def _unpack(tag: struct.Struct, content: bytes) -> tuple[int, int]:
    if len(content) < tag.size:
        raise LayoutError("the file ends within a tag")
    kind, size = tag.unpack(content)
    return kind, size


def _decompressed(file: BinaryIO, size: int) -> bytes | None:
    """The content of a compressed element, its checksum verified; None for content too large to walk through."""
    content, total = [], 0
    for part in _inflate(file, size):
        total += len(part)
        if total <= _WALKED:
            content.append(part)
    return b"".join(content) if total <= _WALKED else None


def _inflate(file: BinaryIO, size: int) -> Iterator[bytes]:
    reader = zlib.decompressobj()
    try:
        while size and not reader.eof:
            stored = file.read(min(size, _CHUNK))
            size -= len(stored)
            while stored:
                yield reader.decompress(stored, _CHUNK)
                stored = reader.unconsumed_tail
    except zlib.error:
        raise LayoutError("a compressed element is damaged") from None
    if not reader.eof:
        raise LayoutError("a compressed element ends too early")


class _Walk:
    """Goes through one outermost matrix."""

    def __init__(self, content: bytes, order: str, names: Collection[str]) -> None:
        self.content = content
        self.names = names
        self.order = order
        self.pair = struct.Struct(f"{order}II").unpack_from

    def check(self) -> None:
        kind, start, end, _ = self._element(0, len(self.content))
        if kind != MATRIX:
            raise LayoutError("an element is no matrix")
        self._matrix(start, end, 0)

    def _element(self, at: int, end: int) -> tuple[int, int, int, int]:
        """(kind, where its data starts and ends, where the next element starts)."""
        if at + 8 > end:
            raise LayoutError("an element is missing")
        kind, size = self.pair(self.content, at)
        if kind >> 16:  # a small one: size, kind and data in 8 bytes
            size, kind, start = kind >> 16, kind & 0xFFFF, at + 4
            if size > 4:
                raise LayoutError("a small element is not small")
            return kind, start, start + size, at + 8
        start = at + 8
        if start + size > end:
            raise LayoutError("an element ends beyond what holds it")
        return kind, start, start + size, min(end, start + size + -size % 8)

    def _ints(self, start: int, stop: int) -> tuple[int, ...]:
        return struct.unpack_from(f"{self.order}{(stop - start) // 4}i", self.content, start)

    def _matrix(self, at: int, end: int, depth: int) -> None:
        """Its flags, its shape, its name, and then what depends on its class."""
        kind, start, stop, at = self._element(at, end)
        if kind != _UINT32 or stop - start != 8:
            raise LayoutError("a matrix has no flags")
        flags, _ = self.pair(self.content, start)
        shape, start, stop, at = self._element(at, end)
        if shape not in (_INT32, _UINT32) or not 8 <= stop - start <= 128 or (stop - start) % 4:
            raise LayoutError("a matrix has no shape")
        sides = self._ints(start, stop)
        name, start, stop, at = self._element(at, end)
        if name not in (_INT8, _UTF8) or min(sides) < 0:
            raise LayoutError("a matrix has an impossible name or shape")
        if depth == 0 and self.names and self.content[start:stop].decode("latin1") not in self.names:
            return
        self._data(flags, math.prod(sides), at, end, depth)

    def _data(self, flags: int, count: int, at: int, end: int, depth: int) -> None:
        category = flags & 0xFF
        if category in _NUMERIC:
            for _ in range(2 if flags & 0x800 else 1):  # complex numbers are two matrices
                kind, start, stop, at = self._element(at, end)
                if kind not in _ITEM or stop - start != count * _ITEM[kind]:
                    raise LayoutError("a matrix has more or fewer numbers than its shape says")
        elif category == _CHAR:
            kind, start, stop, at = self._element(at, end)
            if kind not in _TEXT or stop - start > 4 * count:
                raise LayoutError("a text has more letters than its shape says")
        elif category == _CELL:
            self._cells(count, at, end, depth)
        elif category == _STRUCT:
            width, start, stop, at = self._element(at, end)
            longest = self._ints(start, stop)[0] if (width, stop - start) == (_INT32, 4) else 0
            fields, start, stop, at = self._element(at, end)
            if longest < 1 or fields != _INT8 or (stop - start) % longest:
                raise LayoutError("a struct has impossible names")
            self._cells(count * ((stop - start) // longest), at, end, depth)
        else:
            raise LayoutError(f"a matrix is of the class {category}, which no published file has")

    def _cells(self, count: int, at: int, end: int, depth: int) -> None:
        if 8 * count > end - at or depth == _MAX_DEPTH:
            raise LayoutError("a matrix has more cells than are there")
        for _ in range(count):
            kind, start, stop, at = self._element(at, end)
            if kind != MATRIX:
                raise LayoutError("a cell is no matrix")
            if stop > start:
                self._matrix(start, stop, depth + 1)
