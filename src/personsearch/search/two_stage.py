"""Search in two stages (IGPN, section 3.4): a proposer that is asked for one person, then a re-id network.

Every scene is encoded once, and all queries that search in it share that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from personsearch.data.records import Box, Scene
from personsearch.errors import BoxError, ImageError, SettingError, VideoError
from personsearch.geometry.boxes import check_box
from personsearch.models.igpn import IGPN, Candidates, Proposals, QueryCode, SceneCode, cat_queries
from personsearch.models.readers import Embedder
from personsearch.models.weights import load_proposer, load_reid
from personsearch.progress import Progress, quiet
from personsearch.runtime import best_device
from personsearch.search.hits import GalleryHit, hit_of
from personsearch.search.limits import check_limits
from personsearch.search.ranking import descending, too_close
from personsearch.search.scene_codes import SceneCodes

Answers = dict[str, tuple[Tensor, Tensor]]
"""Boxes [N, 4] and similarities [N] of each scene, to one query."""
Complain = Callable[[str], None] | None
"""Hears in one line of a scene that cannot be read, and is left out."""
Allow = Callable[[GalleryHit], bool]
"""Whether somebody may be an answer."""
_TOGETHER = 8
"""Queries of one scene that are answered in one go."""
_SCENES_BEFORE_CUT = 64
"""After so many scenes what cannot be among a query's best is let go."""
LEAST_QUERY = (6, 12)
"""Width and height in pixels under which a box does not show who somebody is."""


@dataclass(frozen=True)
class GuidedQuery:
    """A person to search for, as both stages see them."""

    code: QueryCode
    embedding: Tensor | None
    """[D] unit length; None without a second stage."""


@dataclass(frozen=True)
class TwoStageSearcher:
    """Asks every scene for one person, and ranks the most alike proposals by a re-id network."""

    proposer: IGPN
    embedder: Embedder | None = None
    """None ranks by the proposer's own similarities."""
    keep: int = 100
    """How many proposals of the whole gallery, the most alike ones, the re-id network sees, where there is one."""
    candidates: int | None = None
    """How many of what the proposer's first stage finds in the whole gallery its second one looks at; all when None."""

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise SettingError(f"keep {self.keep}: the re-id network needs 1 proposal or more")
        check_candidates(self.candidates)

    def encode_scene(self, image: Image.Image) -> SceneCode:
        """All that a scene says before anybody is asked for."""
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
        code_of: Callable[[Scene], SceneCode] | None = None,
        per_scene: int | None = 1,
        min_score: float = 0.0,
        min_gap: float = 0.0,
        allow: Allow | None = None,
        complain: Complain = None,
        progress: Progress = quiet,
    ) -> list[list[GalleryHit]]:
        """For each query the people most like it in pictures or frames of videos, best first, at most `top`.

        `code_of` gives a scene's code where it is kept somewhere. A scene gives at most `per_scene` hits (None: any
        number), and hits of one video are `min_gap` seconds apart. A hit's score is the proposer's similarity; those
        under `min_score`, and those that `allow` refuses, are left out before the proposals are counted, and what
        `allow` refuses is no candidate, either. A scene that cannot be read any more is told to `complain` in one
        line and left out, or raised without it. Raises SettingError for limits that make no sense.
        """
        check_limits(top, per_scene, min_score, min_gap)
        known = {scene.name: scene for scene in scenes}
        asking = {name: list(range(len(queries))) for name in known}
        codes = [query.code for query in queries]
        answers = propose(
            self.proposer,
            codes,
            scenes,
            asking,
            code_of,
            candidates=self.candidates,
            allow=allow,
            complain=complain,
            progress=progress,
        )
        kept = [_allowed(found, known, min_score, allow) for found in answers]
        ranked = kept
        if self.embedder is not None:
            kept = [keep_best(found, self.keep) for found in kept]
            embeddings = [_embedding(query) for query in queries]
            ranked = embed_again(self.embedder, scenes, kept, embeddings, complain=complain, progress=progress)
        return [
            _ranked(known, first, second, top, per_scene, min_gap) for first, second in zip(kept, ranked, strict=True)
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
    complain: Callable[[str], None] = lambda line: None,
) -> tuple[TwoStageSearcher, Callable[[Scene], SceneCode]]:
    """A searcher from weights by name or folder, and what gives it scene codes: from `folder`, where at most `limit`
    bytes of them are kept. Raises WeightsError, and GalleryError when the folder holds codes of other weights.
    """
    chosen = device or best_device()
    loaded = load_proposer(proposer, chosen)
    embedder = None if reid is None else load_reid(reid, chosen).model
    searcher = TwoStageSearcher(loaded.model, embedder, keep, candidates)
    codes = SceneCodes(folder, loaded.fingerprint, limit, device=chosen, complain=complain)
    return searcher, lambda scene: codes.get(scene, lambda missing: searcher.encode_scene(missing.read()))


