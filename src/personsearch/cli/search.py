"""`search`: where else is this person?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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
from personsearch.cli.asking import Guide, How, More, Query, Reading, asker_of, refuse_odd_stages
from personsearch.cli.console import print_hits, print_json, refuse_overwriting, say
from personsearch.cli.noting import note
from personsearch.cli.options import (
    AGallery,
    Approximate,
    At,
    Device,
    Force,
    Json,
    Memory,
    Model,
    Read,
    Reid,
    Runtime,
    Score,
    within,
)
from personsearch.cli.second_look import LookAgain
from personsearch.cli.sights import Also, Not, Shown, read_sights
from personsearch.errors import SettingError
from personsearch.files import refuse_input, save_picture, write_whole

if TYPE_CHECKING:
    from personsearch.search.gallery import Gallery
    from personsearch.search.hits import Answer, GalleryHit
    from personsearch.search.picking import Limits
    from personsearch.search.place import Place
    from personsearch.search.strangers import Strangers
    from personsearch.search.sureness import Sureness

MOST_ON_A_SHEET = 60
ABSENT = "nobody here looks like this person: the answers are no more alike than strangers are"

Top = Annotated[int, typer.Option(callback=within(1, 10**6), help="How many answers.")]
LeastScore = Annotated[float, typer.Option(callback=Score, help="Least confidence of the detector.")]
Gap = Annotated[float, typer.Option(callback=within(0), help="Least seconds between two answers of one video.")]
Keep = Annotated[int | None, typer.Option(callback=within(1), help="How many proposals go on to --reid (100).")]
Compared = Annotated[int | None, typer.Option(callback=within(1), help="Of --proposer: how many are compared (all).")]
Widen = Annotated[int | None, typer.Option(callback=within(0), help="Most answers added to the query (8, or 0).")]
Reread = Annotated[
    int | None, typer.Option(callback=within(0), help="Most alike whose patches are read anew (100, or 0).")
]
Once = Annotated[bool | None, typer.Option("--once/--plain", help="One person is once in a scene, or cosines alone.")]
CodesGb = Annotated[float, typer.Option(callback=within(0, 10**6), help="Disk for scenes as --proposer reads them.")]


def search(
    gallery: AGallery,
    image: Annotated[Path, typer.Option(help="Picture, or video, that shows the person.")],
    box: Annotated[tuple[float, float, float, float], typer.Option(help="X1 Y1 X2 Y2 around the person, in pixels.")],
    at: At = None,
    also: Also = None,
    others: Not = None,
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
    reid: Reid = None,
    keep: Keep = None,
    candidates: Compared = None,
    look_again: LookAgain = None,
    codes_gb: CodesGb = 0.0,
    runtime: Runtime = None,
    device: Device = None,
    memory: Memory = None,
    approximate: Approximate = False,
    out: Annotated[Path | None, typer.Option(help="Folder for sheet.jpg and results.json.")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Where else is this person? Ranked answers, best first; with --out also a contact sheet.

    Example: personsearch search g --image photos/a.jpg --box 412 180 470 345 --out answer
    """
    when = When.of(appearances, sure, join, proposer)
    written = _written(out, image, gallery, force)
    reading, how = Reading(model, read, reid, runtime, device), How(read, once, widen, reread)
    guide = Guide(proposer, keep, candidates, look_again, codes_gb)
    refuse_odd_stages(reading, how, guide, several=bool(also or others))
    every = appearances or proposer is not None
    held, query = _opened(gallery, memory, approximate, every), Query.of(image, at, box)
    more = _read_more(also, others, written)
    asked, answer = asker_of(held, reading, how, more, guide)
    limits = _limits(top, min_score, min_gap, [] if include_own else [query, *more.sights])
    answers, seen = by_appearance(held, partial(answer, query), limits, when)
    strangers = None if answers.absent is None else held.strangers()
    _tell(out, gallery, _Told(query, more, answers, seen, strangers), f"asked: {asked}", as_json=as_json)


def _written(out: Path | None, image: Path, gallery: Place, force: bool) -> list[Path]:
    """The files of the answers. Raises SettingError where they may not be written."""
    files = [] if out is None else [out / "sheet.jpg", out / "results.json"]
    refuse_input(files, [path for path in (image, gallery) if isinstance(path, Path)])
    refuse_overwriting(files, force)
    return files


