"""Judges both branches of a network at the annotated boxes of the test scenes, by conv4 maps that are made once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from personsearch.data.records import Query
from personsearch.data.transforms import resize, to_tensor
from personsearch.errors import DataError
from personsearch.evaluation.protocols import PROFILES, evaluate_search, labeled_boxes
from personsearch.files import write_json_lines
from personsearch.geometry.detections import Detections
from personsearch.models.networks import Network
from personsearch.models.on_maps import MAPS
from personsearch.models.resnet import STEM_CHANNELS
from personsearch.models.search_network import SearchNetwork
from personsearch.progress import Progress
from personsearch.reproduce.benchmarks import Ground
from personsearch.runtime import mixed_precision
from personsearch.training.batches.kept_maps import KeptMaps, MapFile, mark_of_scenes, mark_of_stem
from personsearch.training.logs import lines_up_to

KIND_OF_BRANCH = {"search": "scene", "instance": "resized"}
"""Which maps a branch sees in evaluation."""
JUDGED = "judged.jsonl"
"""In the folder of a run: a line with all figures for each step at which it was judged."""
_AT_ONCE = 64
Figures = dict[str, float | None]


class AnnotatedJudge:
    """All that is judged of a run: both branches, in galleries of each size that the papers have."""

    def __init__(self, folder: Path, ground: Ground, network: SearchNetwork, progress: Progress) -> None:
        """`network` makes the maps, which lie in `folder`; what is judged later has the same conv1 to conv4.

        Raises DataError for maps of something else.
        """
        self._folder, self._network, self._progress = folder, network, progress
        self._benchmarks = {size: ground.load(size) for size in ground.galleries()}
        self._scenes = next(iter(self._benchmarks.values())).test
        self._boxes = {scene.name: labeled_boxes(scene) for scene in self._scenes}
        places = [(scene.name, person.box) for scene in self._scenes for person in scene.persons]
        self._row_of = {place: row for row, place in enumerate(places)}
        self._files = {branch: self._file(kind) for branch, kind in KIND_OF_BRANCH.items()}
        self._open: dict[str, KeptMaps] = {}

    def _file(self, kind: str) -> MapFile:
        size, roi_size = self._network.test_size, self._network.settings.roi_size
        marks = {"weights": mark_of_stem(self._network), "data": mark_of_scenes(self._scenes)}
        shape = (len(self._row_of), STEM_CHANNELS, *roi_size)
        return MapFile(self._folder / f"test-{kind}", {**marks, "size": [size.short, size.long]}, shape)

    def is_kept(self) -> bool:
        """Whether all maps are made. Raises DataError for maps of something else."""
        return all(file.is_kept() for file in self._files.values())

    def keep_all(self) -> None:
        """Makes the maps that are not kept yet. Raises DataError, ImageError, OSError."""
        for branch, file in self._files.items():
            if not file.is_kept():
                file.keep(self._read(KIND_OF_BRANCH[branch]))

    def _read(self, kind: str) -> Iterator[Tensor]:
        """Maps as the branches see them in evaluation: patches are cut out of the original picture."""
        device = self._network.stem.mean.device
        for scene in self._progress(self._scenes, f"{kind} maps of test scenes", len(self._scenes)):
            image, boxes = scene.read(), self._boxes[scene.name]
            pixels, scale = (
                resize(image, self._network.test_size) if kind == "scene" else (to_tensor(image), torch.ones(4))
            )
            if len(boxes):
                with torch.inference_mode(), mixed_precision(device):
                    yield MAPS[kind](self._network, pixels.to(device), (boxes * scale).to(device))

    def figures(self, network: SearchNetwork) -> dict[str, Figures]:
        """mAP and top-1 of each branch and gallery by their name, see `figure_name`.

        Raises DataError for damaged maps, and for a query at a box that is not annotated.
        """
        found: dict[str, Figures] = {}
        for branch in KIND_OF_BRANCH:
            embeddings = self._embedded(network, branch)
            lengths = [len(boxes) for boxes in self._boxes.values()]
            people = {
                name: Detections(boxes, torch.ones(len(boxes)), rows)
                for (name, boxes), rows in zip(self._boxes.items(), torch.split(embeddings, lengths), strict=True)
            }
            for size, benchmark in self._benchmarks.items():
                asked = embeddings[self._rows(benchmark.queries)]
                judged = evaluate_search(benchmark, people, asked, rules=PROFILES["strict"]).as_dict()
                found[figure_name(branch, size)] = {name: judged[name] for name in ("mAP", "top1")}
        return found

    @torch.inference_mode()
    def _embedded(self, network: SearchNetwork, branch: str) -> Tensor:
        """[N, 256] of all people of the test scenes."""
        if branch not in self._open:
            self._open[branch] = self._files[branch].open()
        maps = self._open[branch]
        device = network.stem.mean.device
        with mixed_precision(device):
            parts = [
                network.head.read(maps[start : start + _AT_ONCE].to(device)).embeddings.cpu()
                for start in range(0, len(maps), _AT_ONCE)
            ]
        return torch.cat(parts)

    def _rows(self, queries: Sequence[Query]) -> list[int]:
        try:
            return [self._row_of[query.scene, query.box] for query in queries]
        except KeyError as missing:
            raise DataError(f"the query {missing} is at no annotated box: give data whose queries are") from None

    def note(self, run: Path, step: int, network: Network) -> None:
        """Judges a network in training, and adds a line to the run's `JUDGED`. Raises OSError; older lines stay."""
        assert isinstance(network, SearchNetwork)
        line: dict[str, Any] = {"step": step, **self.figures(network)}
        write_json_lines(run / JUDGED, [*lines_up_to(run / JUDGED, step - 1), line])


def figure_name(branch: str, gallery: int | None) -> str:
    """
    >>> figure_name("search", 60), figure_name("instance", None)
    ('search.g60', 'instance.all')
    """
    return f"{branch}.{'all' if gallery is None else f'g{gallery}'}"


def judged_at(run: Path, step: int) -> dict[str, Figures]:
    """The figures of a step. Raises DataError where they are missing or damaged."""
    line = next((line for line in lines_up_to(run / JUDGED) if line["step"] == step), None)
    if line is None:
        raise DataError(f"{run / JUDGED} has no figures of step {step}: delete the folder {run}, and train it again")
    return {name: figures for name, figures in line.items() if isinstance(figures, dict)}
