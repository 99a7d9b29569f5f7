"""Pairs of a query person and a scene as a frozen trunk reads them: each scene once, kept on disk.

With the trunk frozen, nothing of what it says of a scene, of a query or of a region changes in training. The codes are
rounded to float16 at once, so that a code that was just computed and one from disk train alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from personsearch.data.records import Scene
from personsearch.data.streams import Stream
from personsearch.models.igpn_trunk import TrunkIGPN
from personsearch.models.region_features import on_grid
from personsearch.progress import Progress, quiet
from personsearch.search.scene_codes import SceneCodes
from personsearch.settings import PeopleAStep, ScenesAStep
from personsearch.training.batches.pairs import Pair, PairSettings, TrainingPairs, sought
from personsearch.training.batches.scenes import Batch


@dataclass(frozen=True)
class CodePairSettings:
    """What a step of training on codes sees."""

    scenes: ScenesAStep = 4
    per_scene: PeopleAStep = 8
    """Pairs of each scene."""
    shares: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Of cross-scene positive, self-scene positive and negative pairs."""


@dataclass(frozen=True)
class Keeping:
    """Where codes are kept."""

    folder: Path = Path("codes")
    limit: int = 0
    """Most bytes; what is beyond is computed each time."""
    complain: Callable[[str], None] = lambda _line: None
    progress: Progress = quiet


NOTHING_KEPT = Keeping()


@dataclass(frozen=True)
class TrainingCode:
    """All that training is told of one scene. Boxes are in pixels of the network's input."""

    hidden: Tensor
    """[1, 512, H, W] of the trunk"""
    regions: Tensor
    """[N, 4]: the annotated people, then what the trunk proposes, all on the grid of `on_grid`"""
    readings: Tensor
    """[N, D] of the regions"""
    people: Tensor
    """[n, 4]: the annotated people"""
    kernels: Tensor
    """[n, 1024, 7, 3] of the people as queries"""
    queries: Tensor
    """[n, D]: their readings"""
    size: tuple[int, int]


class TrainingForm:
    """How such codes are kept. They depend on who is annotated in the scene, too."""

    def tensors(self, code: TrainingCode) -> dict[str, Tensor]:
        return {name: value for name, value in vars(code).items() if name != "size"}

    def code(self, tensors: Mapping[str, Tensor], size: tuple[int, int]) -> TrainingCode:
        return TrainingCode(**tensors, size=size)

    def state(self, scene: Scene) -> str:
        return hashlib.sha256(repr([person.box for person in scene.persons]).encode()).hexdigest()[:16]


def read_for_training(network: TrunkIGPN, scene: Scene) -> TrainingCode:
    """What the trunk says of a scene, rounded to float16 as it is kept."""
    code = network.read_scene(scene.read())
    people = torch.tensor([person.box for person in scene.persons], dtype=torch.float32).reshape(-1, 4).to(code.scale)
    people = people * code.scale
    regions = torch.cat([on_grid(people), network.trunk_proposals(code)])
    kernels, queries = network.read_people(code, people)
    read = network.read_regions_of(code, regions)
    rounded = [tensor.half().float().cpu() for tensor in (code.hidden, read, kernels, queries)]
    return TrainingCode(rounded[0], regions.cpu(), rounded[1], people.cpu(), rounded[2], rounded[3], code.size)


@dataclass(frozen=True)
class CodeBatch(Batch):
    """B scenes and P queries, P/B of each scene, as `TrunkIGPN.forward` takes them; `images` are what phi sees."""

    kernels: Tensor
    """[P, 1024, 7, 3]"""
    queries: Tensor
    """[P, D]"""
    regions: Tensor
    """[B, N, 4]"""
    readings: Tensor
    """[B, N, D]"""

    def inputs(self) -> tuple[Tensor, ...]:
        return self.images, self.kernels, self.queries, self.regions, self.readings

    def parts(self, count: int) -> list[Batch]:
        """The same pairs in `count` batches, or in as many as there are scenes if these are fewer."""
        each = len(self.queries) // len(self.images)
        return [
            CodeBatch(
                self.images[a:b],
                self.boxes[a * each : b * each],
                self.identities[a * each : b * each],
                self.seeds[a * each : b * each],
                self.kernels[a * each : b * each],
                self.queries[a * each : b * each],
                self.regions[a:b],
                self.readings[a:b],
            )
            for a, b in self.shares(count)
        ]