def propose(
    proposer: IGPN,
    queries: Sequence[QueryCode],
    scenes: Sequence[Scene],
    asking: Mapping[str, Sequence[int]],
    code_of: Callable[[Scene], SceneCode] | None = None,
    *,
    keep: int | None = None,
    candidates: int | None = None,
    allow: Allow | None = None,
    complain: Complain = None,
    progress: Progress = quiet,
) -> list[Answers]:
    """What each scene answers to the queries, by their places, that `asking` lists for it.

    With `keep` the most alike ones of each query's gallery; the others are let go as soon as that is known.
    With `candidates` the second stage looks only at so many of a query's whole gallery, those that the first stage
    likes best and `allow` does not refuse, and at no scene without one: faster, with other answers. Such a scene is
    encoded twice, so it pays where codes are kept.
    """
    code_of = code_of or (lambda scene: proposer.encode_scene(scene.read()))
    known = {scene.name: scene for scene in scenes}

    def both(code: SceneCode, places: Sequence[int], _scene: str) -> list[Proposals]:
        return proposer.answer(code, cat_queries([queries[place] for place in places]))

    def first(code: SceneCode, places: Sequence[int], scene: str) -> list[Candidates]:
        found = proposer.candidates(code, cat_queries([queries[place] for place in places]))
        return found if allow is None else [_allowed_candidates(some, code, known[scene], allow) for some in found]

    def second(code: SceneCode, places: Sequence[int], scene: str) -> list[Proposals]:
        lists = [chosen[place][scene][0] for place in places]
        return proposer.compare(code, cat_queries([queries[place] for place in places]), lists)

    ask = partial(_ask_scenes, len(queries), scenes, code_of=code_of, complain=complain, progress=progress)
    if candidates is None:
        return ask(both, asking, keep)
    chosen = ask(first, asking, candidates)
    return ask(second, {name: [p for p in places if name in chosen[p]] for name, places in asking.items()}, keep)


def _ask_scenes(
    count: int,
    scenes: Sequence[Scene],
    ask: Callable[[SceneCode, Sequence[int], str], Sequence[Proposals | Candidates]],
    asking: Mapping[str, Sequence[int]],
    keep: int | None,
    *,
    code_of: Callable[[Scene], SceneCode],
    complain: Complain,
    progress: Progress,
) -> list[Answers]:
    """What `ask` gets from each scene, by its code and name, for some of `count` queries at a time."""
    answers: list[Answers] = [{} for _ in range(count)]
    for scene in progress(scenes, "asking scenes", len(scenes)):
        places = asking.get(scene.name, ())
        if not places:
            continue
        try:
            code = code_of(scene)
        except (ImageError, VideoError) as error:
            _tell(complain, error)
            continue
        for start in range(0, len(places), _TOGETHER):
            some = places[start : start + _TOGETHER]
            found = ask(code, some, scene.name)
            for place, proposals in zip(some, found, strict=True):
                answers[place][scene.name] = (proposals.boxes, proposals.similarities)
                if keep is not None and len(answers[place]) % _SCENES_BEFORE_CUT == 0:
                    answers[place] = keep_best(answers[place], keep)
    return answers if keep is None else [keep_best(found, keep) for found in answers]


def _tell(complain: Complain, error: ImageError | VideoError) -> None:
    if complain is None:
        raise error
    complain(str(error))


def _embedding(query: GuidedQuery) -> Tensor:
    if query.embedding is None:
        raise SettingError(
            "a query without an embedding cannot be ranked by a second stage: encode it by this searcher"
        )
    return query.embedding


