"""`gallery`: what is in galleries, what is to go from them, and whether they are whole."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personsearch.cli.console import complain, print_json, print_table, say
from personsearch.cli.noting import note
from personsearch.cli.options import AGallery, IntoGallery, Json, Memory, SomeGalleries, Where, within
from personsearch.errors import SettingError

if TYPE_CHECKING:
    from personsearch.search.contents import Content
    from personsearch.search.place import Place
    from personsearch.search.sources import Source

gallery = typer.Typer(
    help="Look after galleries: what is in them, and what is to go.\n\nExample: personsearch gallery show g",
    no_args_is_help=True,
)

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")]
Days = Annotated[float | None, typer.Option(callback=within(0, 10**6, above=True), help="Days.")]


@gallery.command("list")
def list_galleries(
    folder: Where = Path(),
    as_json: Json = False,
) -> None:
    """The galleries in a folder.

    Example: personsearch gallery list .
    """
    from personsearch.search.contents import galleries_in, summary

    found = [summary(path) for path in galleries_in(folder)]
    if as_json:
        print_json(found)
    elif not found:
        say(f"no gallery in {folder}; make one: personsearch index SOURCE --gallery {folder / 'people'}")
    else:
        rows = [
            (
                f"{one.get('people', '?'):,}" if one["fault"] is None else "?",
                f"{one['scenes']:,}" if one["fault"] is None else "?",
                f"{one['sources']:,}" if one["fault"] is None else "?",
                f"{one['bytes'] / 1e6:.1f}",
                "" if one.get("keep_days") is None else f"{one['keep_days']:g}",
                one["gallery"] if one["fault"] is None else f"{one['gallery']} (damaged: gallery verify says more)",
            )
            for one in found
        ]
        print_table(("people", "scenes", "files", "MB", "keeps days", "gallery"), rows)


@gallery.command()
def show(folder: AGallery, as_json: Json = False) -> None:
    """What is in a gallery, file by file.

    Example: personsearch gallery show g
    """
    from personsearch.search.contents import contents_of
    from personsearch.search.gallery import Gallery

    held = Gallery.open(folder)
    contents = contents_of(held)
    days = held.about.keep_days
    if as_json:
        about = {"model": held.about.model, "read": held.about.read, "min_score": held.about.min_score}
        listed = [content.as_dict() for content in contents]
        print_json(
            {"gallery": str(folder), **about, "created": held.about.created, "keep_days": days, "sources": listed}
        )
        return
    rows = [_row(content) for content in contents]
    print_table(("people", "scenes", "from", "to", "file written", "state", "source"), rows)
    people, scenes = sum(content.people for content in contents), sum(content.scenes for content in contents)
    keeps = "nothing goes by itself" if days is None else f"what is older than {days:g} days goes"
    say(f"{people:,} people in {scenes:,} scenes of {len(contents):,} files, by {held.about.model}; {keeps}")


def _row(content: Content) -> Sequence[object]:
    from personsearch.search.hits import clock

    first, last = ("" if time is None else clock(time) for time in (content.first, content.last))
    written = datetime.fromtimestamp(content.source.mtime_ns / 1e9).strftime("%Y-%m-%d %H:%M")
    state = str(content.source.state()) if content.complete else "not in to its end"
    return content.people, content.scenes, first, last, written, state, content.source.path


@gallery.command()
def remove(
    folder: AGallery,
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help="Files, or folders with all below.")],
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Erase everything of some files: rows, scene codes, and older states on the disk.

    Example: personsearch gallery remove g photos/a.jpg
    """
    from personsearch.search.contents import matching
    from personsearch.search.gallery import Gallery

    with Gallery.open(folder, write=not dry_run) as held:
        found = matching(held, sources)
        had_index = held.table.unindexed() is not None
        if not dry_run:
            held.erase([source.path for source in found])
            note(folder, "remove", answers=len(found))
            _tell_of_index(folder, had_index)
        _tell_what_went(folder, [(source, "named") for source in found], len(held), dry_run=dry_run, as_json=as_json)


