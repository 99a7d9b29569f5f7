"""Each row of BINet's tables trains what the paper says, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from layout_fixtures import make_benchmark
from torch import Tensor

from personsearch.data.patches import crop_patches
from personsearch.data.transforms import pad_images
from personsearch.errors import SettingError
from personsearch.losses.criteria import BINetCriterion, LossSettings
from personsearch.losses.interaction import prediction_interaction
from personsearch.losses.oim import OIMMemory, OIMSettings
from personsearch.models.binet import BINetOutput, encode_patches, original_patches, resized_patches
from personsearch.models.resnet import STEM_CHANNELS
from personsearch.models.roi_align import roi_align
from personsearch.models.rpn import RPNOutput
from personsearch.models.search_network import (
    Branch,
    NetworkSettings,
    Regions,
    SearchNetwork,
    SearchOutput,
    Targets,
    build_search_network,
)
from personsearch.models.weights import save_weights, warm_network
from personsearch.settings import change_settings, settings_to_dict
from personsearch.training.methods import prepare
from personsearch.training.recipes import IGPN_VARIANTS, RECIPES, REID_VARIANTS, TRUNK_VARIANTS, VARIANTS, get_recipe

IDENTITIES = torch.tensor([2, 0, -1])


def unit(rows: int, seed: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(rows, 256, generator=torch.Generator().manual_seed(seed)), dim=1)


def branch(seed: int) -> Branch:
    features = torch.rand(3, 2048, generator=torch.Generator().manual_seed(seed)).requires_grad_()
    return Branch(features, unit(3, seed).requires_grad_())


def losses_of(recipe_name: str) -> tuple[dict[str, Tensor], Branch, Branch]:
    """All losses of a recipe on made-up branches, with the search and the instance-aware branch."""
    search, instance = branch(1), branch(2)
    boxes = torch.tensor([[0.0, 0, 20, 60]] * 3)
    rpn = RPNOutput(boxes, torch.zeros(1, 3, requires_grad=True), torch.zeros(1, 3, 4, requires_grad=True))
    regions = Regions([boxes], torch.ones(3, dtype=torch.bool), boxes, IDENTITIES)
    logits, deltas = torch.zeros(3, requires_grad=True), torch.zeros(3, 4, requires_grad=True)
    scene = SearchOutput(rpn, regions, logits, torch.zeros(3, 0), deltas, search, [Targets(boxes, IDENTITIES)])
    memory = OIMMemory(4, 256, OIMSettings(queue=3))
    memory.lookup_table.copy_(unit(4, 3))
    criterion = BINetCriterion(memory, get_recipe(recipe_name).loss)
    return criterion(BINetOutput(scene, instance)), search, instance


def reaches(loss: Tensor, tensor: Tensor) -> bool:
    (gradient,) = torch.autograd.grad(loss, tensor, retain_graph=True, allow_unused=True)
    return gradient is not None and bool(gradient.abs().sum() > 0)


@pytest.mark.parametrize(
    ("variant", "feature", "prediction"),
    [
        ("binet", "SR", "SR"),
        ("binet0", "", ""),
        ("binet1", "S", "S"),
        ("binet2", "R", "R"),
        ("binet3", "SR", ""),
        ("binet4", "", "SR"),
        ("binet_literal", "SR", "SR"),
    ],
)
def test_gradients_of_the_interaction_flow_as_in_table_2(variant: str, feature: str, prediction: str) -> None:
    losses, search, instance = losses_of(f"{variant}_cuhk_sysu")
    taught = {"S": search, "R": instance}
    for name, part in taught.items():
        assert reaches(losses["feature"], part.features) == (name in feature)
        assert reaches(losses["prediction"], part.embeddings) == (name in prediction)
        assert not reaches(losses["prediction"], part.features)
        assert not reaches(losses["feature"], part.embeddings)
    # each branch's own OIM loss trains that branch alone, in every variant
    assert reaches(losses["oim_search"], search.embeddings)
    assert reaches(losses["oim_instance"], instance.embeddings)
    assert not reaches(losses["oim_search"], instance.embeddings)
    assert not reaches(losses["oim_instance"], search.embeddings)


PARTS = {
    "stem": "stem.layer3.0.conv1.weight",
    "rpn": "rpn.conv.weight",
    "conv5": "head.backbone.layer4.0.conv1.weight",
    "score": "head.score.weight",
    "box": "head.delta.weight",
    "embedding": "head.embedding.weight",
}
TRAINS = {
    "rpn_score": {"stem", "rpn"},
    "rpn_box": {"stem", "rpn"},
    "roi_score": {"stem", "conv5", "score"},
    "roi_box": {"stem", "conv5", "box"},
    "oim_search": {"stem", "conv5", "embedding"},
    "oim_instance": {"stem", "conv5", "embedding"},
    "feature": {"stem", "conv5"},
    "prediction": {"stem", "conv5", "embedding"},
}
SEARCH_ALONE = set(TRAINS) - {"oim_instance", "feature", "prediction"}


@pytest.mark.parametrize(
    ("variant", "losses"),
    [
        ("oim", SEARCH_ALONE),
        ("oim_original", SEARCH_ALONE),
        ("binet", set(TRAINS)),
        ("binet0", set(TRAINS) - {"feature", "prediction"}),
        ("binet_o", set(TRAINS)),
        ("binet0_o", set(TRAINS) - {"feature", "prediction"}),
    ],
)
def test_each_loss_trains_its_parts_and_no_other(variant: str, losses: set[str], tmp_path: Path) -> None:
    """In the network itself, from the method's own criterion: which parameters get a gradient from which loss."""
    changes = ["batches.short_sides=[64]", "network.rois=8", "network.train_proposals.after_nms=20"]
    recipe = change_settings(get_recipe(f"{variant}_cuhk_sysu"), changes)
    made = prepare(recipe, make_benchmark(tmp_path / "pictures"), "random", (0, 1), "cpu")
    for name, buffer in made.network.named_buffers():
        if name.endswith("scale"):
            buffer.fill_(0.5)  # activations of random weights stay in range
    batch = next(b for step in range(20) if len((b := made.batches[step]).boxes[0]))
    made.criterion.memory.lookup_table.copy_(unit(len(made.criterion.memory.lookup_table), 7))
    found = made.criterion(
        made.model(batch.images, [Targets(*both) for both in zip(batch.boxes, batch.identities, strict=True)])
    )
    parameters = dict(made.network.named_parameters())
    for name, loss in found.items():
        gradients = torch.autograd.grad(
            loss, [parameters[part] for part in PARTS.values()], retain_graph=True, allow_unused=True
        )
        reached = {
            part
            for part, gradient in zip(PARTS, gradients, strict=True)
            if gradient is not None and gradient.abs().sum() > 0
        }
        assert reached == (TRAINS[name] if name in losses else set()), name
    assert losses <= found.keys()


