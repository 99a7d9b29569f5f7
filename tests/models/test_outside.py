"""Re-id networks from elsewhere: how pictures are given to them, and files that are no such network."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

graph_files = pytest.importorskip("graph_files")
from graph_files import DIM, GRID, SHAPE, means, onnx, save, save_reid  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402

from personsearch.data.patches import crop_patches  # noqa: E402
from personsearch.errors import PersonSearchError, SettingError, WeightsError  # noqa: E402
from personsearch.models.embedders import load_embedder  # noqa: E402
from personsearch.models.outside import load_outside, outside_fingerprint  # noqa: E402

PICTURE = Image.effect_noise((120, 90), 80).convert("RGB")
PICTURE.paste((200, 30, 90), (0, 0, 60, 50))
BOXES = torch.tensor([[5.0, 5, 40, 85], [60.0, 10, 100, 80], [0.0, 0, 20, 60]])
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def expected(bgr: bool = False, white: float = 1.0, mean: Any = MEAN, std: Any = STD) -> np.ndarray[Any, Any]:
    """What the network of `save_reid` says, cell by cell."""
    pixels = torch.from_numpy(np.array(PICTURE)).permute(2, 0, 1)
    patches = crop_patches(pixels, BOXES, SHAPE[2:]).numpy() / 255 * white
    rows = []
    for patch in patches:
        channels = patch[::-1] if bgr else patch
        row = []
        for channel, shade, deviation in zip(channels, mean, std, strict=True):
            for band in np.split((channel - shade) / deviation, GRID[0], axis=0):
                row += [cell.mean() for cell in np.split(band, GRID[1], axis=1)]
        rows.append(np.array(row) / np.linalg.norm(row))
    return np.stack(rows)


def check(path: Path, oracle: np.ndarray[Any, Any], told: list[str] | None = None) -> list[str]:
    """Embeddings as the oracle's. Returns what was complained of."""
    told = [] if told is None else told
    network = load_outside(path, told.append)
    assert network.dim == DIM
    np.testing.assert_allclose(network.embed(PICTURE, BOXES).numpy(), oracle, atol=2e-5)
    assert network.embed(PICTURE, BOXES[:0]).shape == (0, DIM)
    return told


def test_what_a_file_does_not_say_is_guessed_aloud(tmp_path: Path) -> None:
    (line,) = check(save_reid(tmp_path / "net.onnx"), expected())
    assert 'guessed: colours "rgb", white 1.0, mean' in line
    assert "size" not in line.split("guessed")[1].split(";")[0]  # the graph tells it
    (tmp_path / "net.json").write_text(line[line.index("{") :])  # what it prints can be kept
    assert check(tmp_path / "net.onnx", expected()) == []


@pytest.mark.parametrize("where", ["json", "metadata"])
def test_a_file_says_how_it_takes_pictures(tmp_path: Path, where: str) -> None:
    path = save_reid(tmp_path / "net.onnx")
    told = {"colours": "bgr", "white": 255, "mean": [100, 110, 120], "std": [50, 60, 70]}
    if where == "json":
        (tmp_path / "net.json").write_text(json.dumps(told))
    else:
        model = onnx.load(path)
        model.metadata_props.add(key="personsearch", value=json.dumps(told))
        onnx.save(model, path)
    assert check(path, expected(True, 255, (100, 110, 120), (50, 60, 70))) == []


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_fixed_number_of_pictures_is_handled(tmp_path: Path, count: int) -> None:
    check(save_reid(tmp_path / "net.onnx", (count, *SHAPE[1:])), expected())


def test_a_graph_that_can_take_one_picture_only_though_it_says_otherwise(tmp_path: Path) -> None:
    nodes = means("pictures", "rows")
    shape = helper.make_node("Constant", [], ["shape"], value=helper.make_tensor("s", TensorProto.INT64, [2], [1, -1]))
    nodes += [shape, helper.make_node("Reshape", ["rows", "shape"], ["who"])]
    check(save(tmp_path / "net.onnx", nodes, {"pictures": SHAPE}, {"who": (1, "d")}), expected())


def test_pictures_with_channels_last(tmp_path: Path) -> None:
    nodes = [helper.make_node("Transpose", ["pictures"], ["turned"], perm=[0, 3, 1, 2]), *means("turned", "who")]
    shape = ("n", *SHAPE[2:], 3)
    check(save(tmp_path / "net.onnx", nodes, {"pictures": shape}, {"who": ("n", DIM)}), expected())


