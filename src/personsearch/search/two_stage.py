"""Search in two stages (IGPN, section 3.4): a proposer that is asked for one person, then a re-id network.

Proposals of all scenes come from proposals.py; here they are judged again, and ranked.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from personsearch.data.records import Box, Scene
from personsearch.errors import BoxError, ImageError, SettingError, VideoError
from personsearch.geometry.boxes import check_box
from personsearch.models.embedders import load_embedder
from personsearch.models.guided import GuidedNetwork, Proposals, QueryCode, SceneCode
from personsearch.models.readers import Embedder
from personsearch.models.weights import load_proposer
from personsearch.progress import Progress, quiet
from personsearch.runtime import best_device
from personsearch.search.hits import GalleryHit, hit_of
from personsearch.search.once_a_scene import once_a_scene
from personsearch.search.picking import Allow, Limits, pick
from personsearch.search.proposals import (
    Answers,
    CodeOf,
    Complain,
    ProposalSearch,
    complain_or_raise,
    hits_of,
    keep_best,
)
from personsearch.search.scene_codes import codes_of

LEAST_QUERY = (6, 12)
"""Least width and height in pixels of a box that shows who somebody is."""


@dataclass(frozen=True)
class GuidedQuery:
    """A person to search for, as both stages see them."""

    code: QueryCode
    embedding: Tensor | None
    """[D] unit length; None without a second stage."""


@dataclass(frozen=True)
class TwoStageSearcher:
    """Searches every scene for one person, and ranks the most similar proposals by a re-id network."""

    proposer: GuidedNetwork
    embedder: Embedder | None = None
    """None ranks by the proposer's own similarities."""
    keep: int = 100
    """How many proposals of the whole gallery, the most similar ones, go on to the re-id network, if there is one."""
    candidates: int | None = None
    """How many boxes of the proposer's first stage, the best of the gallery, its second one looks at; all when None."""

    once: bool = True
    """Whether proposals are ranked by the rule of `once_a_scene`, as a gallery's people are."""

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise SettingError(f"keep {self.keep}: the re-id network needs 1 proposal or more")
        check_candidates(self.candidates)

    def encode_scene(self, image: Image.Image) -> SceneCode:
        """The part of the search that does not depend on a query."""
        return self.proposer.encode_scene(image)

    def encode_query(self, image: Image.Image, box: Box) -> GuidedQuery:
        """The person in `box`. Raises BoxError for a box that is outside the picture, empty, or too small to use."""
        inside = check_box(box, image.width, image.height)
        width, height = inside[2] - inside[0], inside[3] - inside[1]
        if width < LEAST_QUERY[0] or height < LEAST_QUERY[1]:
            raise BoxError(
                f"box of {width:.0f}x{height:.0f} pixels is too small to show who somebody is: "
                f"give {LEAST_QUERY[0]}x{LEAST_QUERY[1]} or more"
            )
        embedding = None
        if self.embedder is not None:
            embedding = self.embedder.embed(image, torch.tensor([inside], dtype=torch.float32))[0]
        return GuidedQuery(self.proposer.encode_query(image, [inside]), embedding)

    def search(
        self,
        queries: Sequence[GuidedQuery],
        scenes: Sequence[Scene],
        top: int = 10,
        *,
        code_of: CodeOf | None = None,
        per_scene: int | None = 1,
        min_score: float = 0.0,
        min_gap: float = 0.0,
        allow: Allow | None = None,
        complain: Complain = None,
        progress: Progress = quiet,
    ) -> list[list[GalleryHit]]:
        """For each query the people most like it in pictures or frames of videos, best first, at most `top`.

        `code_of` gives stored codes of scenes. A scene gives at most `per_scene` hits (None: any number), and hits of
        one video are `min_gap` seconds apart. A hit's score is the proposer's similarity. Proposals below `min_score`,
        or refused by `allow`, do not count among the `keep` proposals; nor do refused ones among the candidates. For a
        scene that cannot be read any more `complain` is called with one line, and the scene is left out; without
        `complain` the error is raised. Raises SettingError for impossible limits.
        """
        limits = Limits(top, per_scene, min_score, min_gap, allow)
        known = {scene.name: scene for scene in scenes}
        search = ProposalSearch(self.proposer, [query.code for query in queries], scenes, code_of, complain, progress)
        everywhere = dict.fromkeys(known, range(len(queries)))
        found = search.propose(everywhere, candidates=self.candidates, allow=allow)
        first = [_admitted(answers, known, limits) for answers in found]
        last = first
        if self.embedder is not None:
            first = [keep_best(answers, self.keep) for answers in first]
            embeddings = [_embedding(query) for query in queries]
            last = embed_again(self.embedder, scenes, first, embeddings, complain=complain, progress=progress)
        # `allow` was applied to the proposals, before they were counted
        return [
            _ranked(known, *stages, replace(limits, allow=None), self.once) for stages in zip(first, last, strict=True)
        ]


