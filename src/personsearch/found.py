"""People whom a detector finds in training scenes: a re-id network learns from them, too."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from personsearch.data.records import Benchmark
from personsearch.errors import SettingError
from personsearch.models.search_network import SearchNetwork
from personsearch.models.weights import LoadedModel
from personsearch.progress import Progress, quiet


def find_people(
    benchmark: Benchmark, detector: LoadedModel[SearchNetwork], cache: Path, progress: Progress = quiet
) -> dict[str, Tensor]:
    """Boxes [N, 4] that a detector finds in each training scene. `cache` has a line a scene: a stopped search goes on.

    Raises SettingError when the file is of another detector or other data.
    """
    head = {"detector": detector.fingerprint, "data": benchmark.name, "scenes": len(benchmark.train)}
    boxes: dict[str, list[list[float]]] = {}
    if cache.exists():
        first, *lines = cache.read_text().splitlines()
        if json.loads(first) != head:
            raise SettingError(f"{cache} holds the boxes of another detector or other data: give another --out")
        boxes = dict(json.loads(line) for line in lines if line.endswith("]"))  # the last may be cut
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_suffix(".part")  # a kill while the cut line is dropped must not cost the others
    part.write_text("".join(json.dumps(line) + "\n" for line in (head, *boxes.items())))
    part.replace(cache)
    with cache.open("a") as file:
        for scene in progress(benchmark.train, "finding people", len(benchmark.train)):
            if scene.name not in boxes:
                boxes[scene.name] = detector.model.detect(scene.read()).boxes.round(decimals=2).tolist()
                file.write(json.dumps([scene.name, boxes[scene.name]]) + "\n")
                file.flush()
    return {name: torch.tensor(found).reshape(-1, 4) for name, found in boxes.items()}