@gallery.command()
def prune(
    folder: AGallery,
    older_than: Days = None,
    missing: Annotated[bool, typer.Option("--missing", help="Files that are not where they were.")] = False,
    changed: Annotated[bool, typer.Option("--changed", help="Files that are not as they were indexed.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Erase what is too old, missing or changed; without an option, what is older than the gallery keeps.

    What was dropped before, and every older state, goes from the disk in any case.

    Example: personsearch gallery prune g --older-than 30 --dry-run
    """
    from personsearch.search.erasing import is_erasing
    from personsearch.search.gallery import Gallery
    from personsearch.search.pruning import Rule, doomed
    from personsearch.search.pruning import prune as erase

    rule = Rule(older_than, missing, changed)
    stopped = is_erasing(folder)  # which opening it for writing ends
    with Gallery.open(folder, write=not dry_run) as held:
        if rule.empty:
            rule = Rule(held.about.keep_days)
        if rule.empty and (dry_run or not (stopped or held.table.leftovers())):
            raise SettingError(
                f"{folder}: keeps everything; give --older-than, --missing or --changed, or set what it keeps with "
                "personsearch gallery retain"
            )
        had_index = held.table.unindexed() is not None
        found = doomed(held.indexed(), rule) if dry_run else erase(held, rule)
        if not dry_run:
            note(folder, "prune", answers=len(found))
            _tell_of_index(folder, had_index and held.table.unindexed() is None)
        _tell_what_went(folder, found, len(held), dry_run=dry_run, as_json=as_json)


def _tell_of_index(folder: Place, went: bool) -> None:
    from personsearch.search.pruning import index_went

    if went:
        complain(index_went(folder))


def _tell_what_went(
    folder: Place, found: Sequence[tuple[Source, str]], left: int, *, dry_run: bool, as_json: bool
) -> None:
    if as_json:
        listed = [{"source": source.path, "why": why} for source, why in found]
        print_json({"gallery": str(folder), "removed": listed, "dry_run": dry_run, "scenes_left": left})
        return
    for source, why in found:
        say(f"{source.path}: {why}")
    done = "would be removed" if dry_run else "removed"
    say(f"{folder}: {len(found)} files {done}; {left:,} scenes {'are in it' if dry_run else 'left'}")


@gallery.command()
def retain(
    folder: AGallery,
    days: Days = None,
    forever: Annotated[bool, typer.Option("--forever", help="Let nothing go by itself.")] = False,
    as_json: Json = False,
) -> None:
    """For how many days a gallery keeps what a file gave, counted from when the file was last written.

    What is older goes when something is indexed or watched, and with `gallery prune`.

    Example: personsearch gallery retain g --days 30
    """
    from personsearch.search.gallery import Gallery

    if (days is None) != forever:
        raise SettingError("for how long? give --days, or --forever")
    with Gallery.open(folder, write=True) as held:
        held.keep_for(days)
    note(folder, "retain")
    if as_json:
        print_json({"gallery": str(folder), "keep_days": days})
    else:
        what = "nothing goes by itself" if days is None else f"keeps {days:g} days; gallery prune removes what is older"
        say(f"{folder}: {what}")


@gallery.command()
def approximate(
    folder: AGallery,
    drop: Annotated[bool, typer.Option("--drop", help="Delete it.")] = False,
    memory: Memory = None,
    as_json: Json = False,
) -> None:
    """Make the index that `search --approximate` asks, and say how much of the exact answers it finds.

    Example: personsearch gallery approximate g
    """
    from personsearch.search.gallery import Gallery

    with Gallery.open(folder, write=True, memory=memory) as held:
        if drop:
            held.forget_neighbours()
            found = None
        else:
            found = held.approximate()
    note(folder, "approximate")
    if as_json:
        print_json({"gallery": str(folder), "recall": found and found.recall, "people": found and found.people})
    elif found is None:
        say(f"{folder}: has no approximate index")
    else:
        say(f"{folder}: search --approximate finds {found.recall:.1%} of the exact first answers")


@gallery.command()
def verify(folder: AGallery, as_json: Json = False) -> None:
    """Read everything that a gallery consists of, and say what is damaged and what to do.

    Example: personsearch gallery verify g
    """
    from personsearch.search.verifying import verify as read_all

    found = read_all(folder)
    if as_json:
        print_json({"gallery": str(folder), "found": [{"line": one.line, "damage": one.damage} for one in found]})
    for one in found:
        if one.damage:
            say(f"error: {one.line}", err=True)
        else:
            complain(one.line)
    if any(one.damage for one in found):
        raise typer.Exit(1)
    if not as_json:
        say(f"{folder}: is whole")


@gallery.command()
def merge(
    galleries: SomeGalleries,
    into: IntoGallery,
    as_json: Json = False,
) -> None:
    """Put several galleries into one, no scene twice. Those that are merged stay as they are.

    Example: personsearch gallery merge g other --into all
    """
    from personsearch.search.merging import merge as put_together
    from personsearch.search.place import check_place

    check_place(into)
    report = put_together(galleries, into)
    note(into, "merge", answers=report.sources)
    if as_json:
        print_json({"gallery": str(into), **vars(report)})
    else:
        twice = f"; {report.left_out} files were in twice" if report.left_out else ""
        say(f"{into}: {report.people:,} people in {report.scenes:,} scenes of {report.sources:,} files{twice}")


@gallery.command()
def audit(
    folder: AGallery,
    check: Annotated[bool, typer.Option("--verify", help="Say whether a line was changed or removed.")] = False,
    image: Annotated[Path | None, typer.Option(help="Only questions about this picture, or moment of a video.")] = None,
    at: Annotated[float | None, typer.Option(callback=within(0), help="Seconds into the video.")] = None,
    as_json: Json = False,
) -> None:
    """What was asked of a gallery and done to it: when, by whom, about which picture, with how many answers.

    Example: personsearch gallery audit g --verify
    """
    from personsearch.errors import GalleryError
    from personsearch.search.about import read_about
    from personsearch.search.audit import picture_hash, read_audit

    read_about(folder)
    log = read_audit(folder)
    if check and log.fault is not None:
        raise GalleryError(log.fault)
    entries: list[dict[str, Any]] = log.entries
    if image is not None:
        from personsearch.search.searchers import read_scene

        asked = picture_hash(read_scene(image, at)[0])
        entries = [entry for entry in entries if entry.get("picture") == asked]
    if as_json:
        print_json({"gallery": str(folder), "head": log.head, "fault": log.fault, "entries": entries})
    elif check:
        say(f"{folder}: {len(log.entries)} lines, none changed or removed; the last one is {log.head}")
    else:
        names = ("n", "when", "who", "what", "answers", "picture")
        print_table(names, [["" if entry.get(n) is None else str(entry[n])[:23] for n in names] for entry in entries])
    if log.fault is not None and not check:
        complain(log.fault)