def check_candidates(count: int | None) -> None:
    """Raises SettingError for less than one candidate."""
    if count is not None and count < 1:
        raise SettingError(f"candidates {count}: give 1 or more")


def load_two_stages(
    proposer: str,
    reid: str | None,
    folder: Path,
    limit: int,
    *,
    keep: int = 100,
    candidates: int | None = None,
    device: str | None = None,
    complain: Callable[[str], None] | None = None,
) -> tuple[TwoStageSearcher, CodeOf]:
    """A searcher from weights by name or folder, and its `code_of`, which keeps at most `limit` bytes of codes in
    `folder`. `reid` may be a graph file, too; `complain` hears what had to be guessed of it, and without `complain`
    that is a warning.

    Raises WeightsError, and GalleryError when the folder holds codes of other weights.
    """
    chosen = device or best_device()
    loaded = load_proposer(proposer, chosen)
    embedder = None if reid is None else load_embedder(reid, chosen, complain=complain or warnings.warn).model
    searcher = TwoStageSearcher(loaded.model, embedder, keep, candidates)
    kept = codes_of(loaded, folder, limit, complain=complain or (lambda _line: None))
    return searcher, lambda scene: loaded.model.ready(kept(scene))


def _embedding(query: GuidedQuery) -> Tensor:
    if query.embedding is None:
        raise SettingError(
            "a query without an embedding cannot be ranked by a second stage: encode it by this searcher"
        )
    return query.embedding


def _admitted(answers: Answers, scenes: Mapping[str, Scene], limits: Limits) -> Answers:
    """The proposals that the limits admit."""
    left: Answers = {}
    for name, found in answers.items():
        hits = hits_of(scenes[name], found.boxes, found.similarities)
        left[name] = found[torch.tensor([limits.admits(hit) for hit in hits], dtype=torch.bool)]
    return left


def embed_again(
    embedder: Embedder,
    scenes: Iterable[Scene],
    answers: Sequence[Answers],
    queries: Sequence[Tensor],
    *,
    complain: Complain = None,
    progress: Progress = quiet,
) -> list[Answers]:
    """The same boxes with an embedder's cosines to queries [D]; scenes without boxes are not read."""
    read = embeddings_at(embedder, scenes, answers, complain=complain, progress=progress)
    return [
        {name: Proposals(found[name].boxes, embeddings @ query) for name, embeddings in of_scenes.items()}
        for found, of_scenes, query in zip(answers, read, queries, strict=True)
    ]


def embeddings_at(
    embedder: Embedder,
    scenes: Iterable[Scene],
    answers: Sequence[Answers],
    *,
    complain: Complain = None,
    progress: Progress = quiet,
) -> list[dict[str, Tensor]]:
    """An embedder's embeddings [N, D] of the N boxes of each scene in each of some answers; scenes without boxes are
    not read."""
    read: list[dict[str, Tensor]] = [{} for _ in answers]
    wanted = [scene for scene in scenes if any(len(found[scene.name]) for found in answers if scene.name in found)]
    for scene in progress(wanted, "embedding proposals", len(wanted)):
        indices = [index for index, found in enumerate(answers) if scene.name in found]
        lists = [answers[index][scene.name].boxes for index in indices]
        try:
            image = scene.read()
        except (ImageError, VideoError) as error:
            complain_or_raise(complain, error)
            continue
        embeddings = torch.split(embedder.embed(image, torch.cat(lists)), [len(boxes) for boxes in lists])
        for index, of_boxes in zip(indices, embeddings, strict=True):
            read[index][scene.name] = of_boxes
    return read


def _ranked(scenes: Mapping[str, Scene], first: Answers, last: Answers, limits: Limits, once: bool) -> list[GalleryHit]:
    """Hits by falling similarity of the last stage, equal ones in the order of scenes and proposals.

    With `once` one person is once in a scene (`once_a_scene`); what hits show is the similarity all the same.

    Their scores are the similarities of the first stage, on the same boxes.
    """
    rows = [(name, row) for name, found in last.items() for row in range(len(found))]
    scene_of = torch.arange(len(last)).repeat_interleave(torch.tensor([len(found) for found in last.values()]).long())

    def hit_at(index: int) -> GalleryHit:
        name, row = rows[index]
        found = last[name]
        x1, y1, x2, y2 = found.boxes[row].tolist()
        similarity, score = float(found.similarities[row]), float(first[name].similarities[row])
        return hit_of(scenes[name], (x1, y1, x2, y2), similarity, score)

    similarities = torch.cat([found.similarities for found in last.values()] or [torch.zeros(0)])
    if once:
        scores = torch.cat([first[name].similarities for name in last] or [torch.zeros(0)])
        similarities = once_a_scene(similarities, scene_of, scores)
    return pick(similarities, scene_of, hit_at, limits)
