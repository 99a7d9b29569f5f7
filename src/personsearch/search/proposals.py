"""A proposer's answers to several queries in many scenes. Queries that search in the same scene share its code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from personsearch.data.records import Scene
from personsearch.errors import ImageError, VideoError
from personsearch.models.guided import Candidates, Found, GuidedNetwork, Proposals, QueryCode, SceneCode, cat_queries
from personsearch.models.region_features import RegionFeatures
from personsearch.progress import Progress, quiet
from personsearch.search.hits import GalleryHit, hit_of
from personsearch.search.picking import Allow

Answers = dict[str, Proposals]
"""The proposals for one query, by the scenes' names."""
CodeOf = Callable[[Scene], SceneCode]
"""Gives the code of a scene."""
Complain = Callable[[str], None] | None
"""Called with one line about each scene that cannot be read, which is then left out. None: the error is raised."""
Asking = Mapping[str, Sequence[int]]
"""From the name of a scene to the indices of the queries that search in it."""
FoundT = TypeVar("FoundT", bound=Found)

_TOGETHER = 8
"""Queries of one scene that are answered in one batch."""
_SCENES_BEFORE_CUT = 64
"""After so many scenes what cannot be among a query's best is dropped."""


@dataclass(frozen=True)
class ProposalSearch:
    """A proposer, the queries, and the scenes to search in."""

    proposer: GuidedNetwork
    queries: Sequence[QueryCode]
    scenes: Sequence[Scene]
    code_of: CodeOf | None = None
    """Gives stored codes of scenes; None reads and encodes each scene."""
    complain: Complain = None
    progress: Progress = quiet

    def propose(
        self, asking: Asking, *, keep: int | None = None, candidates: int | None = None, allow: Allow | None = None
    ) -> list[Answers]:
        """The answers to each query.

        With `keep`, only so many proposals of a query's whole gallery, the most similar ones. With `candidates`, the
        second stage looks only at so many of a query's whole gallery: the first stage's best that `allow` does not
        refuse. That is faster, with other answers; scenes without a candidate are skipped and the others encoded
        twice, so it pays where codes are stored.
        """
        if candidates is not None:
            return self.compare(self.candidates(asking, candidates, allow), keep)
        best = _Best[Proposals](len(self.queries), keep)
        for visit in self._visits(asking):
            best.add(visit, self.proposer.answer(visit.code, visit.queries, visit.regions))
        return best.found()

    def candidates(self, asking: Asking, most: int, allow: Allow | None = None) -> list[dict[str, Candidates]]:
        """The first stage alone: the `most` best candidates of each query's gallery that `allow` does not refuse."""
        best = _Best[Candidates](len(self.queries), most)
        for visit in self._visits(asking):
            found = self.proposer.candidates(visit.code, visit.queries)
            best.add(visit, found if allow is None else [visit.allowed(in_scene, allow) for in_scene in found])
        return best.found()

    def compare(self, candidates: Sequence[Mapping[str, Candidates]], keep: int | None = None) -> list[Answers]:
        """The second stage alone, on each query's candidates; `keep` as in `propose`."""
        asking: dict[str, list[int]] = {}
        for query, scenes in enumerate(candidates):
            for name in scenes:
                asking.setdefault(name, []).append(query)
        best = _Best[Proposals](len(self.queries), keep)
        for visit in self._visits(asking):
            boxes = [candidates[query][visit.scene.name].boxes for query in visit.indices]
            best.add(visit, self.proposer.compare(visit.code, visit.queries, boxes, visit.regions))
        return best.found()

    def _visits(self, asking: Asking) -> Iterator[_Visit]:
        """Each scene with up to `_TOGETHER` of its queries at a time. Scenes in which no query searches are skipped."""
        for scene in self.progress(self.scenes, "asking scenes", len(self.scenes)):
            indices = asking.get(scene.name, ())
            if not indices:
                continue
            try:
                code = self.proposer.encode_scene(scene.read()) if self.code_of is None else self.code_of(scene)
            except (ImageError, VideoError) as error:
                complain_or_raise(self.complain, error)
                continue
            regions = RegionFeatures()
            for start in range(0, len(indices), _TOGETHER):
                batch = indices[start : start + _TOGETHER]
                yield _Visit(scene, code, regions, batch, cat_queries([self.queries[index] for index in batch]))


@dataclass(frozen=True)
class _Visit:
    """A scene, and a batch of the queries that search in it."""

    scene: Scene
    code: SceneCode
    regions: RegionFeatures
    """Shared by all visits of the scene"""
    indices: Sequence[int]
    """The indices of these queries among all"""
    queries: QueryCode

    def allowed(self, found: Candidates, allow: Allow) -> Candidates:
        """Candidates that `allow` does not refuse."""
        hits = hits_of(self.scene, found.boxes / self.code.scale, found.similarities)
        return found[torch.tensor([allow(hit) for hit in hits], dtype=torch.bool, device=found.boxes.device)]


class _Best(Generic[FoundT]):
    """Collects the boxes found for each query: the `most` best of its whole gallery, or all when None."""

    def __init__(self, queries: int, most: int | None) -> None:
        self._found: list[dict[str, FoundT]] = [{} for _ in range(queries)]
        self._most = most

    def add(self, visit: _Visit, found: Sequence[FoundT]) -> None:
        for index, in_scene in zip(visit.indices, found, strict=True):
            self._found[index][visit.scene.name] = in_scene
            if self._most is not None and len(self._found[index]) % _SCENES_BEFORE_CUT == 0:
                self._found[index] = keep_best(self._found[index], self._most)

    def found(self) -> list[dict[str, FoundT]]:
        return self._found if self._most is None else [keep_best(found, self._most) for found in self._found]


def keep_best(found: Mapping[str, FoundT], count: int) -> dict[str, FoundT]:
    """The `count` most similar boxes of a whole gallery, of equal ones the first; scenes without any are left out."""
    if not found:
        return {}
    similarities = torch.cat([in_scene.similarities for in_scene in found.values()])
    kept = torch.zeros_like(similarities, dtype=torch.bool)
    kept[similarities.sort(descending=True, stable=True).indices[:count]] = True
    masks = torch.split(kept, [len(in_scene) for in_scene in found.values()])
    return {name: found[name][mask] for name, mask in zip(found, masks, strict=True) if mask.any()}


def hits_of(scene: Scene, boxes: Tensor, similarities: Tensor) -> list[GalleryHit]:
    """A proposer's boxes, in pixels of the picture, as hits whose score is their similarity."""
    return [
        hit_of(scene, (x1, y1, x2, y2), similarity, similarity)
        for (x1, y1, x2, y2), similarity in zip(boxes.tolist(), similarities.tolist(), strict=True)
    ]


def complain_or_raise(complain: Complain, error: ImageError | VideoError) -> None:
    """Tells `complain` of a scene that cannot be read and is left out; without `complain`, raises the error."""
    if complain is None:
        raise error
    complain(str(error))
