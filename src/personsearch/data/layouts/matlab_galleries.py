"""A protocol of CUHK-SYSU cut down to what scipy should read: TestG4000 lists 11.6 million pictures, a struct each.

Nearly all of them say no more than a picture's name, for the person is not in it, and scipy makes four arrays of each.
So the names are taken off all entries here, a gallery at a time, and what is left without those is a small MATLAB
file, which scipy reads. An entry is left out only where all its bytes but the name equal those of its gallery's last
one, which stays, and where its name is stored in the one way that is known here: nothing passes that scipy does not
see. A file that is laid out in any other way, or damaged, is not cut.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from personsearch.data.layouts.matlab_layout import COMPRESSED, HEADER, MATRIX, LayoutError

Words = NDArray[np.int64]
"""Content in steps of 8 bytes: whatever a matrix holds begins at one."""
Places = NDArray[np.int64]
"""Indices of words."""
Take = Callable[[int], bytes]
"""Gives the next so many bytes; fewer only at the end."""

_PAIR = struct.Struct("<II")
_CHUNK = 1 << 16
_LARGEST = 1 << 26
"""Bytes of one gallery. Those of 4,000 pictures are less than a million."""
_LONGEST = 256
"""Bytes of a picture's name."""
_FIELDS = ("imname", "idlocate", "ishard")
_TEXT_FLAGS = 4
"""The word that says of a matrix that it is text, and nothing else."""
_LETTER = {1: 1, 2: 1, 16: 1, 4: 2, 17: 2}
"""Bytes of an ASCII letter in each kind of text."""


def cut_galleries(path: Path, variable: str) -> tuple[bytes, list[tuple[str, ...]]] | None:
    """The file without the entries that only name a picture, and the names that each gallery lists.

    None where it is not laid out as expected, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            header, take = _open(file)
            return _cut(header, take, variable)
    except (ValueError, OSError, struct.error, zlib.error):
        return None


def _expect(fits: bool | np.bool_) -> None:
    if not fits:
        raise LayoutError("not as galleries are stored")


def _open(file: BinaryIO) -> tuple[bytes, Take]:
    """The file's header, and what gives the content of its one variable."""
    header = file.read(HEADER)
    _expect(header[-4:] == b"\x00\x01IM")
    kind, size = _PAIR.unpack(file.read(8))
    _expect(file.seek(0, 2) == HEADER + 8 + size)
    if kind == COMPRESSED:
        file.seek(HEADER + 8)
        return header, _Inflated(file).take
    file.seek(HEADER)
    return header, file.read