def test_nothing_flows_through_the_cut_of_a_patch(small_network: SearchNetwork) -> None:
    """Resized patches teach the branch, and neither the picture nor the boxes that they were cut at."""
    images = (torch.rand(1, 3, 96, 128) * 255).requires_grad_()
    boxes = torch.tensor([[20.0, 4, 60, 90]], requires_grad=True)
    said = resized_patches(small_network, images, [boxes]).embeddings.sum()
    weight = small_network.stem.layer3[0].conv1.weight
    into_weight, *through = torch.autograd.grad(said, [weight, images, boxes], allow_unused=True)
    assert into_weight.abs().sum() > 0
    assert through == [None, None]


def test_the_literal_equation_softens_probabilities_of_the_whole_memory() -> None:
    losses, search, instance = losses_of("binet_literal_cuhk_sysu")
    memory = OIMMemory(4, 256, OIMSettings(queue=3))
    memory.lookup_table.copy_(unit(4, 3))
    s, r = (memory.logits(b.embeddings).softmax(dim=1)[:, :4] for b in (search, instance))
    torch.testing.assert_close(losses["prediction"], prediction_interaction(r, s, 0.3))
    usual, _, _ = losses_of("binet_cuhk_sysu")
    assert losses["prediction"] < usual["prediction"] / 3


