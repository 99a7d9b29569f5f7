"""People whom a detector finds in training scenes: a re-id network learns from them, too."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from personsearch.data.marks import mark_of_annotations
from personsearch.data.records import Benchmark
from personsearch.errors import SettingError
from personsearch.files import append_json_line, read_json_lines, write_json_lines
from personsearch.models.search_network import SearchNetwork
from personsearch.models.weights import LoadedModel
from personsearch.progress import Progress, quiet


def find_people(
    benchmark: Benchmark, detector: LoadedModel[SearchNetwork], cache: Path, progress: Progress = quiet
) -> dict[str, Tensor]:
    """Boxes [N, 4] that a detector finds in each training scene, by the scene's name.

    `cache` keeps one line per scene, so that a stopped search goes on; scenes whose line is cut or garbled are read
    again. Raises SettingError when it is of another detector or other data, OSError when it cannot be written.
    """
    head = {
        "detector": detector.fingerprint,
        "data": benchmark.name,
        "scenes": len(benchmark.train),
        "annotations": mark_of_annotations(benchmark.train),
    }
    boxes: dict[str, list[list[float]]] = {}
    first, *lines = read_json_lines(cache) or [head]
    if isinstance(first, dict):
        if {**head, **first} != head:  # boxes of an earlier version have no mark of the annotations
            raise SettingError(f"{cache} holds the boxes of another detector or other data: give another --out")
        # below a garbled first line nobody knows whose boxes they are, so none are taken
        boxes = {line[0]: line[1] for line in lines if _is_of_a_scene(line)}
    cache.parent.mkdir(parents=True, exist_ok=True)
    write_json_lines(cache, (head, *boxes.items()))
    for scene in progress(benchmark.train, "finding people", len(benchmark.train)):
        if scene.name not in boxes:
            boxes[scene.name] = detector.model.detect(scene.read()).boxes.round(decimals=2).tolist()
            append_json_line(cache, [scene.name, boxes[scene.name]])
    return {name: torch.tensor(found).reshape(-1, 4) for name, found in boxes.items()}


def _is_of_a_scene(line: Any) -> bool:
    """Whether a line is [name, [[x1, y1, x2, y2], …]]."""
    if not (isinstance(line, list) and len(line) == 2 and isinstance(line[0], str) and isinstance(line[1], list)):
        return False
    return all(
        isinstance(box, list) and len(box) == 4 and all(type(v) in (int, float) and math.isfinite(v) for v in box)
        for box in line[1]
    )