class _Inflated:
    """What is compressed in the rest of a file."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.reader = zlib.decompressobj()
        self.stored = b""

    def take(self, size: int) -> bytes:
        """The next `size` bytes. Where there are fewer, the checksum is right and nothing follows in the file."""
        parts = []
        while size and not self.reader.eof:
            self.stored = self.stored or self.file.read(_CHUNK)
            _expect(bool(self.stored))
            parts.append(self.reader.decompress(self.stored, size))
            self.stored = self.reader.unconsumed_tail
            size -= len(parts[-1])
        if size:
            _expect(not self.reader.unused_data and not self.file.read(1))
        return b"".join(parts)


def _cut(header: bytes, take: Take, variable: str) -> tuple[bytes, list[tuple[str, ...]]]:
    """Goes through the records of the variable: a struct with a query, and one with its gallery, after each other."""
    kind, size = _PAIR.unpack(take(8))
    name = variable.encode()
    head, sides = _struct_head(take, name, ("Query", "Gallery"))
    size -= len(head)
    parts, letters = [head], []
    for _ in range(max(sides)):
        query, gallery = _matrix(take), _matrix(take)
        size -= 8 + len(query) + 8 + len(gallery)
        cut, names = _cut_gallery(gallery)
        parts += _PAIR.pack(MATRIX, len(query)), query, _PAIR.pack(MATRIX, len(cut)), cut
        letters.append(names)
    _expect(kind == MATRIX and size == 0 and not take(1))
    content = b"".join(parts)
    known = _Texts()
    listed = [tuple(map(known.__getitem__, gallery.tolist())) for gallery in letters]  # at once: the cache is warm
    return header + _PAIR.pack(MATRIX, len(content)) + content, listed


def _matrix(take: Take) -> bytes:
    """What the next matrix holds."""
    kind, size = _PAIR.unpack(take(8))
    _expect(kind == MATRIX and 0 < size <= _LARGEST and size % 8 == 0)
    content = take(size)
    _expect(len(content) == size)
    return content


def _struct_head(take: Take, name: bytes, fields: Sequence[str]) -> tuple[bytes, tuple[int, int]]:
    """What comes before the cells of a row or a column of structs, from its flags on, and its two sides."""
    head = take(48 + len(_padded(name)))
    sides, (_, longest) = _PAIR.unpack_from(head, 24), _PAIR.unpack_from(head, len(head) - 8)
    head += take(8 + len(_padded(bytes(longest * len(fields)))) if longest < _LONGEST else 0)
    _expect(min(sides) == 1 and head == _made_head(sides, name, fields, longest))
    return head, sides


def _made_head(sides: tuple[int, int], name: bytes, fields: Sequence[str], longest: int) -> bytes:
    spelt = b"".join(field.encode().ljust(longest, b"\0") for field in fields)
    flags_sides = struct.pack("<8I", 6, 8, 2, 0, 5, 8, *sides)
    named = _PAIR.pack(1, len(name)) + _padded(name)
    return flags_sides + named + _PAIR.pack(5 | 4 << 16, longest) + _PAIR.pack(1, len(spelt)) + _padded(spelt)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 8)


# --------------------------------------------------------------------------------------------------- galleries


class _Texts(dict[bytes, str]):
    """One string for each name: a protocol lists millions."""

    def __missing__(self, name: bytes) -> str:
        self[name] = name.decode("ascii")
        return self[name]


def _cut_gallery(content: bytes) -> tuple[bytes, NDArray[np.bytes_]]:
    """A gallery without the entries that say no more than its last one, which has no box; and all names."""
    head, sides = _struct_head(io.BytesIO(content[: _LONGEST * 8]).read, b"", _FIELDS)
    words = np.frombuffer(content, "<i8", offset=len(head))
    starts, tails = _find_names(words)
    _expect(len(starts) == max(sides))
    ends = np.append(starts[1:], len(words))
    kept = _kept(words, tails, ends)
    left = b"".join(
        _entry(words, *place) for place in zip(*(a[kept].tolist() for a in (starts, tails, ends)), strict=True)
    )
    cut = _made_head((1, int(kept.sum())), b"", _FIELDS, _PAIR.unpack_from(head, 40)[1]) + left
    return cut, _letters(words, starts, tails)


def _find_names(words: Words) -> tuple[Places, Places]:
    """Where the entries start, with a matrix of their name, and where that ends."""
    starts = np.flatnonzero((words[1:] == _TEXT_FLAGS) & (words[:-1] == _word(6, 8))) - 1
    _expect(len(starts) > 0 and starts[0] == 0 and starts[-1] + 7 < len(words))
    tag, flags, _, sides, letters, name, text = (words[starts + offset] for offset in range(7))
    kind, length = int(text[0]) & 0xFFFFFFFF, letters >> 32
    _expect(kind in _LETTER and length.min() > 0 and length.max() <= _LONGEST)
    size = length * _LETTER[kind]
    tails = starts + 7 + (size + 7) // 8
    _expect(tails.max() < len(words))
    for found, stored in (
        (tag, _word(MATRIX, 8 * (tails - starts - 1))),
        (flags, _word(6, 8)),
        (sides, _word(5, 8)),
        (letters, _word(1, length)),
        (name, _word(1, 0)),
        (text, _word(kind, size)),
    ):
        _expect((found == stored).all())
    return starts, tails


def _kept(words: Words, tails: Places, ends: Places) -> NDArray[np.bool_]:
    """Which entries say more than a name, or other than the last one does; and the last."""
    last = words[tails[-1] :]
    _expect(len(last) > 4 and last[1] == _word(6, 8) and last[3] == _word(5, 8))
    kept: NDArray[np.bool_] = ends - tails != len(last)
    alike = np.flatnonzero(~kept)
    kept[alike] = (sliding_window_view(words, len(last))[tails[alike]] != last).any(axis=1)
    kept[-1] = True
    if last[4] >> 32 and last[4] & 0xFFFFFFFF:  # it has a box, and so have those like it
        kept[:] = True
    return kept


def _entry(words: Words, start: int, tail: int, end: int) -> bytes:
    """An entry's bytes: after its name come two matrices."""
    for _ in range(2):
        _expect(
            tail < end and words[tail] & 0xFFFFFFFF == MATRIX and words[tail] >> 35 > 0 and words[tail] >> 32 & 7 == 0
        )
        tail += 1 + int(words[tail] >> 35)
    _expect(tail == end)
    return words[start:end].tobytes()


def _letters(words: Words, starts: Places, tails: Places) -> NDArray[np.bytes_]:
    """The names, in ASCII."""
    steps = np.arange((tails - starts).max() - 7)
    places = starts[:, None] + 7 + steps
    inside = places < tails[:, None]
    letters = np.where(inside, words[np.where(inside, places, 0)], 0).view(np.uint8)
    wide = _LETTER[int(words[6]) & 0xFFFFFFFF]
    _expect(wide == 1 or not letters[:, 1::2].any())
    letters = np.ascontiguousarray(letters[:, ::wide])
    named = np.arange(letters.shape[1]) < (words[starts + 4] >> 32)[:, None]
    _expect(np.array_equal(letters > 0, named) and letters.max() < 128)
    return letters.view(f"S{letters.shape[1]}").reshape(-1)


def _word(first: int, second: Any) -> Any:
    """Two numbers of 4 bytes as one of 8."""
    return first | second << 32
