"""Makes a gallery's approximate index look far enough to find most of the exact answers."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from personsearch.errors import GalleryError
from personsearch.search.asking import Asking
from personsearch.search.hits import GalleryHit
from personsearch.search.neighbours import Neighbours
from personsearch.search.picking import Limits
from personsearch.search.place import Place

FEWEST = 20
"""People of whom the recall of an index can be told."""
RECALL = 0.95
"""Of the exact first answers, the part that is to be found."""
FIRST = 10
"""Answers that count."""
_ASKED = 50
_PEOPLE_IN_A_LIST = 4096
_FEWEST_PROBES = 8
_SCENES, _MOST_SCENES = 500, 8000
"""Who are ranked exactly: readings are stored with the mean of their camera, so the most alike of a camera are not the
most alike as they are stored."""


def lists_for(people: int, folder: Place) -> int:
    """How many lists an index of so many people has. Raises GalleryError where they are too few to make one."""
    if people < FEWEST:
        raise GalleryError(
            f"{folder}: holds {people} people, too few for an approximate index, which needs {FEWEST}: leave "
            "--approximate out"
        )
    return max(1, people // _PEOPLE_IN_A_LIST)


def measured(asking: Asking, lists: int) -> Neighbours:
    """What the index finds for 50 of its people, asked for one by one, with as few lists and scenes as find `RECALL` of
    the exact answers, or with the most."""
    crowd, version = asking.crowd(), asking.version
    chosen = random.Random(0).sample(range(len(crowd.scores)), min(len(crowd.scores), _ASKED))
    asked = [
        _Asked(query, crowd.hit(number, 0.0).scene)
        for number, query in zip(chosen, crowd.readings(torch.tensor(chosen)), strict=True)
    ]
    exact = [one.answers(asking) for one in asked]
    known = Neighbours(0.0, min(lists, _FEWEST_PROBES), _SCENES).counted(crowd, version)
    while True:
        near = asking.near(known)
        found = sum(len(told & one.answers(near)) for one, told in zip(asked, exact, strict=True))
        known = replace(known, recall=found / max(1, sum(map(len, exact))))
        if known.recall >= RECALL or (known.probes, known.scenes) == (lists, _MOST_SCENES):
            return known
        known = replace(known, probes=min(lists, 2 * known.probes), scenes=min(_MOST_SCENES, 2 * known.scenes))


@dataclass(frozen=True)
class _Asked:
    """Somebody of the gallery."""

    query: Tensor
    scene: str

    def answers(self, asking: Asking) -> set[tuple[object, ...]]:
        """Her first answers in other scenes."""
        hits = asking.answer(self.query, Limits(FIRST, allow=self._elsewhere), None, None).hits
        return {(hit.scene, hit.box) for hit in hits}

    def _elsewhere(self, hit: GalleryHit) -> bool:
        return hit.scene != self.scene
