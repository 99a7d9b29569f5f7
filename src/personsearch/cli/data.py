"""Commands that make and look after data: `synthesize` and `data check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from personsearch.cli.console import bar, print_json, say, told_on_stop
from personsearch.cli.options import Json, within
from personsearch.errors import DataError, SettingError

LAYOUTS = ("coco", "cuhk-sysu", "prw")
"""What `synthesize` can write."""

Closet = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of MakeHuman's garments, hair and skins to wear.")
]
CastBy = Annotated[str, typer.Option(help="What casts the rays: cpu, or cuda where there is a GPU.")]
AtHome = Annotated[
    float, typer.Option(callback=within(0, 1), help="Part of training sights at the person's own place.")
]
Lenient = Annotated[bool, typer.Option("--lenient", help="Leave out what of the wardrobe cannot be used.")]

data = typer.Typer(
    help="Look after benchmarks.\n\nExample: personsearch data check coco:rendered", no_args_is_help=True
)


def synthesize(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the new benchmark.")],
    identities: Annotated[int, typer.Option(callback=within(2, 10**6), help="How many different people.")],
    scenes: Annotated[int, typer.Option(callback=within(1, 10**6), help="How many pictures.")],
    seed: Annotated[int, typer.Option(callback=within(0, 2**31), help="Another seed, other people and places.")] = 0,
    layout: Annotated[str, typer.Option(help="coco, or cuhk-sysu or prw beside it.")] = "coco",
    test_identities: Annotated[
        int | None, typer.Option(callback=within(0, 10**6), help="How many people are for testing (one in five).")
    ] = None,
    test_scenes: Annotated[
        int | None, typer.Option(callback=within(0, 10**6), help="How many pictures are for testing (one in five).")
    ] = None,
    width: Annotated[int, typer.Option(callback=within(96, 4096), help="Of a picture, in pixels.")] = 1000,
    height: Annotated[int, typer.Option(callback=within(64, 4096), help="Of a picture, in pixels.")] = 600,
    home: AtHome = 0.0,
    workers: Annotated[int | None, typer.Option(callback=within(1), help="Processes; by default one a core.")] = None,
    wardrobe: Closet = None,
    lenient: Lenient = False,
    device: CastBy = "cpu",
) -> None:
    """Render people in places: a benchmark in COCO style. The same command goes on after a stop.

    With another --layout the COCO folder is OUT/coco, and OUT has the layout of CUHK-SYSU or PRW.

    Example: personsearch synthesize rendered --identities 100 --scenes 600
    """
    from personsearch.synthesis import synthesize as render

    if layout not in LAYOUTS:
        raise SettingError(f"--layout {layout}: choose one of {', '.join(LAYOUTS)}")
    folder = out if layout == "coco" else out / "coco"
    with told_on_stop(lambda: "what was rendered is kept, and the same command goes on from there"):
        render(
            folder,
            identities=identities,
            scenes=scenes,
            seed=seed,
            test_identities=test_identities,
            test_scenes=test_scenes,
            width=width,
            height=height,
            home=home,
            workers=workers,
            wardrobe=wardrobe,
            lenient=lenient,
            device=device,
        )
        if layout != "coco":
            _convert(folder, layout, out)
    say(f"{out}: {scenes} scenes; train on them or evaluate with --data {layout}:{out}")


def _convert(coco: Path, layout: str, out: Path) -> None:
    from personsearch.data.layouts.coco import load_coco
    from personsearch.data.layouts.cuhk_sysu_writer import save_cuhk_sysu
    from personsearch.data.layouts.prw_writer import save_prw

    save = {"cuhk-sysu": save_cuhk_sysu, "prw": save_prw}[layout]
    save(load_coco(coco), out)


@data.command()
def check(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="LAYOUT:DIR: coco, cuhk-sysu, prw, mot or crops.")],
    as_json: Json = False,
) -> None:
    """Name every missing or damaged file of a benchmark, and print its counts beside the published ones.

    Example: personsearch data check coco:rendered
    """
    from personsearch.data.check import check_data

    with bar("checking") as progress:
        report = check_data(spec, progress)
    if as_json:
        print_json(report.as_dict())
    else:
        for name, value in report.counts.items():
            published = f"   published: {report.published[name]:,}" if report.published else ""
            say(f"{name:20} {value:>7,}{published}")
        for line in report.remarks:
            say(f"remark: {line}")
        for line in report.problems:
            say(f"problem: {line}")
    if report.problems:
        count = len(report.problems)
        told = f"{count} problems: do what their lines say" if count > 1 else "a problem: do what its line says"
        raise DataError(f"{spec} has {told}, and check it again")
