"""IGPN reads pairs; many queries of one scene get what each would get alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch import nn

from personsearch.data.patches import query_patch
from personsearch.data.transforms import SizeSettings
from personsearch.errors import SettingError
from personsearch.models.correlation import ImprovedCrossCorrelation, VanillaCrossCorrelation
from personsearch.models.guided import QueryCode
from personsearch.models.igpn import IGPN, IGPNSettings, build_igpn
from personsearch.models.region_features import RegionFeatures
from personsearch.models.relation import EmbeddedFeatures, LocalRelationBlock, NoLocalRelation, UnitFeatures
from personsearch.models.rpn import AnchorSettings, ProposalSettings, RPNOutput
from personsearch.models.search_network import Targets

SETTINGS = IGPNSettings(
    channels=8,
    anchors=AnchorSettings((24.0, 48.0), (2.0,)),
    proposals=ProposalSettings(60, 6),
    test_size=SizeSettings(96, 160),
)
NOBODY = Targets(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
ONE = Targets(torch.tensor([[10.0, 5, 34, 60]]), torch.tensor([3]))


@pytest.fixture(scope="module")
def network() -> IGPN:
    torch.manual_seed(0)
    made = build_igpn(SETTINGS)
    for name, parameter in made.named_parameters():
        if name.startswith(("stem", "head")) and parameter.ndim == 4:
            nn.init.kaiming_normal_(parameter, nonlinearity="linear")  # so that activations stay in range
    for module in made.modules():
        if hasattr(module, "scale"):
            module.scale.fill_(0.7)
    nn.init.normal_(made.score.weight, std=0.5)
    for correlation in (made.similarity, made.regression):  # zero at first, so that all queries would be alike
        nn.init.normal_(correlation.second.weight, std=0.05)
        nn.init.normal_(correlation.shared.weight, std=0.01)
    return made


def pictures(count: int) -> torch.Tensor:
    return torch.randint(0, 255, (count, 3, 96, 128), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def patches(count: int) -> torch.Tensor:
    return torch.randint(0, 255, (count, 3, 224, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


def test_rows_that_fill_up_match_nobody(network: IGPN, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [torch.tensor([[40.0, 5, 60, 60], [11.0, 6, 34, 60]]), torch.tensor([[40.0, 5, 60, 60]])]
    monkeypatch.setattr(RPNOutput, "proposals", lambda _self, image, _size, _settings: found[image])
    output = network(pictures(2), patches(2), [ONE, NOBODY])
    assert output.matches.tolist() == [[0, -1, 0], [-1, -1, -1]]
    assert output.related.present.tolist() == [[True, True, True], [True, False, False]]


def test_shapes_of_a_training_pass(network: IGPN) -> None:
    output = network(pictures(2), patches(2), [ONE, NOBODY])
    anchors = 6 * 8 * 2
    assert output.rpn.anchors.shape == (anchors, 4)
    assert (output.rpn.logits.shape, output.rpn.deltas.shape) == ((2, anchors), (2, anchors, 4))
    related = output.related
    assert related.logits.shape == (*related.present.shape, 2)
    assert related.boxes.shape == related.deltas.shape == (*related.present.shape, 4)
    assert related.search.shape == (2, 2)
    assert output.matches[0, 0] == 0, "the person is a candidate"
    assert (output.matches[1] < 0).all(), "a negative pair holds nobody"


def test_queries_of_one_scene_train_like_pairs_of_their_own(network: IGPN) -> None:
    """Shared scenes save reading them, and regions of several queries are read once: neither changes a number."""
    images, people, targets = pictures(2), patches(4), [ONE, NOBODY, NOBODY, ONE]
    trained = [*network.head.parameters(), *network.similarity.parameters(), *network.relation.parameters()]
    gradients = []
    for scenes in (images, images.repeat_interleave(2, dim=0)):
        related = network(scenes, people, targets).related
        score = (related.logits.square().sum(dim=2) * related.present).sum() + related.search.square().sum()
        gradients.append(
            (related, torch.autograd.grad(score, [p for p in trained if p.requires_grad], allow_unused=True))
        )
    (shared, ours), (apart, theirs) = gradients
    assert torch.equal(shared.boxes, apart.boxes)
    torch.testing.assert_close(shared.logits, apart.logits, atol=1e-3, rtol=1e-3)
    for one, other in zip(ours, theirs, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, atol=1e-3 * float(other.abs().max()) + 1e-9, rtol=1e-2)


def code(query: QueryCode, index: int) -> QueryCode:
    """One of several queries."""
    one = slice(index, index + 1)
    kernels = [type(k)(k.first[one], k.second[one]) for k in (query.similarity, query.regression)]
    return QueryCode(*kernels, query.features[one])


def test_many_queries_of_a_scene_are_each_alone(network: IGPN) -> None:
    image = Image.fromarray(pictures(1)[0].permute(1, 2, 0).numpy())
    boxes = [(10.0, 5.0, 40.0, 90.0), (50.0, 10.0, 90.0, 90.0), (100.0, 0.0, 128.0, 60.0)]
    scene = network.encode_scene(image)
    query = network.encode_query(image, boxes)
    together = network.answer(scene, query)
    assert len(together) == 3
    for index, first in enumerate(network.candidates(scene, query)):
        logits = network.propose(scene, query).logits[index]
        assert first.similarities.tolist() == sorted(first.similarities.tolist(), reverse=True)
        torch.testing.assert_close(first.similarities[0], logits.max().sigmoid(), atol=0.02, rtol=0)
    for index, proposals in enumerate(together):
        (alone,) = network.answer(scene, code(query, index))
        assert len(alone) == len(proposals) > 0
        torch.testing.assert_close(alone.boxes, proposals.boxes, atol=1.0, rtol=0.02)
        torch.testing.assert_close(alone.similarities, proposals.similarities, atol=0.02, rtol=0)
        assert proposals.similarities.tolist() == sorted(proposals.similarities.tolist(), reverse=True)
        assert proposals.boxes[:, 2].max() <= 128
        assert proposals.boxes[:, 3].max() <= 96


def test_pairs_of_a_batch_do_not_mix(network: IGPN) -> None:
    images, people = pictures(2), patches(2)
    with torch.no_grad():
        both = network.propose(network.encode_scenes(images), network.encode_queries(people))
        second = network.propose(network.encode_scenes(images[1:]), network.encode_queries(people[1:]))
    torch.testing.assert_close(both.logits[1:], second.logits, atol=1e-4, rtol=1e-3)


def test_answers_are_not_rounded_to_bfloat16(network: IGPN) -> None:
    lists = [torch.tensor([[10.0, 5, 34, 60], [40, 5, 60, 60]])]
    features = torch.rand(2, 2048, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        query = network.encode_queries(patches(1))
        related = network.relate(query, lists, features)
    for answer in (related.logits, related.deltas, related.search):
        assert answer.dtype == torch.float32
        assert not torch.equal(answer, answer.bfloat16().float())


def test_variants_are_other_parts() -> None:
    assert isinstance(build_igpn(SETTINGS).similarity, ImprovedCrossCorrelation)
    assert isinstance(build_igpn(SETTINGS).local, LocalRelationBlock)
    plain = IGPNSettings(channels=4, anchors=SETTINGS.anchors, correlation="vanilla", local_relation="none")
    assert isinstance(build_igpn(plain).regression, VanillaCrossCorrelation)
    assert isinstance(build_igpn(plain).local, NoLocalRelation)
    unshared = build_igpn(IGPNSettings(channels=4, correlation="unshared")).similarity
    assert [name for name, _ in unshared.shared.named_parameters()] == ["bias"]
    assert isinstance(build_igpn(SETTINGS).relation.prepared, nn.Identity)
    assert isinstance(build_igpn(replace(SETTINGS, features="unit")).relation.prepared, UnitFeatures)
    assert isinstance(build_igpn(replace(SETTINGS, features="embedded")).relation.prepared, EmbeddedFeatures)
    for wrong in ({"layout": "x"}, {"correlation": "x"}, {"features": "x"}, {"local_relation": "x"}):
        with pytest.raises(SettingError, match="choose one of"):
            build_igpn(IGPNSettings(**wrong))


@pytest.mark.parametrize(
    ("box", "grey"),
    [((10.0, 10.0, 40.0, 80.0), None), ((10.0, 10.0, 20.0, 80.0), "sides"), ((10.0, 10.0, 80.0, 60.0), "ends")],
)
def test_a_query_patch_keeps_its_proportions(box: tuple[float, float, float, float], grey: str | None) -> None:
    image = Image.new("RGB", (100, 100), (200, 0, 0))
    patch = query_patch(image, box)
    assert (patch.shape, patch.dtype) == ((3, 224, 96), torch.uint8)
    middle, side, end = patch[:, 112, 48].tolist(), patch[:, 112, 1].tolist(), patch[:, 1, 48].tolist()
    assert middle == [200, 0, 0]
    assert side == ([114] * 3 if grey == "sides" else [200, 0, 0])
    assert end == ([114] * 3 if grey == "ends" else [200, 0, 0])
    share = (patch[0] > 157).float().mean().item()  # from the middle of a blurred edge on
    area = (box[2] - box[0]) * (box[3] - box[1])
    width, height = box[2] - box[0], box[3] - box[1]
    canvas = max(width, height * 3 / 7) * max(height, width * 7 / 3)
    assert share == pytest.approx(area / canvas, abs=0.04)


def test_regions_of_a_scene_are_read_once_by_whoever_holds_them(network: IGPN, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(pictures(1)[0].permute(1, 2, 0).numpy())
    scene = network.encode_scene(image)
    query = network.encode_query(image, [(10.0, 5.0, 40.0, 90.0)])
    read: list[int] = []
    head = network.head.forward
    monkeypatch.setattr(network.head, "forward", lambda maps: (read.append(len(maps)), head(maps))[1])
    regions = RegionFeatures()
    (first,), (again,) = network.answer(scene, query, regions), network.answer(scene, query, regions)
    assert read == [len(regions), 0]
    assert torch.equal(first.boxes, again.boxes)
    assert torch.equal(first.similarities, again.similarities)
    (alone,) = network.answer(scene, query)
    assert read[2:] == [len(regions)], "neither the code nor the network remembers"
    assert torch.equal(alone.boxes, first.boxes)
