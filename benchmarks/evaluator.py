"""How fast the evaluator judges CUHK-SYSU's largest protocol.

Run: python benchmarks/evaluator.py [QUERIES SCENES PEOPLE]

Random people: 2,900 queries, each with a gallery of 4,000 of 6,978 scenes with 8 detections each. Prints seconds,
peak memory, and the largest difference to the rule written out in loops, on some queries with small galleries.
"""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from personsearch.data.records import Benchmark, Person, Query, Scene
from personsearch.evaluation.protocols import Rules, evaluate_search
from personsearch.geometry.detections import Detections

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "evaluation"))
from slow_rule import slow_search

DIM = 256
POOL = 6_978 / 4_000
"""Scenes of the pool to scenes of a gallery, as published."""
SIGHTS = 3
"""Of each identity, the query's own aside: about what CUHK-SYSU has."""
JUDGED_SLOWLY, SMALL_GALLERY = 60, 60


class NoPicture:
    def read(self) -> None:
        raise NotImplementedError


def random_case(queries: int, size: int, people: int) -> tuple[Benchmark, dict[str, Detections], torch.Tensor]:
    """A benchmark and answers: each person of a scene is detected a little off, with an embedding near its own."""
    random = np.random.default_rng(0)
    scenes = round(size * POOL)
    identities = np.full((scenes, people), -1)
    for identity in range(queries):
        for scene in random.choice(scenes, SIGHTS + 1, replace=False):
            identities[scene, random.integers(people)] = identity
    corners = random.uniform(0, 500, (scenes, people, 2))
    boxes = np.concatenate([corners, corners + random.uniform(30, 200, (scenes, people, 2))], axis=2)
    own = torch.nn.functional.normalize(torch.randn(queries, DIM), dim=1)
    test, found, sights = [], {}, [[] for _ in range(queries)]
    for index in range(scenes):
        name = f"s{index}.jpg"
        persons = tuple(Person(tuple(boxes[index, place]), i) for place, i in enumerate(identities[index].tolist()))
        test.append(Scene(name, NoPicture(), 700, 700, persons))
        for person in persons:
            if person.identity >= 0:
                sights[person.identity].append((index, person.box))
        near = own[identities[index].clip(min=0)] + 0.12 * torch.randn(people, DIM)
        guesses = torch.from_numpy(boxes[index] + random.normal(0, 6, (people, 4))).float()
        found[name] = Detections(guesses, torch.rand(people) / 2 + 0.5, torch.nn.functional.normalize(near, dim=1))
    asked = []
    for identity in range(queries):
        if len(sights[identity]) < 2:  # others took their places
            continue
        index, box = sights[identity][0]
        others = [place for place, _ in sights[identity][1:]]
        rest = random.choice(scenes, size, replace=False).tolist()
        gallery = [place for place in dict.fromkeys([*others, *rest]) if place != index][:size]
        asked.append(Query(test[index].name, box, identity, tuple(test[place].name for place in gallery)))
    return Benchmark("random", (), 0, tuple(test), tuple(asked)), found, own[[q.identity for q in asked]]


def main() -> None:
    numbers = [int(value) for value in sys.argv[1:]] or [2_900, 4_000, 8]
    torch.manual_seed(0)
    benchmark, found, embeddings = random_case(*numbers)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    result = evaluate_search(benchmark, found, embeddings)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{len(benchmark.queries)} queries x {numbers[1]} scenes x {numbers[2]} detections: {seconds:.2f} s")
    print(f"peak memory {after / 2**20:.2f} GiB, {max(0, after - before) / 2**20:.2f} GiB of it by the evaluator")
    print(f"mAP {result.mAP:.4f}  top-1 {result.top1:.4f}  detection AP {result.detection_ap:.4f}")
    few = tuple(replace(q, gallery=q.gallery[:SMALL_GALLERY]) for q in benchmark.queries[:JUDGED_SLOWLY])
    small = replace(benchmark, queries=few)
    fast = evaluate_search(small, found, embeddings[: len(few)])
    slow, ranks = slow_search(small, found, embeddings[: len(few)], Rules())
    difference = max(abs(a - b) for a, b in zip(fast.average_precisions, slow, strict=True))
    print(f"largest difference to the loops, over {len(few)} queries: {difference:.1e}")
    if difference > 1e-9 or list(fast.first_hits) != ranks:
        raise SystemExit("the evaluator and the loops disagree")


if __name__ == "__main__":
    main()
