"""Pairs of a query person and a scene to search, for training IGPN (section 3.5)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from personsearch.data.patches import query_patch
from personsearch.data.records import UNLABELED, Box, Person, Scene
from personsearch.data.streams import Stream
from personsearch.data.transforms import SizeSettings, flip, pad_images, resize, sides_impossible
from personsearch.errors import DataError, SettingError
from personsearch.settings import PeopleAStep, ScenesAStep, Side
from personsearch.training.batches.scenes import Batch

KINDS = ("cross", "self", "negative")


@dataclass(frozen=True)
class PairSettings:
    """What a step of IGPN's training sees."""

    scenes: ScenesAStep = 16
    per_scene: PeopleAStep = 1
    """Pairs of each scene: one in the paper. More teach to find one person and not just any, at less cost."""
    shares: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Of cross-scene positive, self-scene positive and negative pairs."""
    short_sides: tuple[Side, ...] = (600,)
    """A batch's scenes are resized to one of these, drawn for each step."""
    long_side: Side = 1000
    flip: bool = True
    """Mirrors a scene, and by itself a query patch, in half of the cases."""

    def impossible(self) -> str | None:
        """What is wrong, in words."""
        return sides_impossible(self.short_sides, self.long_side)


@dataclass(frozen=True)
class Pair:
    """Whom to search for, and where."""

    query: Scene
    person: Person
    scene: Scene
    kind: str
    """One of KINDS"""


@dataclass(frozen=True)
class PairBatch(Batch):
    """B scenes and P queries: P/B pairs a scene, one after the other, each with its person's box, or none."""

    patches: Tensor
    """[P, 3, 224, 96] uint8 RGB"""

    def inputs(self) -> tuple[Tensor, ...]:
        """Scenes and patches."""
        return self.images, self.patches

    def parts(self, count: int) -> list[Batch]:
        """The same pairs in `count` batches, or in as many as there are scenes if these are fewer."""
        each = len(self.patches) // len(self.images)
        return [
            PairBatch(
                self.images[a:b],
                self.boxes[a * each : b * each],
                self.identities[a * each : b * each],
                self.seeds[a * each : b * each],
                self.patches[a * each : b * each],
            )
            for a, b in self.shares(count)
        ]


