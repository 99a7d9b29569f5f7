"""The papers' tables: `reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from personsearch.cli.console import bar, say, told_on_stop
from personsearch.cli.options import Device, within
from personsearch.errors import SettingError

AtHome = Annotated[
    float | None,
    typer.Option(callback=within(0, 1), help="Of rendered people: part of training sights at their own place."),
]
Longer = Annotated[
    float,
    typer.Option(callback=within(0.01, 100), help="Runs of so many times the scale's epochs, beside the others."),
]


def reproduce(
    table: Annotated[str, typer.Argument(metavar="TABLE|list", help="Such as binet-table-2; `list` names all.")],
    data: Annotated[str | None, typer.Option(help="cuhk-sysu:DIR, prw:DIR, coco:DIR, or rendered.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of runs and tables; many tables share one.")] = Path("reproduced"),
    scale: Annotated[str, typer.Option(help="paper, small (two CPU cores), identity (minutes) or tiny.")] = "paper",
    seeds: Annotated[list[str] | None, typer.Option(help="Such as 0,1,2; by default those of the scale.")] = None,
    home: AtHome = None,
    longer: Longer = 1.0,
    settings: Annotated[list[str] | None, typer.Option("--set", help="a.b=value, for every run.")] = None,
    backbone: Annotated[str | None, typer.Option(help="ImageNet weights; torchvision's by default.")] = None,
    only_plan: Annotated[bool, typer.Option("--only-plan", help="Say what there is to do, and stop.")] = False,
    only_report: Annotated[bool, typer.Option("--only-report", help="Write the table of finished runs.")] = False,
    device: Device = None,
) -> None:
    """Make a table or figure of the papers: train what is missing, evaluate, and write it beside the paper's.

    The same command goes on after a stop; several of them may work in one folder, each on runs of its own.

    Example: personsearch reproduce binet-table-2 --data prw:PRW-v16.04.20 --out R
    """
    from personsearch.reproduce.catalogue import TABLES, get_table
    from personsearch.reproduce.catalogue import reproduce as make
    from personsearch.reproduce.plan import read_seeds
    from personsearch.reproduce.scales import get_scale
    from personsearch.reproduce.work import Wanted

    if table == "list":
        for name, known in TABLES.items():
            say(f"{name:16} {known.title}")
        return
    wanted_table, wanted_scale = get_table(table), get_scale(scale)
    if data is None:
        raise SettingError("give --data: cuhk-sysu:DIR, prw:DIR, coco:DIR, or rendered")
    chosen = read_seeds(",".join(seeds)) if seeds else wanted_scale.seeds
    wanted = Wanted(
        wanted_table, data, out, wanted_scale, chosen, home, tuple(settings or ()), backbone, device, longer
    )
    with (
        told_on_stop(lambda: "what was done is kept, and the same command goes on from there"),
        bar("reproducing") as progress,
    ):
        files = make(
            wanted,
            only_plan=only_plan,
            only_report=only_report,
            progress=progress,
            say=lambda line: say(line, err=True),
        )
    for file in files:
        say(str(file))
