"""Galleries whose people a re-id network from elsewhere tells apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

graph_files = pytest.importorskip("graph_files")
from graph_files import DIM, SHAPE, save_reid  # noqa: E402

from personsearch.cli.app import app  # noqa: E402
from personsearch.errors import SettingError  # noqa: E402
from personsearch.models.search_network import SearchNetwork  # noqa: E402
from personsearch.models.weights import load_weights, save_weights  # noqa: E402
from personsearch.search import searchers  # noqa: E402
from personsearch.search.gallery import Gallery  # noqa: E402
from personsearch.search.searchers import load_searcher  # noqa: E402


def run(*words: Any) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module", autouse=True)
def _loaded_once() -> Iterator[None]:
    """The detector's weights take a second each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searchers, "load_weights", cache(load_weights))
        yield


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, _network: SearchNetwork) -> Path:
    """Photos, weights of a detector, and a gallery of `net.onnx` behind them."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    save_weights(folder / "weights", _network, {"embedding": 256})
    (folder / "photos").mkdir()
    for number in range(2):
        Image.effect_noise((120, 80), 60 + 20 * number).convert("RGB").save(folder / "photos" / f"{number}.png")
    save_reid(folder / "net.onnx")
    made = run("index", folder / "photos", "--gallery", folder / "g", "--model", folder / "weights",
               "--reid", folder / "net.onnx", "--min-score", 0)  # fmt: skip
    assert made.exit_code == 0, made.output
    assert "net.onnx does not say all of how it takes pictures; guessed" in made.stderr
    return folder


def ask(place: Path, *more: Any) -> Any:
    return run("search", place / "g", "--image", place / "photos" / "0.png", "--box", 10, 5, 50, 75, "--json", *more)


def test_a_gallery_holds_what_the_network_says(place: Path) -> None:
    about = Gallery.open(place / "g").about
    assert (about.read, about.reid, about.dim) == ("reid", str(place / "net.onnx"), DIM)
    encoder = load_searcher(str(place / "weights"), reid=str(place / "net.onnx"), complain=lambda line: None)
    photo = Image.open(place / "photos" / "1.png")
    with Gallery.open(place / "g") as gallery:
        crowd = gallery.crowd()
        rows = [row for row in range(len(crowd.scores)) if crowd.hit(row, 0.0).source.name == "1.png"]
        boxes = torch.tensor([crowd.hit(row, 0.0).box for row in rows])
        held = crowd.readings(torch.tensor(rows))
    assert len(rows) > 1
    alike = torch.nn.functional.cosine_similarity(encoder.model.embed(photo, boxes), held.float())
    assert alike.min() > 0.999


def test_search_asks_by_the_network_that_made_it(place: Path) -> None:
    asked = ask(place)
    assert asked.exit_code == 0, asked.output
    hits = json.loads(asked.stdout)["hits"]
    assert [Path(hit["source"]).name for hit in hits] == ["1.png"]
    assert json.loads(ask(place, "--reid", place / "net.onnx").stdout)["hits"] == hits


def test_whatever_writes_or_asks_it_keeps_the_network(place: Path, tmp_path: Path) -> None:
    assert run("gallery", "merge", place / "g", "--into", tmp_path / "all").exit_code == 0
    assert run("gallery", "retain", tmp_path / "all", "--days", 30).exit_code == 0
    added = run("index", place / "photos", "--gallery", tmp_path / "all")
    assert added.exit_code == 0, added.output
    anew = run("index", place / "photos", "--gallery", tmp_path / "all", "--force", "--model", place / "weights",
               "--reid", place / "net.onnx", "--min-score", 0)  # fmt: skip
    assert anew.exit_code == 0, anew.output
    about = Gallery.open(tmp_path / "all").about
    assert (about.read, about.reid, about.keep_days) == ("reid", str(place / "net.onnx"), 30)
    shown = ["--image", place / "photos" / "0.png", "--box", 10, 5, 50, 75]
    exported = run("gallery", "export", tmp_path / "all", *shown, "--out", tmp_path / "out", "--sure", 0)
    assert exported.exit_code == 0, exported.output


def test_a_gallery_of_another_network_is_refused(place: Path) -> None:
    save_reid(place / "other.onnx", (1, *SHAPE[1:]))
    for wrong in (["--reid", place / "other.onnx"], ["--read", "search"]):
        refused = ask(place, *wrong)
        assert refused.exit_code == 1
        assert f"--reid {place / 'net.onnx'}" in refused.stderr.splitlines()[-1]
    added = run("index", place / "photos", "--gallery", place / "g", "--reid", place / "other.onnx")
    assert added.exit_code == 1
    assert "or index again with --force" in added.stderr


def test_other_pictures_than_those_it_was_made_with_are_refused(place: Path) -> None:
    (place / "net.json").write_text('{"colours": "bgr"}')
    try:
        refused = ask(place)
    finally:
        (place / "net.json").unlink()
    assert refused.exit_code == 1
    assert "made by the model" in refused.stderr


def test_a_file_that_is_gone_is_one_line(place: Path) -> None:
    (place / "net.onnx").rename(place / "moved.onnx")
    try:
        gone, found = ask(place), ask(place, "--reid", place / "moved.onnx")
    finally:
        (place / "moved.onnx").rename(place / "net.onnx")
    assert gone.exit_code == 1
    assert "net.onnx: is not there" in gone.stderr
    assert found.exit_code == 0, found.output


@pytest.mark.parametrize(("read", "reid"), [("reid", None), ("search", "net.onnx"), ("readings", "net.onnx")])
def test_what_does_not_go_together_is_refused(place: Path, read: str, reid: str | None) -> None:
    with pytest.raises(SettingError, match="--reid"):
        load_searcher(str(place / "weights"), read=read, reid=reid and str(place / reid))