def test_pictures_of_bytes_and_an_open_size(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["pictures"], ["real"], to=TensorProto.FLOAT), *means("real", "who")]
    path = tmp_path / "net.onnx"
    save(path, nodes, {"pictures": ("n", 3, "h", "w")}, {"who": ("n", "d")}, TensorProto.UINT8)
    told = {"size": SHAPE[2:], "colours": "rgb", "white": 255}
    (tmp_path / "net.json").write_text(json.dumps(told))
    network = load_outside(path, pytest.fail)
    oracle = expected(False, 255, (0, 0, 0), (1, 1, 1))
    np.testing.assert_allclose(network.embed(PICTURE, BOXES).numpy(), oracle, atol=2e-3)  # pixels are rounded


def test_an_open_size_is_guessed_aloud(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    save(
        path,
        [helper.make_node("ReduceMean", ["x"], ["who"], axes=[2, 3])],
        {"x": ("n", 3, "h", "w")},
        {"who": ("n", 3, 1, 1)},
    )
    (tmp_path / "net.json").write_text('{"colours": "rgb", "white": 255}')
    told: list[str] = []
    assert load_outside(path, told.append).pictures.size == (256, 128)
    assert "guessed: size [256, 128];" in told[0]


def test_of_several_outputs_one_is_named_or_guessed_aloud(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    nodes = [*means("pictures", "who"), helper.make_node("ReduceMean", ["pictures"], ["other"], axes=[2, 3])]
    outputs = {"other": ("n", 3, 1, 1), "who": ("n", DIM), "who_map": ("n", 3, *GRID)}
    save(path, nodes, {"pictures": SHAPE}, outputs)
    told: list[str] = []
    assert load_outside(path, told.append).dim == 3
    assert any("other (3), who (24); guessed: the first" in line for line in told)
    (tmp_path / "net.json").write_text('{"output": "who"}')
    check(path, expected())
    (tmp_path / "net.json").write_text('{"output": "who_map"}')
    with pytest.raises(SettingError, match="choose one of other, who"):
        load_outside(path, told.append)


def _odd(path: Path, kind: str) -> None:
    two, five = {"a": SHAPE, "b": SHAPE}, ("n", 3, 2, 32, 16)
    if kind == "text":
        path.write_text("these are no weights\n")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        save_reid(path)
        path.write_bytes(path.read_bytes()[:-40])
    elif kind == "two inputs":
        save(path, [helper.make_node("Add", ["a", "b"], ["sum"]), *means("sum", "who")], two, {"who": ("n", DIM)})
    elif kind == "five dimensions":
        save(path, [helper.make_node("Flatten", ["x"], ["who"])], {"x": five}, {"who": ("n", "d")})
    elif kind == "grey":
        save(path, [helper.make_node("Flatten", ["x"], ["who"])], {"x": ("n", 1, 32, 16)}, {"who": ("n", 512)})
    elif kind == "a detector":
        shape = helper.make_node(
            "Constant", [], ["s"], value=helper.make_tensor("s", TensorProto.INT64, [3], [1, -1, 8])
        )
        nodes = [shape, helper.make_node("Reshape", ["x", "s"], ["boxes"])]
        save(path, nodes, {"x": SHAPE}, {"boxes": (1, "m", 8)})
    elif kind == "words":
        save(path, [helper.make_node("Cast", ["x"], ["y"], to=1)], {"x": ("n", 9)}, {"y": ("n", 9)}, TensorProto.INT64)
    elif kind == "not finite":
        save(path, [helper.make_node("Log", ["x"], ["y"]), *means("y", "who")], {"x": SHAPE}, {"who": ("n", DIM)})


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("missing", "is not there"),
        ("text", "cannot be read as an ONNX graph"),
        ("empty", "cannot be read as an ONNX graph"),
        ("truncated", "cannot be read as an ONNX graph"),
        ("two inputs", "takes 2 inputs"),
        ("five dimensions", r"takes an input of \?x3x2x32x16"),
        ("grey", r"takes an input of \?x1x32x16"),
        ("a detector", "not one embedding each"),
        ("words", "is not of numbers that a picture can be"),
        ("not finite", "not finite"),
    ],
)
def test_files_that_are_no_reid_network_are_one_line(tmp_path: Path, kind: str, line: str) -> None:
    path = tmp_path / "net.onnx"
    _odd(path, kind)
    with pytest.raises(WeightsError, match=line) as caught:
        load_embedder(str(path), complain=lambda line: None)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[256, 128]", "is no JSON object"),
        ("{", "is no JSON object"),
        ('{"colors": "bgr"}', "did you mean colours"),
        ('{"colours": "hsv"}', "choose rgb or bgr"),
        ('{"size": [64, 64]}', r"the graph takes \[32, 16\]"),
        ('{"size": [64]}', "size"),
        ('{"std": [0, 1, 1]}', "std"),
        ('{"mean": [0.4, 0.4, 0.4], "std": [0.2, 0.2, 0.2]}', 'add "white": 1'),
        ('{"white": 1, "mean": [100, 100, 100]}', 'give "white": 255'),
        ('{"white": 2}', "give 1 or 255"),
    ],
)
def test_a_json_file_that_does_not_fit_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    path = save_reid(tmp_path / "net.onnx")
    (tmp_path / "net.json").write_text(text)
    with pytest.raises(SettingError, match=line) as caught:
        load_outside(path, lambda line: None)
    assert "net.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_of_no_graph_says_which_files_are(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"weights")
    with pytest.raises(WeightsError, match=r"ends in \.onnx or \.xml"):
        load_embedder(str(tmp_path / "net.pth"))