class TrainingPairs(Dataset[Batch]):
    """The pairs of a training run, indexed by step: a pure function of seed and step."""

    def __init__(self, scenes: Sequence[Scene], settings: PairSettings, seed: int) -> None:
        """Raises DataError when the scenes lack a kind of pair that has a share, SettingError for no pairs."""
        self.scenes, self.settings, self.seed = scenes, settings, seed
        self._sights: dict[int, list[tuple[int, Person]]] = defaultdict(list)
        for index, scene in enumerate(scenes):
            for person in scene.persons:
                if person.identity != UNLABELED:
                    self._sights[person.identity].append((index, person))
        self._known = sorted(self._sights)
        self._twice = [i for i in self._known if len({index for index, _ in self._sights[i]}) > 1]
        self._check()

    def _check(self) -> None:
        shares = dict(zip(KINDS, self.settings.shares, strict=True))
        for name in ("scenes", "per_scene"):
            if getattr(self.settings, name) < 1:
                raise SettingError(f"pairs.{name} {getattr(self.settings, name)}: give 1 or more")
        if min(shares.values()) < 0 or not any(shares.values()):
            raise DataError(f"pairs.shares {self.settings.shares}: give three numbers from 0 on, not all of them 0")
        if not self._known:
            raise DataError("nobody in the training scenes has an identity: nobody to search for; give other data")
        if shares["cross"] and not self._twice:
            raise DataError(
                "no identity is in two training scenes: no cross-scene pairs; set their part of pairs.shares to 0"
            )
        if shares["negative"] and not any(self._absent(identity) for identity in self._known):
            raise DataError(
                "everybody is in every training scene: no negative pairs; set their part of pairs.shares to 0"
            )

    def _absent(self, identity: int) -> bool:
        """Whether there is a scene without the identity."""
        return len({index for index, _ in self._sights[identity]}) < len(self.scenes)

    def pairs(self, step: int) -> list[Pair]:
        """The pairs of a step."""
        random = np.random.default_rng((self.seed, Stream.PAIRS, step))
        shares = np.array(self.settings.shares, dtype=float)
        count = self.settings.scenes * self.settings.per_scene
        kinds = [str(kind) for kind in random.choice(KINDS, count, p=shares / shares.sum())]
        pairs: list[Pair] = []
        for index, kind in enumerate(kinds):
            new_scene = index % self.settings.per_scene == 0
            pairs.append(self._pair(kind, random) if new_scene else self._pair_in(pairs[-1].scene, kind, random))
        return pairs

    def _pair_in(self, scene: Scene, kind: str, random: np.random.Generator) -> Pair:
        """A pair of this kind that searches the given scene, or of the next kind that the scene allows."""
        named = [person for person in scene.persons if person.identity != UNLABELED]
        here = {person.identity for person in named}
        if kind == "cross" and (known := sorted(here & set(self._twice))):
            identity = int(random.choice(known))
            sights = [
                (self.scenes[i], person) for i, person in self._sights[identity] if self.scenes[i].name != scene.name
            ]
            query, person = sights[random.integers(len(sights))]
            return Pair(query, person, scene, kind)
        if kind != "negative" and named:
            return Pair(scene, named[random.integers(len(named))], scene, "self")
        absent = [identity for identity in self._known if identity not in here]
        if not absent:
            return self._pair_in(scene, "self", random)
        sights_of_absent = self._sights[int(random.choice(absent))]
        index, person = sights_of_absent[random.integers(len(sights_of_absent))]
        return Pair(self.scenes[index], person, scene, "negative")

    def _pair(self, kind: str, random: np.random.Generator) -> Pair:
        identity = int(random.choice(self._twice if kind == "cross" else self._known))
        sights = self._sights[identity]
        index, person = sights[random.integers(len(sights))]
        query, with_person = self.scenes[index], {other for other, _ in sights}
        if kind == "self":
            return Pair(query, person, query, kind)
        if kind == "cross":
            others = sorted(with_person - {index})
            return Pair(query, person, self.scenes[others[random.integers(len(others))]], kind)
        while True:  # most scenes lack most people
            if len(with_person) == len(self.scenes):
                return self._pair(kind, random)
            drawn = int(random.integers(len(self.scenes)))
            if drawn not in with_person:
                return Pair(query, person, self.scenes[drawn], kind)

    def __getitem__(self, step: int) -> PairBatch:
        random = np.random.default_rng((self.seed, Stream.PAIR_VIEWS, step))
        size = SizeSettings(int(random.choice(self.settings.short_sides)), self.settings.long_side)
        images: list[Tensor] = []
        boxes, patches = [], []
        for index, pair in enumerate(self.pairs(step)):
            mirrored, patch_mirrored = (random.random(2) < 0.5) & self.settings.flip
            if index % self.settings.per_scene == 0:
                image, scale = resize(pair.scene.read(), size)
                scene_mirrored = mirrored
                images.append(flip(image, torch.zeros(0, 4))[0] if mirrored else image)
            box = torch.tensor(sought(pair), dtype=torch.float32).reshape(-1, 4) * scale
            if scene_mirrored:
                box = flip(image, box)[1]
            patch = query_patch(pair.query.read(), pair.person.box)
            boxes.append(box)
            patches.append(patch.flip(2) if patch_mirrored else patch)
        seeds = random.integers(2**62, size=len(boxes)).tolist()
        identities = [torch.zeros(len(box), dtype=torch.int64) for box in boxes]  # the one asked for
        return PairBatch(pad_images(images), boxes, identities, seeds, torch.stack(patches))


def sought(pair: Pair) -> list[Box]:
    """The box that a pair's scene should answer with: the query's own in a self-scene pair, none in a negative one."""
    if pair.kind == "self":
        return [pair.person.box]
    return [person.box for person in pair.scene.persons if person.identity == pair.person.identity][:1]
