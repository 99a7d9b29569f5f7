"""An evaluation query by query: a table to keep, and pictures of the worst answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from personsearch.data.records import Benchmark
from personsearch.evaluation.one_stage import Evaluation
from personsearch.evaluation.protocols import SearchResult, best_answers
from personsearch.files import save_picture
from personsearch.search.drawing import contact_sheet
from personsearch.search.hits import hit_of

_SHOWN = 12


def per_query(benchmark: Benchmark, result: SearchResult) -> list[dict[str, Any]]:
    """One record a query: who, where, average precision (None if left out), rank of the first hit (None if none)."""
    judged = zip(benchmark.queries, result.average_precisions, result.first_hits, strict=True)
    return [
        {"scene": q.scene, "box": list(q.box), "identity": q.identity, "ap": ap, "first_hit": rank}
        for q, ap, rank in judged
    ]


def draw_worst(evaluation: Evaluation, count: int, folder: Path) -> list[Path]:
    """Contact sheets of the `count` queries with the lowest average precision, worst first.

    Answers are ranked and judged as in the evaluation; the right ones are green.
    """
    precisions = evaluation.result.average_precisions
    worst = sorted((ap, i) for i, ap in enumerate(precisions) if ap is not None)[:count]
    folder.mkdir(parents=True, exist_ok=True)
    scenes = {scene.name: scene for scene in evaluation.benchmark.test}
    ranked = best_answers(
        evaluation.benchmark,
        evaluation.detections,
        evaluation.query_embeddings,
        [index for _, index in worst],
        rules=evaluation.rules,
        top=_SHOWN,
    )
    files = []
    for number, ((precision, index), answers) in enumerate(zip(worst, ranked, strict=True), start=1):
        query = evaluation.benchmark.queries[index]
        sheet = contact_sheet(
            scenes[query.scene].read(),
            query.box,
            [hit_of(scenes[a.scene], a.box, a.similarity, a.score) for a in answers],
            notes=[f"identity {query.identity}", f"average precision {precision:.3f}", f"from {query.scene}"],
            correct=[answer.right for answer in answers],
        )
        files.append(folder / f"worst{number:02}.jpg")
        save_picture(sheet, files[-1], quality=90)
    return files
