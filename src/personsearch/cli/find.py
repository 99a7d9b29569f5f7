"""Commands that find people: `demo`, `index`, `search`, `detect`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personsearch.cli.appearing import (
    ByAppearance,
    Join,
    Seen,
    Sure,
    When,
    by_appearance,
    described,
    print_appearances,
)
from personsearch.cli.console import bar, complain, print_hits, print_json, refuse_overwriting, say, told_on_stop
from personsearch.cli.options import At, Device, Force, Json, Score, within
from personsearch.cli.second_look import LookAgain, by_second_look
from personsearch.errors import PersonSearchError, SettingError
from personsearch.files import check_folder, check_picture_name, save_picture, write_whole

if TYPE_CHECKING:
    from PIL.Image import Image

    from personsearch.data.records import Box
    from personsearch.search.gallery import Gallery
    from personsearch.search.hits import Answer, GalleryHit
    from personsearch.search.indexing import IndexReport
    from personsearch.search.picking import Limits
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
Read = Annotated[str | None, typer.Option(help="How people are read: readings, search, or instance.")]
Widen = Annotated[int | None, typer.Option(callback=within(0), help="First answers added to the query (2, or 0).")]
Reread = Annotated[
    int | None, typer.Option(callback=within(0), help="Most alike whose patches are read anew (100, or 0).")
]
Once = Annotated[bool | None, typer.Option("--once/--plain", help="One person is once in a scene, or cosines alone.")]
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
    read: Read = None,
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

    check_folder(gallery)
    found = find_files(sources)
    made = force or not Gallery.exists(gallery)
    held, searcher = _open_for_index(gallery, model, min_score, read, force, device)
    with told_on_stop(lambda: _way_on(held, force=force)), held, bar("indexing") as progress:
        try:
            report = index_sources(
                held, searcher, found, every=every, strict=strict, progress=progress, complain=complain
            )
        finally:
            totals = {"scenes": len(held), "people": held.people}
            if made and not totals["scenes"]:
                held.remove()
    nothing = ""
    if made and not totals["scenes"]:
        nothing = "the gallery stays as it was" if held.replaces else "no gallery was made"
    _tell_what_was_indexed(gallery, report, totals, nothing=nothing, as_json=as_json)
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
    appearances: ByAppearance = False,
    sure: Sure = None,
    join: Join = None,
    include_own: Annotated[bool, typer.Option("--include-own", help="Answer from IMAGE itself, too.")] = False,
    model: Model = None,
    read: Read = None,
    once: Once = None,
    widen: Widen = None,
    reread: Reread = None,
    proposer: Annotated[str | None, typer.Option(help="IGPN weights: ask every scene for the person anew.")] = None,
    reid: Annotated[str | None, typer.Option(help="Re-id weights that rank what --proposer leaves.")] = None,
    keep: Keep = None,
    candidates: Compared = None,
    look_again: LookAgain = None,
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
    from personsearch.search.picking import Limits
    from personsearch.search.searchers import read_scene

    when = When.of(appearances, sure, join, proposer)
    refuse_overwriting([] if out is None else [out / "sheet.jpg", out / "results.json"], force)
    how = _How(read, once, widen, reread)
    _refuse_odd_stages(model, proposer, reid, how, for_proposer=bool(codes_gb or candidates or look_again), keep=keep)
    held = Gallery.open(gallery)
    picture, moment = read_scene(image, at)
    query = _Query(image, moment, picture, check_box(box, picture.width, picture.height))
    staged = partial(_by_proposer, held, reid=reid, look_again=look_again, keep=keep, candidates=candidates)
    asked, answer = _by_gallery(held, model, how, device) if proposer is None else staged(proposer, codes_gb, device)
    own = None if include_own else _own(image, moment, min_gap)
    answers, seen = by_appearance(held, partial(answer, query), Limits(top, 1, min_score, min_gap, own), when)
    _tell(out, gallery, query, answers, seen, f"asked: {asked}", as_json=as_json)


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


def _way_on(held: Gallery, *, force: bool) -> str:
    """What an index that was stopped leaves behind."""
    if held.replaces:
        return "the gallery stays as it was, and the same command starts again"
    return f"what was indexed is kept, and the same command{' without --force' if force else ''} goes on from there"


def _tell_what_was_indexed(
    gallery: Path, report: IndexReport, totals: dict[str, int], *, nothing: str, as_json: bool
) -> None:
    from personsearch.search.files import describe_passed_over

    if as_json:
        print_json({"gallery": str(gallery), "added": vars(report), "total": totals})
    elif not nothing:
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
        more = f"; {nothing}" if nothing else ""
        say(f"error: {len(report.failures)} of {report.files} files could not be read in full{more}", err=True)


def _open_for_index(
    folder: Path, model: str | None, min_score: float | None, read: str | None, force: bool, device: str | None
) -> tuple[Gallery, SceneEncoder]:
    """The gallery, made if need be, and a searcher with its model. Nothing is made if the weights fail."""
    from personsearch.search.gallery import Gallery
    from personsearch.search.searchers import READINGS, load_searcher

    if Gallery.exists(folder) and not force:
        held = Gallery.open(folder, write=True)
        least = held.about.min_score
        if min_score is not None and min_score != least:
            held.close()
            raise SettingError(f"{folder}: holds people of score {least:g} and more; leave --min-score out, or --force")
        try:
            searcher = load_searcher(model or held.about.model, device, least, read or held.about.read)
            held.require_model(searcher.fingerprint, searcher.read)
        except PersonSearchError:
            held.close()
            raise
        return held, searcher
    searcher = load_searcher(model or DEFAULT_MODEL, device, 0.5 if min_score is None else min_score, read)
    if read is None and searcher.read != READINGS:
        complain(f"{searcher.name} has no projections for readings: people are read as --read {searcher.read}")
    held = Gallery.create(
        folder,
        model=searcher.name,
        fingerprint=searcher.fingerprint,
        dim=searcher.dim,
        min_score=searcher.score_threshold,
        read=searcher.read,
        force=force,
    )
    return held, searcher


@dataclass(frozen=True)
class _How:
    """How a gallery is asked; None leaves it to what is best for the gallery."""

    read: str | None
    once: bool | None
    widen: int | None
    reread: int | None


@dataclass(frozen=True)
class _Query:
    """The person searched for, and the picture that shows her."""

    image: Path
    moment: float | None
    picture: Image
    box: Box

    def as_dict(self) -> dict[str, Any]:
        return {"source": str(self.image), "time": self.moment, "box": list(self.box)}


_Asker = Callable[[_Query, "Limits"], "Answer"]


def _refuse_odd_stages(
    model: str | None, proposer: str | None, reid: str | None, how: _How, *, for_proposer: bool, keep: int | None
) -> None:
    """Raises SettingError for options of `search` that do not go together."""
    if proposer is None and (reid is not None or for_proposer):
        raise SettingError("--reid, --candidates, --look-again and --codes-gb are for a proposer: give --proposer, too")
    if proposer is not None and model is not None:
        raise SettingError("a proposer does not ask the gallery's embeddings: give --model or --proposer, not both")
    if proposer is not None and how != _How(None, None, None, None):
        raise SettingError("--read, --once, --widen and --reread are for the gallery's people: leave --proposer out")
    if keep is not None and reid is None:
        raise SettingError("--keep says how many proposals go on to a re-id network: give --reid, too")


def _results(query: _Query, gallery: Path, answers: Answer) -> dict[str, Any]:
    """What `search` says, as plain values."""
    ranked = [{"rank": rank, **hit.as_dict()} for rank, hit in enumerate(answers.hits, 1)]
    added = [hit.as_dict() for hit in answers.added]
    return {"query": query.as_dict(), "gallery": str(gallery), "added": added, "hits": ranked}


def _tell(
    out: Path | None,
    gallery: Path,
    query: _Query,
    answers: Answer,
    seen: list[Seen] | None,
    asked: str,
    *,
    as_json: bool,
) -> None:
    """What `search` prints, and writes to `out`."""
    results = _results(query, gallery, answers) | ({} if seen is None else {"appearances": described(seen)})
    if as_json:
        print_json(results)
    elif seen is None:
        print_hits(answers.hits)
    else:
        print_appearances(seen)
    if out is not None:
        _write_answer(out, query, answers, asked, results)


def _write_answer(out: Path, query: _Query, answers: Answer, asked: str, results: dict[str, Any]) -> None:
    """The contact sheet and results.json of a search."""
    from personsearch.search.drawing import contact_sheet

    notes = [_moment(query.image, query.moment), "box " + " ".join(f"{v:.0f}" for v in query.box), asked]
    if answers.added:
        known = [(hit.scene, hit.box) for hit in answers.hits]
        ranks = [f"{known.index(one) + 1}" for hit in answers.added if (one := (hit.scene, hit.box)) in known]
        notes.append(f"widened by {len(answers.added)} answers" + (f": {', '.join(ranks)}" if ranks else ""))
    out.mkdir(parents=True, exist_ok=True)
    sheet = contact_sheet(query.picture, query.box, answers.hits[:MOST_ON_A_SHEET], notes=notes)
    save_picture(sheet, out / "sheet.jpg", quality=90)
    write_whole(out / "results.json", json.dumps(results, indent=2) + "\n")
    say(f"written: {out / 'sheet.jpg'} {out / 'results.json'}", err=True)


def _by_gallery(held: Gallery, model: str | None, how: _How, device: str | None) -> tuple[str, _Asker]:
    """A note on what is searched, and the function that answers from the gallery's people."""
    import torch

    from personsearch.search.ranking import camera_of
    from personsearch.search.rereading import REREAD, Sight, load_crop_reader, reread
    from personsearch.search.searchers import SEARCH, load_searcher

    name = model or held.about.model
    asked = f"{held.people:,} people in {len(held):,} scenes by {Path(name).name}"
    encoder = load_searcher(name, device, read=how.read or held.about.read)
    held.require_model(encoder.fingerprint, encoder.read)
    by_patches = held.about.read == SEARCH and how.read is None and how.reread != 0
    reader = load_crop_reader(encoder, name) if by_patches else None
    if how.reread and reader is None:
        raise SettingError(f"--reread {how.reread}: patches can be read anew only for a gallery of --read search")

    def answer(query: _Query, limits: Limits) -> Answer:
        embedding = encoder.encode_query(query.picture, query.box)
        if reader is not None:
            sight = Sight(embedding, reader.embed(query.picture, torch.tensor([query.box]))[0])
            return reread(held, sight, reader, limits, how.reread or REREAD, complain)
        camera = camera_of(query.image.resolve(), None if query.moment is None else 0)
        return held.ask(embedding, limits, camera=camera, once=how.once, widen=how.widen)

    return asked, answer


