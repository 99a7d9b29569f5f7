"""Any weights are evaluated by what they are, alone or before a re-id network; what they cannot do is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from judge_fakes import FakeDetector, FakeProposer
from layout_fixtures import make_benchmark
from typer.testing import CliRunner

from personsearch.cli.app import app
from personsearch.data.layouts.coco import load_coco, save_coco
from personsearch.data.pictures import ImageFile
from personsearch.data.records import Benchmark
from personsearch.data.transforms import SizeSettings
from personsearch.errors import DataError, SettingError
from personsearch.evaluation import evaluate as judge
from personsearch.evaluation.cbgm import CBGM
from personsearch.evaluation.evaluate import JudgeSettings, evaluate_weights
from personsearch.evaluation.one_stage import evaluate_model
from personsearch.evaluation.protocols import Rules, SearchResult, evaluate_guided
from personsearch.evaluation.two_stage import evaluate_two_stages
from personsearch.models.igpn import IGPNSettings, build_igpn
from personsearch.models.readers import DetectThenEmbed
from personsearch.models.reid import ReidSettings, build_reid
from personsearch.models.rpn import AnchorSettings, ProposalSettings
from personsearch.models.search_network import NetworkSettings, SearchNetwork
from personsearch.models.weights import save_weights


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    save_coco(make_benchmark(folder / "pictures"), folder / "coco")
    return folder / "coco"


@pytest.fixture(scope="module")
def benchmark(data: Path) -> Benchmark:
    return load_coco(data)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, _network: SearchNetwork) -> Path:
    """Small weights of each kind, random: three folders."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    settings = IGPNSettings(
        channels=4, anchors=AnchorSettings((48.0,), (2.0,)), proposals=ProposalSettings(30, 4),
        test_size=SizeSettings(96, 160),
    )  # fmt: skip
    save_weights(folder / "binet", _network, {"embedding": 256})
    save_weights(folder / "igpn", build_igpn(settings), {})
    save_weights(folder / "reid", build_reid(ReidSettings(size=(64, 32))), {"embedding": 2048})
    return folder


