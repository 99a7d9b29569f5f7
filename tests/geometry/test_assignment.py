"""Matching and sampling of candidates, against a loop."""

import torch
from torchvision.ops import box_iou

from personsearch.geometry.assignment import IGNORED, NEGATIVE, Matcher, Sampler

PERSONS = torch.tensor([[0.0, 0, 10, 20], [50.0, 0, 60, 20]])


def test_matches_equal_a_loop() -> None:
    torch.manual_seed(0)
    corners = torch.rand(60, 2) * torch.tensor([60.0, 8])
    candidates = torch.cat([corners, corners + torch.rand(60, 2) * 10 + 8], dim=1)
    found = Matcher(positive=0.5, negative=0.3)(candidates, PERSONS).tolist()
    for candidate, match in zip(candidates, found, strict=True):
        overlaps = box_iou(candidate[None], PERSONS)[0].tolist()
        best = max(overlaps)
        expected = overlaps.index(best) if best >= 0.5 else NEGATIVE if best < 0.3 else IGNORED
        assert match == expected
    assert {NEGATIVE, IGNORED, 0, 1} == set(found), "the case must show every outcome"


def test_each_person_gets_its_best_candidate_however_poor() -> None:
    candidates = torch.tensor([[0.0, 0, 40, 40], [45.0, 0, 90, 40], [200.0, 0, 210, 20]])
    assert Matcher(0.7, 0.3)(candidates, PERSONS).tolist() == [NEGATIVE] * 3
    assert Matcher(0.7, 0.3, best_is_positive=True)(candidates, PERSONS).tolist() == [0, 1, NEGATIVE]


def test_nobody_and_nothing() -> None:
    matcher = Matcher(0.5, 0.5, best_is_positive=True)
    assert matcher(PERSONS, PERSONS[:0]).tolist() == [NEGATIVE, NEGATIVE]
    assert len(matcher(PERSONS[:0], PERSONS)) == 0


def test_samples_keep_to_count_and_fraction() -> None:
    matches = torch.tensor([0] * 10 + [NEGATIVE] * 10 + [IGNORED] * 10)
    positive, negative = Sampler(count=8, positive_fraction=0.25)(matches)
    assert (len(positive), len(negative)) == (2, 6)
    assert matches[positive].eq(0).all()
    assert matches[negative].eq(NEGATIVE).all()
    assert len(set(negative.tolist())) == 6
    few, rest = Sampler(count=8, positive_fraction=0.5)(matches[9:])
    assert (len(few), len(rest)) == (1, 7), "negatives fill what positives leave"
