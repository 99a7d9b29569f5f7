"""IGPN's Eq. 7 on hand-made outputs and a real network: each term judges what it is named for."""

import pytest
import torch
from torch.nn import functional as F

from personsearch.geometry.deltas import encode_boxes
from personsearch.losses.criteria import IGPNCriterion, IGPNLossSettings
from personsearch.losses.detection import AnchorRule, rpn_losses
from personsearch.models.guided import IGPNOutput, Related
from personsearch.models.igpn import IGPNSettings, build_igpn
from personsearch.models.rpn import AnchorSettings, ProposalSettings, RPNOutput
from personsearch.models.search_network import ROI_STD, Targets

PERSON = torch.tensor([[10.0, 10, 40, 90]])
NOBODY = torch.zeros(0, 4)


def targets(*boxes):
    return [Targets(b, torch.zeros(len(b), dtype=torch.int64), torch.Generator().manual_seed(0)) for b in boxes]


def output():
    """Two pairs: the first holds the person, its second proposal lies on it, its third is not present."""
    torch.manual_seed(0)
    boxes = torch.tensor([[[100.0, 10, 130, 90], [12, 8, 41, 92], [0, 0, 0, 0]], [[1, 1, 20, 50]] * 3])
    present = torch.tensor([[True, True, False], [True, True, True]])
    matches = torch.tensor([[-1, 0, -1], [-1, -1, -1]])
    grad = {"requires_grad": True}
    related = Related(
        boxes, present, torch.randn(2, 3, 2, **grad), torch.randn(2, 3, 4, **grad), torch.randn(2, 2, **grad)
    )
    anchors = torch.tensor([[11.0, 9, 41, 91], [200, 200, 230, 280]])
    rpn = RPNOutput(anchors, torch.randn(2, 2, **grad), torch.randn(2, 2, 4, **grad))
    return IGPNOutput(rpn, related, matches, targets(PERSON, NOBODY))


def test_each_term():
    made = output()
    losses = IGPNCriterion(IGPNLossSettings())(made)
    related = made.related
    logits, truth = related.logits[related.present], torch.tensor([0, 1, 0, 0, 0])
    torch.testing.assert_close(losses["similarity2"], F.cross_entropy(logits, truth))
    aims = encode_boxes(PERSON, related.boxes[0, 1:2], ROI_STD)
    torch.testing.assert_close(losses["box2"], F.smooth_l1_loss(related.deltas[0, 1:2], aims, reduction="sum") / 5)
    torch.testing.assert_close(losses["search"], F.cross_entropy(related.search, torch.tensor([1, 0])))
    first = F.binary_cross_entropy_with_logits(made.rpn.logits[0], torch.tensor([1.0, 0.0]))
    second = F.binary_cross_entropy_with_logits(made.rpn.logits[1], torch.tensor([0.0, 0.0]))
    torch.testing.assert_close(losses["similarity1"], (first + second) / 2)
    assert losses["box1"] > 0


def test_without_the_global_branch_search_is_not_trained():
    losses = IGPNCriterion(IGPNLossSettings(search_weight=0.0))(output())
    assert losses["search"] == 0


def test_at_most_16_of_64_anchors_are_positive():
    anchors = PERSON.repeat(100, 1) + torch.rand(100, 4)
    far = torch.tensor([[300.0, 300, 340, 390]]).repeat(200, 1)
    rpn = RPNOutput(torch.cat([anchors, far]), torch.zeros(1, 300, requires_grad=True), torch.zeros(1, 300, 4))
    score, _ = rpn_losses(rpn, targets(PERSON), IGPNLossSettings().anchors)
    (gradient,) = torch.autograd.grad(score, rpn.logits)
    assert int((gradient < 0).sum()) == 16
    assert int((gradient > 0).sum()) == 48
    assert AnchorRule().count == 256


def test_pairs_without_proposals_have_no_second_loss():
    made = output()
    related = made.related
    none = Related(related.boxes, related.present & False, related.logits, related.deltas, related.search)
    losses = IGPNCriterion(IGPNLossSettings())(IGPNOutput(made.rpn, none, made.matches, made.targets))
    assert (losses["similarity2"], losses["box2"]) == (0, 0)
    torch.stack(list(losses.values())).sum().backward()


@pytest.mark.parametrize("local", ["block", "none"])
def test_every_trained_parameter_gets_a_gradient(local):
    torch.manual_seed(0)
    network = build_igpn(
        IGPNSettings(
            channels=4,
            local_relation=local,
            anchors=AnchorSettings((48.0,), (2.0,)),
            proposals=ProposalSettings(50, 5),
        )
    )
    network.stem.freeze(2)
    images = torch.randint(0, 255, (2, 3, 96, 128), dtype=torch.uint8)
    patches = torch.randint(0, 255, (2, 3, 224, 96), dtype=torch.uint8)
    losses = IGPNCriterion(IGPNLossSettings())(network(images, patches, targets(PERSON, NOBODY)))
    torch.stack(list(losses.values())).sum().backward()
    assert not [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
