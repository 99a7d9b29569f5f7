"""Anchors, proposals, and the boxes they come from."""

import pytest
import torch
from torchvision.ops import nms

from personsearch.models.rpn import RPN, AnchorSettings, ProposalSettings, RPNOutput, first_survivors, make_anchors


def test_anchors_sit_on_cells_with_the_asked_area_and_ratio() -> None:
    anchors = make_anchors(2, 3, AnchorSettings((32.0, 64.0), (1.0, 4.0))).view(2, 3, 4, 4)
    w, h = anchors[..., 2] - anchors[..., 0], anchors[..., 3] - anchors[..., 1]
    torch.testing.assert_close((w * h)[1, 2], torch.tensor([32.0, 32, 64, 64]) ** 2)
    torch.testing.assert_close((h / w)[0, 0], torch.tensor([1.0, 4, 1, 4]))
    centres = (anchors[..., :2] + anchors[..., 2:]) / 2
    assert centres[1, 2, 0].tolist() == [2 * 16 + 8, 16 + 8]


def test_proposals_are_best_first_clipped_and_apart() -> None:
    anchors = torch.tensor([[0.0, 0, 20, 40], [1.0, 0, 21, 40], [60.0, 0, 90, 50], [10.0, 10, 12, 12]])
    output = RPNOutput(anchors, torch.tensor([[1.0, 2.0, 0.5, 3.0]]), torch.zeros(1, 4, 4))
    found = output.proposals(0, (45, 80), ProposalSettings(before_nms=4, after_nms=5, nms_iou=0.7, min_side=4))
    # the tiny anchor is dropped, the twin suppressed, the last one clipped
    assert found.tolist() == [[1, 0, 21, 40], [60, 0, 80, 45]]
    assert len(output.proposals(0, (45, 80), ProposalSettings(before_nms=4, after_nms=1))) == 1
    settings = ProposalSettings(before_nms=4, after_nms=5, nms_iou=0.7, min_side=4)
    boxes, logits = output.scored_proposals(0, (45, 80), settings)
    assert torch.equal(boxes, found)
    assert logits.tolist() == [2.0, 0.5]


@pytest.mark.parametrize("count", [1, 3, 20, 200])
@pytest.mark.parametrize("boxes", [0, 1, 150])
def test_the_first_survivors_are_those_of_all(boxes: int, count: int) -> None:
    random = torch.Generator().manual_seed(boxes + count)
    corners = torch.rand(boxes, 2, generator=random) * 30
    crowded = torch.cat([corners, corners + 10 + 20 * torch.rand(boxes, 2, generator=random)], dim=1)
    scores = torch.randint(0, 40, (boxes,), generator=random).float().sort(descending=True).values  # many are equal
    everybody = nms(crowded, scores, 0.6)
    assert first_survivors(crowded, scores, 0.6, count).tolist() == everybody[:count].tolist()


def test_survivors_are_found_behind_a_crowd() -> None:
    crowd = torch.tensor([[0.0, 0, 20, 40]]).repeat(30, 1)
    boxes = torch.cat([crowd, torch.tensor([[50.0, 0, 70, 40], [90.0, 0, 110, 40]])])
    scores = torch.arange(32.0).flip(0)
    assert first_survivors(boxes, scores, 0.6, 2).tolist() == [0, 30]
    assert first_survivors(boxes, scores, 0.6, 9).tolist() == [0, 30, 31]


def test_predictions_follow_the_anchors_order() -> None:
    settings = AnchorSettings((32.0,), (1.0, 2.0))
    rpn = RPN(8, 16, settings)
    torch.nn.init.zeros_(rpn.score.weight)
    with torch.no_grad():
        rpn.score.bias.copy_(torch.tensor([5.0, 7.0]))
    output = rpn(torch.randn(2, 8, 3, 4))
    assert output.logits.shape == (2, 24)
    assert output.deltas.shape == (2, 24, 4)
    assert output.logits[0, :4].tolist() == [5, 7, 5, 7]
