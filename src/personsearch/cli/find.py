"""Commands that find people: `demo`, `index`, `search`, `detect`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personsearch.cli.console import bar, complain, print_hits, print_json, refuse_overwriting, say, told_on_stop
from personsearch.cli.options import At, Device, Force, Json, Score, within
from personsearch.errors import PersonSearchError, SettingError
from personsearch.files import check_folder, check_picture_name, save_picture, write_whole

if TYPE_CHECKING:
    from PIL.Image import Image

    from personsearch.data.records import Box
    from personsearch.search.gallery import Gallery
    from personsearch.search.hits import GalleryHit
    from personsearch.search.indexing import IndexReport
    from personsearch.search.searchers import SceneEncoder


DEFAULT_MODEL = "binet-rendered"


OWN_MOMENT = 1.0
"""Seconds around a query's own frame of a video that show the query itself."""


MOST_ON_A_SHEET = 60

Model = Annotated[str | None, typer.Option(help="Weights; by default the gallery's.")]
Every = Annotated[float, typer.Option(callback=within(0, above=True), help="Seconds between frames of a video.")]
NewScore = Annotated[float | None, typer.Option(callback=Score, help="Least confidence, for a new gallery (0.5).")]
Top = Annotated[int, typer.Option(callback=within(1, 10**6), help="How many answers.")]
LeastScore = Annotated[float, typer.Option(callback=Score, help="Least confidence of the detector.")]
Gap = Annotated[float, typer.Option(callback=within(0), help="Least seconds between two answers of one video.")]
Keep = Annotated[int | None, typer.Option(callback=within(1), help="How many proposals go on to --reid (100).")]
Compared = Annotated[int | None, typer.Option(callback=within(1), help="Of --proposer: how many are compared (all).")]
CodesGb = Annotated[float, typer.Option(callback=within(0, 10**6), help="Disk for scenes as --proposer reads them.")]


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the answers.")] = Path("demo"),
    model: Annotated[str, typer.Option(help="Name of shipped weights, or a folder.")] = DEFAULT_MODEL,
    as_json: Json = False,
) -> None:
    """The whole story on the sample that ships with the package: index it, search it, look at the sheets.

    Example: personsearch demo --out demo
    """
    from personsearch.cli.demo import print_demo, run_demo
    from personsearch.search.searchers import load_searcher

    check_folder(out)
    with bar("indexing the sample") as progress:
        results = run_demo(out, load_searcher(model), progress=progress)
    if as_json:
        print_json(results)
    else:
        print_demo(results, out)


def index(
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help="Pictures, videos, and folders of them.")],
    gallery: Annotated[Path, typer.Option(help="Folder of the gallery; made if it is not there.")],
    model: Model = None,
    every: Every = 1.0,
    min_score: NewScore = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first broken file.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Make the gallery anew.")] = False,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Put everybody seen in pictures and videos into a gallery. What is in already is skipped.

    Example: personsearch index photos/ entrance.mp4 --gallery g --every 2
    """
    from personsearch.search.files import find_files
    from personsearch.search.gallery import Gallery
    from personsearch.search.indexing import index_sources

    found = find_files(sources)
    made = force or not Gallery.exists(gallery)
    held, searcher = _open_for_index(gallery, model, min_score, force, device)
    again = f"the same command{' without --force' if force else ''} goes on from there"
    with told_on_stop(f"what was indexed is kept, and {again}"), held, bar("indexing") as progress:
        try:
            report = index_sources(
                held, searcher, found, every=every, strict=strict, progress=progress, complain=complain
            )
        finally:
            totals = {"scenes": len(held), "people": held.people}
            if made and not totals["scenes"]:
                held.remove()
    nothing_made = made and not totals["scenes"]
    _tell_what_was_indexed(gallery, report, totals, nothing_made=nothing_made, as_json=as_json)
    if report.failures:
        raise typer.Exit(1)


def search(
    gallery: Annotated[Path, typer.Argument(metavar="GALLERY", help="Folder of the gallery.")],
    image: Annotated[Path, typer.Option(help="Picture, or video, that shows the person.")],
    box: Annotated[tuple[float, float, float, float], typer.Option(help="X1 Y1 X2 Y2 around the person, in pixels.")],
    at: At = None,
    top: Top = 10,
    min_score: LeastScore = 0.0,
    min_gap: Gap = 0.0,
    include_own: Annotated[bool, typer.Option("--include-own", help="Answer from IMAGE itself, too.")] = False,
    model: Model = None,
    proposer: Annotated[str | None, typer.Option(help="IGPN weights: ask every scene for the person anew.")] = None,
    reid: Annotated[str | None, typer.Option(help="Re-id weights that rank what --proposer leaves.")] = None,
    keep: Keep = None,
    candidates: Compared = None,
    codes_gb: CodesGb = 0.0,
    device: Device = None,
    out: Annotated[Path | None, typer.Option(help="Folder for sheet.jpg and results.json.")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Where else is this person? Ranked answers, best first; with --out also a contact sheet.

    Example: personsearch search g --image photos/a.jpg --box 412 180 470 345 --out answer
    """
    from personsearch.geometry.boxes import check_box
    from personsearch.search.gallery import Gallery
    from personsearch.search.searchers import read_scene

    refuse_overwriting([] if out is None else [out / "sheet.jpg", out / "results.json"], force)
    _refuse_odd_stages(model, proposer, reid, for_proposer=bool(codes_gb) or candidates is not None, keep=keep)
    held = Gallery.open(gallery)
    picture, moment = read_scene(image, at)
    inside = check_box(box, picture.width, picture.height)
    own = None if include_own else _own(image, moment, min_gap)
    if proposer is None:
        asked, answer = _by_embedding(held, model, device)
    else:
        asked, answer = _by_proposer(held, proposer, reid, codes_gb, device, keep=keep or 100, candidates=candidates)
    hits = answer(picture, inside, top=top, min_score=min_score, min_gap=min_gap, allow=own)
    asked_for = {"source": str(image), "time": moment, "box": list(inside)}
    ranked = [{"rank": rank, **hit.as_dict()} for rank, hit in enumerate(hits, 1)]
    results = {"query": asked_for, "gallery": str(gallery), "hits": ranked}
    if as_json:
        print_json(results)
    else:
        print_hits(hits)
    if out is not None:
        notes = [_moment(image, moment), "box " + " ".join(f"{v:.0f}" for v in inside), f"asked: {asked}"]
        _write_answer(out, picture, inside, hits, notes, results)


