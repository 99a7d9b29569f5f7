"""What an evaluation says of each query: a table to keep, and pictures of the worst answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torchvision.ops import box_iou

from personsearch.data.pictures import ImageFile
from personsearch.data.records import Query, Scene
from personsearch.data.video import VideoFrame
from personsearch.experiment import Evaluation
from personsearch.search.drawing import contact_sheet
from personsearch.search.rows import GalleryHit

_SHOWN = 12
_OVERLAP = 0.5


def per_query(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One record a query: who, where, average precision (None if left out), rank of the first hit (None if none)."""
    result = evaluation.result
    judged = zip(evaluation.benchmark.queries, result.average_precisions, result.first_hits, strict=True)
    return [
        {"scene": q.scene, "box": list(q.box), "identity": q.identity, "ap": ap, "first_hit": rank}
        for q, ap, rank in judged
    ]


def draw_worst(evaluation: Evaluation, count: int, folder: Path, score_threshold: float = 0.5) -> list[Path]:
    """Contact sheets of the `count` queries with the lowest average precision, worst first; right answers are green."""
    precisions = evaluation.result.average_precisions
    judged = [i for i, ap in enumerate(precisions) if ap is not None]
    worst = sorted(judged, key=lambda i: (precisions[i], i))[:count]
    folder.mkdir(parents=True, exist_ok=True)
    scenes = {scene.name: scene for scene in evaluation.benchmark.test}
    files = []
    for place, index in enumerate(worst, start=1):
        query = evaluation.benchmark.queries[index]
        ranked = sorted(_answers(evaluation, index, score_threshold), key=lambda hit: -hit[1].similarity)[:_SHOWN]
        notes = [f"identity {query.identity}", f"average precision {precisions[index]:.3f}", f"from {query.scene}"]
        sheet = contact_sheet(
            scenes[query.scene].read(),
            query.box,
            [hit for _, hit in ranked],
            notes=notes,
            correct=[_right(scenes[name], query, hit) for name, hit in ranked],
        )
        files.append(folder / f"worst{place:02}.jpg")
        sheet.save(files[-1], quality=90)
    return files


def _answers(evaluation: Evaluation, index: int, score_threshold: float) -> Iterator[tuple[str, GalleryHit]]:
    """Everybody in the query's gallery, with the name of the scene."""
    query = evaluation.benchmark.queries[index]
    scenes = {scene.name: scene for scene in evaluation.benchmark.test}
    for name in dict.fromkeys(query.gallery):
        found = evaluation.detections[name]
        similarities = found.embeddings.float() @ evaluation.query_embeddings[index].float()
        for box, score, similarity in zip(found.boxes, found.scores, similarities, strict=True):
            if score >= score_threshold and name != query.scene:
                yield name, _hit(scenes[name], box.tolist(), float(similarity), float(score))


def _hit(scene: Scene, box: list[float], similarity: float, score: float) -> GalleryHit:
    picture = scene.picture
    if isinstance(picture, ImageFile):
        source, frame = picture.path, None
    elif isinstance(picture, VideoFrame):
        source, frame = picture.path, picture.index
    else:
        raise TypeError(f"{scene.name} is neither a file nor a frame of a video")
    x1, y1, x2, y2 = box
    return GalleryHit(
        scene.name, (x1, y1, x2, y2), similarity, score, source, frame, scene.time, scene.width, scene.height
    )


def _right(scene: Scene, query: Query, hit: GalleryHit) -> bool:
    """Whether the hit shows the person asked for."""
    same = [person.box for person in scene.persons if person.identity == query.identity]
    return bool(same) and bool((box_iou(torch.tensor(same), torch.tensor([hit.box])) >= _OVERLAP).any())
