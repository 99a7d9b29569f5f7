"""How much better answers are than the plain cosine of the search branch's embedding, lever by lever.

Run: python research/answers.py MODEL DATA... [--keep FOLDER] [--gallery-sizes 100 250]

DATA are LAYOUT:DIR. People are read once, and what was read of them lies in FOLDER: run again, the table takes seconds.
Of `crops:` only patches are read, and nobody is twice in a scene. Sizes are for data that draws its galleries.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from kept_features import Kept, People, read_scenes
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn import functional as F

from personsearch.data.records import Benchmark
from personsearch.data.sources import load_benchmark, split_spec
from personsearch.evaluation.protocols import Rank, Searched, SearchResult, evaluate_search
from personsearch.geometry.detections import Detections
from personsearch.models.own_instance import fingerprint_of_readings
from personsearch.models.projections import Projections, load_projections
from personsearch.models.readings import join
from personsearch.models.search_network import SearchNetwork
from personsearch.models.weights import LoadedModel, find_weights, load_weights
from personsearch.runtime import best_device
from personsearch.search.answering import PeopleInMemory, rank_people
from personsearch.search.centring import Centres
from personsearch.search.once_a_scene import LEAD, SURENESS
from personsearch.search.strangers import Strangers, find_strangers
from personsearch.search.widening import WIDEN

Read = Callable[[People], Tensor]


@dataclass(frozen=True)
class Levers:
    """A row of the table."""

    name: str
    read: Read
    """From features to vectors [N, D]; those of scene and patch of unit length, or all zeros"""
    centred: bool = False
    once: bool = False
    widen: int = 0
    lead: float = LEAD
    sureness: float = SURENESS


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("model")
    options.add_argument("data", nargs="+")
    options.add_argument("--keep", type=Path, default=Path("cache/answers-readings"))
    options.add_argument("--gallery-sizes", type=int, nargs="+", default=[100, 250])
    given = options.parse_args()
    print("| ranking | data | gallery | mAP | top-1 | ms a query |\n|---|---|---|---|---|---|")
    for spec in given.data:
        drawn, cropped = spec.startswith("coco:"), spec.startswith("crops:")
        whole, kept, loaded, projections = prepare(given.model, spec, given.keep)
        for size in given.gallery_sizes if drawn else [None]:
            benchmark = whole if size is None else load_benchmark(spec, gallery_size=size)
            for row in rows(loaded.model, projections, cropped):
                began = time.perf_counter()
                result = judge(benchmark, kept, row)
                spent = 1000 * (time.perf_counter() - began) / len(benchmark.queries)
                figures = f"{result.mAP:.3f} | {result.top1:.3f} | {spent:.1f}"
                print(f"| {row.name} | {spec} | {size or 'all'} | {figures} |", flush=True)
        find, patches = kept.seconds
        print(f"{spec}: {find:.2f} s a scene to find and read people, {patches:.2f} s to read their patches")


def prepare(model: str, spec: str, keep: Path) -> tuple[Benchmark, Kept, LoadedModel[SearchNetwork], Projections]:
    """A benchmark, all that a model sees in it, and the model. Reads what is not kept yet."""
    loaded = load_weights(model, best_device())
    of = fingerprint_of_readings(find_weights(model))
    projections = load_projections(find_weights(model), of)
    if projections is None:
        raise SystemExit(f"{model}: no projections; fit them: python tools/fit_projections.py")
    layout, folder = split_spec(spec)
    benchmark = load_benchmark(spec)
    wanted, place = boxes_of_queries(benchmark), keep / f"{layout}-{folder.name}-{of}"
    kept = read_scenes(loaded.model, benchmark.test, wanted, place, cropped=layout == "crops", progress=shown)
    loaded.model.to("cpu")
    return benchmark, kept, loaded, projections


def shown(items: Iterable[Any], text: str, total: int) -> Iterable[Any]:
    return track(items, text, total, console=Console(stderr=True))


def boxes_of_queries(benchmark: Benchmark) -> dict[str, Tensor]:
    boxes = defaultdict(list)
    for query in benchmark.queries:
        boxes[query.scene].append(query.box)
    return {name: torch.tensor(some) for name, some in boxes.items()}


def rows(network: SearchNetwork, by: Projections, cropped: bool) -> list[Levers]:
    """Each lever alone, then each on top of those before it."""

    def scene(people: People) -> Tensor:
        return network.head.branch(people.scene.float()).embeddings

    def patch(people: People) -> Tensor:
        return network.instance.head.branch(people.patch.float()).embeddings

    def both(people: People) -> Tensor:
        return F.normalize(torch.cat([scene(people), patch(people)], dim=1))

    def before(people: People) -> Tensor:
        patches = by.patch(people.patch)
        return join(by.scene(people.scene) * (not cropped), patches, torch.zeros_like(patches))

    def reading(people: People) -> Tensor:
        return join(by.scene(people.scene) * (not cropped), by.patch(people.patch), by.rows(people.rows))

    plain = Levers("cosine of the embedding", patch if cropped else scene)
    alone = [
        plain,
        replace(plain, name="centred alone", centred=True),
        replace(plain, name="once a scene alone", once=True),
        replace(plain, name=f"widened by up to {WIDEN} alone", widen=WIDEN),
        Levers("both embeddings", both),
        Levers("readings alone", reading),
    ]
    read = Levers("before the embedding, centred", before, centred=True)
    with_rows = replace(read, name="and rows", read=reading)
    if cropped:
        return [row for row in alone if not row.once and not row.widen and row.read is not both] + [read, with_rows]
    once = replace(with_rows, name="and once a scene, score", once=True)
    return [*alone, read, with_rows, once, replace(once, name=f"and widened by up to {WIDEN}", widen=WIDEN)]


def judge(benchmark: Benchmark, kept: Kept, levers: Levers) -> SearchResult:
    """What the evaluator says of one row."""
    found, asked = levers.read(kept.found), levers.read(kept.asked)
    if levers.centred:
        found, asked = centred(benchmark, kept, found, asked)
    detections = in_scenes(benchmark, kept.found, found)
    strangers = find_strangers(found, kept.found.scene_of, kept.found.scores) if levers.widen else None
    return evaluate_search(benchmark, detections, in_order(benchmark, asked), rank=ranking(levers, strangers))


def centred(benchmark: Benchmark, kept: Kept, found: Tensor, asked: Tensor) -> tuple[Tensor, Tensor]:
    """Without the mean of each camera; scenes of no camera are of one."""
    cameras = [scene.camera or 0 for scene in benchmark.test]
    numbers = {camera: number for number, camera in enumerate(sorted(set(cameras)))}
    source_of = torch.tensor([numbers[camera] for camera in cameras])
    centres = Centres.of(found, source_of[kept.found.scene_of], len(numbers))
    return (
        centres.take_off(found, source_of[kept.found.scene_of]),
        centres.take_off(asked, source_of[kept.asked.scene_of]),
    )


def in_scenes(benchmark: Benchmark, people: People, vectors: Tensor) -> dict[str, Detections]:
    """The people of each scene."""
    ends = people.scene_of.bincount(minlength=len(benchmark.test)).cumsum(0).tolist()
    everybody = Detections(people.boxes, people.scores, vectors)
    starts = [0, *ends[:-1]]
    return {s.name: everybody[a:b] for s, a, b in zip(benchmark.test, starts, ends, strict=True)}


def in_order(benchmark: Benchmark, asked: Tensor) -> Tensor:
    """Vectors in the order of the queries, which were read scene by scene."""
    places = defaultdict(list)
    for place, query in enumerate(benchmark.queries):
        places[query.scene].append(place)
    read = [place for scene in benchmark.test for place in places.get(scene.name, ())]
    return asked[torch.tensor(read).argsort()]


def ranking(levers: Levers, strangers: Strangers | None) -> Rank | None:
    """What ranks the people of a gallery for a query; None for the cosine."""
    if not levers.once and not levers.widen:
        return None

    def rank(query: Tensor, people: Searched) -> Tensor:
        return rank_people(
            query,
            PeopleInMemory(people.embeddings, people.scene_of, people.scores),
            once=levers.once,
            lead=levers.lead,
            sureness=levers.sureness,
            strangers=strangers,
            widen=levers.widen,
        ).likenesses.everybody

    return rank


if __name__ == "__main__":
    main()
