"""The warm-up's loss against a loop."""

import math

import pytest
import torch
from torch.nn import functional as F

from personsearch.losses.metric import supervised_contrastive

EMBEDDINGS = F.normalize(torch.randn(5, 4, generator=torch.Generator().manual_seed(0)))
IDENTITIES = torch.tensor([0, 0, 0, 1, 2])


def test_equals_a_loop() -> None:
    losses = []
    for a in range(5):
        for p in range(5):
            if a != p and IDENTITIES[a] == IDENTITIES[p]:
                others = [math.exp(float(EMBEDDINGS[a] @ EMBEDDINGS[b]) / 0.1) for b in range(5) if b != a]
                losses.append(-math.log(math.exp(float(EMBEDDINGS[a] @ EMBEDDINGS[p]) / 0.1) / sum(others)))
    loss = supervised_contrastive(EMBEDDINGS, IDENTITIES, 0.1)
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-4)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_no_pair_is_zero_on_the_graph(count: int) -> None:
    x = EMBEDDINGS[:count].clone().requires_grad_()
    loss = supervised_contrastive(x, torch.arange(count), 0.1)
    loss.backward()
    assert loss.item() == 0


def test_collapse_is_pushed_apart() -> None:
    x = (torch.ones(4, 3) + 0.01 * torch.randn(4, 3, generator=torch.Generator().manual_seed(0))).requires_grad_()
    supervised_contrastive(F.normalize(x), torch.tensor([0, 0, 1, 1]), 0.1).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.abs().sum() > 1e-3
