"""The demo on a small sample of fake people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from search_fakes import box_at, picture, searcher

from personsearch.cli.demo import SAMPLE, _path, print_demo, run_demo
from personsearch.data.layouts.coco import load_coco
from personsearch.errors import DataError, SettingError


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Eight test scenes; persons 0 ... 3 are each in two, beside others."""
    folder = tmp_path / "sample"
    (folder / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for scene in range(8):
        people = [(scene % 4, 10), (10 + scene, 60)]
        name = f"s{scene}.png"
        picture(people).save(folder / "images" / name)
        images.append({"id": scene, "file_name": name, "width": 160, "height": 96, "split": "test"})
        for identity, left in people:
            x1, y1, x2, y2 = box_at(left)
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": scene,
                    "category_id": 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": 1200,
                    "iscrowd": 0,
                    "person_id": identity,
                    "visible": 1.0,
                }
            )
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (folder / "annotations.json").write_text(json.dumps(document))
    return folder


def test_demo_finds_everybody_and_writes_its_answers(
    tmp_path: Path, sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    results = run_demo(out, searcher(), sample=sample)
    assert json.loads((out / "results.json").read_text()) == results
    assert (results["correct"], results["total"]) == (4, 4)
    for number, answer in enumerate(results["queries"], 1):
        assert answer["correct"] is True
        assert answer["hits"][0]["correct"] is True
        assert not any(hit["correct"] for hit in answer["hits"][1:])
        assert answer["query"]["source"] not in {hit["source"] for hit in answer["hits"]}
        assert (out / f"query-{number:02}.jpg").stat().st_size > 1000
    print_demo(results, out)
    assert "4 of 4 right at rank 1" in capsys.readouterr().out.replace("\n", " ")


def test_demo_refreshes_its_own_folder_and_no_other(tmp_path: Path, sample: Path) -> None:
    out = tmp_path / "out"
    first = run_demo(out, searcher(), sample=sample)
    (out / "query-77.jpg").write_text("from an earlier demo")
    (out / "notes.txt").write_text("mine")
    assert run_demo(out, searcher("fake-2"), sample=sample)["queries"] == first["queries"]
    assert (out / "notes.txt").read_text() == "mine"
    assert not (out / "query-77.jpg").exists()

    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(SettingError, match="--out"):
        run_demo(other, searcher(), sample=sample)
    with pytest.raises(DataError):
        run_demo(tmp_path / "new", searcher(), sample=tmp_path / "no sample")
    assert not (tmp_path / "new").exists()


def test_the_sample_that_ships_is_where_the_demo_looks() -> None:
    benchmark = load_coco(SAMPLE)
    assert len(benchmark.queries) > 10
    assert all(_path(scene).is_file() for scene in benchmark.test)
