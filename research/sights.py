"""Whether two and three sights of a person find her better than one, and what taking off somebody else is worth.

Run: python research/sights.py MODEL DATA... [--keep FOLDER] [--draws 3]

Reads what research/answers.py kept. Each query gets two more sights of its person, drawn among those that were found;
their scenes are searched by none of the rows, so that all rows have the same gallery. Queries with fewer are left out.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from answers import centred, in_order, in_scenes, prepare, rows
from kept_features import Kept
from torch import Tensor

from personsearch.data.queries import scenes_holding
from personsearch.data.records import Benchmark, Query
from personsearch.evaluation.metrics import box_ious
from personsearch.evaluation.protocols import Searched, evaluate_search
from personsearch.search.answering import PeopleInMemory, rank_people
from personsearch.search.refining import OTHERS, refined
from personsearch.search.strangers import Strangers, find_strangers

_MORE = 2
_WEIGHTS = (0.0, 0.1, OTHERS, 0.5, 1.0)
_MARKED = 2
"""Wrong answers that a user marks as somebody else."""


@dataclass(frozen=True)
class Drawn:
    """Queries that have more sights, and searches without the scenes of those."""

    benchmark: Benchmark
    sights: Tensor
    """[Q, 1 + _MORE, D]"""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("model")
    options.add_argument("data", nargs="+")
    options.add_argument("--keep", type=Path, default=Path("cache/answers-readings"))
    options.add_argument("--draws", type=int, default=3)
    given = options.parse_args()
    print("| asked with | data | mAP | top-1 |\n|---|---|---|---|")
    for spec in given.data:
        benchmark, kept, loaded, projections = prepare(given.model, spec, given.keep)
        reading = rows(loaded.model, projections, cropped=False)[-1].read
        found, asked = centred(benchmark, kept, reading(kept.found), reading(kept.asked))
        strangers = find_strangers(found, kept.found.scene_of, kept.found.scores)
        known = sights_of(benchmark, kept)
        told: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for draw in range(given.draws):
            drawn = draw_sights(benchmark, kept, found, in_order(benchmark, asked), known, random.Random(draw))
            for name, figures in judge(drawn, kept, found, strangers).items():
                told[name].append(figures)
        for name, some in told.items():
            mean_ap, top1 = np.mean(some, axis=0)
            print(f"| {name} | {spec} | {mean_ap:.3f} | {top1:.3f} |")
        print(f"{spec}: {len(drawn.benchmark.queries)} of {len(benchmark.queries)} queries, {given.draws} draws")


def sights_of(benchmark: Benchmark, kept: Kept) -> dict[tuple[int, str], int]:
    """Rows of found people by identity and scene, where a box overlaps the annotated one by half."""
    known = {}
    for number, scene in enumerate(benchmark.test):
        mine = torch.nonzero(kept.found.scene_of == number).flatten()
        if not len(mine) or not scene.persons:
            continue
        truth = np.array([person.box for person in scene.persons]).reshape(-1, 4)
        overlaps = box_ious(kept.found.boxes[mine].double().numpy(), truth)
        for place, person in enumerate(scene.persons):
            if overlaps[:, place].max() >= 0.5:
                known[person.identity, scene.name] = int(mine[int(overlaps[:, place].argmax())])
    return known


def draw_sights(
    benchmark: Benchmark, kept: Kept, found: Tensor, asked: Tensor, known: dict[tuple[int, str], int],
    chance: random.Random,
) -> Drawn:  # fmt: skip
    holding, queries, sights = scenes_holding(benchmark.test), [], []
    for query, reading in zip(benchmark.queries, asked, strict=True):
        there = sorted(set(holding[query.identity]) & set(query.gallery) - {query.scene})
        usable = [name for name in there if (query.identity, name) in known]
        if len(usable) < _MORE or len(there) <= _MORE:
            continue
        names = chance.sample(usable, _MORE)
        queries.append(without(query, names))
        sights.append(torch.stack([reading, *(found[known[query.identity, name]] for name in names)]))
    return Drawn(replace(benchmark, queries=queries), torch.stack(sights))


def without(query: Query, names: Sequence[str]) -> Query:
    return replace(query, gallery=tuple(name for name in query.gallery if name not in names))


def judge(drawn: Drawn, kept: Kept, found: Tensor, strangers: Strangers) -> dict[str, tuple[float, float]]:
    """(mAP, top-1) by what is asked with."""
    detections = in_scenes(drawn.benchmark, kept.found, found)

    def told(asked: Tensor, others: dict[bytes, Tensor] | None = None) -> tuple[float, float]:
        rank = partial(likenesses, strangers=strangers, others=others or {})
        result = evaluate_search(drawn.benchmark, detections, asked, rank=rank)
        return result.mAP, result.top1

    nobody = found[:0]
    single = [told(drawn.sights[:, place]) for place in range(1 + _MORE)]
    answers = {"one sight": single[0], "the better one of three, on average": max(single)}
    for count in range(2, 2 + _MORE):
        answers[f"{count} sights"] = told(torch.stack([refined(some[:count], nobody) for some in drawn.sights]))
    wrong = [wrong_answers(drawn.benchmark, kept, found, n) for n in range(len(drawn.sights))]
    firsts = [marked(found, some, sight[0]) for some, sight in zip(wrong, drawn.sights, strict=True)]
    for weight in _WEIGHTS:
        asked = torch.stack([refined(s[:1], o, weight) for s, o in zip(drawn.sights, firsts, strict=True)])
        others = {query.numpy().tobytes(): some for query, some in zip(asked, firsts, strict=True)}
        answers[f"one sight, {_MARKED} wrong answers taken off by {weight:g}"] = told(asked, others)
    return answers


def wrong_answers(benchmark: Benchmark, kept: Kept, found: Tensor, number: int) -> Tensor:
    """Rows of the gallery of a query that are in no scene with its person."""
    query, holding = benchmark.queries[number], scenes_holding(benchmark.test)
    numbers = {scene.name: place for place, scene in enumerate(benchmark.test)}
    names = set(query.gallery) - set(holding[query.identity]) - {query.scene}
    return torch.nonzero(torch.isin(kept.found.scene_of, torch.tensor([numbers[name] for name in names]))).flatten()


def marked(found: Tensor, wrong: Tensor, query: Tensor) -> Tensor:
    """Readings of the wrong answers that are most alike."""
    best = (found[wrong] @ query).topk(min(_MARKED, len(wrong))).indices
    return found[wrong[best]]


def likenesses(query: Tensor, people: Searched, *, strangers: Strangers, others: dict[bytes, Tensor]) -> Tensor:
    """As the page ranks; who was marked as somebody else comes last."""
    crowd = PeopleInMemory(people.embeddings, people.scene_of, people.scores)
    ranked = rank_people(query, crowd, strangers=strangers).likenesses.everybody
    taken = others.get(query.numpy().tobytes())
    if taken is None or not len(taken):
        return ranked
    return ranked.masked_fill((people.embeddings @ taken.T).amax(dim=1) > 0.9999, -torch.inf)


if __name__ == "__main__":
    main()
