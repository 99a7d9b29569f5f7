"""What earlier versions wrote opens, answers and goes on as it did then; `made_before/` was written by version 0.1.0
before its modules moved, by the classes below."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from personsearch.models.paces import PacedModule, Paces
from personsearch.search.gallery import Gallery
from personsearch.training.batches.scenes import Batch
from personsearch.training.loop import Training
from personsearch.training.optimizers import OptimizerSettings

MADE = Path(__file__).parent / "made_before"


def test_a_gallery_answers_as_before(tmp_path: Path) -> None:
    shutil.copytree(MADE / "gallery", tmp_path / "gallery")
    expected = json.loads((MADE / "answers.json").read_text())
    gallery = Gallery.open(tmp_path / "gallery")
    assert (len(gallery), gallery.people, len(gallery.sources)) == (6, 12, 4)
    hits = gallery.search(torch.tensor(expected["query"]), top=20, per_scene=None)
    found = [{name: hit.as_dict()[name] for name in old} for hit, old in zip(hits, expected["hits"], strict=True)]
    assert found == expected["hits"]


class Tiny(PacedModule):
    """Three layers, one of each pace."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.rpn, self.similarity = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def paces(self) -> Paces:
        return {"fresh": [self.rpn], "correlation": [self.similarity]}

    def forward(self, images: Tensor, _targets: object) -> Tensor:
        return self.similarity(self.rpn(self.embedding(images.float().mean(dim=(2, 3)) / 255)))


class Far(nn.Module):
    """How far outputs are from one, and a memory that has a say."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, output: Tensor) -> dict[str, Tensor]:
        return {"far": (output - 1).square().mean() + self.mean.sum() * output.sum() / 100}

    def remember(self, outputs: list[Tensor]) -> None:
        self.mean += torch.cat(outputs).mean(dim=0).detach() / 10

    def watched(self, _output: Tensor) -> dict[str, Tensor]:
        return {}


def _batch(step: int) -> Batch:
    images = torch.randint(0, 256, (2, 3, 4, 4), generator=torch.Generator().manual_seed(step), dtype=torch.uint8)
    return Batch(images, [torch.zeros(0, 4)] * 2, [torch.zeros(0, dtype=torch.int64)] * 2, [0, 1])


def test_a_run_goes_on_as_before(tmp_path: Path) -> None:
    """The checkpoint is of step 3 of 6."""
    shutil.copy(MADE / "checkpoint.safetensors", tmp_path)
    settings = OptimizerSettings(
        "adamw", rate=0.01, fresh_factor=4.0, correlation_factor=2.0, steps=6, schedule="cosine", warmup=2
    )
    training = Training(Tiny(), Far(), [_batch(step) for step in range(6)], settings, {"kept": "yes"})
    training.run(tmp_path, resume=True, every=3, workers=0)
    found, expected = load_file(tmp_path / "checkpoint.safetensors"), load_file(MADE / "finished.safetensors")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor)
