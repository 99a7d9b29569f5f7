"""Any benchmark in PRW's published layout."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

from personsearch.data.layouts.prw import ANNOTATIONS, FRAMES, KEYS, LISTS, QUERIES, UNLABELED_ID
from personsearch.data.pictures import save_jpeg
from personsearch.data.records import UNLABELED, Benchmark, Box, Scene
from personsearch.errors import DataError

_PUBLISHED_NAME = re.compile(r"c\d+s\d+_\d+\.jpg")
_CAMERAS = 6
CROPS = Path("query_box")


def save_prw(benchmark: Benchmark, folder: Path) -> None:
    """Writes a benchmark that `load_prw` reads back, its pictures included.

    Scenes that are not called like c1s1_000151.jpg get such names; cameras are folded into six. Training
    identities get numbers above all test identities, so that both keep their order. PRW searches all other test
    frames, so galleries are not written.

    Raises DataError when the folder holds annotations already.
    """
    if (folder / QUERIES).exists():  # written last, so a stopped run is seen to be unfinished, and done again
        raise DataError(f"{folder / QUERIES} exists already: give another folder")
    for part in (FRAMES, ANNOTATIONS, CROPS):
        (folder / part).mkdir(parents=True, exist_ok=True)
    names = _names((*benchmark.train, *benchmark.test))
    tested = {p.identity for scene in benchmark.test for p in scene.persons} - {UNLABELED}
    first = max(tested, default=0) + 1
    _write_split(folder, "train", benchmark.train, names, first)
    _write_split(folder, "test", benchmark.test, names, 0)
    _save(folder / "ID_train.mat", "ID_train", np.arange(first, first + benchmark.identities)[None])
    asked = sorted({query.identity for query in benchmark.queries})
    _save(folder / "ID_test.mat", "ID_test2", np.array(asked)[None])
    _write_queries(folder, benchmark, names)


def _names(scenes: Sequence[Scene]) -> dict[str, str]:
    """The published name of each scene, without suffix."""
    if all(_PUBLISHED_NAME.fullmatch(scene.name) for scene in scenes):
        return {scene.name: Path(scene.name).stem for scene in scenes}
    return {s.name: f"c{(s.camera or 0) % _CAMERAS + 1}s1_{number:06d}" for number, s in enumerate(scenes, start=1)}


def _write_split(folder: Path, split: str, scenes: Sequence[Scene], names: Mapping[str, str], first: int) -> None:
    file, variable = LISTS[split]
    cells = np.empty((len(scenes), 1), dtype=object)
    for index, scene in enumerate(scenes):
        name = names[scene.name]
        cells[index, 0] = np.array([name])
        save_jpeg(scene.picture, folder / FRAMES / f"{name}.jpg")
        rows = [(_number(p.identity, first), *_located(p.box)) for p in scene.persons]
        _save(folder / ANNOTATIONS / f"{name}.jpg.mat", KEYS[0], np.array(rows, dtype=float).reshape(-1, 5))
    _save(folder / file, variable, cells)


def _write_queries(folder: Path, benchmark: Benchmark, names: Mapping[str, str]) -> None:
    """query_info.txt with the line ends of the original, and the crops that go with it."""
    scenes = {scene.name: scene for scene in benchmark.test}
    lines = []
    for query in benchmark.queries:
        name = names[query.scene]
        lines.append(f"{query.identity} {' '.join(map(str, _located(query.box)))} {name}\r\n")
        x1, y1, x2, y2 = (round(value) for value in query.box)
        crop = scenes[query.scene].read().crop((x1, y1, max(x1 + 1, x2), max(y1 + 1, y2)))
        crop.save(folder / CROPS / f"{query.identity}_{name}.jpg", quality=95)
    (folder / QUERIES).write_bytes("".join(lines).encode())


def _number(identity: int, first: int) -> int:
    return UNLABELED_ID if identity == UNLABELED else identity + first


def _located(box: Box) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = box
    return x1, y1, x2 - x1, y2 - y1


def _save(path: Path, variable: str, value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    savemat(path, {variable: value}, do_compression=True)