def _read_more(also: Sequence[str] | None, others: Sequence[str] | None, written: Sequence[Path]) -> More:
    """More sights. Raises SettingError where one is of a picture that is to be `written`, and as `read_sights` does."""
    more = More(read_sights(also, "--also"), read_sights(others, "--not"))
    refuse_input(written, [sight.image for sight in (*more.sights, *more.others)])
    return more


def _opened(folder: Place, memory: int | None, approximate: bool, every: bool) -> Gallery:
    """The gallery; where it is asked by its index, with a line on what that is worth. Raises SettingError where `every`
    scene is needed."""
    from personsearch.search.gallery import Gallery

    if approximate and every:
        raise SettingError("--approximate finds the first answers alone: leave --proposer and --appearances out")
    held = Gallery.open(folder, memory=memory, approximate=approximate)
    if not approximate:
        return held
    recall, later = held.neighbours().recall, held.table.unindexed()
    since = f"; {later:,} scenes came after it and are compared one by one" if later else ""
    say(f"approximate: the index found {recall:.1%} of the exact first answers when it was made{since}", err=True)
    return held


@dataclass(frozen=True)
class _Told:
    """What `search` was asked, and found out."""

    query: Query
    more: More
    answers: Answer
    seen: list[Seen] | None
    """The answers as appearances, where they were asked for"""
    strangers: Strangers | None
    """Of the gallery, where answers are compared with them"""

    def sureness(self) -> list[Sureness]:
        """Of each answer; none without strangers."""
        from personsearch.search.sureness import sureness_of

        if self.strangers is None:
            return []
        return [sureness_of(hit.similarity, self.strangers) for hit in self.answers.hits]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rates = [{"strangers": sure.rate} for sure in self.sureness()] or [{}] * len(self.answers.hits)
        ranked = [
            {"rank": rank, **hit.as_dict(), **rate}
            for rank, (hit, rate) in enumerate(zip(self.answers.hits, rates, strict=True), 1)
        ]
        added = [hit.as_dict() for hit in self.answers.added]
        seen = {} if self.seen is None else {"appearances": described(self.seen)}
        asked = {"query": self.query.as_dict(), **self.more.as_dict()}
        return {**asked, "absent": self.answers.absent, "added": added, "hits": ranked, **seen}


def _tell(out: Path | None, gallery: Place, told: _Told, asked: str, *, as_json: bool) -> None:
    """What `search` notes in the audit, prints, and writes to `out`."""
    note(gallery, "search", told.query.picture, len(told.answers.hits))
    results = {"gallery": str(gallery), **told.as_dict()}
    if as_json:
        print_json(results)
    else:
        if told.answers.absent:
            say(ABSENT)
        if told.seen is None:
            print_hits(told.answers.hits, [sure.rarity for sure in told.sureness()])
        else:
            print_appearances(told.seen)
    if out is not None:
        _write_answer(out, told.query, told.answers, asked, results)


def _write_answer(out: Path, query: Query, answers: Answer, asked: str, results: dict[str, Any]) -> None:
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


def _limits(top: int, min_score: float, min_gap: float, shown: Sequence[Query | Shown]) -> Limits:
    """Which people are answers: nobody in what shows the query, if that is given."""
    from personsearch.search.picking import Limits

    return Limits(top, 1, min_score, min_gap, _own(shown, min_gap) if shown else None)


def _own(shown: Sequence[Query | Shown], min_gap: float) -> Callable[[GalleryHit], bool]:
    """Refuses hits in a picture that shows the query, or at such a moment of a video."""
    from personsearch.search.picking import OWN_MOMENT

    places = [(one.image.resolve(), one.moment) for one in shown]
    near = max(OWN_MOMENT, min_gap)

    def keep(hit: GalleryHit) -> bool:
        return not any(
            hit.source == path and (hit.time is None or moment is None or abs(hit.time - moment) < near)
            for path, moment in places
        )

    return keep


def _moment(image: Path, moment: float | None) -> str:
    from personsearch.search.hits import clock

    return image.name if moment is None else f"{image.name} at {clock(moment)}"