def test_a_fingerprint_is_of_contents_and_of_how_pictures_are_given(tmp_path: Path) -> None:
    path = save_reid(tmp_path / "a.onnx")
    same = save_reid(tmp_path / "b.onnx")
    other = save_reid(tmp_path / "c.onnx", (1, *SHAPE[1:]))
    pictures = load_outside(path, lambda line: None).pictures
    marks = {outside_fingerprint(file, pictures) for file in (path, same, other)}
    assert len(marks) == 2
    (tmp_path / "a.json").write_text('{"colours": "bgr"}')
    assert load_embedder(str(path), complain=lambda line: None).fingerprint not in marks


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    save_reid(tmp_path / "net.onnx").rename(tmp_path / "5f2a")
    (tmp_path / "link.onnx").symlink_to(tmp_path / "5f2a")
    loaded = load_embedder(str(tmp_path / "link.onnx"), complain=lambda line: None)
    assert load_embedder(loaded.name, complain=lambda line: None).fingerprint == loaded.fingerprint


def test_without_the_extra_one_line_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_reid(tmp_path / "net.onnx")
    (tmp_path / "net.xml").write_text("<net/>")
    (tmp_path / "net.bin").write_bytes(b"")
    for module in ("onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, module, None)
    for file, name, extra in ((path, "ONNX Runtime", "onnx"), (tmp_path / "net.xml", "OpenVINO", "openvino")):
        with pytest.raises(PersonSearchError) as caught:
            load_embedder(str(file))
        assert str(caught.value) == f"{file} needs {name}: pip install 'personsearch[{extra}]'"


class TestOpenVino:
    @pytest.fixture
    def saved(self, tmp_path: Path) -> Path:
        openvino = pytest.importorskip("openvino", reason="pip install 'personsearch[openvino]'")
        path = save_reid(tmp_path / "net.onnx")
        openvino.save_model(openvino.Core().read_model(path), tmp_path / "net.xml", compress_to_fp16=False)
        return tmp_path / "net.xml"

    def test_its_files_are_read_and_what_they_lack_is_guessed_aloud(self, saved: Path) -> None:
        told: list[str] = []
        network = load_outside(saved, told.append)
        np.testing.assert_allclose(
            network.embed(PICTURE, BOXES).numpy(), expected(True, 255, (0, 0, 0), (1, 1, 1)), atol=1e-2
        )
        assert 'guessed: colours "bgr"' in told[0]

    def test_what_its_converter_was_told_is_believed(self, saved: Path) -> None:
        import openvino

        model = openvino.Core().read_model(saved)
        model.set_rt_info("True", ["conversion_parameters", "reverse_input_channels"])
        model.set_rt_info("x[123.7,116.3,103.5]", ["conversion_parameters", "mean_values"])
        told = saved.with_name("told.xml")
        openvino.save_model(model, told, compress_to_fp16=False)
        network = load_outside(told, pytest.fail)
        assert (network.pictures.colours, network.pictures.mean) == ("bgr", (0, 0, 0))

    def test_an_onnx_file_is_read_by_it_too(self, saved: Path) -> None:
        first, second = (
            load_outside(saved.with_suffix(".onnx"), lambda line: None, runtime).embed(PICTURE, BOXES)
            for runtime in ("onnx", "openvino")
        )
        assert F.cosine_similarity(first, second).min() > 0.999
        with pytest.raises(SettingError, match="is not read by --runtime onnx"):
            load_outside(saved, lambda line: None, "onnx")

    @pytest.mark.parametrize("harm", ["no weights", "text", "truncated"])
    def test_damaged_files_are_one_line(self, saved: Path, harm: str) -> None:
        if harm == "no weights":
            saved.with_suffix(".bin").unlink()
        elif harm == "text":
            saved.write_text("these are no weights")
        else:
            saved.write_text(saved.read_text()[:400])
        with pytest.raises(
            WeightsError, match="is not there" if harm == "no weights" else "as an OpenVINO graph"
        ) as caught:
            load_outside(saved, lambda line: None)
        assert "\n" not in str(caught.value)