def test_unknown_words_are_refused() -> None:
    memory = OIMMemory(4, 256, OIMSettings(queue=3))
    for setting in ({"direction": "up"}, {"softening": "butter"}, {"first_remembered": "nobody"}):
        with pytest.raises(SettingError, match="choose one of"):
            BINetCriterion(memory, LossSettings(**setting))


@pytest.mark.parametrize("data", ["cuhk_sysu", "prw", "rendered"])
def test_variants_differ_in_what_they_are_named_for(data: str) -> None:
    full = get_recipe(f"binet_{data}")
    for variant in VARIANTS:
        recipe = get_recipe(f"{variant}_{data}")
        assert recipe.name == f"{variant}_{data}"
        same = replace(recipe, name=full.name, method=full.method, loss=full.loss, network=full.network)
        assert same == full, "batches, optimizer and seed are shared by all"
        if variant != "oim_original":
            assert recipe.network == full.network
    published = ("cuhk_sysu", "prw")
    made = {f"{v}_{d}" for v in (*VARIANTS, *REID_VARIANTS) for d in (*published, "rendered")}
    made |= {f"{v}_{d}" for v in IGPN_VARIANTS for d in (*published, "rendered_alone")}
    made |= {f"{v}_rendered" for v in TRUNK_VARIANTS}
    assert set(RECIPES) == made | {"patches_rendered"}


@pytest.mark.parametrize("data", ["cuhk_sysu", "prw", "rendered_alone"])
def test_igpn_variants_differ_in_what_they_are_named_for(data: str) -> None:
    full = settings_to_dict(get_recipe(f"igpn_{data}"))
    changed = {
        "igpn_vccl": {"network.correlation": "vanilla"},
        "igpn_unshared": {"network.correlation": "unshared"},
        "igpn_no_local": {"network.local_relation": "none"},
        "igpn_no_global": {"loss.search_weight": 0.0},
        "igpn_no_relation": {"network.local_relation": "none", "loss.search_weight": 0.0},
        "igpn_qeeps": {
            "network.correlation": "excitation",
            "network.local_relation": "none",
            "loss.search_weight": 0.0,
        },
    }
    assert {"igpn", *changed} == set(IGPN_VARIANTS)
    for variant, settings in changed.items():
        recipe = settings_to_dict(get_recipe(f"{variant}_{data}"))
        different = {
            f"{group}.{key}": value
            for group in ("network", "loss", "pairs", "optimizer")
            for key, value in recipe[group].items()
            if value != full[group][key]
        }
        assert different == settings


def test_oim_s_own_split() -> None:
    recipe = get_recipe("oim_original_cuhk_sysu")
    assert (recipe.method, recipe.network.conv4_blocks, recipe.network.roi_size) == ("oim", 3, (14, 14))
    torch.manual_seed(0)
    whole, split = build_search_network(NetworkSettings()), build_search_network(recipe.network)
    assert [name for name, _ in split.stem.layer3.named_children()] == ["0", "1", "2"]
    assert [name for name, _ in split.head.backbone.layer3.named_children()] == ["3", "4", "5"]
    assert sum(p.numel() for p in whole.parameters()) == sum(p.numel() for p in split.parameters())
    # with the same weights, whole pictures instead of regions give the same maps
    names = {
        n.replace("stem.layer3", "layer3").replace("head.backbone.layer3", "layer3"): p
        for n, p in split.named_parameters()
    }
    with torch.no_grad():
        for name, parameter in whole.named_parameters():
            names[name.replace("stem.layer3", "layer3")].copy_(parameter)
        picture = torch.randint(0, 255, (1, 3, 64, 48), dtype=torch.uint8)
        maps = split.head.backbone.layer3(split.stem(picture))
        torch.testing.assert_close(maps, whole.stem(picture), rtol=1e-4, atol=1e-4)
    with pytest.raises(SettingError, match="conv4_blocks 7"):
        build_search_network(NetworkSettings(conv4_blocks=7))


