"""The widened query, and whom it is widened by."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from personsearch.search.strangers import Strangers
from personsearch.search.widening import clear, first_answers, widened


def test_answers_count_by_their_likeness() -> None:
    query, answers = torch.tensor([1.0, 0, 0]), torch.tensor([[0.0, 1, 0], [0, 0, 1], [-1, 0, 0]])
    wide = widened(query, answers, torch.tensor([0.5, 0.25, -1.0]))  # who is unlike does not count at all
    torch.testing.assert_close(wide, F.normalize(torch.tensor([1.0, 0.5, 0.25]), dim=0))
    assert torch.equal(widened(query, answers[:0], torch.zeros(0)), query)


def test_an_answer_is_clear_above_what_strangers_reach() -> None:
    known = Strangers(np.arange(1000, dtype=np.float32) / 1024)
    assert clear(torch.tensor([0.95, 0.1]), known, people=2)  # 50 of 1,000 are more alike than 0.93
    assert not clear(torch.tensor([0.90]), known, people=2)
    assert not clear(torch.tensor([0.95]), known, people=200)
    assert not clear(torch.tensor([]), known, people=2)
    assert not clear(torch.tensor([0.95]), Strangers(np.zeros(0, dtype=np.float32)), people=2)


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