def detect(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Picture, or video.")],
    at: At = None,
    model: Annotated[str, typer.Option(help="Weights.")] = DEFAULT_MODEL,
    min_score: Annotated[float, typer.Option(callback=Score, help="Least confidence.")] = 0.5,
    device: Device = None,
    out: Annotated[Path | None, typer.Option(help="Save the picture with numbered boxes here.")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Boxes of the people in one picture, left to right: pick one for `search`.

    Example: personsearch detect photos/a.jpg --out people.jpg
    """
    from personsearch.search.drawing import draw_scene
    from personsearch.search.searchers import load_searcher, read_scene

    if out is not None:
        refuse_overwriting([out], force)
        check_picture_name(out)
    picture, moment = read_scene(image, at)
    found = load_searcher(model, device, min_score).encode_scene(picture)
    people = sorted(zip(found.boxes.tolist(), found.scores.tolist(), strict=True))
    if as_json:
        listed = [{"box": [round(v, 2) for v in box], "score": round(score, 5)} for box, score in people]
        print_json({"source": str(image), "time": moment, "people": listed})
    elif not people:
        say("nobody was found" + ("; a lower --min-score may find somebody" if min_score else ""))
    else:
        for number, (box, score) in enumerate(people, 1):
            say(f"{number:3}  score {score:.2f}  --box {' '.join(f'{v:.0f}' for v in box)}")
    if out is not None:
        numbers = [str(n) for n in range(1, len(people) + 1)]
        out.parent.mkdir(parents=True, exist_ok=True)
        save_picture(draw_scene(picture, [box for box, _ in people], numbers), out)


def _tell_what_was_indexed(
    gallery: Path, report: IndexReport, totals: dict[str, int], *, nothing_made: bool, as_json: bool
) -> None:
    from personsearch.search.files import describe_passed_over

    if as_json:
        print_json({"gallery": str(gallery), "added": vars(report), "total": totals})
    else:
        moved = f", {report.moved} were moved or touched" if report.moved else ""
        say(
            f"{gallery}: {report.scenes} scenes with {report.people} people added, {report.skipped} files were in "
            f"already{moved}; {totals['people']} people in {totals['scenes']} scenes now"
        )
    if report.passed_over:
        complain(f"passed over: {describe_passed_over(report.passed_over)}")
    if report.gone:
        complain(f"{len(report.gone)} files of the gallery are gone, and still answer: {report.gone[0]}")
    if report.failures:
        nothing = "; no gallery was made" if nothing_made else ""
        say(f"error: {len(report.failures)} of {report.files} files could not be read in full{nothing}", err=True)


def _open_for_index(
    folder: Path, model: str | None, min_score: float | None, force: bool, device: str | None
) -> tuple[Gallery, SceneEncoder]:
    """The gallery, made if need be, and a searcher with its model. Nothing is made if the weights fail."""
    from personsearch.search.gallery import Gallery
    from personsearch.search.searchers import load_searcher

    if Gallery.exists(folder) and not force:
        held = Gallery.open(folder, write=True)
        least = held.about.min_score
        if min_score is not None and min_score != least:
            held.close()
            raise SettingError(f"{folder}: holds people of score {least:g} and more; leave --min-score out, or --force")
        try:
            searcher = load_searcher(model or held.about.model, device, least)
            held.require_model(searcher.fingerprint)
        except PersonSearchError:
            held.close()
            raise
        return held, searcher
    searcher = load_searcher(model or DEFAULT_MODEL, device, 0.5 if min_score is None else min_score)
    held = Gallery.create(
        folder,
        model=searcher.name,
        fingerprint=searcher.fingerprint,
        dim=searcher.dim,
        min_score=searcher.score_threshold,
        force=force,
    )
    return held, searcher


def _refuse_odd_stages(
    model: str | None, proposer: str | None, reid: str | None, *, for_proposer: bool, keep: int | None
) -> None:
    """Raises SettingError for options of `search` that do not go together."""
    if proposer is None and (reid is not None or for_proposer):
        raise SettingError("--reid, --candidates and --codes-gb are for a proposer: give --proposer, too")
    if proposer is not None and model is not None:
        raise SettingError("a proposer does not ask the gallery's embeddings: give --model or --proposer, not both")
    if keep is not None and reid is None:
        raise SettingError("--keep says how many proposals go on to a re-id network: give --reid, too")


def _write_answer(
    out: Path, picture: Image, box: Box, hits: list[GalleryHit], notes: list[str], results: dict[str, Any]
) -> None:
    """The contact sheet and results.json of a search."""
    from personsearch.search.drawing import contact_sheet

    out.mkdir(parents=True, exist_ok=True)
    save_picture(contact_sheet(picture, box, hits[:MOST_ON_A_SHEET], notes=notes), out / "sheet.jpg", quality=90)
    write_whole(out / "results.json", json.dumps(results, indent=2) + "\n")
    say(f"written: {out / 'sheet.jpg'} {out / 'results.json'}", err=True)


def _by_embedding(held: Gallery, model: str | None, device: str | None) -> tuple[str, Callable[..., list[GalleryHit]]]:
    """What is asked in a search by embeddings, and who answers."""
    from personsearch.search.searchers import load_searcher

    name = model or held.about.model
    asked = f"{held.people:,} people in {len(held):,} scenes by {Path(name).name}"
    searcher = load_searcher(name, device)
    held.require_model(searcher.fingerprint)

    def answer(picture: Image, box: Box, **limits: Any) -> list[GalleryHit]:
        return held.search(searcher.encode_query(picture, box), **limits)

    return asked, answer


def _by_proposer(
    held: Gallery, proposer: str, reid: str | None, codes_gb: float, device: str | None, **counts: Any
) -> tuple[str, Callable[..., list[GalleryHit]]]:
    """What is asked in a search in two stages, and who answers. `counts` are those of `load_two_stages`."""
    from personsearch.search.gallery import CODES
    from personsearch.search.two_stage import load_two_stages

    searcher, codes = load_two_stages(
        proposer, reid, held.folder / CODES, int(codes_gb * 1e9), device=device, complain=complain, **counts
    )

    def answer(picture: Image, box: Box, **limits: Any) -> list[GalleryHit]:
        query = searcher.encode_query(picture, box)
        with bar("asking") as progress:
            (hits,) = searcher.search(
                [query], held.scenes(), code_of=codes, complain=complain, progress=progress, **limits
            )
        return hits

    names = [Path(name).name for name in (proposer, reid) if name is not None]
    return f"{len(held):,} scenes by {' and '.join(names)}", answer


def _own(image: Path, moment: float | None, min_gap: float) -> Callable[[GalleryHit], bool]:
    """Refuses hits in the query's own picture, or at its own moment of a video."""
    path = image.resolve()

    def keep(hit: GalleryHit) -> bool:
        if hit.source != path:
            return True
        return hit.time is not None and moment is not None and abs(hit.time - moment) >= max(OWN_MOMENT, min_gap)

    return keep


def _moment(image: Path, moment: float | None) -> str:
    from personsearch.search.hits import clock

    return image.name if moment is None else f"{image.name} at {clock(moment)}"
