"""A second look: the gallery says which scenes promise most, and IGPN searches them anew with the person in mind.

A detector finds people whoever is asked for, so it misses some and boxes others badly. IGPN looks for one person, and
finds more of those who look like her; how alike they are is then judged by what the gallery's people are read by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import box_iou

from personsearch.data.records import Box, Scene
from personsearch.errors import ImageError, SettingError, VideoError
from personsearch.models.guided import GuidedNetwork, Proposals, QueryCode
from personsearch.models.igpn_trunk import TrunkCode, TrunkIGPN
from personsearch.models.readings import PeopleReader
from personsearch.models.search_network import SceneMap, SearchNetwork
from personsearch.progress import Progress, quiet
from personsearch.search.gallery import Gallery
from personsearch.search.hits import Answer, GalleryHit, file_and_frame, hit_of
from personsearch.search.once_a_scene import once_a_scene
from personsearch.search.picking import Limits, pick
from personsearch.search.ranking import camera_of
from personsearch.search.searchers import SceneEncoder

EACH = 3
"""How many of the boxes that IGPN likes best in a scene are compared."""
SAME = 0.5
"""Boxes that overlap (IoU) so much show one person."""


@dataclass(frozen=True)
class Found:
    """N people of one scene, as answers to one query."""

    boxes: Tensor
    """[N, 4]"""
    similarities: Tensor
    """[N] cosines"""
    scores: Tensor
    """[N], of whoever found them"""

    def __getitem__(self, index: Tensor) -> Found:
        return Found(self.boxes[index], self.similarities[index], self.scores[index])


def together(held: Found, again: Found) -> Found:
    """Whom a gallery holds of a scene, and who was found when it was looked at again.

    Of two boxes that show one person the more alike stays. What is only held, or only found, stays.
    """
    same = box_iou(held.boxes, again.boxes) >= SAME
    more = again.similarities[None] > held.similarities[:, None]
    left, new = held[~(same & more).any(dim=1)], again[~(same & ~more).any(dim=0)]
    parts = ((getattr(left, name), getattr(new, name)) for name in ("boxes", "similarities", "scores"))
    return Found(*(torch.cat(some) for some in parts))


@dataclass(frozen=True)
class SecondLook:
    """Who looks again, and at how much."""

    proposer: GuidedNetwork
    kept: Callable[[Scene], Any]
    """What is kept of a scene, for `proposer.ready`: read from its picture, or from disk"""
    count: int
    """Scenes that are looked at again, the most promising ones; more than there are is all of them"""

    def __post_init__(self) -> None:
        if self.count < 1:
            raise SettingError(f"look again {self.count}: give 1 scene or more")

    def shares(self, encoder: SceneEncoder) -> bool:
        """Whether the gallery's people are read on the very maps that the proposer reads."""
        model, proposer = encoder.model, self.proposer
        if not isinstance(proposer, TrunkIGPN) or not isinstance(model, SearchNetwork | PeopleReader):
            return False
        same = encoder.fingerprint.split("-")[0] == proposer.trunk.fingerprint
        return same and model.test_size == proposer.settings.test_size


@dataclass(frozen=True)
class Asked:
    """The person searched for."""

    image: Image.Image
    box: Box
    camera: Any = None
    """The film or folder that the picture is of, as `Gallery.ask` takes it"""


