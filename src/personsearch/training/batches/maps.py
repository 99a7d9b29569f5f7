"""Training on kept conv4 maps: several boxes of each training person, read once, and which of them a step sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.ops import clip_boxes_to_image

from personsearch.data.records import UNLABELED, Scene
from personsearch.data.streams import Stream
from personsearch.data.transforms import flip, resize
from personsearch.errors import DataError, SettingError
from personsearch.models.on_maps import MAPS
from personsearch.models.resnet import STEM_CHANNELS
from personsearch.models.search_network import SearchNetwork
from personsearch.runtime import mixed_precision
from personsearch.settings import Range, ScenesAStep
from personsearch.training.batches.codes import Keeping
from personsearch.training.batches.kept_maps import KeptMaps, MapFile, mark_of_scenes, mark_of_stem
from personsearch.training.batches.scenes import Batch, drawn_indices


@dataclass(frozen=True)
class ViewSettings:
    """What is kept of each training person, and what a step sees of it."""

    scenes: ScenesAStep = 4
    """Of a step; one view of everybody in them is drawn."""
    views: Annotated[int, Range(1, 100)] = 4
    """Of each person: boxes of their own, every second one in the mirrored scene."""
    unlabeled: bool = False
    """Whether people without an identity are seen, too: they fill the memory's queue."""
    jitter: Annotated[float, Range(0, 0.12)] = 0.1
    """A side of a box moves by up to this part of the box's width or height: so it stays a positive region."""


def _seen(scene: Scene, settings: ViewSettings) -> Scene:
    """The scene with the people whom training sees."""
    people = [person for person in scene.persons if settings.unlabeled or person.identity != UNLABELED]
    return replace(scene, persons=tuple(people))


def view_boxes(scene: Scene, place: int, settings: ViewSettings) -> Tensor:
    """The boxes [P, views, 4] of the people in a scene, in its own pixels and not mirrored. `place` is the scene's
    number, from which they are drawn."""
    boxes = torch.tensor([person.box for person in scene.persons], dtype=torch.float32).reshape(-1, 1, 4)
    random = np.random.default_rng((Stream.VIEWS, place))
    moves = random.uniform(-settings.jitter, settings.jitter, (len(boxes), settings.views, 4))
    sides = (boxes[..., 2:] - boxes[..., :2]).repeat(1, 1, 2)
    moved = boxes + torch.from_numpy(moves).float() * sides
    clipped: Tensor = clip_boxes_to_image(moved, (scene.height, scene.width))
    return clipped


@torch.inference_mode()
def view_maps(network: SearchNetwork, kind: str, scene: Scene, boxes: Tensor) -> Tensor:
    """Maps [P, views, 1024, 14, 6] of a scene's boxes [P, views, 4], of one kind of `MAPS`."""
    device = network.stem.mean.device
    pixels, scale = resize(scene.read(), network.test_size)
    count, views = boxes.shape[:2]
    maps = torch.zeros(count, views, STEM_CHANNELS, *network.settings.roi_size)
    plain = (boxes * scale).reshape(-1, 4)
    for first, (picture, own) in enumerate(((pixels, plain), flip(pixels, plain))):
        here = own.view(count, views, 4)[:, first::2]
        if here.numel():
            with mixed_precision(device):
                read = MAPS[kind](network, picture.to(device), here.reshape(-1, 4).to(device))
            maps[:, first::2] = read.float().cpu().view(*here.shape[:2], *maps.shape[2:])
    return maps


@dataclass(frozen=True)
class MapBatch(Batch):
    """P people of some scenes. `images` are their maps [P, 1024, 14, 6] in the scenes."""

    patches: tuple[Tensor, ...]
    """Their maps [P, 1024, 14, 6] in patches, if any are seen"""

    def inputs(self) -> tuple[Tensor, ...]:
        return self.images, *self.patches

    def parts(self, count: int) -> list[Batch]:
        """The same people in `count` batches, or in as many as there are people if these are fewer."""
        return [
            MapBatch(
                self.images[a:b],
                self.boxes[a:b],
                self.identities[a:b],
                self.seeds[a:b],
                tuple(maps[a:b] for maps in self.patches),
            )
            for a, b in self.shares(count)
        ]


