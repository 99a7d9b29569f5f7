"""conv4 maps of many boxes in one file each: written once, whole or not at all, and bound to what they are of.

NAME.npy holds the maps [N, h, w, 1024] as float16, which other programs can open, too, and NAME.json, written after
it, says what they are of. Maps are read from the disk a few at a time.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from personsearch.data.records import Scene
from personsearch.errors import DataError
from personsearch.files import write_whole, written_whole
from personsearch.models.search_network import SearchNetwork
from personsearch.search.hits import file_and_frame

_AT_ONCE = 1 << 26
"""Bytes of a file that are checked at once."""
_OWN = ("shape", "checksum")
"""What a file's JSON says of the maps themselves."""


@dataclass(frozen=True)
class MapFile:
    """Maps of one kind on disk. Nothing is opened before it is asked for."""

    path: Path
    """Without a suffix"""
    about: Mapping[str, Any]
    """All that the maps depend on, as JSON values: "weights", "data", and settings"""
    shape: tuple[int, int, int, int]
    """N, channels, height and width"""

    @property
    def size(self) -> int:
        """Bytes of the file, but for its head"""
        return 2 * int(np.prod(self.shape))

    @property
    def _array(self) -> Path:
        return self.path.with_name(f"{self.path.name}.npy")

    @property
    def _mark(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def is_kept(self) -> bool:
        """Whether the maps are there. Raises DataError for maps of something else."""
        if not self._mark.exists():
            return False
        kept = self._read_mark()
        for key in (*self.about, *_OWN[:1]):
            asked = list(self.shape) if key == "shape" else self.about[key]
            if kept.get(key) != asked:
                raise DataError(f"{self._array}: maps of other {key} ({kept.get(key)}, not {asked}); {self._advice}")
        return True

    def keep(self, chunks: Iterable[Tensor]) -> None:
        """Writes the maps [n, channels, height, width], one chunk after the other.

        Raises DataError where the disk has too little room for them, before the first chunk is made; OSError.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.path.parent).free
        if free < self.size:
            raise DataError(
                f"{self.path.parent}: {self.size / 1e6:,.0f} MB of maps do not fit, {free / 1e6:,.0f} MB are free: "
                "make room, or lower views.views"
            )
        with written_whole(self._array, shared=True) as part, part.open("wb") as file:
            checksum = self._write(file, chunks)
        mark = {**self.about, "shape": list(self.shape), "checksum": checksum}
        write_whole(self._mark, json.dumps(mark, indent=1) + "\n")

    def _write(self, file: IO[bytes], chunks: Iterable[Tensor]) -> int:
        count, channels, height, width = self.shape
        head = {"descr": "<f2", "fortran_order": False, "shape": (count, height, width, channels)}
        npy.write_array_header_1_0(file, head)
        checksum, written = 0, 0
        for chunk in chunks:
            rows = chunk.permute(0, 2, 3, 1).to("cpu", torch.float16).contiguous().numpy().astype("<f2", copy=False)
            file.write(rows.data)
            checksum, written = zlib.crc32(rows.data, checksum), written + len(rows)
        if written != count:
            raise ValueError(f"{written} maps for {count} boxes")
        return checksum

    def open(self) -> KeptMaps:
        """The maps, to be read. Raises DataError where they are damaged."""
        mark = self._read_mark()
        try:
            array = np.load(self._array, mmap_mode="r")
            good = array.dtype == np.float16 and array.shape == tuple(self.shape[axis] for axis in (0, 2, 3, 1))
            good = good and _checksum(array) == mark.get("checksum")
        except (OSError, ValueError, EOFError):
            good = False
        if not good:
            raise DataError(f"{self._array}: damaged; {self._advice}")
        return KeptMaps(array)

    def _read_mark(self) -> dict[str, Any]:
        try:
            mark = json.loads(self._mark.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            mark = None
        if not isinstance(mark, dict):
            raise DataError(f"{self._mark}: damaged; {self._advice}")
        return mark

    @property
    def _advice(self) -> str:
        return f"delete {self._mark}, and the same command makes them anew"


class KeptMaps:
    """Maps [N, 1024, h, w] on disk."""

    def __init__(self, array: NDArray[np.float16]) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, rows: Sequence[int] | slice) -> Tensor:
        """Some of them [n, 1024, h, w], float32, channels last as convolutions like them."""
        chosen = np.ascontiguousarray(self._array[rows], dtype=np.float32)
        return torch.from_numpy(chosen).permute(0, 3, 1, 2)


def _checksum(array: NDArray[np.float16]) -> int:
    flat, checksum = array.reshape(-1), 0
    for start in range(0, len(flat), _AT_ONCE // 2):
        checksum = zlib.crc32(np.ascontiguousarray(flat[start : start + _AT_ONCE // 2]).data, checksum)
    return checksum


def mark_of_stem(network: SearchNetwork) -> str:
    """The first 16 hex digits of the SHA-256 of the weights that make maps."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.stem.state_dict().items()):
        digest.update(f"{name} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]


def mark_of_scenes(scenes: Sequence[Scene]) -> str:
    """The same of the scenes: who stands where, and their pictures. Raises OSError for a picture that is missing."""
    digest = hashlib.sha256()
    for scene in scenes:
        path, frame = file_and_frame(scene.picture)
        boxes = [person.box for person in scene.persons]
        digest.update(repr((scene.name, scene.width, scene.height, boxes, frame)).encode())
        digest.update(str(path.stat().st_size).encode() if frame is not None else path.read_bytes())
    return digest.hexdigest()[:16]