def look_again(
    gallery: Gallery,
    encoder: SceneEncoder,
    look: SecondLook,
    asked: Asked,
    limits: Limits,
    *,
    complain: Callable[[str], None] = lambda _line: None,
    progress: Progress = quiet,
) -> Answer:
    """The gallery's answers, those of its most promising scenes found and ranked anew; one person is once in a scene.

    A scene whose picture cannot be read any more keeps the gallery's answers, and `complain` hears of it.
    """
    embedding = encoder.encode_query(asked.image, asked.box)
    code = look.proposer.encode_query(asked.image, [asked.box])
    everybody = replace(limits, top=max(1, gallery.people), per_scene=None, min_gap=0.0, min_score=0.0)
    hits = gallery.ask(embedding, everybody, camera=asked.camera).hits
    scenes = {scene.name: scene for scene in gallery.scenes()}
    by_scene: dict[str, list[GalleryHit]] = {}
    for hit in hits:
        by_scene.setdefault(hit.scene, []).append(hit)
    # scenes in which nobody was found come last: whoever is in them was missed
    promising = [*by_scene, *(name for name in scenes if name not in by_scene)][: look.count]
    query = gallery.comparable(embedding, asked.camera)
    people: dict[str, Found] = {name: _held(some) for name, some in by_scene.items()}
    for name in progress(promising, "looking again", len(promising)):
        again = _again(gallery, encoder, look, scenes[name], code, query, complain)
        people[name] = together(people.get(name, _held([])), again)
    return Answer(_ranked(people, {name: some[0] for name, some in by_scene.items()}, scenes, limits), [])


def _held(hits: Sequence[GalleryHit]) -> Found:
    boxes = torch.tensor([hit.box for hit in hits], dtype=torch.float32).reshape(-1, 4)
    return Found(
        boxes, torch.tensor([hit.similarity for hit in hits]), torch.tensor([hit.score for hit in hits])
    )  # fmt: skip


@torch.inference_mode()
def _again(
    gallery: Gallery,
    encoder: SceneEncoder,
    look: SecondLook,
    scene: Scene,
    code: QueryCode,
    query: Tensor,
    complain: Callable[[str], None],
) -> Found:
    """Whom the proposer finds in a scene, read as the gallery's people are. Nobody where it cannot be read."""
    try:
        image, kept = scene.read(), look.kept(scene)
    except (ImageError, VideoError) as error:
        complain(str(error))
        return _held([])
    (proposals,) = look.proposer.answer(look.proposer.ready(kept), code)
    best: Proposals = proposals[:EACH]
    if not len(best):
        return _held([])
    camera = camera_of(*file_and_frame(scene.picture))
    read = _embedded(encoder, look, image, kept, best.boxes)
    cosines = torch.stack([gallery.comparable(one, camera) @ query for one in read])
    return Found(best.boxes, cosines.clamp(-1, 1), best.similarities)


def _embedded(encoder: SceneEncoder, look: SecondLook, image: Image.Image, kept: Any, boxes: Tensor) -> Tensor:
    """[N, D] of boxes [N, 4], on the maps that the proposer has read where they are the encoder's own."""
    if look.shares(encoder) and isinstance(kept, TrunkCode) and isinstance(encoder.model, SearchNetwork | PeopleReader):
        return encoder.model.embed_in(SceneMap(kept.maps, kept.scale, kept.size), image, boxes)
    return encoder.model.embed(image, boxes)


def _ranked(
    people: dict[str, Found], indexed: dict[str, GalleryHit], scenes: dict[str, Scene], limits: Limits
) -> list[GalleryHit]:
    """Hits by falling likeness, within the limits."""
    rows = [(name, row) for name, found in people.items() for row in range(len(found.boxes))]
    counts = torch.tensor([len(found.boxes) for found in people.values()], dtype=torch.int64)
    scene_of = torch.arange(len(people)).repeat_interleave(counts)
    cosines = torch.cat([found.similarities for found in people.values()] or [torch.zeros(0)])
    scores = torch.cat([found.scores for found in people.values()] or [torch.zeros(0)])

    def hit_at(index: int) -> GalleryHit:
        name, row = rows[index]
        x1, y1, x2, y2 = people[name].boxes[row].tolist()
        hit = hit_of(scenes[name], (x1, y1, x2, y2), float(cosines[index]), float(scores[index]))
        return replace(hit, indexed=indexed[name].indexed) if name in indexed else hit

    return pick(once_a_scene(cosines, scene_of, scores), scene_of, hit_at, limits)
