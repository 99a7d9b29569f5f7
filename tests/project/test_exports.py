"""Exported networks: they say what torch says, run where weights run, and are kept only when mAP holds.

Slow, so they are for `make check`.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from layout_fixtures import make_benchmark
from PIL import Image
from torch.nn import functional as F

for tool in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(tool, reason="pip install 'personsearch[onnx]'")

from personsearch.data.layouts.coco import load_coco, save_coco  # noqa: E402
from personsearch.errors import PersonSearchError, SettingError, WeightsError  # noqa: E402
from personsearch.evaluation.evaluate import JudgeSettings, evaluate_weights  # noqa: E402
from personsearch.export import exporting  # noqa: E402
from personsearch.export.exporting import ExportSettings, export_model  # noqa: E402
from personsearch.export.parity import LEAST_COSINE, Parity  # noqa: E402
from personsearch.models.embedders import load_embedder  # noqa: E402
from personsearch.models.graphs import (  # noqa: E402
    GRAPHS_FILE,
    INSTANCE_PARTS,
    SCENE_PARTS,
    GraphHead,
    read_graphs_about,
)
from personsearch.models.own_instance import save_instance  # noqa: E402
from personsearch.models.readings import read_patches  # noqa: E402
from personsearch.models.reid import ReidSettings, build_reid  # noqa: E402
from personsearch.models.search_network import SearchNetwork  # noqa: E402
from personsearch.models.tensor_files import MODEL_FILE, fingerprint  # noqa: E402
from personsearch.models.weights import load_weights, save_weights  # noqa: E402
from personsearch.runtime import exact_arithmetic  # noqa: E402
from personsearch.search.searchers import load_searcher  # noqa: E402

pytestmark = pytest.mark.docs
PICTURE = Image.effect_noise((200, 120), 80).convert("RGB")
BOXES = torch.tensor([[5.0, 5, 40, 110], [60.0, 10, 150, 100]])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, _network: SearchNetwork) -> Path:
    """Weights of a small search network, its export for ONNX Runtime, and the data that both were judged on."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    save_coco(make_benchmark(folder / "pictures"), folder / "coco")
    save_weights(folder / "weights", _network, {"embedding": 256})
    export_model(str(folder / "weights"), folder / "onnx", ExportSettings("onnx", data=f"coco:{folder / 'coco'}"))
    return folder


def test_an_export_says_what_torch_says(place: Path) -> None:
    with exact_arithmetic():
        torchs, exported = load_weights(place / "weights").model, load_weights(place / "onnx").model
        assert isinstance(exported.head.backbone, GraphHead)
        for size in ((200, 120), (131, 150)):
            picture = PICTURE.resize(size)
            one, other = torchs.detect(picture, 0.0), exported.detect(picture, 0.0)
            torch.testing.assert_close(other.boxes, one.boxes, atol=0.05, rtol=0)
            torch.testing.assert_close(other.scores, one.scores, atol=1e-4, rtol=0)
            assert F.cosine_similarity(other.embeddings, one.embeddings).min() > 0.9999
        assert exported.embed(PICTURE, BOXES[:0]).shape == (0, 256)