def _by_proposer(
    held: Gallery,
    proposer: str,
    codes_gb: float,
    device: str | None,
    *,
    reid: str | None,
    look_again: int | None,
    keep: int | None,
    candidates: int | None,
) -> tuple[str, _Asker]:
    """A note on what is searched, and the function that answers in two stages, or after a second look."""
    if look_again is not None and (reid is not None or candidates is not None):
        raise SettingError("--look-again ranks by what the gallery is read by: leave --reid and --candidates out")
    if look_again is not None:
        return by_second_look(held, proposer, look_again, codes_gb, device)
    from personsearch.search.gallery import CODES
    from personsearch.search.hits import Answer
    from personsearch.search.two_stage import load_two_stages

    searcher, codes = load_two_stages(
        proposer,
        reid,
        held.folder / CODES,
        int(codes_gb * 1e9),
        keep=keep or 100,
        candidates=candidates,
        device=device,
        complain=complain,
    )

    def answer(query: _Query, limits: Limits) -> Answer:
        code = searcher.encode_query(query.picture, query.box)
        asked_with = {name: getattr(limits, name) for name in ("top", "per_scene", "min_score", "min_gap", "allow")}
        with bar("asking") as progress:
            (hits,) = searcher.search(
                [code], held.scenes(), code_of=codes, complain=complain, progress=progress, **asked_with
            )
        return Answer(hits, [])

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
