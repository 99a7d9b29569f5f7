"""Reads a run's weights once, and judges what they find in galleries of each size that tables ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from personsearch.data.records import Benchmark, Query
from personsearch.evaluation.evaluate import is_proposer, is_reid
from personsearch.evaluation.one_stage import read_people
from personsearch.evaluation.protocols import PROFILES, evaluate_guided, evaluate_search
from personsearch.evaluation.two_stage import evaluate_two_stages, read_queries
from personsearch.models.guided import GuidedNetwork, Proposals
from personsearch.models.readers import DetectThenEmbed, Embedder, Reader, ReidReader, read_with
from personsearch.models.weights import load_proposer, load_reid, load_weights
from personsearch.progress import Progress
from personsearch.reproduce.plan import Reading
from personsearch.runtime import checked_device
from personsearch.search.proposals import ProposalSearch, keep_best
from personsearch.search.two_stage import embed_again

RULES = PROFILES["strict"]
Figures = dict[str, float | None]
_AT_ONCE = 2**20
"""Most answers, of one scene to one query each, that are in memory at once: about 1.5 GB."""
Load = Callable[[int | None], Benchmark]
"""The benchmark with galleries of a size."""


def measure(
    readings: Sequence[Reading], runs: Path, load: Load, device: str | None, progress: Progress
) -> Iterator[tuple[Reading, Figures]]:
    """The figures of readings that differ in `gallery` and `keep` alone. `runs` is the folder of all runs.

    Raises WeightsError, DataError.
    """
    first = readings[0]
    model = str(runs / first.run)
    reid = None if first.reid is None else str(runs / first.reid)
    device = checked_device(device)
    if is_proposer(model):
        yield from _guided(model, reid, readings, load, device, progress)
        return
    galleries = {reading.gallery: load(reading.gallery) for reading in readings}
    reader = _reader(model, first, reid, device)
    for alike in _with_equal_scenes(list(galleries.items())):
        queries = tuple({_asked(query): query for _, made in alike for query in made.queries}.values())
        together = replace(alike[0][1], queries=queries)
        found, embeddings = read_people(
            reader, together, boxes=first.boxes, query="box", rules=RULES, progress=progress
        )
        place = {_asked(query): index for index, query in enumerate(queries)}
        for size, made in alike:
            wanted = torch.tensor([place[_asked(query)] for query in made.queries])
            figures = evaluate_search(made, found, embeddings[wanted], rules=RULES).as_dict()
            yield from ((reading, figures) for reading in readings if reading.gallery == size)


def _reader(model: str, reading: Reading, reid: str | None, device: str) -> Reader:
    if is_reid(model):
        return ReidReader(load_reid(model, device).model)
    network = load_weights(model, device).model
    if reid is not None:
        return DetectThenEmbed(network, load_reid(reid, device).model, RULES.score_threshold)
    return read_with(network, reading.branch)


def _guided(
    model: str, reid: str | None, readings: Sequence[Reading], load: Load, device: str, progress: Progress
) -> Iterator[tuple[Reading, Figures]]:
    proposer = load_proposer(model, device).model
    embedder = None if reid is None else load_reid(reid, device).model
    for size in dict.fromkeys(reading.gallery for reading in readings):
        benchmark, here = load(size), [reading for reading in readings if reading.gallery == size]
        fits = sum(len(query.gallery) for query in benchmark.queries) <= _AT_ONCE
        if embedder is not None and fits and len(here) > 1 and all(reading.keep is not None for reading in here):
            yield from _kept(proposer, embedder, benchmark, here, progress)
            continue
        for reading in here:
            result = evaluate_two_stages(
                proposer, benchmark, embedder=embedder, keep=reading.keep, rules=RULES, progress=progress
            )
            yield reading, result.as_dict()


@dataclass(frozen=True)
class _Ranked(Proposals):
    """Proposals with the similarities of the first stage, and those of the second beside them."""

    again: Tensor
    """[N]"""

    def __getitem__(self, index: Tensor | slice) -> Self:
        return replace(self, boxes=self.boxes[index], similarities=self.similarities[index], again=self.again[index])


def _kept(
    proposer: GuidedNetwork, embedder: Embedder, benchmark: Benchmark, readings: Sequence[Reading], progress: Progress
) -> Iterator[tuple[Reading, Figures]]:
    """Several numbers of kept proposals: the most of them are found and embedded once, and the fewer are among them."""
    codes, embeddings = read_queries(proposer, embedder, benchmark, progress)
    asking: dict[str, list[int]] = {}
    for index, query in enumerate(benchmark.queries):
        for name in dict.fromkeys(query.gallery):
            if name != query.scene or RULES.own_scene:
                asking.setdefault(name, []).append(index)
    most = max(reading.keep or 0 for reading in readings)
    found = ProposalSearch(proposer, codes, benchmark.test, progress=progress).propose(asking, keep=most)
    again = embed_again(embedder, benchmark.test, found, embeddings, progress=progress)
    both = [
        {name: _Ranked(one.boxes, one.similarities, other[name].similarities) for name, one in first.items()}
        for first, other in zip(found, again, strict=True)
    ]
    for reading in readings:
        kept = (keep_best(ranked, reading.keep or 0) for ranked in both)
        plain = ({name: (one.boxes, one.again) for name, one in by_scene.items()} for by_scene in kept)
        yield reading, evaluate_guided(benchmark, plain, rules=RULES).as_dict()


Sized = tuple[int | None, Benchmark]


def _with_equal_scenes(benchmarks: Sequence[Sized]) -> list[list[Sized]]:
    """Benchmarks whose scenes show the same people: a protocol may add a box that no other one names."""
    groups: dict[object, list[Sized]] = {}
    for sized in benchmarks:
        boxes = tuple((scene.name, *(person.box for person in scene.persons)) for scene in sized[1].test)
        groups.setdefault(boxes, []).append(sized)
    return list(groups.values())


def _asked(query: Query) -> tuple[object, ...]:
    return query.scene, query.box
