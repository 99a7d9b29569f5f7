"""TestG4000 for benchmarks/loading.py, byte by byte: scipy would write its 11 million structs for a quarter of an hour.

It holds the queries and the positives of a smaller protocol, and random pictures of the pool up to its size.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

SIGHT = ("imname", "idlocate", "ishard")
_CLASSES = {"uint8": (9, 2), "uint16": (11, 4), "float64": (6, 9)}
"""MATLAB's class of an array, and the kind of its numbers."""


def lengthen(source: Path, target: Path, pool: Sequence[str], size: int) -> None:
    """Writes `target` of what `source` asks for, each among `size` pictures."""
    random = np.random.default_rng(0)
    nothing = _numbers(np.zeros((1, 0)))
    negatives = [_text(name) + 2 * nothing for name in pool]
    structs = []
    for record in loadmat(source)[source.stem].reshape(-1):
        query = record["Query"].reshape(-1)[0]
        positives = [entry for entry in record["Gallery"].reshape(-1) if entry["idlocate"].size]
        taken = {query["imname"].item(), *(entry["imname"].item() for entry in positives)}
        rest = [place for place in random.permutation(len(pool)).tolist() if pool[place] not in taken]
        entries = [*map(_sight, positives), *(negatives[place] for place in rest)][:size]
        structs.append(_structs((*SIGHT, "idname"), [_sight(query) + _text(query["idname"].item())]))
        structs.append(_structs(SIGHT, entries))
    _write(target, structs)


def _write(target: Path, structs: Sequence[bytes]) -> None:
    head = _head(2, (1, len(structs) // 2), target.stem) + _fields(("Query", "Gallery"))
    packer = zlib.compressobj()
    parts = [packer.compress(struct.pack("<II", 14, len(head) + sum(map(len, structs))) + head)]
    parts += [packer.compress(one) for one in structs]
    packed = b"".join([*parts, packer.flush()])
    start = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    target.write_bytes(start + struct.pack("<II", 15, len(packed)) + packed)


def _sight(entry: Any) -> bytes:
    return _text(entry["imname"].item()) + _numbers(entry["idlocate"]) + _numbers(entry["ishard"])


def _structs(fields: Sequence[str], rows: Sequence[bytes]) -> bytes:
    return _matrix([_head(2, (1, len(rows))), _fields(fields), *rows])


def _text(value: str) -> bytes:
    return _matrix([_head(4, (1, len(value))), _element(16, value.encode())])


def _numbers(values: Any) -> bytes:
    category, kind = _CLASSES[values.dtype.name]
    return _matrix([_head(category, values.shape), _element(kind, values.tobytes("F"))])


def _head(category: int, sides: Sequence[int], name: str = "") -> bytes:
    flags, shape = struct.pack("<2I", category, 0), struct.pack("<2i", *sides)
    return _element(6, flags) + _element(5, shape) + _element(1, name.encode())


def _fields(names: Sequence[str]) -> bytes:
    longest = max(map(len, names)) + 1
    spelt = b"".join(name.encode().ljust(longest, b"\0") for name in names)
    return _element(5, struct.pack("<i", longest)) + _element(1, spelt)


def _matrix(parts: Iterable[bytes]) -> bytes:
    return _element(14, b"".join(parts))


def _element(kind: int, content: bytes) -> bytes:
    if 0 < len(content) <= 4:
        return struct.pack("<HH4s", kind, len(content), content)
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)
