"""Where a proposer loses people, on answers that are known."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from personsearch.data.records import Benchmark, Person, Query, Scene
from personsearch.models.guided import Candidates, Proposals, QueryCode

RESEARCH = Path(__file__).parents[2] / "research"
ASKED, OTHER = Person((10.0, 10, 30, 70), 1), Person((50.0, 10, 70, 70), 2)
RIGHT, WRONG = [10.0, 11, 30, 70], [50.0, 10, 70, 70]


@dataclass
class Plain:
    shade: int

    def read(self) -> Image.Image:
        return Image.new("RGB", (100, 80), (self.shade,) * 3)


SCENES = tuple(
    Scene(str(shade), Plain(shade), 100, 80, people)
    for shade, people in enumerate([(ASKED,), (ASKED, OTHER), (ASKED, OTHER), (ASKED,), (OTHER,), ()])
)
FIRST = {1: [WRONG, RIGHT], 2: [WRONG, RIGHT], 3: [WRONG], 4: [WRONG], 5: []}
SECOND = {1: [RIGHT, WRONG], 2: [WRONG, RIGHT], 3: [WRONG, RIGHT], 4: [WRONG], 5: []}
SURE = {1: 3.0, 2: 1.0, 3: -1.0, 4: -1.0, 5: -2.0}


def proposals(boxes: list[list[float]]) -> Proposals:
    return Proposals(torch.tensor(boxes).reshape(-1, 4), torch.linspace(1, 0, len(boxes)))


class Known:
    """Sees everything at twice its size, as a network does that enlarges scenes."""

    def encode_query(self, _image: Image.Image, boxes: list[tuple[float, ...]]) -> QueryCode:
        return QueryCode(None, None, torch.zeros(len(boxes), 1))

    def encode_scene(self, image: Image.Image) -> Any:
        return SimpleNamespace(scale=torch.full((4,), 2.0), place=image.getpixel((0, 0))[0])

    def candidates(self, code: Any, _query: QueryCode) -> list[Candidates]:
        found = proposals(FIRST[code.place])
        return [Candidates(found.boxes * 2, found.similarities)]

    def compare(self, code: Any, _query: QueryCode, _lists: list[Tensor], _regions: object) -> list[Proposals]:
        return [proposals(SECOND[code.place])]

    def read_regions(self, code: Any, _boxes: Tensor, _regions: object) -> Tensor:
        return torch.tensor([SURE[code.place]])

    def relate(self, _query: QueryCode, _lists: list[Tensor], features: Tensor) -> Any:
        return SimpleNamespace(search=torch.stack([torch.zeros(1), features], dim=1))


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(RESEARCH), *sys.path])
    return importlib.import_module("proposer_misses")


def test_each_stage_is_counted(script: Any) -> None:
    gallery = tuple(scene.name for scene in SCENES)
    benchmark = Benchmark("known", (), 0, SCENES, (Query(SCENES[0].name, ASKED.box, 1, gallery),))
    assert list(script.misses(Known(), benchmark).values()) == [
        3,
        pytest.approx(2 / 3, abs=1e-3),
        pytest.approx(1),
        pytest.approx(1 / 3, abs=1e-3),
        pytest.approx((2 + 2 + 1.5) / 6, abs=1e-3),  # of six pairs of scenes five are in order and one is equal
    ]


@pytest.mark.parametrize(("shift", "right"), [(3.5, True), (4.5, False)])
def test_a_small_box_asks_for_less_overlap(script: Any, shift: float, right: bool) -> None:
    truth = torch.tensor([[10.0, 10, 20, 30]])  # 200 / (20 * 30) = 1/3 is enough
    assert script.fits(truth + torch.tensor([shift, shift, shift, shift]), truth) == right
    assert not script.fits(torch.zeros(0, 4), truth)
