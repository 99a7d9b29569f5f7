"""A second look is judged as what it adds to: by the cosine, or as `search` ranks readings."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch.nn import functional as F

from personsearch.data.pictures import ImageFile
from personsearch.data.records import Benchmark, Person, Query, Scene
from personsearch.evaluation.answers import CameraMeans, rank_by, strangers_of
from personsearch.evaluation.protocols import Rules, evaluate_search
from personsearch.evaluation.second_look import Asked, Looked
from personsearch.geometry.detections import Detections
from personsearch.models.guided import Proposals
from personsearch.search.answering import rank_people

SCENES, PEOPLE, DIM = 12, 20, 32
MISSED = "3"
"""Where the detector does not find person 0, who is in every third scene."""


def box_of(identity: int) -> tuple[float, float, float, float]:
    return (50.0 * identity, 10.0, 50.0 * identity + 30, 90.0)


def present(number: int) -> list[int]:
    return [identity for identity in range(PEOPLE) if (identity + number) % 3 == 0]


@pytest.fixture
def asked() -> Asked:
    """Everybody is found but one; readings differ from sight to sight, so that some strangers come before."""
    chance = torch.Generator().manual_seed(0)
    looks = F.normalize(torch.randn(PEOPLE, DIM, generator=chance))
    scenes, people = [], {}
    for number in range(SCENES):
        here = tuple(Person(box_of(identity), identity) for identity in present(number))
        scenes.append(Scene(str(number), ImageFile(Path("none.png")), 1000, 100, here))
        sights = F.normalize(looks[present(number)] + 0.17 * torch.randn(len(here), DIM, generator=chance))
        found = Detections(
            torch.tensor([person.box for person in here]), torch.rand(len(here), generator=chance), sights
        )
        people[str(number)] = found[1:] if str(number) == MISSED else found
    names = tuple(people)
    queries = tuple(Query(str(i % 3 and 3 - i % 3), box_of(i), i, names) for i in range(PEOPLE))
    benchmark = Benchmark("known", (), 0, tuple(scenes), queries)
    readings = [people[q.scene].embeddings[present(int(q.scene)).index(q.identity)] for q in queries]
    means = CameraMeans.of(benchmark, people, 0.0)
    rules = Rules(score_threshold=0.0)
    centred = means.off_people(people)
    asking = means.off_queries(benchmark, torch.stack(readings))
    return Asked(benchmark, centred, asking, rules, means, strangers_of(benchmark, centred, 0.0))


def nobody(asked: Asked) -> Looked:
    return Looked(asked, [{} for _ in asked.benchmark.queries], [{} for _ in asked.benchmark.queries])


def test_nobody_found_is_judged_as_without_a_second_look(asked: Asked) -> None:
    plain = replace(asked, strangers=None)
    results = []
    for some, rank in ((asked, rank_by(asked.strangers)), (plain, None)):  # type: ignore[arg-type]
        alone = evaluate_search(asked.benchmark, dict(asked.people), asked.queries, rules=asked.rules, rank=rank)
        results.append(nobody(some).result())
        assert results[-1].average_precisions == pytest.approx(alone.average_precisions)
    assert results[0].average_precisions != results[1].average_precisions, "the two ways can be told apart"
    crowd = asked.crowd(list(asked.people))
    assert any(len(rank_people(query, crowd, strangers=asked.strangers).added) for query in asked.queries)


def test_who_was_missed_counts_once_she_is_found(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(Path(__file__).parents[2] / "research"), *sys.path])
    script: Any = importlib.import_module("second_look")
    before = nobody(asked)
    found = Proposals(torch.tensor([box_of(0)]), torch.tensor([0.9]))
    centre = cast(CameraMeans, asked.means).centres.means[0]
    looks = {name: nobody(asked) for name in ("like", "unlike")}
    for name, reading in (("like", asked.queries[:1]), ("unlike", -asked.queries[:1])):
        looks[name].found[0][MISSED], looks[name].read[0][MISSED] = found, 1e-3 * reading + centre
    like, unlike, alone = (look.result().average_precisions[0] for look in (*looks.values(), before))
    assert like == pytest.approx(1)
    assert max(alone, unlike) < 0.9  # type: ignore[type-var, operator]
    assert looks["like"].result(0).average_precisions[0] == alone, "of the found none is taken"
    assert script.people(looks["like"]) == (1, 1, 1)
    looks["like"].found[0][MISSED] = Proposals(found.boxes + 25, found.similarities)
    assert script.people(looks["like"]) == (1, 1, 0)
