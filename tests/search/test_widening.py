"""The widened query, and whom it is widened by."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.search.strangers import Strangers
from personsearch.search.widening import agreeing, agreement, clear, first_answers, widened


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


def _slowly_agreeing(query: Tensor, answers: Tensor, reach: float, most: int) -> list[int]:
    """Each mean over every pair, one by one."""
    joined = list(range(min(2, most, len(answers))))
    everybody = [query, *(answers[place] for place in joined)]
    pairs = [float(one @ other) for one, other in itertools.combinations(everybody, 2)]
    if not pairs or sum(pairs) / len(pairs) <= reach:
        return []
    while len(joined) < most:
        means = {
            place: sum(float(answer @ one) for one in everybody) / len(everybody)
            for place, answer in enumerate(answers)
            if place not in joined
        }
        best = max(means, key=lambda place: means[place], default=-1)
        if best < 0 or means[best] <= reach:
            break
        joined.append(best)
        everybody.append(answers[best])
    return joined


@pytest.mark.parametrize("most", [0, 1, 2, 4, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 24])
def test_who_agrees_with_all_before_joins(count: int, most: int) -> None:
    sizes = set()
    for seed in range(20):
        chance = torch.Generator().manual_seed(seed)
        person, *_ = F.normalize(torch.randn(1, 16, generator=chance))
        sights = F.normalize(person + 0.25 * torch.randn(count + 1, 16, generator=chance))
        query, answers = sights[0], sights[1:]
        strangers = Strangers(np.linspace(-1, 0.6, 1000, dtype=np.float32))
        joined = agreeing(query, answers, strangers, 10, most).tolist()
        reach = strangers.reach(10)
        assert reach is not None
        assert joined == _slowly_agreeing(query, answers, reach, most)
        sizes.add(len(joined))
    assert max(sizes) <= min(most, count)
    assert len(sizes) > 1 or min(most, count) < 2  # some join, some do not


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
    assert first_answers(likenesses, count, scene_of).tolist() == expected
