"""Eq. 1 to 4 against loops, and where their gradients go."""

import pytest
import torch
from torch.nn import functional as F

from personsearch.losses.interaction import feature_interaction, prediction_interaction


def test_feature_interaction_equals_eq_1() -> None:
    torch.manual_seed(0)
    r, s = torch.randn(3, 7), torch.randn(3, 7)
    expected = sum(1 - float(a @ b) / (float(a.norm()) * float(b.norm())) for a, b in zip(r, s, strict=True)) / 3
    assert feature_interaction(r, s).item() == pytest.approx(expected, rel=1e-5)
    assert feature_interaction(r, 3 * r).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_prediction_interaction_equals_eq_2_to_4(temperature: float) -> None:
    torch.manual_seed(0)
    r, s = torch.randn(3, 5), torch.randn(3, 5)
    p, q = F.softmax(r / temperature, 1), F.softmax(s / temperature, 1)
    expected = 0.0
    for b in range(3):
        for c in range(5):
            expected += float(p[b, c] * (p[b, c] / q[b, c]).log()) + float(q[b, c] * (q[b, c] / p[b, c]).log())
    assert prediction_interaction(r, s, temperature).item() == pytest.approx(expected / 3, rel=1e-4)
    assert prediction_interaction(r, r, temperature).item() == 0


def test_both_branches_get_a_gradient() -> None:
    for loss in (feature_interaction, lambda a, b: prediction_interaction(a, b, 1.0)):
        r, s = torch.randn(2, 5, requires_grad=True), torch.randn(2, 5, requires_grad=True)
        loss(r, s).backward()
        assert r.grad is not None
        assert s.grad is not None
        assert r.grad.abs().sum() > 0
        assert s.grad.abs().sum() > 0


def test_nobody_gives_zero_on_the_graph() -> None:
    r, s = torch.zeros(0, 5, requires_grad=True), torch.zeros(0, 5, requires_grad=True)
    total = feature_interaction(r, s) + prediction_interaction(r, s, 1.0)
    total.backward()
    assert total.item() == 0
