"""`search --look-again`: the gallery first, then a proposer in the scenes that promise most."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from personsearch.cli.console import bar, complain
from personsearch.cli.options import within

if TYPE_CHECKING:
    from personsearch.search.gallery import Gallery
    from personsearch.search.hits import Answer
    from personsearch.search.picking import Limits
    from personsearch.search.searchers import SceneEncoder

LookAgain = Annotated[
    int | None, typer.Option(callback=within(1), help="Ask the gallery, then --proposer in so many promising scenes.")
]


def folder_of_codes(held: Gallery, codes_gb: float) -> Path:
    """Where the codes of a gallery's scenes are kept, if some are. Raises SettingError for a gallery in a bucket."""
    from personsearch.search.gallery import CODES
    from personsearch.search.place import folder_on_disk

    return folder_on_disk(held.folder / CODES, "--codes-gb") if codes_gb else Path(CODES)


def by_second_look(
    held: Gallery, encoder: SceneEncoder, proposer: str, count: int, codes_gb: float, device: str | None
) -> tuple[str, Callable[[Any, Limits], Answer]]:
    """A note on what is searched, and the function that answers a query of `search`. `encoder` is the gallery's."""
    from personsearch.models.weights import load_proposer
    from personsearch.runtime import best_device
    from personsearch.search.looking_again import Asked, SecondLook, look_again
    from personsearch.search.ranking import camera_of
    from personsearch.search.scene_codes import codes_of

    loaded = load_proposer(proposer, device or best_device())
    kept = codes_of(loaded, folder_of_codes(held, codes_gb), int(codes_gb * 1e9), complain=complain)
    look = SecondLook(loaded.model, kept, count)
    indexed_by, looks = Path(held.about.model).name, Path(proposer).name
    if not look.shares(encoder):
        complain(
            f"{looks} does not stand on {indexed_by} at its size of scenes: those looked at again are encoded by both"
        )

    def answer(query: Any, limits: Limits) -> Answer:
        camera = camera_of(query.image.resolve(), None if query.moment is None else 0)
        with bar("asking") as progress:
            asked = Asked(query.picture, query.box, camera)
            return look_again(held, encoder, look, asked, limits, complain=complain, progress=progress)

    scenes = min(count, len(held))
    return f"{held.people:,} people by {indexed_by}, {scenes:,} scenes again by {looks}", answer