class MapBatches(Dataset[Batch]):
    """The people of a training run on maps, indexed by step: a pure function of seed and step."""

    def __init__(
        self,
        scenes: Sequence[Scene],
        settings: ViewSettings,
        seed: int,
        network: SearchNetwork,
        kinds: Sequence[str],
        keeping: Keeping,
    ) -> None:
        """`kinds` of `MAPS`: the first is seen by the search branch. Raises DataError for scenes without people and for
        maps of something else, SettingError where they would take more room than they may."""
        self.scenes = [seen for scene in scenes if (seen := _seen(scene, settings)).persons]
        if not self.scenes:
            raise DataError("nobody has an identity in the training scenes: give other data")
        self.settings, self.seed = settings, seed
        self._network, self._keeping = network, keeping
        self._ends = list(accumulate(len(scene.persons) for scene in self.scenes))
        self._files = {kind: self._file(kind) for kind in kinds}
        self._open: dict[str, KeptMaps] = {}
        for kind, file in self._files.items():
            if not file.is_kept() and file.size > keeping.limit:
                raise SettingError(
                    f"{file.size / 1e9:.1f} GB of {kind} maps are more than the {keeping.limit / 1e9:g} GB that may "
                    "be kept: lower views.views, or give fewer scenes"
                )

    def _file(self, kind: str) -> MapFile:
        size, roi_size = self._network.test_size, self._network.settings.roi_size
        about = {
            "weights": mark_of_stem(self._network),
            "unlabeled": self.settings.unlabeled,
            "data": mark_of_scenes(self.scenes),
            "views": self.settings.views,
            "jitter": self.settings.jitter,
            "size": [size.short, size.long],
        }
        count = self._ends[-1] * self.settings.views
        return MapFile(self._keeping.folder / f"train-{kind}", about, (count, STEM_CHANNELS, *roi_size))

    def is_kept(self) -> bool:
        """Whether all maps are made. Raises DataError for maps of something else."""
        return all(file.is_kept() for file in self._files.values())

    def keep_all(self) -> None:
        """Makes the maps that are not kept yet, and opens them all. Raises DataError, ImageError, OSError."""
        for kind, file in self._files.items():
            if not file.is_kept():
                file.keep(self._read(kind))
            self._open[kind] = file.open()

    def _read(self, kind: str) -> Iterator[Tensor]:
        places = range(len(self.scenes))
        for place in self._keeping.progress(places, f"{kind} maps", len(places)):
            boxes = view_boxes(self.scenes[place], place, self.settings)
            yield view_maps(self._network, kind, self.scenes[place], boxes).flatten(0, 1)

    def some(self, most: int) -> Tensor:
        """At most so many maps of people in their scenes, spread evenly over all of them."""
        kept = self._maps()[0]
        rows = np.linspace(0, len(kept) - 1, min(most, len(kept))).round().astype(int)
        return kept[rows.tolist()]

    def _maps(self) -> list[KeptMaps]:
        if not self._open:
            self.keep_all()
        return list(self._open.values())

    def __getitem__(self, step: int) -> MapBatch:
        random = np.random.default_rng((self.seed, Stream.VIEWS, step))
        views = self.settings.views
        rows, boxes, identities = [], [], []
        for place in drawn_indices(step, self.settings.scenes, len(self.scenes), self.seed):
            scene = self.scenes[place]
            count = len(scene.persons)
            drawn = random.integers(views, size=count)
            rows += ((self._ends[place] - count + np.arange(count)) * views + drawn).tolist()
            boxes += list(
                view_boxes(scene, place, self.settings)[torch.arange(count), torch.from_numpy(drawn)][:, None]
            )
            identities += [torch.tensor([person.identity]) for person in scene.persons]
        scenes, *patches = (kept[rows] for kept in self._maps())
        return MapBatch(scenes, boxes, identities, [step] * len(rows), tuple(patches))
