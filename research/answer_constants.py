"""The constants of ranking, one after the other, on rendered training people.

Run: python research/answer_constants.py MODEL DATA [--scenes N] [--keep FOLDER] [--gallery-size 100]

Queries are drawn from the training scenes of DATA as they are from test scenes. All constants but one are the defaults.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from answers import Levers, boxes_of_queries, judge, rows, shown
from kept_features import People, read_scenes
from torch import Tensor
from torch.nn import functional as F

from personsearch.data.queries import derive_queries
from personsearch.data.records import Benchmark
from personsearch.data.sources import load_benchmark, split_spec
from personsearch.models.own_instance import fingerprint_of_readings
from personsearch.models.projections import Projections, load_projections
from personsearch.models.weights import find_weights, load_weights
from personsearch.runtime import best_device


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("model")
    options.add_argument("data")
    options.add_argument("--scenes", type=int, default=300, help="the first ones; reading them takes a second each")
    options.add_argument("--keep", type=Path, default=Path("cache/answers-readings"))
    options.add_argument("--gallery-size", type=int, default=100)
    given = options.parse_args()
    loaded = load_weights(given.model, best_device())
    of = fingerprint_of_readings(find_weights(given.model))
    projections = load_projections(find_weights(given.model), of)
    if projections is None:
        raise SystemExit(f"{given.model}: no projections; fit them: python tools/fit_projections.py")
    whole = load_benchmark(given.data)
    scenes = whole.train[: given.scenes]
    benchmark = Benchmark(whole.name, (), 0, scenes, derive_queries(scenes, given.gallery_size))
    place = given.keep / f"train-{len(scenes)}-{split_spec(given.data)[1].name}-{of}"
    kept = read_scenes(loaded.model, scenes, boxes_of_queries(benchmark), place, progress=shown)
    best = rows(loaded.model.to("cpu"), projections, cropped=False)[-1]
    for tried in trials(best, projections):
        result = judge(benchmark, kept, tried)
        print(f"{tried.name}: {result.mAP:.3f} {result.top1:.3f}", flush=True)


def trials(best: Levers, by: Projections) -> Iterator[Levers]:
    """The defaults with one constant changed."""
    yield replace(best, name="defaults")
    for count in (0, 1, 2, 4, 12):
        yield replace(best, name=f"widened by {count}", widen=count)
    for lead in (0.0, 0.5, 1.0, 4.0):
        yield replace(best, name=f"lead {lead:g}", lead=lead)
    for sureness in (0.0, 0.02, 0.1, 0.2):
        yield replace(best, name=f"sureness {sureness:g}", sureness=sureness)
    for weight in (0.0, 0.25, 1.0):

        def read(people: People, weight: float = weight) -> Tensor:
            blocks = by.scene(people.scene), by.patch(people.patch), weight**0.5 * by.rows(people.rows)
            return F.normalize(torch.cat(blocks, dim=1))

        yield replace(best, name=f"rows weigh {weight:g}", read=read)


if __name__ == "__main__":
    main()
