"""The mean of a source is taken off its people and its queries."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.search.centring import ELSEWHERE, FEWEST, CentredPeople, Centres


def _people(*counts: int) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(0)
    source_of = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    shift = torch.randn(len(counts), 6, generator=chance)[source_of]
    return F.normalize(torch.randn(len(source_of), 6, generator=chance) + shift), source_of


def test_each_large_source_loses_its_own_mean() -> None:
    readings, source_of = _people(60, 80)
    order = torch.randperm(140, generator=torch.Generator().manual_seed(1))
    readings, source_of = readings[order], source_of[order]
    centred = Centres.of(readings, source_of, 2).take_off(readings, source_of)
    for source in (0, 1):
        own = readings[source_of == source]
        torch.testing.assert_close(centred[source_of == source], F.normalize(own - own.mean(dim=0)))


def test_small_sources_and_strange_queries_lose_the_mean_of_everybody() -> None:
    readings, source_of = _people(FEWEST, FEWEST - 1, 0)
    centres = Centres.of(readings, source_of, 3)
    everybody = readings.mean(dim=0)
    torch.testing.assert_close(centres.means[0], readings[:FEWEST].mean(dim=0))
    torch.testing.assert_close(centres.means[1:], everybody.expand(3, 6))
    query = readings[:1]
    strange = centres.take_off(query, torch.tensor([ELSEWHERE]))
    torch.testing.assert_close(strange, F.normalize(query - everybody))


@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_whoever_is_the_mean_of_a_source_is_like_nobody(noise: float) -> None:
    generator = torch.Generator().manual_seed(1)
    stuck = F.normalize(torch.randn(1, 512, generator=generator)).repeat(3000, 1)
    stuck += noise * F.normalize(torch.randn(3000, 512, generator=generator))
    others = F.normalize(torch.randn(300, 512, generator=generator) + torch.randn(1, 512, generator=generator))
    readings, source_of = torch.cat([stuck, others]).half(), torch.tensor([0] * 3000 + [1] * 300)
    people = CentredPeople.of(readings, source_of, Centres.of(readings, source_of, 2))
    (query,) = people.readings(torch.tensor([3005]))
    cosines = people.cosines(query)
    assert cosines.argmax() == 3005
    assert (cosines[:3000] == 0).all()
    assert (people.readings(torch.arange(3000)) == 0).all()


def test_few_people_keep_their_readings() -> None:
    readings, source_of = _people(1, 2)
    torch.testing.assert_close(Centres.of(readings, source_of, 2).take_off(readings, source_of), readings)
    nobody, nowhere = torch.zeros(0, 6), torch.zeros(0, dtype=torch.int64)
    assert Centres.of(nobody, nowhere, 0).take_off(nobody, nowhere).shape == (0, 6)


def test_stored_halves_are_summed_in_full() -> None:
    readings, source_of = torch.full((5000, 2), 0.7071).half(), torch.zeros(5000, dtype=torch.int64)
    means = Centres.of(readings, source_of, 1).means
    torch.testing.assert_close(means, torch.full((2, 2), float(readings[0, 0])), atol=1e-4, rtol=0)


def test_stored_people_answer_as_if_they_were_centred_one_by_one() -> None:
    readings, source_of = _people(1300, 7, 900)
    stored = readings.half()
    people = CentredPeople.of(stored, source_of, Centres.of(stored, source_of, 3))
    centred = people.centres.take_off(stored, source_of)
    query = people.centres.take_off(readings[5:6], torch.tensor([ELSEWHERE]))[0]
    told, expected = people.cosines(query), centred @ query
    best = expected.topk(1000).indices
    torch.testing.assert_close(told[best], expected[best], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(told, expected, atol=1e-3, rtol=1e-3)
    assert told.argsort(descending=True)[:1000].equal(expected.argsort(descending=True)[:1000])
    chosen = torch.tensor([1305, 2, 2000])
    torch.testing.assert_close(people.readings(chosen), centred[chosen])
    nobody = CentredPeople.of(stored[:0], source_of[:0], Centres.none(0, 6))
    assert nobody.cosines(query).shape == (0,)


def test_additions_and_removals_are_as_if_the_gallery_had_been_so_from_the_start() -> None:
    readings, source_of = _people(60, 70)
    kept = torch.arange(130) % 3 > 0
    stored = readings[kept].half()
    part = CentredPeople.of(stored, source_of[kept], Centres.of(stored, source_of[kept], 2))
    own = stored.float()
    expected = F.normalize(own - own.mean(dim=0))  # each source has fewer than 50 people left
    torch.testing.assert_close(part.readings(torch.arange(int(kept.sum()))), expected, atol=1e-5, rtol=1e-5)
