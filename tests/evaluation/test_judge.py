"""Any weights are evaluated by what they are, alone or before a re-id network; what they cannot do is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from layout_fixtures import make_benchmark
from typer.testing import CliRunner

from personsearch.cli import app
from personsearch.data.coco import load_coco, save_coco
from personsearch.data.records import Benchmark
from personsearch.data.transforms import SizeSettings
from personsearch.errors import SettingError
from personsearch.evaluation.cbgm import CBGM
from personsearch.evaluation.protocols import Rules
from personsearch.experiment import evaluate_model
from personsearch.guided import evaluate_two_stages
from personsearch.judge import JudgeSettings, evaluate_weights
from personsearch.models.igpn import IGPNSettings, build_igpn
from personsearch.models.reid import DetectThenEmbed, ReidSettings, build_reid
from personsearch.models.rpn import AnchorSettings, ProposalSettings
from personsearch.models.search_network import SearchNetwork
from personsearch.models.weights import load_proposer, load_reid, load_weights, save_weights


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


def test_a_search_network_alone_and_before_a_re_id_network(benchmark: Benchmark, weights: Path) -> None:
    network, rules = load_weights(weights / "binet").model, Rules(score_threshold=0.0)
    result, judged = evaluate_weights(str(weights / "binet"), benchmark, rules=rules)
    assert judged is not None
    assert result == evaluate_model(network, benchmark, rules=rules).result
    how = JudgeSettings(reid=str(weights / "reid"))
    both, _ = evaluate_weights(str(weights / "binet"), benchmark, how, rules=rules)
    reader = DetectThenEmbed(network, load_reid(weights / "reid").model)
    assert both == evaluate_model(reader, benchmark, rules=rules).result
    assert both.detection_ap == result.detection_ap


def test_a_proposer_alone_and_before_a_re_id_network(benchmark: Benchmark, weights: Path) -> None:
    proposer, embedder = load_proposer(weights / "igpn").model, load_reid(weights / "reid").model
    result, judged = evaluate_weights(str(weights / "igpn"), benchmark)
    assert judged is None
    assert result == evaluate_two_stages(proposer, benchmark)
    how = JudgeSettings(reid=str(weights / "reid"), keep=2)
    both, _ = evaluate_weights(str(weights / "igpn"), benchmark, how)
    assert both == evaluate_two_stages(proposer, benchmark, embedder=embedder, keep=2)
    fewer, _ = evaluate_weights(str(weights / "igpn"), benchmark, JudgeSettings(proposals=1, size=(64, 160)))
    proposer.settings = replace(
        proposer.settings, test_size=SizeSettings(64, 160), proposals=replace(proposer.settings.proposals, after_nms=1)
    )
    assert fewer == evaluate_two_stages(proposer, benchmark)


def test_a_re_id_network_alone_reads_labelled_boxes(benchmark: Benchmark, weights: Path) -> None:
    result, judged = evaluate_weights(str(weights / "reid"), benchmark, JudgeSettings(boxes="labeled"))
    assert judged is not None
    assert result.detection_ap == 1
    assert judged.query_embeddings.shape == (len(benchmark.queries), 2048)
    with pytest.raises(SettingError, match="finds nobody: --boxes labeled"):
        evaluate_weights(str(weights / "reid"), benchmark)


@pytest.mark.parametrize(
    ("kind", "settings", "name"),
    [
        ("binet", JudgeSettings(keep=5), "keep"),
        ("binet", JudgeSettings(proposals=5), "proposals"),
        ("binet", JudgeSettings(branch="instance", reid="reid"), "branch"),
        ("igpn", JudgeSettings(boxes="labeled"), "boxes"),
        ("igpn", JudgeSettings(query="detection"), "query"),
        ("igpn", JudgeSettings(branch="instance"), "branch"),
        ("igpn", JudgeSettings(keep=0), "keep"),
        ("reid", JudgeSettings(boxes="labeled", size=(64, 64)), "size"),
        ("reid", JudgeSettings(boxes="labeled", reid="reid"), "reid"),
    ],
)
def test_what_weights_cannot_do_is_refused(
    benchmark: Benchmark, weights: Path, kind: str, settings: JudgeSettings, name: str
) -> None:
    with pytest.raises(SettingError, match=name) as caught:
        evaluate_weights(str(weights / kind), benchmark, settings)
    assert "\n" not in str(caught.value)


def test_company_does_not_depend_on_who_asks(benchmark: Benchmark, weights: Path) -> None:
    with pytest.raises(SettingError, match="leave it out"):
        evaluate_weights(str(weights / "igpn"), benchmark, rules=Rules(cbgm=CBGM(2, 2)))


def test_the_command_saves_what_a_proposer_answered(data: Path, weights: Path, tmp_path: Path) -> None:
    command = ["evaluate", str(weights / "igpn"), "--data", f"coco:{data}", "--reid", str(weights / "reid")]
    run = CliRunner().invoke(app, [*command, "--keep", "3", "--save", str(tmp_path / "queries.json"), "--json"])
    assert run.exit_code == 0, run.output
    assert set(json.loads(run.stdout)) == {"mAP", "top1", "top5", "top10", "detection_ap", "detection_recall"}
    assert json.loads((tmp_path / "queries.json").read_text())["queries"]
    refused = CliRunner().invoke(app, [*command, "--worst", str(tmp_path / "worst")])
    assert refused.exit_code == 2
    assert "leave --worst out" in refused.output