def keep_best(answers: Answers, count: int) -> Answers:
    """The `count` most alike proposals of a whole gallery; of several with the last similarity the first ones.

    Scenes of which nothing is left are left out.
    """
    names = list(answers)
    similarities = torch.cat([answers[name][1] for name in names] or [torch.zeros(0)])
    kept = torch.zeros(len(similarities), dtype=torch.bool)
    kept[similarities.sort(descending=True, stable=True).indices[:count]] = True
    best: Answers = {}
    for name, chosen in zip(names, torch.split(kept, [len(answers[name][1]) for name in names]), strict=True):
        boxes, values = answers[name]
        if chosen.any():
            best[name] = (boxes[chosen], values[chosen])
    return best


def embed_again(
    embedder: Embedder,
    scenes: Iterable[Scene],
    answers: Sequence[Answers],
    queries: Sequence[Tensor],
    *,
    complain: Complain = None,
    progress: Progress = quiet,
) -> list[Answers]:
    """The same boxes with the cosines of an embedder to queries [D]; scenes of which nothing is left are not read."""
    again: list[Answers] = [{} for _ in answers]
    wanted = [scene for scene in scenes if any(len(found[scene.name][0]) for found in answers if scene.name in found)]
    for scene in progress(wanted, "embedding proposals", len(wanted)):
        places = [place for place, found in enumerate(answers) if scene.name in found]
        lists = [answers[place][scene.name][0] for place in places]
        try:
            image = scene.read()
        except (ImageError, VideoError) as error:
            _tell(complain, error)
            continue
        embeddings = torch.split(embedder.embed(image, torch.cat(lists)), [len(boxes) for boxes in lists])
        for place, boxes, some in zip(places, lists, embeddings, strict=True):
            again[place][scene.name] = (boxes, some @ queries[place])
    return again


def _allowed_candidates(found: Candidates, code: SceneCode, scene: Scene, allow: Allow) -> Candidates:
    boxes = found.boxes / code.scale
    hits = _proposed(scene, boxes, found.similarities)
    chosen = torch.tensor([allow(hit) for hit in hits], dtype=torch.bool, device=boxes.device)
    return Candidates(found.boxes[chosen], found.similarities[chosen])


def _allowed(answers: Answers, scenes: Mapping[str, Scene], min_score: float, allow: Allow | None) -> Answers:
    left: Answers = {}
    for name, (boxes, similarities) in answers.items():
        hits = _proposed(scenes[name], boxes, similarities)
        good = [hit.score >= min_score and (allow is None or allow(hit)) for hit in hits]
        chosen = torch.tensor(good, dtype=torch.bool)
        left[name] = (boxes[chosen], similarities[chosen])
    return left


def _proposed(scene: Scene, boxes: Tensor, similarities: Tensor) -> list[GalleryHit]:
    """The proposer's boxes as hits, before anybody else has judged them."""
    return [_hit(scene, box, float(s), float(s)) for box, s in zip(boxes, similarities, strict=True)]


def _ranked(
    scenes: Mapping[str, Scene], first: Answers, second: Answers, top: int, per_scene: int | None, min_gap: float
) -> list[GalleryHit]:
    """Hits by falling similarity of the last stage, equal ones in the order of scenes and places."""
    rows = [(name, place) for name, (boxes, _) in second.items() for place in range(len(boxes))]
    hits: list[GalleryHit] = []
    taken: dict[str, int] = {}
    for row in descending(torch.cat([similarities for _, similarities in second.values()] or [torch.zeros(0)])):
        name, place = rows[row]
        if len(hits) >= top:
            break
        boxes, similarities = second[name]
        hit = _hit(scenes[name], boxes[place], float(similarities[place]), float(first[name][1][place]))
        if (per_scene is not None and taken.get(name, 0) >= per_scene) or too_close(hit, hits, min_gap):
            continue
        taken[name] = taken.get(name, 0) + 1
        hits.append(hit)
    return hits


def _hit(scene: Scene, box: Tensor, similarity: float, score: float) -> GalleryHit:
    x1, y1, x2, y2 = box.tolist()
    return hit_of(scene, (x1, y1, x2, y2), similarity, score)
