"""Whether a query whose person is absent stays unwidened, and whether strangers are as alike as their gallery says.

Run: python research/absent_people.py MODEL DATA... [--keep FOLDER]

Reads what research/answers.py kept. A query is absent where the scenes that hold its person are not searched. Of `mot:`
an identity is a track, and whoever comes back is a new one: only tracks that share a frame are two people for sure.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from answers import centred, in_order, in_scenes, prepare, rows
from kept_features import Kept
from torch import Tensor

from personsearch.data.queries import scenes_holding
from personsearch.data.records import UNLABELED, Benchmark
from personsearch.evaluation.metrics import box_ious
from personsearch.evaluation.protocols import Searched, evaluate_search
from personsearch.search.absence import is_absent
from personsearch.search.answering import PeopleInMemory, Ranked, rank_people
from personsearch.search.strangers import Strangers, find_strangers

_RATES = (0.1, 0.01, 0.001, 0.0001)
_PROMISES = (0.5, 0.3, 0.2, 0.1, 0.05)
_FEWEST = 20
"""People of a gallery that can be asked for somebody absent."""
ANYBODY = Strangers(np.full(1000, -1, dtype=np.float32))
"""Everybody is clear of them."""


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
        asked = in_order(benchmark, asked)
        strangers = find_strangers(found, kept.found.scene_of, kept.found.scores)
        print(f"{spec}: {len(found)} people, {len(strangers)} pairs of strangers")
        apart = different(benchmark, tracks=spec.startswith("mot:"))
        true, false = pairs(benchmark, kept, found, apart)
        for rate in _RATES:
            limit = strangers.threshold(rate)
            if limit is None:
                print(f"  promised {rate:.2%}: too few pairs to tell")
                continue
            held, known = (false >= limit).mean(), (true >= limit).mean()
            print(f"  promised {rate:.2%}: measured {held:.3%}; of true pairs {known:.0%} are above {limit:.3f}")
        for what, gate in (("never", None), ("where clear", strangers), ("always", ANYBODY)):
            print(f"  widened {what}: mAP {mean_ap(benchmark, kept, found, asked, gate):.3f}")
        best = {what: firsts(benchmark, kept, found, asked, some) for what, some in (("in", None), ("out", apart))}
        for promise in _PROMISES:
            false, here = (answered(best[what], strangers, promise) for what in ("out", "in"))
            print(
                f"  answers to absent people: promised {promise:.0%}, measured {false:.0%}; to present ones {here:.0%}"
            )
        for what, absent in (("present", None), ("absent", apart)):
            told = ask(benchmark, kept, found, asked, strangers, absent)
            changed = sum(first != again for first, again in told if again is not None)
            wide = sum(again is not None for _, again in told) / len(told)
            print(f"  {what}: {wide:.0%} of {len(told)} queries are widened; {changed} first answers change")


def different(benchmark: Benchmark, tracks: bool) -> Tensor:
    """[I, I] whether two identities are two people for sure."""
    people = [[p.identity for p in scene.persons if p.identity != UNLABELED] for scene in benchmark.test]
    count = 1 + max(identity for some in people for identity in some)
    if not tracks:
        return ~torch.eye(count, dtype=torch.bool)
    together = torch.zeros(count, count, dtype=torch.bool)
    for some in people:
        together[torch.tensor(some)[:, None], torch.tensor(some)] = True
    return together & ~torch.eye(count, dtype=torch.bool)


def rank(query: Tensor, people: PeopleInMemory, strangers: Strangers | None) -> Ranked:
    return rank_people(query, people, strangers=strangers)


def mean_ap(benchmark: Benchmark, kept: Kept, found: Tensor, asked: Tensor, strangers: Strangers | None) -> float:
    """Of all queries, widened where they are clear of strangers; None: never."""

    def likenesses(query: Tensor, people: Searched) -> Tensor:
        return rank(
            query, PeopleInMemory(people.embeddings, people.scene_of, people.scores), strangers
        ).likenesses.everybody

    return evaluate_search(benchmark, in_scenes(benchmark, kept.found, found), asked, rank=likenesses).mAP


def firsts(
    benchmark: Benchmark, kept: Kept, found: Tensor, asked: Tensor, apart: Tensor | None
) -> list[tuple[float, int]]:
    """For each query the likeness of its first answer, and how many people were searched; as in `ask`."""
    told = []
    for reading, inside in searched(benchmark, kept, asked, apart):
        people = PeopleInMemory(found[inside], kept.found.scene_of[inside], kept.found.scores[inside])
        ranked = rank(reading, people, None)
        told.append((float(ranked.cosines[int(ranked.likenesses.everybody.argmax())]), len(people.vectors)))
    return told


def answered(told: list[tuple[float, int]], strangers: Strangers, promise: float) -> float:
    """The part of the queries that somebody is said to look like."""
    return sum(not is_absent(likeness, strangers, people, promise) for likeness, people in told) / len(told)


def searched(benchmark: Benchmark, kept: Kept, asked: Tensor, apart: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Each query [D], and which people are searched for it [N] bool; none of too small a gallery.

    Only scenes without anybody who may be the person are searched, by whom is `apart`; None: all of the gallery.
    """
    numbers = {scene.name: number for number, scene in enumerate(benchmark.test)}
    holding = scenes_holding(benchmark.test)
    for query, reading in zip(benchmark.queries, asked, strict=True):
        names = set(query.gallery) - {query.scene}
        if apart is not None:
            names -= {name for other, held in holding.items() if not apart[query.identity, other] for name in held}
        inside = torch.isin(kept.found.scene_of, torch.tensor([numbers[name] for name in names], dtype=torch.int64))
        if int(inside.sum()) >= _FEWEST:
            yield reading, inside


def ask(
    benchmark: Benchmark, kept: Kept, found: Tensor, asked: Tensor, strangers: Strangers, apart: Tensor | None
) -> list[tuple[int, int | None]]:
    """For each query of `searched` its first answer before it is widened, and after; None where it is not."""
    told = []
    for reading, inside in searched(benchmark, kept, asked, apart):
        people = PeopleInMemory(found[inside], kept.found.scene_of[inside], kept.found.scores[inside])
        first, again = rank(reading, people, None), rank(reading, people, strangers)
        second = int(again.likenesses.everybody.argmax()) if len(again.added) else None
        told.append((int(first.likenesses.everybody.argmax()), second))
    return told


def pairs(benchmark: Benchmark, kept: Kept, found: Tensor, apart: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of all pairs of found people in two scenes who are one by annotation, and who are two for sure."""
    identity = torch.full((len(found),), -1)
    for number, scene in enumerate(benchmark.test):
        mine = torch.nonzero(kept.found.scene_of == number).flatten()
        truth = np.array([person.box for person in scene.persons]).reshape(-1, 4)
        overlaps = box_ious(kept.found.boxes[mine].double().numpy(), truth)
        for place, row in zip(mine.tolist(), overlaps, strict=True):
            if len(row) and row.max() >= 0.5:
                identity[place] = scene.persons[int(row.argmax())].identity
    known = torch.nonzero(identity >= 0).flatten()
    one, scenes = identity[known], kept.found.scene_of[known]
    cosines = (found[known] @ found[known].T).numpy()
    upper = np.triu((scenes[:, None] != scenes[None]).numpy(), 1)
    return cosines[(one[:, None] == one[None]).numpy() & upper], cosines[apart[one[:, None], one].numpy() & upper]


if __name__ == "__main__":
    main()