def test_a_branch_of_its_own_is_exported_and_judged(place: Path, tmp_path: Path, small_network: SearchNetwork) -> None:
    """Patches are read by its graphs, in the same numbers as by torch, and scenes by the others."""
    shutil.copytree(place / "weights", tmp_path / "weights")
    torch.manual_seed(1)
    trained = copy.deepcopy(small_network)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1 + 0.05 * torch.randn_like(parameter))
    save_instance(tmp_path / "weights", small_network, trained)
    # random embeddings are so alike that rounding turns answers around: mAP says nothing of them
    export_model(
        str(tmp_path / "weights"), tmp_path / "x", ExportSettings("onnx", data=f"coco:{place / 'coco'}", force=True)
    )
    about = read_graphs_about(tmp_path / "x")
    assert about is not None
    assert about.parts == SCENE_PARTS + INSTANCE_PARTS
    report = json.loads((tmp_path / "x" / "parity.json").read_text())
    assert report["map_patches_exported"] == pytest.approx(report["map_patches_torch"], abs=0.1)
    assert report["agrees"]
    with exact_arithmetic():
        torchs, exported, shared = (
            load_weights(folder).model for folder in (tmp_path / "weights", tmp_path / "x", place / "weights")
        )
        assert isinstance(exported.instance.head.backbone, GraphHead)
        one, other, before = (read_patches(network, PICTURE, BOXES) for network in (torchs, exported, shared))
    torch.testing.assert_close(other.pooled, one.pooled, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(other.rows, one.rows, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(before.pooled, one.pooled, rtol=0.01)
    (tmp_path / "x" / "instance.safetensors").unlink()  # as by a copy that forgets it
    with pytest.raises(WeightsError, match="lie beside them; export again"):
        load_weights(tmp_path / "x")


def test_both_fill_one_gallery(place: Path) -> None:
    encoders = [load_searcher(str(place / name)) for name in ("weights", "onnx")]
    assert len({encoder.fingerprint for encoder in encoders}) == 1
    box = (5.0, 5.0, 40.0, 110.0)
    one, other = (encoder.encode_query(PICTURE, box) for encoder in encoders)
    assert one @ other > LEAST_COSINE


def test_an_export_that_does_not_agree_has_a_fingerprint_of_its_own(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "onnx", tmp_path / "x")
    about = json.loads((tmp_path / "x" / GRAPHS_FILE).read_text())
    (tmp_path / "x" / GRAPHS_FILE).write_text(json.dumps(about | {"agrees": False}))
    own = fingerprint(place / "weights" / MODEL_FILE)
    assert load_weights(tmp_path / "x").fingerprint == f"{own}-onnx-{about['digest'][:8]}"
    assert load_weights(tmp_path / "x", runtime="torch").fingerprint == own


def test_the_report_tells_how_far_they_are(place: Path) -> None:
    report = json.loads((place / "onnx" / "parity.json").read_text())
    assert report["passes"]
    assert report["agrees"]
    assert report["least_cosine"] > LEAST_COSINE
    assert report["gate"] == 0.1
    assert report["scenes"] == len(load_coco(place / "coco").test)
    about = read_graphs_about(place / "onnx")
    assert about is not None
    assert (about.runtime, about.int8, about.agrees) == ("onnx", False, True)


def test_evaluate_runs_it_by_name_of_the_runtime(place: Path) -> None:
    benchmark = load_coco(place / "coco")
    figures = [
        evaluate_weights(str(place / "onnx"), benchmark, JudgeSettings(runtime=runtime))[0].as_dict()["mAP"]
        for runtime in ("onnx", "torch")
    ]
    assert figures[0] == pytest.approx(figures[1], abs=0.02)


@pytest.mark.parametrize(
    ("name", "runtime", "line"),
    [
        ("weights", "onnx", "no graphs for onnx: make them by personsearch export"),
        ("onnx", "openvino", "graphs for onnx, none for openvino"),
        ("onnx", "tensorrt", "choose one of torch, onnx, openvino"),
    ],
)
def test_a_runtime_that_has_no_graphs_is_refused(place: Path, name: str, runtime: str, line: str) -> None:
    with pytest.raises(SettingError, match=line):
        load_weights(place / name, runtime=runtime)


def test_an_export_beside_other_weights_is_refused(place: Path, tmp_path: Path, small_network: SearchNetwork) -> None:
    """As where a folder's weights were written anew, and the graphs stayed."""
    folder = shutil.copytree(place / "onnx", tmp_path / "x")
    with torch.no_grad():
        small_network.head.embedding.weight.mul_(2)
    save_weights(folder, small_network, {})
    for runtime in (None, "onnx"):
        with pytest.raises(WeightsError, match=r"its graphs were made from weights .*, and .* lie beside them; export"):
            load_weights(folder, runtime=runtime)
    load_weights(folder, runtime="torch")
    (folder / GRAPHS_FILE).unlink()
    load_weights(folder)


@pytest.mark.parametrize("harm", ["changed", "missing", "about", "older"])
def test_damaged_exports_are_one_line(place: Path, tmp_path: Path, harm: str) -> None:
    shutil.copytree(place / "onnx", tmp_path / "x")
    graph = tmp_path / "x" / "head.onnx"
    if harm == "changed":
        graph.write_bytes(graph.read_bytes()[:-9])
    elif harm == "missing":
        graph.unlink()
    elif harm == "older":
        about = json.loads((tmp_path / "x" / GRAPHS_FILE).read_text())
        (tmp_path / "x" / GRAPHS_FILE).write_text(json.dumps(about | {"format": 1}))
    else:
        (tmp_path / "x" / GRAPHS_FILE).write_text('{"runtime": "onnx"}')
    with pytest.raises(WeightsError, match="export again") as caught:
        load_weights(tmp_path / "x")
    assert "\n" not in str(caught.value)


def test_folders_that_hold_something_are_not_replaced(place: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    for folder, force, line in (
        (tmp_path / "letters", True, "holds other things"),
        (place / "onnx", False, "--force"),
    ):
        with pytest.raises(SettingError, match=line):
            export_model(str(place / "weights"), folder, ExportSettings("onnx", force=force))
    assert (tmp_path / "letters" / "a.txt").read_text() == "dear"


class TestGate:
    @pytest.fixture(autouse=True)
    def _quick(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Graphs are those of the export that stands, and judging says a fall of one point."""

        def copy(_network: object, folder: Path, *_: object) -> None:
            for graph in (place / "onnx").glob("*.onnx"):
                shutil.copyfile(graph, folder / graph.name)

        report = json.loads((place / "onnx" / "parity.json").read_text())
        values = {field.name: report[field.name] for field in dataclasses.fields(Parity)}
        worse = dataclasses.replace(Parity(**values), map_torch=0.5, map_exported=0.49)
        monkeypatch.setattr(exporting, "_write_graphs", copy)
        monkeypatch.setattr(exporting, "_judge", lambda *_: None)
        monkeypatch.setattr(exporting, "compare", lambda *_: worse)

    def test_an_export_whose_map_falls_is_not_written(self, place: Path, tmp_path: Path) -> None:
        settings = ExportSettings("onnx", data=f"coco:{place / 'coco'}")
        with pytest.raises(PersonSearchError, match=r"falls by 1\.00 points \(0\.5000 to 0\.4900\), more than 0\.1"):
            export_model(str(place / "weights"), tmp_path / "x", settings)
        assert list(tmp_path.iterdir()) == []

    def test_unless_it_is_forced(self, place: Path, tmp_path: Path) -> None:
        settings = ExportSettings("onnx", data=f"coco:{place / 'coco'}", force=True)
        export_model(str(place / "weights"), tmp_path / "x", settings)
        assert not json.loads((tmp_path / "x" / "parity.json").read_text())["passes"]
        export_model(str(place / "weights"), tmp_path / "x", settings)  # replaces its own
        assert [path.name for path in tmp_path.iterdir()] == ["x"]


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small re-id network, and its export for OpenVINO."""
    pytest.importorskip("openvino", reason="pip install 'personsearch[openvino]'")
    folder = tmp_path_factory.mktemp("turned")
    torch.manual_seed(0)
    network = build_reid(ReidSettings(size=(64, 32), stripes=2, reduced=8))
    for name, buffer in network.named_buffers():
        if name.endswith("scale"):
            buffer.fill_(0.5)
    save_weights(folder / "reid", network, {"embedding": 16})
    save_coco(make_benchmark(folder / "pictures"), folder / "coco")
    settings = ExportSettings("openvino", data=f"coco:{folder / 'coco'}", force=True)
    export_model(str(folder / "reid"), folder / "export", settings)
    return folder


def test_eight_bits_without_vnni_are_told_of(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "has_fast_int8", lambda: False)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "_fill", stop)
    told: list[str] = []
    data = f"coco:{place / 'coco'}"
    with pytest.raises(KeyboardInterrupt):  # and a stop leaves nothing behind
        export_model(
            str(place / "weights"),
            tmp_path / "x",
            ExportSettings("onnx", int8=True, calibrate=data, data=data),
            complain=told.append,
        )
    assert "no VNNI" in told[0]
    assert list(tmp_path.iterdir()) == []


def test_a_re_id_network_is_one_graph_that_any_command_takes(turned: Path) -> None:
    plain, folder, file = (
        load_embedder(str(turned / name), complain=pytest.fail) for name in ("reid", "export", "export/embed.xml")
    )
    assert plain.model.dim == folder.model.dim == file.model.dim == 16
    expected = plain.model.embed(PICTURE, BOXES)
    for embedder in (folder, file):
        assert F.cosine_similarity(embedder.model.embed(PICTURE, BOXES), expected).min() > 0.98
    assert len({plain.fingerprint, folder.fingerprint, file.fingerprint}) >= 2


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_eight_bits_find_nearly_the_same(place: Path, tmp_path: Path, to: str) -> None:
    pytest.importorskip(to if to == "openvino" else "onnxruntime")
    data = f"coco:{place / 'coco'}"
    settings = ExportSettings(to, int8=True, calibrate=data, data=data, force=True)
    parity = export_model(str(place / "weights"), tmp_path / "x", settings, complain=lambda line: None)
    assert parity.gate == 0.5
    assert 0.8 < parity.least_cosine < 0.99999
    graphs = sum(path.stat().st_size for path in (tmp_path / "x").glob("*.onnx" if to == "onnx" else "*.bin"))
    assert graphs < 0.35 * sum(path.stat().st_size for path in (place / "onnx").glob("*.onnx"))
    assert sorted(path.suffix for path in (tmp_path / "x").iterdir() if path.suffix == ".onnx") == (
        [".onnx"] * 3 if to == "onnx" else []
    )
