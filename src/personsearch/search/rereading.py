"""A second look at the most alike: their patches are read anew, where a gallery holds embeddings alone.

The two branches of BINet err differently, and what lies before the embedding carries over best, so the mean of both is
a better answer than what was stored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from personsearch.errors import InputError
from personsearch.models.own_instance import fingerprint_of_readings
from personsearch.models.projections import load_projections
from personsearch.models.readings import CropReader
from personsearch.models.search_network import SearchNetwork
from personsearch.models.weights import find_weights
from personsearch.search.gallery import Gallery
from personsearch.search.hits import Answer, GalleryHit
from personsearch.search.once_a_scene import once_a_scene
from personsearch.search.picking import Limits, pick
from personsearch.search.searchers import SceneEncoder
from personsearch.search.sources import State

REREAD = 100
"""How many of the most alike are read anew."""
_STORED, _PATCH = 0.4, 0.6
"""Weights of the stored embedding's cosine and of the patch's: those of a reading, 1 against 1 and one half."""


def load_crop_reader(encoder: SceneEncoder, weights: str) -> CropReader | None:
    """What reads patches by the network of an encoder of scenes; None where its weights have no projections.

    Raises WeightsError for damaged projections.
    """
    if not isinstance(encoder.model, SearchNetwork):
        return None
    folder = find_weights(weights)
    projections = load_projections(folder, fingerprint_of_readings(folder))
    return None if projections is None else CropReader(encoder.model, projections)


@dataclass(frozen=True)
class Sight:
    """A query in both ways."""

    embedding: Tensor
    """[D] unit length, as the gallery holds it"""
    patch: Tensor
    """[E] unit length, of a `CropReader`"""


def reread(
    gallery: Gallery, sight: Sight, reader: CropReader, limits: Limits, count: int, complain: Callable[[str], None]
) -> Answer:
    """The `count` people most like a query's embedding, ranked by the mean of its cosine and that of their patches.

    One person is once in a scene (`once_a_scene`). Whose picture is gone or has changed keeps the cosine of the
    embedding, and `complain` hears in one line how many they are.
    """
    first = gallery.ask(sight.embedding, replace(limits, top=max(count, limits.top), per_scene=None, min_gap=0.0)).hits
    cosines = torch.tensor([hit.similarity for hit in first])
    unread = 0
    for rows in _by_picture(first):
        patches = _patches(reader, [first[row] for row in rows])
        if patches is None:
            unread += len(rows)
        else:
            cosines[rows] = _STORED * cosines[rows] + _PATCH * (patches @ sight.patch)
    if unread:
        complain(
            f"{unread} of the {len(first)} most alike cannot be read anew, for their pictures are gone or changed: "
            "they are ranked by what is stored"
        )
    scores = torch.tensor([hit.score for hit in first])
    names = {name: number for number, name in enumerate(dict.fromkeys(hit.scene for hit in first))}
    scene_of = torch.tensor([names[hit.scene] for hit in first], dtype=torch.int64)

    def hit_of(row: int) -> GalleryHit:
        return replace(first[row], similarity=min(1.0, max(-1.0, float(cosines[row]))))

    return Answer(pick(once_a_scene(cosines, scene_of, scores), scene_of, hit_of, limits), [])


def _by_picture(hits: Sequence[GalleryHit]) -> list[list[int]]:
    """Rows of the hits of each picture; frames of a film one after the other, for going back is slow."""
    rows: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row, hit in enumerate(hits):
        rows[str(hit.source), hit.frame or 0].append(row)
    return [rows[key] for key in sorted(rows)]


def _patches(reader: CropReader, hits: Sequence[GalleryHit]) -> Tensor | None:
    """[N, E] of people in one picture; None where it is not what they were found in."""
    if hits[0].state in (State.GONE, State.CHANGED):
        return None
    try:
        image = hits[0].picture.read()
    except InputError:
        return None
    if image.size != (hits[0].width, hits[0].height):
        return None
    return reader.embed(image, torch.tensor([hit.box for hit in hits]))
