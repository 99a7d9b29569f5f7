"""A query's whole way: rule, widening, and what is shown."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.search import answering
from personsearch.search.answering import PeopleInMemory, rank_people
from personsearch.search.once_a_scene import once_a_scene
from personsearch.search.strangers import Strangers
from personsearch.search.widening import LOOKED_AT, agreeing, first_answers, widened

UNLIKE = Strangers(np.linspace(-1, 0, 1000, dtype=np.float32))
ALIKE = Strangers(np.ones(1000, dtype=np.float32))


def _crowd(people: int = 30) -> tuple[Tensor, PeopleInMemory]:
    chance = torch.Generator().manual_seed(0)
    vectors = F.normalize(torch.randn(people + 1, 8, generator=chance))
    return vectors[-1], PeopleInMemory(vectors[:-1], torch.arange(people) // 3, torch.rand(people, generator=chance))


def test_without_levers_it_is_the_cosine() -> None:
    query, crowd = _crowd()
    plain = rank_people(query, crowd, once=False)
    assert torch.equal(plain.likenesses.everybody, crowd.vectors @ query)
    assert torch.equal(plain.cosines, plain.likenesses.everybody)
    assert not len(plain.added)


def test_widened_queries_rank_and_plain_ones_are_shown() -> None:
    query, crowd = _crowd()
    ranked = rank_people(query, crowd, strangers=UNLIKE, widen=3)
    cosines = crowd.vectors @ query
    assert torch.equal(ranked.cosines, cosines)
    best = first_answers(once_a_scene(cosines, crowd.scene_of, crowd.scores), 3 * LOOKED_AT, crowd.scene_of)
    best = best[agreeing(query, crowd.vectors[best], UNLIKE, len(cosines), 3)]
    assert len(best) > 1
    assert torch.equal(ranked.added, best)
    again = crowd.vectors @ widened(query, crowd.vectors[best], cosines[best])
    torch.testing.assert_close(ranked.likenesses.everybody, once_a_scene(again, crowd.scene_of, crowd.scores))


def test_who_is_no_more_alike_than_strangers_widens_nothing() -> None:
    query, crowd = _crowd()
    plain = rank_people(query, crowd)
    for strangers in (ALIKE, Strangers(np.zeros(0, dtype=np.float32)), None):
        ranked = rank_people(query, crowd, strangers=strangers)
        assert not len(ranked.added)
        assert torch.equal(ranked.likenesses.everybody, plain.likenesses.everybody)


def test_more_answers_are_asked_for_than_there_are() -> None:
    query, crowd = _crowd(people=4)  # in two scenes
    ranked = rank_people(query, crowd, strangers=UNLIKE, widen=9)
    assert len(ranked.added) in (0, 2)
    query, nobody = _crowd(people=0)
    assert rank_people(query, nobody, strangers=UNLIKE, widen=9).likenesses.everybody.shape == (0,)


def test_of_many_only_the_most_alike_are_compared_with_a_widened_query(monkeypatch: pytest.MonkeyPatch) -> None:
    query, crowd = _crowd(people=300)
    whole = rank_people(query, crowd, strangers=UNLIKE)
    assert len(whole.added)
    monkeypatch.setattr(answering, "AGAIN", 60)
    monkeypatch.setattr(answering, "_MANY", 1)
    few = rank_people(query, crowd, strangers=UNLIKE)
    assert torch.equal(few.cosines, whole.cosines)
    assert torch.equal(few.added, whole.added)
    near = whole.cosines.topk(60).indices
    torch.testing.assert_close(few.likenesses.cosines[near], whole.likenesses.cosines[near])
    rest = torch.ones(300, dtype=torch.bool)
    rest[near] = False
    assert few.likenesses.everybody[near].isfinite().all()
    assert few.likenesses.cosines[rest].max() < few.likenesses.cosines[near].min()
    assert torch.equal(few.likenesses.cosines[rest].argsort(), whole.cosines[rest].argsort())


def test_who_may_not_be_an_answer_takes_nobodys_place(monkeypatch: pytest.MonkeyPatch) -> None:
    query, crowd = _crowd(people=300)
    monkeypatch.setattr(answering, "AGAIN", 60)
    monkeypatch.setattr(answering, "_MANY", 1)
    among = torch.arange(300) >= 200
    ranked = rank_people(query, crowd, strangers=UNLIKE, among=among)
    told = ranked.likenesses.cosines > -1
    least = ranked.cosines[among].topk(60).values.min()
    assert torch.equal(told, ranked.cosines >= least)  # all who are as alike, for they may lead in the scenes of others
    nobody = rank_people(query, crowd, strangers=UNLIKE, among=torch.zeros(300, dtype=torch.bool))
    assert not (nobody.likenesses.cosines > -1).any()
    monkeypatch.undo()
    whole = rank_people(query, crowd, strangers=UNLIKE, among=among)
    first = list(itertools.islice(ranked.likenesses.falling(among), 20))
    assert first == list(itertools.islice(whole.likenesses.falling(among), 20))
