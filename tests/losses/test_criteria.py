"""The sums of Eq. 5 over a real network: every term is there, finite, and trains what it should."""

import torch

from personsearch.data.records import UNLABELED
from personsearch.geometry.deltas import encode_boxes
from personsearch.losses.criteria import (
    BINetCriterion,
    DetectorCriterion,
    LossSettings,
    OIMCriterion,
    PatchCriterion,
    detection_losses,
)
from personsearch.losses.detection import fit_loss
from personsearch.losses.interaction import feature_interaction
from personsearch.losses.metric import supervised_contrastive
from personsearch.losses.oim import OIMMemory, OIMSettings, oim_loss
from personsearch.models.binet import BINet, InstanceBranch, row_means
from personsearch.models.rpn import RPNOutput
from personsearch.models.search_network import ROI_STD, Regions, SearchNetwork, SearchOutput, Targets

# two labelled people and one without a name: two positives are sampled, so that one of them at least is labelled
PEOPLE = Targets(
    torch.tensor([[10.0, 5, 34, 60], [70.0, 8, 90, 62], [40.0, 4, 62, 58]]), torch.tensor([3, UNLABELED, 1])
)
NOBODY = Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
IMAGES = torch.randint(0, 255, (1, 3, 64, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_binet_sums_eq_5(small_network: SearchNetwork) -> None:
    memory = OIMMemory(5, 256, OIMSettings(queue=4))
    memory.update(torch.eye(5, 256), torch.arange(5))
    settings = LossSettings(temperature=1.0)
    output = BINet(small_network)(IMAGES, [PEOPLE])
    losses = BINetCriterion(memory, settings)(output)
    identities = output.scene.regions.identities
    search, instance = output.scene.search, output.instance
    torch.testing.assert_close(losses["oim_search"], 0.5 * oim_loss(memory.logits(search.embeddings), identities))
    torch.testing.assert_close(losses["oim_instance"], 0.5 * oim_loss(memory.logits(instance.embeddings), identities))
    torch.testing.assert_close(losses["feature"], feature_interaction(instance.features, search.features))
    detection = detection_losses(output.scene, settings)
    assert set(losses) == {*detection, "oim_search", "oim_instance", "feature", "prediction"}


def test_every_trained_parameter_gets_a_gradient(small_network: SearchNetwork) -> None:
    small_network.stem.freeze(2)
    memory = OIMMemory(5, 256, OIMSettings(queue=4))
    memory.update(torch.eye(5, 256), torch.arange(5))
    model, criterion = BINet(small_network), BINetCriterion(memory, LossSettings())
    torch.stack(list(criterion(model(IMAGES, [PEOPLE])).values())).sum().backward()
    missing = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not missing


def test_scenes_without_people_train_the_detector_alone(small_network: SearchNetwork) -> None:
    memory = OIMMemory(5, 256, OIMSettings(queue=4))
    model, criterion = BINet(small_network), BINetCriterion(memory, LossSettings())
    output = model(IMAGES, [NOBODY])
    losses = criterion(output)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    criterion.remember([output])
    assert total.isfinite()
    assert losses["rpn_score"] > 0
    assert [losses[k].item() for k in ("rpn_box", "roi_box", "oim_search", "oim_instance", "feature")] == [0] * 5
    assert memory.lookup_table.eq(0).all()


def test_memory_moves_once_a_step_for_both_branches(small_network: SearchNetwork) -> None:
    memory = OIMMemory(5, 256, OIMSettings(queue=40))
    model, criterion = BINet(small_network), BINetCriterion(memory, LossSettings())
    output = model(IMAGES, [PEOPLE])
    criterion(output)
    assert memory.lookup_table.eq(0).all(), "judging alone must not move the memory"
    criterion.remember([output])
    unlabelled = int((output.scene.regions.identities == UNLABELED).sum())
    assert int(memory.queue_head) == 2 * unlabelled
    seen = set(output.scene.regions.identities.tolist()) - {UNLABELED}
    filled = torch.nonzero(memory.lookup_table.any(dim=1)).flatten().tolist()
    assert set(filled) == seen


def test_all_parts_of_a_step_are_remembered_in_their_order(small_network: SearchNetwork) -> None:
    """The tables after two parts are those after one update with the rows of both."""
    model = BINet(small_network)
    outputs = [model(IMAGES, [PEOPLE]), model(IMAGES.flip(3), [PEOPLE])]
    identities = torch.cat([output.scene.regions.identities for output in outputs])
    search = torch.cat([output.scene.search.embeddings for output in outputs])
    instance = torch.cat([output.instance.embeddings for output in outputs])
    by_hand, memory = (OIMMemory(5, 256, OIMSettings(queue=40)) for _ in range(2))
    by_hand.update(search, identities)
    OIMCriterion(memory, LossSettings()).remember([output.scene for output in outputs])
    assert memory.lookup_table.any()
    assert all(torch.equal(a, b) for a, b in zip(memory.buffers(), by_hand.buffers(), strict=True))
    by_hand.update(search, identities)
    by_hand.update(instance, identities)
    BINetCriterion(memory, LossSettings()).remember(outputs)
    assert all(torch.equal(a, b) for a, b in zip(memory.buffers(), by_hand.buffers(), strict=True))
    by_hand.update(instance, identities)
    by_hand.update(search, identities)
    BINetCriterion(memory, LossSettings(first_remembered="instance")).remember(outputs)
    assert all(torch.equal(a, b) for a, b in zip(memory.buffers(), by_hand.buffers(), strict=True))


def test_a_plain_detector_learns_detection_alone(small_network: SearchNetwork) -> None:
    losses = DetectorCriterion(LossSettings())(small_network(IMAGES, [PEOPLE]))
    assert set(losses) == {"rpn_score", "rpn_box", "roi_score", "roi_box"}
    torch.stack(list(losses.values())).sum().backward()
    assert small_network.head.embedding.weight.grad is None


def test_baseline_is_detection_and_oim(small_network: SearchNetwork) -> None:
    memory = OIMMemory(5, 256, OIMSettings(queue=4))
    losses = OIMCriterion(memory, LossSettings())(small_network(IMAGES, [PEOPLE]))
    assert set(losses) == {"rpn_score", "rpn_box", "roi_score", "roi_box", "oim_search"}


def _scene(fits: torch.Tensor) -> SearchOutput:
    """Three regions, of which two are people; the first box will be right, the second is moved by half its width."""
    truth = torch.tensor([[0.0, 0, 20, 60], [100.0, 0, 120, 60]])
    regions = Regions([torch.tensor([[2.0, 1, 20, 58], [98.0, 0, 118, 60], [200.0, 0, 220, 60]])],
                      torch.tensor([True, True, False]), truth, torch.tensor([0, 1]))  # fmt: skip
    final = torch.stack([truth[0], truth[1] + torch.tensor([10.0, 0, 10, 0])])
    deltas = torch.cat([encode_boxes(final, regions.boxes[0][:2], ROI_STD), torch.zeros(1, 4)]).requires_grad_()
    rpn = RPNOutput(truth, torch.zeros(1, 2), torch.zeros(1, 2, 4))
    return SearchOutput(rpn, regions, torch.zeros(3), fits, deltas, None, [PEOPLE])  # type: ignore[arg-type]


def test_fit_is_the_overlap_of_the_final_box() -> None:
    """The least loss of a cross-entropy is at its target: 1 for the box that is right, 1/3 for the moved one."""
    best = torch.logit(torch.tensor([[1 - 1e-6], [1 / 3], [0.5]])).requires_grad_()
    output = _scene(best)
    fit_loss(output).backward()
    assert best.grad is not None
    torch.testing.assert_close(best.grad, torch.zeros(3, 1), atol=1e-5, rtol=0)
    assert output.deltas.grad is None, "boxes are taught by the box loss alone"


def test_a_head_that_says_nothing_of_fit_has_no_loss_for_it() -> None:
    assert fit_loss(_scene(torch.zeros(3, 0))).item() == 0


def test_patches_are_told_apart_by_embedding_feature_and_rows(small_network: SearchNetwork) -> None:
    patches = torch.randint(0, 255, (4, 3, 224, 96), generator=torch.Generator().manual_seed(1))
    people = [Targets(torch.zeros(1, 4), torch.tensor([number])) for number in (0, 0, 1, 1)]
    output = InstanceBranch(small_network)(patches, people)
    settings = LossSettings(patch_feature_weight=0.5, patch_row_weight=2.0)
    losses = PatchCriterion(settings)(output)

    def alike(features: torch.Tensor) -> torch.Tensor:
        roots = torch.nn.functional.normalize((features + 1e-4).sqrt())
        return supervised_contrastive(roots, output.identities, settings.feature_temperature)

    rows = [alike(output.rows[:, row]) for row in range(7)]
    torch.testing.assert_close(losses["feature"], 0.5 * alike(output.instance.features))
    torch.testing.assert_close(losses["rows"], 2 * sum(rows) / 7)
    torch.stack(list(losses.values())).sum().backward()
    gradients = [p.grad for p in small_network.head.backbone.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients), "a root has no slope at zero"


def test_rows_are_means_from_the_head_downwards() -> None:
    maps = torch.rand(2, 1024, 14, 6)
    rows = row_means(maps)
    for row in range(7):
        torch.testing.assert_close(rows[:, row], maps[:, :, 2 * row : 2 * row + 2].mean((2, 3)))
