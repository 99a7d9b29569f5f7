"""Features of people below every projection, read once and kept on disk, so that rankings are tried in seconds.

A folder holds one file for each few scenes, so a stopped reading goes on. About 23 kB a person, in float16.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from personsearch.data.records import Scene
from personsearch.models.readings import PatchFeatures, read_patches
from personsearch.models.search_network import SearchNetwork
from personsearch.progress import Progress, quiet

_SCENES_A_FILE = 20
SURE = 0.5
"""Least confidence of the people that are read."""


@dataclass(frozen=True)
class People:
    """N people and where they are; those of one scene stand together."""

    scene_of: Tensor
    """[N] places of their scenes in the list that was read"""
    boxes: Tensor
    """[N, 4]"""
    scores: Tensor
    """[N]"""
    scene: Tensor
    """[N, 2048] float16: pooled from the scene's map; zeros for a cropped person"""
    patch: Tensor
    """[N, 2048] float16: pooled from the patch"""
    rows: Tensor
    """[N, 7168] float16: the rows of the patch's conv4 map"""

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True)
class Kept:
    """All that was read of some scenes."""

    found: People
    asked: People
    """The people in the given boxes; `scene_of` are the places of their scenes, in whose order they stand"""
    seconds: tuple[float, float]
    """A scene: to find people and read them from its map, and to read their patches"""


def read_scenes(
    network: SearchNetwork,
    scenes: Sequence[Scene],
    wanted: Mapping[str, Tensor],
    folder: Path,
    *,
    cropped: bool = False,
    progress: Progress = quiet,
) -> Kept:
    """Everybody whom a network finds in some scenes, and the boxes [Q, 4] `wanted` in some of them by name.

    Cropped people fill their scenes, and have no scene around them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    starts = range(0, len(scenes), _SCENES_A_FILE)
    for start in progress(starts, f"reading {folder.name}", len(starts)):
        path = folder / f"{start:06}.safetensors"
        if not path.exists():
            part = _read(network, scenes[start : start + _SCENES_A_FILE], start, wanted, cropped)
            save_file(part, path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)
    return _joined([load_file(folder / f"{start:06}.safetensors") for start in starts])


def _read(
    network: SearchNetwork, scenes: Sequence[Scene], first: int, wanted: Mapping[str, Tensor], cropped: bool
) -> dict[str, Tensor]:
    parts: dict[str, list[Tensor]] = {}
    for place, scene in enumerate(scenes, start=first):
        image = scene.read()
        asked = wanted.get(scene.name, torch.zeros(0, 4))
        began = time.perf_counter()
        if cropped:
            boxes, scores, features = torch.tensor([[0.0, 0.0, scene.width, scene.height]]), torch.ones(1), None
        else:
            maps = network.read(image)
            boxes, scores, features = network.find(maps, SURE)
        seen = time.perf_counter()
        patches = read_patches(network, image, boxes.cpu())
        read = time.perf_counter()
        _note(parts, "found", place, boxes, scores, features, patches)
        if len(asked):
            of_map = None if cropped else network.features(maps, asked)
            _note(parts, "asked", place, asked, torch.ones(len(asked)), of_map, read_patches(network, image, asked))
        parts.setdefault("seconds", []).append(torch.tensor([[seen - began, read - seen]]))
    return {name: torch.cat(tensors) for name, tensors in parts.items()}


def _note(
    parts: dict[str, list[Tensor]],
    kind: str,
    place: int,
    boxes: Tensor,
    scores: Tensor,
    features: Tensor | None,
    patches: PatchFeatures,
) -> None:
    scene = torch.zeros_like(patches.pooled) if features is None else features.cpu()
    where = torch.full((len(boxes),), place)
    values = (where, boxes.cpu(), scores.cpu(), scene.half(), patches.pooled.half(), patches.rows.half())
    for field, value in zip(fields(People), values, strict=True):
        parts.setdefault(f"{kind}.{field.name}", []).append(value.clone())


def _joined(files: list[dict[str, Tensor]]) -> Kept:
    def people(kind: str) -> People:
        empty = People(torch.zeros(0), *(torch.zeros(0, size) for size in (4, 1, 2048, 2048, 7168)))
        held = [file for file in files if f"{kind}.boxes" in file]
        if not held:
            return empty
        return People(*(torch.cat([file[f"{kind}.{field.name}"] for file in held]) for field in fields(People)))

    find, read = torch.cat([file["seconds"] for file in files]).median(dim=0).values.tolist()
    return Kept(people("found"), people("asked"), (find, read))
