"""Commands that find people: `demo`, `index`, `detect`. `search` has a file of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from personsearch.cli.asking import DEFAULT_MODEL, Reading
from personsearch.cli.console import bar, complain, print_json, refuse_overwriting, say, told_on_stop
from personsearch.cli.noting import note
from personsearch.cli.options import At, Device, Force, IntoGallery, Json, Model, Read, Reid, Runtime, Score, within
from personsearch.errors import PersonSearchError, SettingError
from personsearch.files import check_folder, check_picture_name, refuse_input, save_picture

if TYPE_CHECKING:
    from personsearch.search.about import About
    from personsearch.search.gallery import Gallery
    from personsearch.search.indexing import IndexReport
    from personsearch.search.pieces import Workers
    from personsearch.search.place import Place
    from personsearch.search.searchers import SceneEncoder

Every = Annotated[
    float | None,
    typer.Option(
        callback=within(0, above=True),
        help="Seconds between frames of a video; by default 1, and of one that is in, as before.",
    ),
]
NewScore = Annotated[float | None, typer.Option(callback=Score, help="Least confidence, for a new gallery (0.5).")]

Ray = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS", help="Share it on a Ray cluster: auto, HOST:PORT, local."),
]


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
    gallery: IntoGallery,
    model: Model = None,
    every: Every = None,
    min_score: NewScore = None,
    read: Read = None,
    reid: Reid = None,
    runtime: Runtime = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first broken file.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Make the gallery anew.")] = False,
    device: Device = None,
    ray: Ray = None,
    as_json: Json = False,
) -> None:
    """Put everybody seen in pictures and videos into a gallery. What is in already is skipped.

    Example: personsearch index photos/ entrance.mp4 --gallery g --every 2
    """
    from personsearch.search.files import find_files
    from personsearch.search.gallery import Gallery
    from personsearch.search.indexing import index_sources
    from personsearch.search.place import check_place

    check_place(gallery)
    found = find_files(sources)
    there = Gallery.exists(gallery)
    made = force or not there
    how = Reading(model, read, reid, runtime, device)
    held, searcher = open_for_index(gallery, how, min_score, force)
    with told_on_stop(lambda: _way_on(held, force=force)), held, bar("indexing") as progress, ExitStack() as stack:
        try:
            workers = None if ray is None else stack.enter_context(workers_of(ray, how, held.about))
            report = index_sources(
                held, searcher, found, every=every, strict=strict, workers=workers, progress=progress, complain=complain
            )
        finally:
            held.refresh()
            totals = {"scenes": len(held), "people": held.people}
            if made and not totals["scenes"]:
                held.remove()
    if there and force and totals["scenes"]:
        note(gallery, "replace", answers=len(held.sources))
    nothing = ""
    if made and not totals["scenes"]:
        nothing = "the gallery stays as it was" if held.replaces else "no gallery was made"
    _tell_what_was_indexed(gallery, report, totals, nothing=nothing, as_json=as_json)
    if report.failures:
        raise typer.Exit(1)


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
        refuse_input([out], [image])
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
    gallery: Place, report: IndexReport, totals: dict[str, int], *, nothing: str, as_json: bool
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
    if report.expired:
        complain(f"{len(report.expired)} files are older than the gallery keeps: {report.expired[0]}")
    if report.gone:
        complain(f"{len(report.gone)} files of the gallery are gone, and still answer: {report.gone[0]}")
    if report.failures:
        more = f"; {nothing}" if nothing else ""
        say(f"error: {len(report.failures)} of {report.files} files could not be read in full{more}", err=True)


@contextmanager
def workers_of(address: str, how: Reading, about: About) -> Iterator[Workers]:
    """Those of a Ray cluster, which read as the gallery was read. Raises SettingError where there are none."""
    from personsearch.search.ray_workers import RayWorkers

    workers = RayWorkers(address, partial(load_worker, about, how.runtime, how.device))
    try:
        yield workers
    finally:
        workers.close()


def load_worker(about: About, runtime: str | None, device: str | None) -> SceneEncoder:
    """The gallery's model, on whatever machine this is called."""
    from personsearch.search.searchers import load_searcher

    return load_searcher(
        about.model,
        device,
        about.min_score,
        about.read,
        reid=about.reid or None,
        runtime=runtime,
        complain=complain,
        like=about.fingerprint,
    )


def open_for_index(folder: Place, how: Reading, min_score: float | None, force: bool) -> tuple[Gallery, SceneEncoder]:
    """The gallery, made if need be, and a searcher with its model. Nothing is made if the weights fail."""
    from personsearch.search.gallery import Gallery
    from personsearch.search.searchers import READINGS

    if Gallery.exists(folder) and not force:
        held = Gallery.open(folder, write=True)
        least = held.about.min_score
        if min_score is not None and min_score != least:
            held.close()
            raise SettingError(f"{folder}: holds people of score {least:g} and more; leave --min-score out, or --force")
        try:
            searcher = how.load(held, least)
        except PersonSearchError:
            held.close()
            raise
        return held, searcher
    searcher = how.load(None, 0.5 if min_score is None else min_score)
    if Gallery.exists(folder) and not force:  # another program has made it meanwhile
        return open_for_index(folder, how, min_score, force)
    if how.read is None and how.reid is None and searcher.read != READINGS:
        complain(f"{searcher.name} has no projections for readings: people are read as --read {searcher.read}")
    held = Gallery.create(
        folder,
        model=searcher.name,
        fingerprint=searcher.fingerprint,
        dim=searcher.dim,
        min_score=searcher.score_threshold,
        read=searcher.read,
        reid=searcher.reid,
        force=force,
    )
    return held, searcher
