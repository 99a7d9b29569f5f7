import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from personsearch.data.layouts.coco import save_coco
from personsearch.data.records import Benchmark, Person, Scene

SCRIPT = Path(__file__).parents[2] / "research" / "colour_histogram.py"
COLOURS = ["red", "green", "blue", "black"]


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("colour_histogram", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Drawn:
    def read(self):
        image = Image.new("RGB", (200, 80), "white")
        for index, colour in enumerate(COLOURS):
            ImageDraw.Draw(image).rectangle((10 + 40 * index, 5, 30 + 40 * index, 70), fill=colour)
        return image


def test_people_of_other_colours_are_told_apart(script, tmp_path, monkeypatch, capsys):
    boxes = [(10.0 + 40 * index, 5.0, 30.0 + 40 * index, 70.0) for index in range(len(COLOURS))]
    people = tuple(Person(box, index) for index, box in enumerate(boxes))
    scenes = tuple(Scene(f"{n}.png", Drawn(), 200, 80, people) for n in range(3))
    save_coco(Benchmark("drawn", (), 0, scenes, ()), tmp_path)
    document = json.loads((tmp_path / "annotations.json").read_text())
    del document["queries"]
    (tmp_path / "annotations.json").write_text(json.dumps(document))
    monkeypatch.setattr(sys, "argv", ["colour_histogram.py", f"coco:{tmp_path}"])
    assert script.main() == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["queries"], result["scenes"]) == (4, 3)
    assert result["top1"] == result["mAP"] == 1.0


def test_bad_data_is_one_line(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["colour_histogram.py", f"mot:{tmp_path / 'none'}"])
    assert script.main() == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_histograms_have_unit_length_however_small_the_box(script):
    boxes = torch.tensor([[0.0, 0.0, 50.0, 80.0], [199.6, 79.6, 200.0, 80.0], [3.0, 3.0, 4.0, 4.2]])
    lengths = script.embed(Drawn().read(), boxes).norm(dim=1)
    assert np.allclose(lengths, 1, atol=1e-6)
    assert script.embed(Drawn().read(), torch.zeros(0, 4)).shape[0] == 0
