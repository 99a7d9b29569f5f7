"""Networks that find the annotated people and confuse them a little, so that figures lie between 0 and 1."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from personsearch.data.records import Benchmark
from personsearch.evaluation.protocols import labeled_boxes
from personsearch.geometry.detections import Detections
from personsearch.models.guided import Candidates, Proposals, QueryCode
from personsearch.models.igpn import IGPNSettings
from personsearch.models.rpn import ProposalSettings
from personsearch.models.search_network import NetworkSettings


def noise(*parts: object) -> float:
    """A number in [0, 1) that depends on all parts."""
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:8], 16) / 2**32


def look(salt: str, place: str, box: Tensor) -> Tensor:
    """A unit vector that depends on whose box it is, and where."""
    vector = torch.tensor([noise(salt, place, [round(v) for v in box.tolist()], n) - 0.3 for n in range(6)])
    return torch.nn.functional.normalize(vector, dim=0)


def place_of(image: Image.Image) -> str:
    return str(image.getpixel((0, 0)))


class FakeDetector:
    """Finds everybody that is annotated, and one place more."""

    def __init__(self, benchmark: Benchmark, salt: str) -> None:
        self.salt = salt
        self.settings = NetworkSettings()
        self.boxes = {place_of(scene.read()): labeled_boxes(scene) for scene in benchmark.test}

    def detect(self, image: Image.Image, score_threshold: float) -> Detections:
        boxes = torch.cat([self.boxes[place_of(image)], torch.tensor([[500.0, 300, 540, 420]])])
        scores = torch.tensor([1.0] * (len(boxes) - 1) + [0.7])
        return Detections(boxes, scores, self.embed(image, boxes))

    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        return torch.stack([look(self.salt, place_of(image), box) for box in boxes] or [torch.zeros(6)])[: len(boxes)]

    @property
    def dim(self) -> int:
        return 6


@dataclass
class FakeProposer:
    """Proposes everybody that is annotated, by a likeness of its own."""

    detector: FakeDetector
    settings: IGPNSettings = IGPNSettings(proposals=ProposalSettings(9, 9))

    def encode_query(self, image: Image.Image, boxes: list[tuple[float, float, float, float]]) -> QueryCode:
        looks = self.detector.embed(image, torch.tensor(boxes))
        return QueryCode(looks, looks, looks)

    def encode_scene(self, image: Image.Image) -> Image.Image:
        return image

    def answer(self, scene: Image.Image, query: QueryCode, _regions: object = None) -> list[Proposals]:
        found = self.detector.detect(scene, 0.0)
        answers = []
        for likeness in (query.features @ found.embeddings.T + 1) / 2:
            best = likeness.argsort(descending=True)[: self.settings.proposals.after_nms]
            answers.append(Proposals(found.boxes[best], likeness[best] * self.settings.test_size.short / 1000))
        return answers

    def candidates(self, scene: Image.Image, query: QueryCode) -> list[Candidates]:
        return [Candidates(found.boxes, found.similarities) for found in self.answer(scene, query)]

    def compare(
        self, scene: Image.Image, query: QueryCode, lists: list[torch.Tensor], _regions: object = None
    ) -> list[Proposals]:
        compared = []
        for answer, boxes in zip(self.answer(scene, query), lists, strict=True):
            asked = [place for place, box in enumerate(answer.boxes.tolist()) if box in boxes.tolist()]
            compared.append(Proposals(answer.boxes[asked], answer.similarities[asked]))
        return compared
