"""Seconds of the papers' networks, one beside the other on this machine: BINet's Table 8 and IGPN's Table 5.

Networks have random weights: how long they take does not depend on what they have learned, since they look at as many
proposals either way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import torch
from PIL import Image

from personsearch.data.records import Benchmark, Query, Scene
from personsearch.data.transforms import SizeSettings
from personsearch.models.inference import prepare_for_inference
from personsearch.models.networks import build_network
from personsearch.progress import Progress
from personsearch.reproduce.plan import Planner, Run, check_changes
from personsearch.reproduce.tables import SpeedTable, Weights
from personsearch.runtime import checked_device
from personsearch.search.proposals import ProposalSearch

Task = Callable[[], Any]
ROUNDS = 3
SIZE = (900, 1500)
"""Of Table 8's scene: height and width."""
GALLERY = 100
"""Scenes of Table 5's gallery."""
_OF_A_TINY_GALLERY = 2


def seconds_of(table: SpeedTable, planner: Planner, device: str | None, progress: Progress) -> dict[str, list[float]]:
    """Seconds of each row that can be timed, of several rounds in which all rows take turns."""
    timed = {row.name: row.task for row in table.rows if row.task is not None}
    makers = _Makers(planner, planner.ground.load(), checked_device(device))
    tasks = {name: makers.task(task) for name, task in timed.items()}
    taken: dict[str, list[float]] = {name: [] for name in tasks}
    for number in progress(range(ROUNDS + 1), "timing", ROUNDS + 1):
        for name, task in tasks.items():
            seconds = _timed(task)
            if number:  # the first round warms up
                taken[name].append(seconds)
    return taken


def timed_runs(table: SpeedTable, planner: Planner) -> list[Run]:
    """Of the networks that are timed: nothing trains them, but their recipes say what they are. Raises SettingError."""
    variants = dict.fromkeys(_variant(row.task) for row in table.rows if row.task is not None)
    runs = [planner.runs(Weights(variant), 0)[-1] for variant in variants]
    check_changes(planner.changes, runs)
    return runs


def _variant(task: str) -> str:
    """Of the recipe of what is timed."""
    return {"igpn_gallery": "igpn", "oim_gallery": "oim", "query_with_each_scene": "oim"}.get(task, task)


def middle(taken: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median round of each row."""
    return {name: median(seconds) for name, seconds in taken.items()}


def _timed(task: Task) -> float:
    start = time.perf_counter()
    task()  # its answers are on the CPU, so that a GPU has ended, too
    return time.perf_counter() - start


class _Makers:
    """Makes what is timed."""

    def __init__(self, planner: Planner, benchmark: Benchmark, device: str) -> None:
        self._planner, self._device = planner, device
        is_tiny = planner.scale.name == "tiny"
        self._query: Query = benchmark.queries[0]
        self._scenes: Sequence[Scene] = benchmark.test[: _OF_A_TINY_GALLERY if is_tiny else GALLERY]
        self._query_scene = next(scene for scene in benchmark.test if scene.name == self._query.scene)
        height, width = (96, 160) if is_tiny else SIZE
        self._picture = Image.effect_noise((width, height), 60).convert("RGB")
        self._size = SizeSettings(height, width)

    def task(self, name: str) -> Task:
        """What is done and timed, by the name that a row gives it."""
        if name in _GALLERIES:
            return partial(_GALLERIES[name], self, self._network(_variant(name)))
        network = self._network(_variant(name), test_size=self._size)
        return lambda: network.detect(self._picture, 0.5)

    def _network(self, variant: str, **changed: Any) -> Any:
        made = self._planner.runs(Weights(variant), 0)[-1].made
        torch.manual_seed(0)
        network = build_network(replace(made.network, **changed))
        return prepare_for_inference(network.to(self._device))

    def guided(self, network: Any) -> None:
        """IGPN: the query's code once, then each scene."""
        code = network.encode_query(self._query_scene.read(), [self._query.box])
        ProposalSearch(network, [code], self._scenes).propose({scene.name: [0] for scene in self._scenes})

    def unguided(self, network: Any) -> None:
        """OIM*: the query, then everybody in each scene."""
        network.embed(self._query_scene.read(), torch.tensor([self._query.box]))
        for scene in self._scenes:
            network.detect(scene.read(), 0.5)

    def query_with_each(self, network: Any) -> None:
        """As QEEPS has to: the query's scene is read again with each scene."""
        for scene in self._scenes:
            network.embed(self._query_scene.read(), torch.tensor([self._query.box]))
            network.detect(scene.read(), 0.5)


_GALLERIES = {
    "igpn_gallery": _Makers.guided,
    "oim_gallery": _Makers.unguided,
    "query_with_each_scene": _Makers.query_with_each,
}
