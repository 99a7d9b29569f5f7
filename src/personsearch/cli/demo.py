"""The whole story on the sample that ships with the package: index it, ask it, and check the answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torchvision.ops import box_iou

import personsearch
from personsearch.cli.console import say
from personsearch.data.layouts.coco import load_coco
from personsearch.data.pictures import ImageFile
from personsearch.data.records import Benchmark, Query, Scene
from personsearch.errors import DataError, SettingError
from personsearch.files import save_picture, write_whole
from personsearch.progress import Progress, quiet
from personsearch.search.drawing import contact_sheet
from personsearch.search.gallery import Gallery
from personsearch.search.hits import GalleryHit
from personsearch.search.indexing import index_sources
from personsearch.search.searchers import SceneEncoder

SAMPLE = Path(personsearch.__file__).parent / "sample"
_MARK = ".personsearch-demo"
"""A file that says a folder is a demo's, so that the next demo may refresh it."""


def run_demo(
    out: Path,
    searcher: SceneEncoder,
    *,
    sample: Path = SAMPLE,
    top: int = 9,
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Indexes the sample into OUT/gallery, asks each query, and writes OUT/query-NN.jpg and OUT/results.json.

    Returns what results.json holds: {"model", "fingerprint", "queries": [{"query", "hits", "correct", "sheet"}],
    "correct", "total"}; `correct` says whether the first hit is the right person. What an earlier demo left in
    `out` is replaced. Raises SettingError if `out` holds anything else, DataError if the sample is not there.
    """
    benchmark = load_coco(sample)
    if not benchmark.queries:
        raise DataError(f"{sample}: holds no queries; make a sample in which test identities are seen twice")
    _prepare(out)
    scenes = {_path(scene): scene for scene in benchmark.test}
    gallery = Gallery.create(
        out / "gallery",
        model=searcher.name,
        fingerprint=searcher.fingerprint,
        dim=searcher.dim,
        min_score=searcher.score_threshold,
        read=searcher.read,
        force=True,
    )
    with gallery:
        index_sources(gallery, searcher, list(scenes), strict=True, progress=progress)
        answers = [
            _ask(gallery, searcher, benchmark, scenes, query, out / f"query-{number:02}.jpg", top)
            for number, query in enumerate(benchmark.queries, 1)
        ]
    results = {
        "model": searcher.name,
        "fingerprint": searcher.fingerprint,
        "queries": answers,
        "correct": sum(answer["correct"] for answer in answers),
        "total": len(answers),
    }
    write_whole(out / "results.json", json.dumps(results, indent=2) + "\n")
    return results


def is_right(hit: GalleryHit, scene: Scene, identity: int) -> bool:
    """Whether a hit covers (IoU 0.5 or more) the person of that identity in its scene."""
    boxes = [person.box for person in scene.persons if person.identity == identity]
    return bool(boxes) and bool(box_iou(torch.tensor([hit.box]), torch.tensor(boxes)).max() >= 0.5)


def print_demo(results: dict[str, Any], out: Path) -> None:
    """The ranked hits of the first query, and one line a query."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    first = results["queries"][0]
    ranked = Table(
        "rank", "similarity", "scene", "box", "right person?", title="First query: who is most like her or him"
    )
    for hit in first["hits"]:
        where = " ".join(f"{v:.0f}" for v in hit["box"])
        ranked.add_row(
            str(hit["rank"]), f"{hit['similarity']:.3f}", Path(hit["source"]).name, where, _word(hit["correct"])
        )
    console.print(ranked)
    table = Table(
        "query", "asked in", "best answer", "similarity", "right person?", "contact sheet", title="All queries"
    )
    for number, answer in enumerate(results["queries"], 1):
        best = answer["hits"][0] if answer["hits"] else None
        table.add_row(
            str(number),
            Path(answer["query"]["source"]).name,
            Path(best["source"]).name if best else "nobody",
            f"{best['similarity']:.3f}" if best else "",
            _word(answer["correct"]),
            answer["sheet"],
        )
    console.print(table)
    say(f"{results['correct']} of {results['total']} right at rank 1. Answers: {out / 'results.json'}")
    say(f"Look at {out / first['sheet']}")
    if all(find_spec(name) for name in ("fastapi", "uvicorn")):
        say(f"Or click on people yourself: {sys.argv[0]} serve {out / 'gallery'}")


def _word(correct: bool) -> str:
    return "[green]yes[/]" if correct else "[red]no[/]"


def _ask(
    gallery: Gallery,
    searcher: SceneEncoder,
    benchmark: Benchmark,
    scenes: dict[Path, Scene],
    query: Query,
    sheet: Path,
    top: int,
) -> dict[str, Any]:
    """One query's entry of the results; writes its contact sheet."""
    names = {scene.name: path for path, scene in scenes.items()}
    asked_in = names[query.scene]
    image = scenes[asked_in].read()
    hits = _search(gallery, searcher.encode_query(image, query.box), {names[n] for n in query.gallery}, top)
    right = [is_right(hit, scenes[hit.source], query.identity) for hit in hits]
    positives = sum(any(p.identity == query.identity for p in scenes[names[n]].persons) for n in query.gallery)
    notes = [
        asked_in.name,
        f"searched in {len(query.gallery)} other scenes; {positives} of them show this person",
        "green: this person, red: somebody else ranked before all were found",
    ]
    marks = _marks(right, positives)
    save_picture(contact_sheet(image, query.box, hits, notes=notes, correct=marks), sheet, quality=90)
    return {
        "query": {"source": str(asked_in), "box": list(query.box), "identity": query.identity},
        "hits": [
            {"rank": rank, **hit.as_dict(), "correct": correct}
            for rank, (hit, correct) in enumerate(zip(hits, right, strict=True), 1)
        ],
        "correct": bool(right and right[0]),
        "sheet": sheet.name,
    }


def _marks(right: Sequence[bool], positives: int) -> list[bool | None]:
    """What to frame: right hits, and wrong ones ranked before all `positives` were found; None leaves a hit unframed.

    >>> _marks([True, False, True, False], positives=2)
    [True, False, True, None]
    """
    return [hit or (None if sum(right[:rank]) >= positives else False) for rank, hit in enumerate(right)]


def _search(gallery: Gallery, embedding: torch.Tensor, within: Collection[Path], top: int) -> list[GalleryHit]:
    return gallery.search(embedding, top, allow=lambda hit: hit.source in within)


def _path(scene: Scene) -> Path:
    assert isinstance(scene.picture, ImageFile)  # COCO-style data is made of files
    return scene.picture.path.resolve()


def _prepare(out: Path) -> None:
    """An empty folder, or an earlier demo's, cleared of the answers that a demo writes and of nothing else."""
    if out.exists() and not out.is_dir():
        raise SettingError(f"{out}: a file is there; give another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / _MARK).exists():
        raise SettingError(f"{out}: holds files that no demo wrote; give another --out")
    out.mkdir(parents=True, exist_ok=True)
    (out / _MARK).touch()
    for old in [*out.glob("query-[0-9][0-9].jpg"), out / "results.json"]:
        old.unlink(missing_ok=True)
