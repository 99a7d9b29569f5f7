"""Exported IGPNs, of both forms: they propose what torch proposes. Slow, so they are for `make check`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from layout_fixtures import make_benchmark
from PIL import Image
from torchvision.ops import box_iou

for tool in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(tool, reason="pip install 'personsearch[onnx]'")

from personsearch.data.layouts.coco import load_coco, save_coco  # noqa: E402
from personsearch.data.transforms import SizeSettings  # noqa: E402
from personsearch.errors import WeightsError  # noqa: E402
from personsearch.evaluation.evaluate import JudgeSettings, evaluate_weights  # noqa: E402
from personsearch.export.exporting import ExportSettings, export_model  # noqa: E402
from personsearch.models.graphs import GRAPHS_FILE, GraphHead, GraphStem  # noqa: E402
from personsearch.models.guided import Proposals  # noqa: E402
from personsearch.models.igpn import IGPNSettings, build_igpn  # noqa: E402
from personsearch.models.igpn_trunk import TrunkIGPNSettings, igpn_on  # noqa: E402
from personsearch.models.networks import conv5_of, kind_of  # noqa: E402
from personsearch.models.rpn import ProposalSettings  # noqa: E402
from personsearch.models.search_network import SearchNetwork  # noqa: E402
from personsearch.models.tensor_files import fingerprint  # noqa: E402
from personsearch.models.weights import load_proposer, load_trunk, save_weights  # noqa: E402
from personsearch.runtime import exact_arithmetic  # noqa: E402

pytestmark = pytest.mark.docs
PICTURE = Image.effect_noise((200, 120), 80).convert("RGB")
BOXES = [(5.0, 5.0, 40.0, 110.0), (60.0, 10.0, 150.0, 100.0)]
PROPOSALS, SIZE = ProposalSettings(200, 8), SizeSettings(96, 160)
KINDS = ["plain", "trunk"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, _network: SearchNetwork) -> Path:
    """Small weights of each form, and their exports."""
    folder = tmp_path_factory.mktemp("place")
    save_coco(make_benchmark(folder / "pictures"), folder / "coco")
    save_weights(folder / "search", _network, {"embedding": 256})
    torch.manual_seed(0)
    plain = build_igpn(IGPNSettings(channels=8, proposals=PROPOSALS, test_size=SIZE))
    plain.load_state_dict({**plain.state_dict(), **{f"stem.{k}": v for k, v in _network.stem.state_dict().items()}})
    plain.head.load_state_dict(_network.head.backbone.state_dict())
    save_weights(folder / "plain", plain, {})
    trunk, name = load_trunk(folder / "search")
    settings = TrunkIGPNSettings(trunk.settings, proposals=PROPOSALS, test_size=SIZE)
    save_weights(folder / "trunk", igpn_on(trunk, name, settings), {"trunk": dataclasses.asdict(name)})
    for kind in KINDS:
        export_model(str(folder / kind), folder / f"{kind}-onnx", settings_for(folder))
    return folder


def settings_for(folder: Path, **others: object) -> ExportSettings:
    return ExportSettings("onnx", data=f"coco:{folder / 'coco'}", force=True, **others)  # type: ignore[arg-type]


def answers(weights: Path) -> list[Proposals]:
    proposer = load_proposer(weights).model
    return proposer.answer(proposer.encode_scene(PICTURE), proposer.encode_query(PICTURE, BOXES))


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_proposes_what_torch_proposes(place: Path, kind: str) -> None:
    with exact_arithmetic():
        network = load_proposer(place / f"{kind}-onnx").model
        assert isinstance(network.stem, GraphStem)
        assert isinstance(network.get_submodule(kind_of(network.settings).conv5), GraphHead)
        for one, other in zip(answers(place / kind), answers(place / f"{kind}-onnx"), strict=True):
            assert len(one) > 0
            overlaps, at = box_iou(one.boxes, other.boxes).max(dim=1)
            near = overlaps > 0.99  # where proposals tie, rounding decides
            assert near.float().mean() > 0.7
            torch.testing.assert_close(other.similarities[at[near]], one.similarities[near], atol=2e-3, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_and_evaluate_know_it(place: Path, kind: str) -> None:
    report = json.loads((place / f"{kind}-onnx" / "parity.json").read_text())
    assert report["queries"] == len(load_coco(place / "coco").queries)
    assert report["least_cosine"] > 0.99
    benchmark = load_coco(place / "coco")
    for runtime in ("onnx", "torch"):
        evaluate_weights(str(place / f"{kind}-onnx"), benchmark, JudgeSettings(runtime=runtime))
    assert load_proposer(place / f"{kind}-onnx", runtime="torch").fingerprint == load_proposer(place / kind).fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_eight_bits(place: Path, tmp_path: Path, kind: str) -> None:
    settings = settings_for(place, int8=True, calibrate=f"coco:{place / 'coco'}")
    parity = export_model(str(place / kind), tmp_path / "x", settings, complain=lambda line: None)
    assert 0.8 < parity.least_cosine < 1
    small, whole = ((folder / "stem.onnx").stat().st_size for folder in (tmp_path / "x", place / f"{kind}-onnx"))
    assert small < 0.4 * whole


def test_the_graphs_of_another_kind_are_refused(place: Path, tmp_path: Path) -> None:
    export_model(str(place / "search"), tmp_path / "search", settings_for(place))
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "search" / name).write_bytes((place / "plain" / name).read_bytes())
    about = tmp_path / "search" / GRAPHS_FILE
    with pytest.raises(WeightsError, match="lie beside them; export again"):
        load_proposer(tmp_path / "search")
    own = fingerprint(tmp_path / "search" / "model.safetensors")
    about.write_text(json.dumps({**json.loads(about.read_text()), "weights": own}))
    with pytest.raises(WeightsError, match="not those of such a network; export again"):
        load_proposer(tmp_path / "search")


def test_an_export_can_be_a_trunk(place: Path, tmp_path: Path) -> None:
    export_model(str(place / "search"), tmp_path / "search", settings_for(place))
    trunk, name = load_trunk(tmp_path / "search")
    assert conv5_of(igpn_on(trunk, name, TrunkIGPNSettings(trunk.settings)))
