"""`search --also` and `--not`: more sights of the person, and people who are somebody else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personsearch.errors import InputError, SettingError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from personsearch.data.records import Box
    from personsearch.search.gallery import Gallery
    from personsearch.search.searchers import SceneEncoder

_HOW = "IMAGE:X1,Y1,X2,Y2, or VIDEO@SECONDS:X1,Y1,X2,Y2"
_WRITTEN = re.compile(r"(?P<file>.+?)(?:@(?P<at>\d+(?:\.\d+)?))?:(?P<box>[-\d.]+(?:,[-\d.]+){3})")

Also = Annotated[list[str] | None, typer.Option("--also", metavar="SIGHT", help=f"Another sight of her: {_HOW}.")]
Not = Annotated[list[str] | None, typer.Option("--not", metavar="SIGHT", help="Somebody else, written like --also.")]


@dataclass(frozen=True)
class Shown:
    """Somebody in a picture or in a moment of a video."""

    image: Path
    moment: float | None
    picture: Image
    box: Box

    def reading(self, held: Gallery, encoder: SceneEncoder) -> Tensor:
        """[D] of unit length, without the mean of her camera."""
        from personsearch.search.ranking import camera_of

        camera = camera_of(self.image.resolve(), None if self.moment is None else 0)
        return held.comparable(encoder.encode_query(self.picture, self.box), camera)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"source": str(self.image), "time": self.moment, "box": list(self.box)}


def read_sights(written: Sequence[str] | None, option: str) -> list[Shown]:
    """Raises SettingError for one that is not written as it must be, and what reading a picture raises."""
    from personsearch.geometry.boxes import check_box
    from personsearch.search.files import is_video
    from personsearch.search.searchers import read_scene

    sights = []
    for text in written or ():
        match = _WRITTEN.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            x1, y1, x2, y2 = (float(number) for number in match["box"].split(","))
        except ValueError:
            raise SettingError(f"{option} {text}: write it as {_HOW}") from None
        path, at = Path(match["file"]), None if match["at"] is None else float(match["at"])
        if is_video(path) != (at is not None):
            raise SettingError(f"{option} {text}: a moment is of a video, and of nothing else; write it as {_HOW}")
        try:
            picture, moment = read_scene(path, at)
            box = check_box((x1, y1, x2, y2), picture.width, picture.height)
        except InputError as error:
            raise type(error)(f"{option} {text}: {error}") from error
        sights.append(Shown(path, moment, picture, box))
    return sights


def fused(held: Gallery, encoder: SceneEncoder, sights: Sequence[Shown], others: Sequence[Shown]) -> Tensor:
    """The query [D] of all of them, to be compared as it is."""
    import torch

    from personsearch.search.refining import refined

    readings = torch.stack([sight.reading(held, encoder) for sight in sights])
    return refined(readings, torch.stack([one.reading(held, encoder) for one in others]) if others else readings[:0])
