"""`gallery export`: answers to take along."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from personsearch.cli.asking import Reading
from personsearch.cli.console import bar, complain, print_json, say
from personsearch.cli.noting import note
from personsearch.cli.options import AGallery, At, Device, Force, Json, Memory, within

Image = Annotated[Path, typer.Option(help="Picture, or video, that shows the person.")]
Box = Annotated[tuple[float, float, float, float], typer.Option(help="X1 Y1 X2 Y2 around the person, in pixels.")]
Out = Annotated[Path, typer.Option(help="Folder for tables, stills and clips.")]
Top = Annotated[int, typer.Option(callback=within(1, 10**6), help="How many appearances.")]
Sure = Annotated[int, typer.Option(callback=within(0, 3), help="3 very sure ... 0 all.")]
Join = Annotated[float | None, typer.Option(callback=within(0), help="Longest gap in seconds.")]


def export(
    folder: AGallery,
    image: Image,
    box: Box,
    out: Out,
    at: At = None,
    top: Top = 100,
    sure: Sure = 2,
    join: Join = None,
    blur: Annotated[bool, typer.Option("--blur/--no-blur", help="Blur everything but the person.")] = True,
    device: Device = None,
    memory: Memory = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Tables, stills and clips of a person's appearances, with everybody else blurred.

    Example: personsearch gallery export g --image a.jpg --box 412 180 470 345 --out answer
    """
    from personsearch.search.exporting import check_may_replace
    from personsearch.search.exporting import export as write
    from personsearch.search.gallery import Gallery
    from personsearch.search.question import Sight, ask, pose

    check_may_replace(out, force)
    held = Gallery.open(folder, memory=memory)
    encoder = Reading(None, None, None, None, device).load(held, held.about.min_score)
    question = pose(encoder, [Sight(image.resolve(), at, box)])
    seen = ask(held, question, sure=sure, join=join)[:top]
    note(folder, "export", question.picture, len(seen))
    with bar("writing") as progress:
        report = write(out, seen, blur=blur, force=force, progress=progress, complain=complain)
    if as_json:
        print_json({"gallery": str(folder), "out": str(out), "blurred": blur, **vars(report)})
    elif not seen:
        say(f"{out}: nobody so alike was found, and the tables are empty; a lower --sure shows who is less alike")
    else:
        say(f"{out}: {report.appearances} appearances, {report.stills} stills and {report.clips} clips")
