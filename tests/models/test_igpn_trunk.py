"""At its first step an IGPN on a trunk is the trunk: the same proposals, the same ranking, and it can only add."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

import personsearch
from personsearch.data.records import Benchmark
from personsearch.data.sources import load_benchmark
from personsearch.data.transforms import SizeSettings
from personsearch.evaluation.one_stage import Evaluation, evaluate_model
from personsearch.evaluation.protocols import SearchResult, evaluate_guided
from personsearch.evaluation.two_stage import read_queries
from personsearch.models.guided import Candidates, cat_queries
from personsearch.models.igpn_trunk import TrunkIGPN, TrunkIGPNSettings, igpn_on
from personsearch.models.region_features import RegionFeatures, on_grid
from personsearch.models.rpn import ProposalSettings
from personsearch.models.search_network import SearchNetwork
from personsearch.models.weights import load_trunk
from personsearch.runtime import mixed_precision
from personsearch.search.proposals import Answers, ProposalSearch

pytestmark = pytest.mark.docs  # it reads scenes by the weights that ship
SIZE = SizeSettings(450, 750)
SCENES = 9
PROPOSALS = ProposalSettings(2000, 40)


@dataclass
class Pair:
    """BINet and an untrained IGPN on it, and what both say of a few scenes of the sample."""

    trunk: SearchNetwork
    igpn: TrunkIGPN
    benchmark: Benchmark
    judged: Evaluation
    answers: list[Answers]
    result: SearchResult


def few_scenes() -> Benchmark:
    """The scenes that show the people of the sample's first queries, and their queries."""
    sample = load_benchmark(f"coco:{personsearch.__path__[0]}/sample")
    shown: dict[str, None] = {}
    for query in sample.queries:
        shown |= dict.fromkeys([query.scene, *(s.name for s in sample.test if query.identity in identities(s))])
    names = set(list(shown)[:SCENES])
    queries = [
        replace(query, gallery=tuple(name for name in query.gallery if name in names))
        for query in sample.queries
        if query.scene in names
    ]
    return replace(sample, test=[scene for scene in sample.test if scene.name in names], queries=queries)


def identities(scene: object) -> set[int]:
    return {person.identity for person in scene.persons}  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    trunk, name = load_trunk("binet-rendered")
    trunk.settings = replace(trunk.settings, test_size=SIZE, test_proposals=PROPOSALS)
    igpn = igpn_on(trunk, name, TrunkIGPNSettings(trunk.settings, proposals=PROPOSALS, test_size=SIZE)).eval()
    benchmark, known, stem = few_scenes(), {}, trunk.stem.forward

    def remembered(images: Tensor) -> Tensor:
        key = (images.shape, int(images.long().sum()))
        if key not in known:
            known[key] = stem(images)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trunk.stem, "forward", remembered)
        judged = evaluate_model(trunk, benchmark)
        codes, _ = read_queries(igpn, None, benchmark)
        asking = {scene.name: range(len(codes)) for scene in benchmark.test}
        answers = ProposalSearch(igpn, codes, benchmark.test).propose(asking)
        yield Pair(trunk, igpn, benchmark, judged, answers, judge(benchmark, answers))


def judge(benchmark: Benchmark, answers: list[Answers]) -> SearchResult:
    plain = [
        {name: (found.boxes, found.similarities) for name, found in of_query.items() if name in query.gallery}
        for of_query, query in zip(answers, benchmark.queries, strict=True)
    ]
    return evaluate_guided(benchmark, plain)


def fits(people: Tensor, boxes: Tensor) -> list[bool]:
    """Which of people [P, 4] one of the boxes [N, 4] shows."""
    return (box_iou(people, boxes).max(dim=1).values >= 0.5).tolist() if len(boxes) else [False] * len(people)


def test_it_proposes_whom_the_detector_finds(pair: Pair) -> None:
    """Everybody by the first stage; by the second one, which lets the person asked for suppress others, that person."""
    (query,) = [pair.igpn.encode_query(s.read(), [s.persons[0].box]) for s in pair.benchmark.test[:1]]
    everybody: dict[str, list[bool]] = {"detector": [], "igpn": []}
    asked: dict[str, list[bool]] = {"detector": [], "igpn": []}
    for scene in pair.benchmark.test:
        detected = pair.judged.detections[scene.name]
        sure = detected.boxes[detected.scores >= 0.5]
        code = pair.igpn.encode_scene(scene.read())
        (candidates,) = pair.igpn.candidates(code, query)
        people = torch.tensor([person.box for person in scene.persons]).reshape(-1, 4)
        everybody["detector"] += fits(people, sure)
        everybody["igpn"] += fits(people, candidates.boxes / code.scale)
        for number, one in enumerate(pair.benchmark.queries):
            wanted = torch.tensor([person.box for person in scene.persons if person.identity == one.identity])
            asked["detector"] += fits(wanted.reshape(-1, 4), sure)
            asked["igpn"] += fits(wanted.reshape(-1, 4), pair.answers[number][scene.name].boxes)
    for found in (everybody, asked):
        recall = {who: sum(some) / len(some) for who, some in found.items()}
        assert recall["detector"] > 0.6, "the sample shows people"
        assert recall["igpn"] >= recall["detector"] - 0.01