class CodedPairs(Dataset[Batch]):
    """The pairs of a training run on codes, indexed by step: a pure function of seed and step."""

    def __init__(
        self, scenes: Sequence[Scene], settings: CodePairSettings, seed: int, network: TrunkIGPN, keeping: Keeping
    ) -> None:
        """Raises DataError and SettingError as `TrainingPairs` does, GalleryError for codes of another trunk."""
        drawn = PairSettings(settings.scenes, settings.per_scene, settings.shares)
        self._drawn = TrainingPairs(scenes, drawn, seed)
        self._network, self._keeping, self._seed = network, keeping, seed
        proposals, size = network.settings.proposals, network.settings.test_size
        made_by = f"{network.trunk.fingerprint}-{size.short}x{size.long}-{proposals.before_nms}-{proposals.after_nms}"
        self._codes = SceneCodes(keeping.folder, made_by, keeping.limit, TrainingForm(), complain=keeping.complain)

    def read_all(self) -> None:
        """Reads every scene once, so that training need not wait for the trunk. What is kept already is not read."""
        if self._keeping.limit:
            scenes = self._drawn.scenes
            for scene in self._keeping.progress(scenes, "reading scenes", len(scenes)):
                self.code(scene)

    def code(self, scene: Scene) -> TrainingCode:
        """What the trunk says of a training scene, kept or read."""
        return self._codes.get(scene, lambda missing: read_for_training(self._network, missing))

    def __getitem__(self, step: int) -> CodeBatch:
        random = np.random.default_rng((self._seed, Stream.PAIR_VIEWS, step))
        pairs = self._drawn.pairs(step)
        each = self._drawn.settings.per_scene
        codes = [self.code(pair.scene) for pair in pairs[::each]]
        asked = [self._query(pair) for pair in pairs]
        boxes = [
            torch.tensor(sought(pair), dtype=torch.float32).reshape(-1, 4) * _scale(pair.scene, codes[index // each])
            for index, pair in enumerate(pairs)
        ]
        identities = [torch.zeros(len(box), dtype=torch.int64) for box in boxes]  # the one asked for
        seeds = random.integers(2**62, size=len(pairs)).tolist()
        kernels, queries = (torch.stack(some) for some in zip(*asked, strict=True))
        regions = _filled([code.regions for code in codes])
        readings = _filled([code.readings for code in codes])
        return CodeBatch(_padded(codes), boxes, identities, seeds, kernels, queries, regions, readings)

    def _query(self, pair: Pair) -> tuple[Tensor, Tensor]:
        code, place = self.code(pair.query), pair.query.persons.index(pair.person)
        return code.kernels[place], code.queries[place]


def _scale(scene: Scene, code: TrainingCode) -> Tensor:
    height, width = code.size
    across, down = width / scene.width, height / scene.height
    return torch.tensor([across, down, across, down])


def _padded(codes: Sequence[TrainingCode]) -> Tensor:
    """Scenes of one batch with zeros at the right and below, [B, 512, H, W]."""
    height, width = (max(code.hidden.shape[axis] for code in codes) for axis in (2, 3))
    canvas = codes[0].hidden.new_zeros(len(codes), codes[0].hidden.shape[1], height, width)
    for place, code in zip(canvas, codes, strict=True):
        place[:, : code.hidden.shape[2], : code.hidden.shape[3]] = code.hidden[0]
    return canvas


def _filled(rows: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