@pytest.fixture
def fakes(benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    """All weights load as networks that find the annotated people, and tell them apart each in its own way."""

    def fake(model: object) -> Callable[..., SimpleNamespace]:
        return lambda *_, **__: SimpleNamespace(model=model)

    monkeypatch.setattr(judge, "load_weights", fake(FakeDetector(benchmark, "search")))
    monkeypatch.setattr(judge, "load_embedder", fake(FakeDetector(benchmark, "reid")))

    def fake_proposer(
        _name: str, _device: str, change: Callable[[object], object], _runtime: None = None
    ) -> SimpleNamespace:
        proposer = FakeProposer(FakeDetector(benchmark, "igpn"))
        proposer.settings = change(proposer.settings)
        return SimpleNamespace(model=proposer)

    monkeypatch.setattr(judge, "load_proposer", fake_proposer)


def figures(benchmark: Benchmark, kind: Path, **settings: object) -> tuple[float | None, ...]:
    """Average precisions, which lie between 0 and 1."""
    result, _ = evaluate_weights(str(kind), benchmark, JudgeSettings(**settings))  # type: ignore[arg-type]
    assert any(0 < ap < 1 for ap in result.average_precisions if ap is not None), settings
    return result.average_precisions


@pytest.mark.usefixtures("fakes")
def test_who_tells_people_apart_decides(benchmark: Benchmark, weights: Path) -> None:
    """Each setting changes what is judged, and to what its parts give by themselves."""
    detector, other = FakeDetector(benchmark, "search"), FakeDetector(benchmark, "reid")
    reid = str(weights / "reid")
    alone = figures(benchmark, weights / "binet")
    assert alone == evaluate_model(detector, benchmark).result.average_precisions
    both = figures(benchmark, weights / "binet", reid=reid)
    assert both == evaluate_model(DetectThenEmbed(detector, other), benchmark).result.average_precisions  # type: ignore[arg-type]
    labeled = figures(benchmark, weights / "reid", boxes="labeled")
    assert labeled == evaluate_model(other, benchmark, boxes="labeled").result.average_precisions
    assert len({alone, both, labeled}) == 3


@pytest.mark.usefixtures("fakes")
def test_what_a_proposer_leaves_is_judged(benchmark: Benchmark, weights: Path) -> None:
    proposer, other = FakeProposer(FakeDetector(benchmark, "igpn")), FakeDetector(benchmark, "reid")
    igpn, reid = weights / "igpn", str(weights / "reid")
    made = {
        "alone": figures(benchmark, igpn),
        "fewer": figures(benchmark, igpn, proposals=1),
        "both": figures(benchmark, igpn, reid=reid),
        "kept": figures(benchmark, igpn, reid=reid, keep=5),
    }
    assert len(set(made.values())) == len(made)
    # this proposer's stages agree, so that its candidates are those it would keep
    assert figures(benchmark, igpn, candidates=4) == figures(benchmark, igpn, keep=4) != made["alone"]
    assert made["alone"] == evaluate_two_stages(proposer, benchmark).average_precisions  # type: ignore[arg-type]
    kept = evaluate_two_stages(proposer, benchmark, embedder=other, keep=5)  # type: ignore[arg-type]
    assert made["kept"] == kept.average_precisions == judged_by_hand(proposer, other, benchmark, 5).average_precisions
    assert (kept.detection_ap, kept.detection_recall) == (None, None)


def judged_by_hand(proposer: FakeProposer, embedder: FakeDetector, benchmark: Benchmark, keep: int) -> SearchResult:
    """One query and one scene at a time, straight through both networks."""
    images = {scene.name: scene.read() for scene in benchmark.test}
    answers = []
    for query in benchmark.queries:
        code = proposer.encode_query(images[query.scene], [query.box])
        own = embedder.embed(images[query.scene], torch.tensor([query.box]))[0]
        rows = []
        for name in query.gallery:
            (found,) = proposer.answer(images[name], code)
            rows += [(-float(s), name, box) for s, box in zip(found.similarities, found.boxes, strict=True)]
        best = sorted(rows, key=lambda row: row[0])[:keep]
        boxes = {name: torch.stack([b for _, n, b in best if n == name]) for name in {n for _, n, _ in best}}
        answers.append({name: (b, embedder.embed(images[name], b) @ own) for name, b in boxes.items()})
    return evaluate_guided(benchmark, answers)


@pytest.mark.usefixtures("fakes")
def test_cropped_people_are_read_whole_and_as_patches(
    benchmark: Benchmark, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless something else is asked for: a crop has no scene, and needs no finding."""
    asked: list[object] = []
    usual = judge.evaluate_model

    def note(reader: object, benchmark: Benchmark, *, boxes: str, **others: object) -> object:
        asked.append(boxes)
        return usual(reader, benchmark, boxes=boxes, **others)  # type: ignore[arg-type]

    monkeypatch.setattr(judge, "evaluate_model", note)
    monkeypatch.setattr(judge, "read_with", lambda network, branch: asked.append(branch) or network)
    for settings in (JudgeSettings(), JudgeSettings(boxes="detected", branch="search")):
        for cropped in (False, True):
            monkeypatch.setattr(judge, "are_crops", lambda _benchmark, cropped=cropped: cropped)
            evaluate_weights(str(weights / "binet"), benchmark, settings)
    assert asked == ["search", "detected", "instance", "labeled", *["search", "detected"] * 2]


@pytest.mark.usefixtures("fakes")
def test_sizes_reach_the_network(benchmark: Benchmark, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, loader, own in (
        ("binet", "load_weights", NetworkSettings()),
        ("igpn", "load_proposer", IGPNSettings()),
    ):
        held, asked = getattr(judge, loader)("", "", lambda settings: settings), []

        def load(_name: str, _device: str, change, _runtime=None, held=held, asked=asked, own=own):
            asked.append(change(own))
            return held

        monkeypatch.setattr(judge, loader, load)
        evaluate_weights(str(weights / kind), benchmark, JudgeSettings(size=(64, 160)))
        assert asked == [replace(own, test_size=SizeSettings(64, 160))]
        with pytest.raises(SettingError, match="the short side first"):
            evaluate_weights(str(weights / kind), benchmark, JudgeSettings(size=(160, 64)))


def test_small_weights_of_each_kind_are_judged(benchmark: Benchmark, weights: Path) -> None:
    """The real networks, random: nothing is found, and nothing breaks."""
    reid = str(weights / "reid")
    for kind, settings in (
        ("binet", JudgeSettings(reid=reid)),
        ("igpn", JudgeSettings(reid=reid, keep=2)),
        ("reid", JudgeSettings(boxes="labeled")),
    ):
        result, judged = evaluate_weights(str(weights / kind), benchmark, settings)
        assert 0 <= result.mAP <= 1
        assert (judged is None) == (kind == "igpn")
    with pytest.raises(SettingError, match="finds nobody: --boxes labeled"):
        evaluate_weights(reid, benchmark)


@pytest.mark.parametrize(
    ("kind", "settings", "name"),
    [
        ("binet", JudgeSettings(keep=5), "keep"),
        ("binet", JudgeSettings(proposals=5), "proposals"),
        ("binet", JudgeSettings(candidates=5), "candidates"),
        ("igpn", JudgeSettings(candidates=0), "give 1 or more"),
        ("binet", JudgeSettings(branch="instance", reid="reid"), "branch"),
        ("igpn", JudgeSettings(boxes="labeled"), "boxes"),
        ("igpn", JudgeSettings(query="detection"), "query"),
        ("igpn", JudgeSettings(branch="instance"), "branch"),
        ("igpn", JudgeSettings(keep=0), "keep"),
        ("reid", JudgeSettings(boxes="labeled", size=(64, 64)), "size"),
        ("reid", JudgeSettings(boxes="labeled", reid="reid"), "reid"),
        ("binet", JudgeSettings(boxes="labeled", query="detection"), "leave --query out"),
        ("reid", JudgeSettings(boxes="labeled", query="detection"), "leave --query out"),
    ],
)
def test_what_weights_cannot_do_is_refused(
    benchmark: Benchmark, weights: Path, kind: str, settings: JudgeSettings, name: str
) -> None:
    with pytest.raises(SettingError, match=name) as caught:
        evaluate_weights(str(weights / kind), benchmark, settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("rules", "name"), [(Rules(cbgm=CBGM(2, 2)), "cbgm"), (Rules(score_threshold=0.3), "min-score")]
)
def test_rules_that_a_proposer_does_not_have_are_refused(
    benchmark: Benchmark, weights: Path, rules: Rules, name: str
) -> None:
    with pytest.raises(SettingError, match=name):
        evaluate_weights(str(weights / "igpn"), benchmark, rules=rules)


@pytest.mark.parametrize("kind", ["binet", "igpn", "reid"])
def test_data_without_queries_is_refused_before_it_is_read(benchmark: Benchmark, weights: Path, kind: str) -> None:
    gone = tuple(replace(scene, picture=ImageFile(Path("gone.jpg"))) for scene in benchmark.test)
    with pytest.raises(DataError, match=r"has no queries: nobody .* is seen well, 40 pixels high and half visible"):
        evaluate_weights(str(weights / kind), replace(benchmark, test=gone, queries=()))
    alone = tuple(replace(query, gallery=(query.scene,)) for query in benchmark.queries)
    with pytest.raises(DataError, match="no query with anything to find but itself: give larger galleries"):
        evaluate_weights(str(weights / kind), replace(benchmark, test=gone, queries=alone))


@pytest.mark.parametrize("kind", ["binet", "reid"])
def test_annotated_people_have_no_scores(benchmark: Benchmark, weights: Path, kind: str) -> None:
    rules = Rules(score_threshold=0.3)
    with pytest.raises(SettingError, match="annotated people have no scores: leave --min-score out"):
        evaluate_weights(str(weights / kind), benchmark, JudgeSettings(boxes="labeled"), rules=rules)


def test_the_command_saves_what_a_proposer_answered(data: Path, weights: Path, tmp_path: Path) -> None:
    command = ["evaluate", str(weights / "igpn"), "--data", f"coco:{data}", "--reid", str(weights / "reid")]
    run = CliRunner().invoke(app, [*command, "--keep", "3", "--save", str(tmp_path / "queries.json"), "--json"])
    assert run.exit_code == 0, run.output
    assert set(json.loads(run.stdout)) == {"mAP", "top1", "top5", "top10", "detection_ap", "detection_recall"}
    assert json.loads((tmp_path / "queries.json").read_text())["queries"]
    refused = CliRunner().invoke(app, [*command, "--worst", str(tmp_path / "worst")])
    assert refused.exit_code == 2
    assert "leave --worst out" in refused.output