def test_it_ranks_as_the_trunk_ranks(pair: Pair) -> None:
    theirs = pair.judged.result.mAP
    assert theirs > 0.5
    assert pair.result.mAP >= theirs - 0.02


def test_whom_it_finds_is_whom_the_first_stage_of_the_trunk_proposes(pair: Pair) -> None:
    scene = pair.benchmark.test[0]
    code = pair.igpn.read_scene(scene.read())
    with torch.inference_mode(), mixed_precision(torch.device("cpu")):
        rpn = pair.trunk.rpn(pair.trunk.read(scene.read()).maps)
        query = pair.igpn.encode_query(scene.read(), [scene.persons[0].box])
        ours = pair.igpn.propose(pair.igpn.ready(code), query)
    torch.testing.assert_close(ours.logits, rpn.logits, atol=0.1, rtol=0.02)
    torch.testing.assert_close(ours.deltas, rpn.deltas, atol=0.05, rtol=0.02)
    assert torch.equal(ours.anchors, rpn.anchors)


def test_a_similarity_is_a_rising_function_of_the_cosine(pair: Pair) -> None:
    scene = pair.benchmark.test[0]
    code, box = pair.igpn.encode_scene(scene.read()), scene.persons[0].box
    query = pair.igpn.encode_query(scene.read(), [box])
    (candidates,) = pair.igpn.candidates(code, query)
    with torch.inference_mode(), mixed_precision(torch.device("cpu")):
        features = pair.igpn.read_regions(code, candidates.boxes)
        related = pair.igpn.relate(query, [candidates.boxes], features)
    cosines = features[:, :256] @ query.features[0, :256]
    logits = related.logits[0, :, 1] - related.logits[0, :, 0]
    order = cosines.argsort()
    assert (logits[order].diff() >= -1e-4).all()
    assert logits.std() > 0.1
    (own,) = pair.trunk.embed(scene.read(), torch.tensor([box]))
    torch.testing.assert_close(query.features[0, :256], own, atol=0.02, rtol=0)


def test_many_queries_share_what_is_read_of_a_scene(pair: Pair) -> None:
    """Each gets what it would get alone, though most regions are read for all of them."""
    scene = pair.benchmark.test[0]
    code = pair.igpn.encode_scene(scene.read())
    weight = pair.igpn.similarity.second.weight.detach()
    torch.nn.init.normal_(weight, std=0.003)  # zero at the start, so that all queries would propose the same
    queries = [pair.igpn.encode_query(scene.read(), [person.box]) for person in scene.persons[:5]]
    shared, counts = RegionFeatures(), []
    for query in queries:
        alone = RegionFeatures()
        (apart,) = pair.igpn.answer(code, query, alone)
        (ours,) = pair.igpn.answer(code, query, shared)
        assert torch.allclose(ours.boxes, apart.boxes, atol=0.5)
        assert torch.allclose(ours.similarities, apart.similarities, atol=0.01)
        counts.append(len(alone))
    for together, query in zip(pair.igpn.answer(code, cat_queries(queries), shared), queries, strict=True):
        (apart,) = pair.igpn.answer(code, query)
        assert torch.allclose(together.boxes, apart.boxes, atol=0.5)
    torch.nn.init.zeros_(weight)
    assert max(counts) < len(shared) < 0.45 * sum(counts), "queries differ, and share"


def test_people_are_proposed_where_the_trunk_sees_them_and_where_it_sees_nobody(pair: Pair) -> None:
    scene = pair.benchmark.test[0]
    code = pair.igpn.encode_scene(scene.read())
    assert code.places is not None
    some = code.places[:3]
    corner = torch.tensor([[2.0, 2.0, 14.0, 34.0]])
    assert box_iou(corner, code.places).max() < 0.3
    found = Candidates(torch.cat([some + 1, corner, some]), torch.arange(7, 0, -1) / 8)
    settled = pair.igpn.settled(code, found)
    assert torch.equal(settled.boxes, torch.cat([some, on_grid(corner)]))
    assert torch.equal(settled.similarities, found.similarities[:4]), "the most alike of each"


def test_nothing_of_the_trunk_learns(pair: Pair) -> None:
    trained = {name.split(".")[0] for name, part in pair.igpn.named_parameters() if part.requires_grad}
    assert trained <= {"similarity", "regression", "relation", "local", "score", "delta", "search"}
    held = pair.igpn.own_state()
    assert sum(tensor.numel() for tensor in held.values()) * 2 < 40e6, "bytes in float16"
    assert not [name for name in held if name.startswith(("stem", "head", "rpn"))]