def test_every_split_starts_from_the_same_run(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = build_search_network(NetworkSettings())
    save_weights(tmp_path / "whole", whole, {})
    split = warm_network(tmp_path / "whole", NetworkSettings(conv4_blocks=3))
    save_weights(tmp_path / "split", split, {})
    again = warm_network(tmp_path / "split", NetworkSettings())
    for name in ("stem.layer3.5.conv1.weight", "head.backbone.layer4.0.conv2.weight", "head.embedding.bias"):
        torch.testing.assert_close(again.state_dict()[name], whole.state_dict()[name], atol=2e-3, rtol=1e-2)
    tail = split.head.backbone.layer3.state_dict()["5.conv1.weight"]
    torch.testing.assert_close(tail, whole.stem.layer3[5].conv1.weight, atol=2e-3, rtol=1e-2)


def test_patches_resized_or_in_their_own_size(small_network: SearchNetwork) -> None:
    images = torch.randint(0, 255, (2, 3, 96, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    boxes = [torch.tensor([[10.4, 4.2, 34.6, 60.0], [70, -3, 101, 62]]), torch.zeros(0, 4)]
    with torch.no_grad():
        resized = resized_patches(small_network, images, boxes)
        cut = torch.cat([crop_patches(image, some) for image, some in zip(images, boxes, strict=True)])
        torch.testing.assert_close(resized.embeddings, encode_patches(small_network, cut).embeddings)
        original = original_patches(small_network, images, boxes)
        expected = []
        for left, top, right, bottom, whole in (
            (10, 4, 35, 60, (0.4, 0.2, 24.6, 56)),
            (70, 0, 101, 62, (0, -3, 31, 62)),
        ):
            maps = small_network.stem(pad_images([images[0, :, top:bottom, left:right]], (64, 64)))
            expected.append(roi_align(maps, [torch.tensor([whole])], (14, 6), 16))
        features = small_network.head.backbone(torch.cat(expected))
    assert expected[0].shape == (1, STEM_CHANNELS, 14, 6)
    torch.testing.assert_close(original.features, features)
    nobody = original_patches(small_network, images, [boxes[1], boxes[1]])
    assert (nobody.features.shape, nobody.embeddings.shape) == ((0, 2048), (0, 256))


def test_the_stem_never_sees_a_narrow_patch(small_network: SearchNetwork) -> None:
    sides = []
    small_network.stem.register_forward_pre_hook(lambda _stem, inputs: sides.extend(inputs[0].shape[2:]))
    images = torch.randint(0, 255, (1, 3, 96, 128), dtype=torch.uint8)
    narrow = torch.tensor([[30.0, 10, 34, 60], [30, 10, 100, 14], [120, 2, 128, 9]])
    with torch.no_grad():
        assert original_patches(small_network, images, [narrow]).embeddings.isfinite().all()
    assert len(sides) == 6
    assert min(sides) >= 64


def test_context_outside_the_box_never_reaches_the_instance_branch(small_network: SearchNetwork) -> None:
    images = torch.randint(0, 255, (1, 3, 96, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    inside = (slice(None), slice(None), slice(10, 70), slice(30, 60))
    other = torch.full_like(images, 7)
    other[inside] = images[inside]
    boxes = [torch.tensor([[30.0, 10, 60, 70]])]
    with torch.no_grad():
        torch.testing.assert_close(
            original_patches(small_network, images, boxes).features,
            original_patches(small_network, other, boxes).features,
        )
