"""Whether a query whose person is absent stays unwidened, and whether strangers are as alike as their gallery says.

Run: python research/absent_people.py MODEL DATA... [--keep FOLDER]

Reads what research/answers.py kept. A query is absent where the scenes that hold its person are not searched.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import torch
from answers import centred, in_order, prepare, rows
from kept_features import Kept
from torch import Tensor

from personsearch.data.queries import scenes_holding
from personsearch.data.records import Benchmark
from personsearch.evaluation.metrics import box_ious
from personsearch.search.answering import PeopleInMemory, rank_people
from personsearch.search.strangers import Strangers, find_strangers
from personsearch.search.widening import WIDEN, first_answers

_RATES = (0.1, 0.01, 0.001, 0.0001)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("model")
    options.add_argument("data", nargs="+")
    options.add_argument("--keep", type=Path, default=Path("cache/answers-readings"))
    given = options.parse_args()
    for spec in given.data:
        benchmark, kept, loaded, projections = prepare(given.model, spec, given.keep)
        reading = rows(loaded.model, projections, cropped=False)[-1].read
        found, asked = centred(benchmark, kept, reading(kept.found), reading(kept.asked))
        strangers = find_strangers(found, kept.found.scene_of)
        print(f"{spec}: {len(found)} people, {len(strangers)} pairs of strangers")
        true, false = pairs(benchmark, kept, found)
        for rate in _RATES:
            limit = strangers.threshold(rate)
            if limit is None:
                print(f"  promised {rate:.2%}: too few pairs to tell")
                continue
            held, known = (false >= limit).mean(), (true >= limit).mean()
            print(f"  promised {rate:.2%}: measured {held:.3%}; of true pairs {known:.0%} are above {limit:.3f}")
        for what, absent in (("present", False), ("absent", True)):
            told = ask(benchmark, kept, found, in_order(benchmark, asked), strangers, absent)
            changed = sum(first != again for first, again in told if again is not None) / len(told)
            wide = sum(again is not None for _, again in told) / len(told)
            print(f"  {what}: {wide:.0%} of {len(told)} queries are widened; the first answer of {changed:.0%} changes")


def ask(
    benchmark: Benchmark, kept: Kept, found: Tensor, asked: Tensor, strangers: Strangers, absent: bool
) -> list[tuple[int, int | None]]:
    """For each query its first answer before it is widened, and after; None where it is not."""
    numbers = {scene.name: number for number, scene in enumerate(benchmark.test)}
    holding = scenes_holding(benchmark.test)
    told = []
    for query, reading in zip(benchmark.queries, asked, strict=True):
        names = set(query.gallery) - {query.scene} - (holding[query.identity] if absent else set())
        inside = torch.isin(kept.found.scene_of, torch.tensor([numbers[name] for name in names]))
        people = PeopleInMemory(found[inside], kept.found.scene_of[inside], kept.found.scores[inside])
        choose = partial(first_answers, scene_of=people.scene_of, count=WIDEN)
        first = rank_people(reading, people)
        again = rank_people(reading, people, strangers=strangers, choose=choose)
        second = int(again.likenesses.argmax()) if len(again.added) else None
        told.append((int(first.likenesses.argmax()), second))
    return told


def pairs(benchmark: Benchmark, kept: Kept, found: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of all pairs of found people in two scenes who are the same by annotation, and who are not."""
    identity = torch.full((len(found),), -1)
    for number, scene in enumerate(benchmark.test):
        mine = torch.nonzero(kept.found.scene_of == number).flatten()
        truth = np.array([person.box for person in scene.persons]).reshape(-1, 4)
        overlaps = box_ious(kept.found.boxes[mine].double().numpy(), truth)
        for place, row in zip(mine.tolist(), overlaps, strict=True):
            if len(row) and row.max() >= 0.5:
                identity[place] = scene.persons[int(row.argmax())].identity
    known = torch.nonzero(identity >= 0).flatten()
    cosines = (found[known] @ found[known].T).numpy()
    same = (identity[known][:, None] == identity[known][None]).numpy()
    scenes = kept.found.scene_of[known]
    upper = np.triu((scenes[:, None] != scenes[None]).numpy(), 1)
    return cosines[same & upper], cosines[~same & upper]


if __name__ == "__main__":
    main()
