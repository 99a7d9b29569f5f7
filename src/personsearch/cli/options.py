"""Which values options may have, checked before any work."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personsearch.errors import SettingError
from personsearch.settings import Range

if TYPE_CHECKING:
    from personsearch.search.place import Place
else:
    Place = str  # as typer sees it, which has no types of two kinds: `_place` makes it one


def within(low: float, high: float = 10**9, *, above: bool = False) -> Callable[..., Any]:
    """A callback for options: SettingError for numbers outside, NaN and infinities among them. See `Range`."""
    allowed = Range(low, high, above)

    def check(param: typer.CallbackParam, value: Any) -> Any:
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and number not in allowed:
                raise SettingError(f"{param.opts[-1]} {number}: give {allowed}")
        return value

    return check


def _here(value: str | None) -> str | None:
    if value is None:
        return None
    from personsearch.runtime import checked_device

    return checked_device(value)


def _known_runtime(value: str | None) -> str | None:
    if value is None:
        return None
    from personsearch.models.sessions import check_runtime

    return check_runtime(value)


def _place(value: str) -> Place:
    from personsearch.search.place import as_place

    return as_place(value)


AGallery = Annotated[
    Place, typer.Argument(metavar="GALLERY", parser=_place, help="Folder of the gallery, or s3://BUCKET/PATH.")
]
SomeGalleries = Annotated[
    list[Place], typer.Argument(metavar="GALLERY...", parser=_place, help="Galleries of one model.")
]
Where = Annotated[
    Place, typer.Argument(metavar="FOLDER", parser=_place, help="Where to look, with all below; or s3://BUCKET/PATH.")
]
IntoGallery = Annotated[
    Place,
    typer.Option(metavar="GALLERY", parser=_place, help="Folder of the gallery, or s3://BUCKET/PATH; made if need be."),
]


def bytes_of(value: str | int) -> int:
    """Of a size such as 2GB. Raises SettingError for what is none."""
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kMGT]?)B?", str(value), re.IGNORECASE)
    size = 0 if found is None else int(float(found[1]) * 1000 ** " kmgt".index(found[2].lower() or " "))
    if not size:
        raise SettingError(f"--memory {value}: how much? give a size such as 2GB or 500MB")
    return size


Memory = Annotated[
    int | None,
    typer.Option(metavar="SIZE", parser=bytes_of, help="Read the gallery in shards that fit, such as 2GB."),
]
Approximate = Annotated[bool, typer.Option("--approximate", help="Ask the index of `gallery approximate`.")]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Device = Annotated[str | None, typer.Option(callback=_here, help="cpu or cuda; by default cuda where there is one.")]
Runtime = Annotated[
    str | None, typer.Option(callback=_known_runtime, help="What runs weights of `export`: torch, onnx or openvino.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


At = Annotated[float | None, typer.Option(callback=within(0), help="Seconds into the video, where IMAGE is a video.")]
Score = within(0, 1)
Model = Annotated[str | None, typer.Option(help="Weights; by default the gallery's.")]
Read = Annotated[str | None, typer.Option(help="How people are read: readings, search, instance, or reid.")]
Reid = Annotated[
    str | None, typer.Option(help="Re-id weights, or .onnx or .xml, that embed the people, or rank for --proposer.")
]
