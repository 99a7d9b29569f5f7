"""The widened query, and whom it is widened by."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from personsearch.search.strangers import Strangers
from personsearch.search.widening import agreement, clear, first_answers, widened


def test_answers_count_by_their_likeness() -> None:
    query, answers = torch.tensor([1.0, 0, 0]), torch.tensor([[0.0, 1, 0], [0, 0, 1], [-1, 0, 0]])
    wide = widened(query, answers, torch.tensor([0.5, 0.25, -1.0]))  # who is unlike does not count at all
    torch.testing.assert_close(wide, F.normalize(torch.tensor([1.0, 0.5, 0.25]), dim=0))
    assert torch.equal(widened(query, answers[:0], torch.zeros(0)), query)


def test_answers_are_clear_of_what_strangers_reach() -> None:
    known, query = Strangers(np.arange(1000, dtype=np.float32) / 1024), torch.tensor([1.0, 0, 0])
    alike, other = torch.tensor([[0.9, 0.19**0.5, 0]]), torch.tensor([[0.9, -(0.19**0.5), 0]])
    assert clear(query, alike, known, people=2)  # 150 of 1,000 are more alike than 0.83
    assert clear(query, torch.cat([alike, alike]), known, people=2)
    assert not clear(query, torch.cat([alike, other]), known, people=2)  # who are unlike each other
    assert not clear(query, alike, known, people=200)
    assert not clear(query, alike[:0], known, people=2)
    assert not clear(query, alike, Strangers(np.zeros(0, dtype=np.float32)), people=2)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_agreement_is_the_mean_of_all_pairs(count: int) -> None:
    everybody = F.normalize(torch.randn(count + 1, 8, generator=torch.Generator().manual_seed(count)))
    everybody[-1] *= count % 2  # somebody of whom nothing was read
    cosines = [float(one @ other) for one, other in itertools.combinations(everybody, 2)]
    assert agreement(everybody[0], everybody[1:]) == pytest.approx(sum(cosines) / len(cosines), abs=1e-6)


def _slow(likenesses: list[float], scenes: list[int], count: int) -> list[int]:
    order = sorted(range(len(likenesses)), key=lambda person: (-likenesses[person], person))
    chosen: list[int] = []
    for person in order:
        if len(chosen) < count and likenesses[person] > -10 and scenes[person] not in [scenes[c] for c in chosen]:
            chosen.append(person)
    return chosen


@pytest.mark.parametrize("count", [0, 1, 2, 30])
@pytest.mark.parametrize("people", [0, 1, 5, 700])
@pytest.mark.parametrize("scenes", [1, 3, 200])
def test_the_most_alike_one_of_a_scene(people: int, scenes: int, count: int) -> None:
    chance = torch.Generator().manual_seed(people + scenes)
    likenesses = torch.rand(people, generator=chance).round(decimals=2)  # with ties
    likenesses[::7] = -torch.inf
    scene_of = torch.randint(0, scenes, (people,), generator=chance)
    expected = _slow(likenesses.tolist(), scene_of.tolist(), count)
    assert first_answers(likenesses, scene_of, count).tolist() == expected
