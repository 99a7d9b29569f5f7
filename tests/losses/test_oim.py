"""OIM against a loop written out, and its memory through saving, empty batches and full queues."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.data.records import UNLABELED
from personsearch.losses.oim import OIMMemory, OIMSettings, oim_loss


def _unit(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_loss_equals_a_loop() -> None:
    memory = OIMMemory(4, 8, OIMSettings(queue=3, scalar=10))
    memory.lookup_table.copy_(_unit(4, 8, seed=1))
    memory.queue.copy_(_unit(3, 8, seed=2))
    x, y = _unit(5, 8), torch.tensor([0, 3, UNLABELED, 1, 3])
    losses = []
    for embedding, identity in zip(x, y.tolist(), strict=True):
        if identity == UNLABELED:
            continue
        similarities = [10 * float(embedding @ m) for m in [*memory.lookup_table, *memory.queue]]
        losses.append(torch.logsumexp(torch.tensor(similarities), 0).item() - similarities[identity])
    assert oim_loss(memory.logits(x), y).item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_update_mixes_normalises_and_rings() -> None:
    memory = OIMMemory(2, 4, OIMSettings(queue=2, momentum=0.5))
    x = _unit(5, 4)
    memory.update(x, torch.tensor([1, UNLABELED, UNLABELED, UNLABELED, 1]))
    once = F.normalize(0.5 * x[0], dim=0)
    torch.testing.assert_close(memory.lookup_table[1], F.normalize(0.5 * once + 0.5 * x[4], dim=0))
    assert memory.lookup_table[0].eq(0).all()
    torch.testing.assert_close(memory.queue, torch.stack([x[3], x[2]]))  # the oldest gave way
    assert int(memory.queue_head) == 1


def test_memory_survives_a_checkpoint() -> None:
    memory, again = OIMMemory(3, 4, OIMSettings(queue=4)), OIMMemory(3, 4, OIMSettings(queue=4))
    memory.update(_unit(3, 4), torch.tensor([0, UNLABELED, UNLABELED]))
    again.load_state_dict(memory.state_dict())
    for m in (memory, again):
        m.update(_unit(1, 4, seed=5), torch.tensor([UNLABELED]))
    assert memory.queue.equal(again.queue)
    assert int(again.queue_head) == 3


@pytest.mark.parametrize("identities", [[UNLABELED, UNLABELED], []], ids=["all unlabelled", "nobody"])
def test_nobody_labelled_is_zero_with_a_gradient(identities: list[int]) -> None:
    memory = OIMMemory(3, 4, OIMSettings(queue=2))
    x = _unit(len(identities), 4).requires_grad_()
    loss = oim_loss(memory.logits(x), torch.tensor(identities, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert x.grad is not None
    assert x.grad.eq(0).all()


def test_empty_rows_take_no_part_and_a_first_sight_has_no_loss() -> None:
    memory = OIMMemory(4, 8, OIMSettings(queue=3))
    x = _unit(3, 8)
    memory.update(x[:2], torch.tensor([2, UNLABELED]))
    shares = F.softmax(memory.logits(x), dim=1)
    assert torch.nonzero(shares.sum(0)).flatten().tolist() == [2, 4]
    assert memory.targets(torch.tensor([2, 1, UNLABELED])).tolist() == [2, UNLABELED, UNLABELED]
    assert oim_loss(memory.logits(x), memory.targets(torch.tensor([0, 1, 3]))).item() == 0


def test_gradient_ignores_a_later_update() -> None:
    """Logits come from a snapshot: updating before the backward pass changes nothing and raises nothing."""
    gradients = []
    for early in (False, True):
        memory = OIMMemory(3, 4, OIMSettings(queue=2))
        memory.lookup_table.copy_(_unit(3, 4, seed=7))
        x = _unit(2, 4).requires_grad_()
        loss = oim_loss(memory.logits(x), torch.tensor([0, 2]))
        if early:
            memory.update(x, torch.tensor([0, 2]))
        loss.backward()
        gradients.append(x.grad)
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_queue_of_none_is_allowed() -> None:
    memory = OIMMemory(3, 4, OIMSettings(queue=0))
    memory.update(_unit(1, 4), torch.tensor([UNLABELED]))
    assert memory.logits(_unit(2, 4)).shape == (2, 3)
