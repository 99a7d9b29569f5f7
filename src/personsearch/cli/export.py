"""`export`: weights as graphs that other runtimes read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from personsearch.cli.console import bar, complain, print_json, say
from personsearch.cli.options import Force, Json


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Name of shipped weights, or a folder with weights.")],
    to: Annotated[str, typer.Option(help="What reads the graphs: onnx, or openvino.")],
    out: Annotated[Path, typer.Option(help="Folder of the export: a model for index, search and evaluate.")],
    int8: Annotated[bool, typer.Option("--int8", help="Compute in eight bits.")] = False,
    calibrate: Annotated[str | None, typer.Option(help="Of --int8: LAYOUT:DIR, people to fit it to.")] = None,
    data: Annotated[str | None, typer.Option(help="LAYOUT:DIR to compare on (the sample that ships).")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write any network for ONNX Runtime or OpenVINO, compared with torch before it is kept.

    Example: personsearch export binet-rendered --to openvino --out fast
    """
    from personsearch.export.exporting import PARITY_FILE, ExportSettings, export_model

    settings = ExportSettings(to, int8, calibrate, data, force)
    with bar("exporting") as progress:
        parity = export_model(model, out, settings, progress=progress, complain=complain)
    if not parity.passes:
        complain(f"mAP falls by {parity.fall:.2f} points, more than {parity.gate:g}")
    if as_json:
        print_json(parity.as_dict())
        return
    kept = "galleries of torch answer it, too" if parity.agrees else "its galleries are its own"
    say(
        f"{out}: mAP on {parity.data} {parity.map_exported:.4f}, with torch {parity.map_torch:.4f}; embeddings of one "
        f"person are alike by {parity.least_cosine:.4f} and more, so {kept}; details: {out / PARITY_FILE}"
    )
