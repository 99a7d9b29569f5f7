"""A second look: the gallery says which scenes promise most, and IGPN searches them anew with the person in mind.

A detector finds people whoever is asked for, so it misses some and boxes others badly. IGPN looks for one person, and
finds more of those who look like her; how alike they are is then judged by what the gallery's people are read by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from personsearch.data.records import Box, Scene
from personsearch.errors import ImageError, SettingError, VideoError
from personsearch.models.guided import GuidedNetwork, Proposals, QueryCode
from personsearch.models.igpn_trunk import TrunkCode, TrunkIGPN
from personsearch.models.readings import PeopleReader
from personsearch.models.search_network import SceneMap, SearchNetwork
from personsearch.progress import Progress, quiet
from personsearch.search.completed import CompletedGallery, Found, who_stays
from personsearch.search.gallery import Gallery
from personsearch.search.hits import Answer, file_and_frame
from personsearch.search.picking import Limits
from personsearch.search.ranking import Resident, camera_of
from personsearch.search.rows import END, scene_of_row
from personsearch.search.searchers import SceneEncoder

EACH = 3
"""How many of the boxes that IGPN likes best in a scene are compared."""


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

    Readings are ranked as `Gallery.ask` ranks them, so the query is widened where its first answers are clear. A scene
    whose picture cannot be read any more keeps the gallery's answers, and `complain` hears of it.
    """
    query = gallery.comparable(encoder.encode_query(asked.image, asked.box), asked.camera)
    code = look.proposer.encode_query(asked.image, [asked.box])
    crowd = gallery.crowd()
    promising = _promising(crowd, gallery.asking.first(query, limits), look.count, limits)
    found = [
        _again(gallery, encoder, look, number, scene_of_row(crowd.scenes[number]), code, complain)
        for number in progress(promising, "looking again", len(promising))
    ]
    gone, stay = who_stays(crowd, crowd.boxes, _admitted(crowd, Found.joined(found, len(query)), limits), query)
    return gallery.asking.answer_among(CompletedGallery(crowd, gone, stay), query, limits)


def _admitted(crowd: Resident, found: Found, limits: Limits) -> Found:
    """Those who may be answers: nobody else takes the place of somebody who is held."""
    hits = [
        crowd.hit_in(scene, box, 0.0, score)
        for scene, box, score in zip(found.scene_of.tolist(), found.boxes, found.scores.tolist(), strict=True)
    ]
    return found[torch.tensor([limits.admits(hit) for hit in hits], dtype=torch.bool)]


def _promising(crowd: Resident, ranked: Iterator[int], count: int, limits: Limits) -> list[int]:
    """Numbers of scenes with somebody who may be an answer, the most alike first; then those in which nobody was found:
    whoever is in them was missed."""
    chosen: dict[int, None] = {}
    for person in ranked:
        if len(chosen) >= count:
            break
        scene = int(crowd.scene_of[person])
        # whatever the score of who is held: who is found there has another
        if scene not in chosen and (limits.allow is None or limits.allow(crowd.hit(person, 0.0))):
            chosen[scene] = None
    empty = torch.nonzero(crowd.scene_of.bincount(minlength=len(crowd.scenes)) == 0).flatten().tolist()
    return [*chosen, *(number for number in empty if crowd.scenes[number]["frame"] != END)][:count]


@torch.inference_mode()
def _again(
    gallery: Gallery,
    encoder: SceneEncoder,
    look: SecondLook,
    number: int,
    scene: Scene,
    code: QueryCode,
    complain: Callable[[str], None],
) -> Found:
    """Whom the proposer finds in the gallery's scene of that number, read as the gallery's people are compared. Nobody
    where it cannot be read."""
    try:
        image, kept = scene.read(), look.kept(scene)
    except (ImageError, VideoError) as error:
        complain(str(error))
        return Found.nobody(gallery.about.dim)
    (proposals,) = look.proposer.answer(look.proposer.ready(kept), code)
    best: Proposals = proposals[:EACH]
    if not len(best):
        return Found.nobody(gallery.about.dim)
    camera = camera_of(*file_and_frame(scene.picture))
    read = _embedded(encoder, look, image, kept, best.boxes)
    compared = torch.stack([gallery.comparable(one, camera) for one in read])
    return Found(best.boxes, compared, best.similarities, torch.full((len(best),), number))


def _embedded(encoder: SceneEncoder, look: SecondLook, image: Image.Image, kept: Any, boxes: Tensor) -> Tensor:
    """[N, D] of boxes [N, 4], on the maps that the proposer has read where they are the encoder's own."""
    if look.shares(encoder) and isinstance(kept, TrunkCode) and isinstance(encoder.model, SearchNetwork | PeopleReader):
        return encoder.model.embed_in(SceneMap(kept.maps, kept.scale, kept.size), image, boxes)
    return encoder.model.embed(image, boxes)
