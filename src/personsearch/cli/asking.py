"""How `search` asks: by the gallery's people, or by a proposer, and which options go together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personsearch.cli.console import bar, complain
from personsearch.cli.second_look import by_second_look, folder_of_codes
from personsearch.cli.sights import Shown, fused
from personsearch.errors import SettingError

if TYPE_CHECKING:
    from PIL.Image import Image

    from personsearch.data.records import Box
    from personsearch.search.gallery import Gallery
    from personsearch.search.hits import Answer
    from personsearch.search.picking import Limits
    from personsearch.search.searchers import SceneEncoder

DEFAULT_MODEL = "binet-rendered"


@dataclass(frozen=True)
class Reading:
    """By what people are read; None leaves it to the gallery, or to what is usual."""

    model: str | None
    read: str | None
    reid: str | None
    runtime: str | None
    device: str | None

    def load(self, held: Gallery | None, min_score: float) -> SceneEncoder:
        """The encoder, for a gallery that is there: it must have been made by the same. Raises GalleryError."""
        from personsearch.search.searchers import load_searcher

        about = None if held is None else held.about
        encoder = load_searcher(
            self.model or (DEFAULT_MODEL if about is None else about.model),
            self.device,
            min_score,
            self.read or (None if about is None or self.reid else about.read),
            reid=self.reid or (None if about is None or self.read else about.reid),
            runtime=self.runtime,
            complain=complain,
            like=None if about is None else about.fingerprint,
        )
        if held is not None:
            held.require_model(encoder.fingerprint, encoder.read)
        return encoder


@dataclass(frozen=True)
class How:
    """How a gallery is asked; None leaves it to what is best for the gallery."""

    read: str | None
    once: bool | None
    widen: int | None
    reread: int | None


@dataclass(frozen=True)
class More:
    """What the query is besides one sight."""

    sights: list[Shown]
    others: list[Shown]

    def __bool__(self) -> bool:
        return bool(self.sights or self.others)

    def as_dict(self) -> dict[str, Any]:
        """As question.py reads it; empty for one sight alone."""
        listed = {"also": self.sights, "not": self.others}
        return {name: [shown.as_dict() for shown in some] for name, some in listed.items() if some}


@dataclass(frozen=True)
class Guide:
    """Who looks for the person in the scenes themselves; nobody without a proposer."""

    proposer: str | None
    keep: int | None
    candidates: int | None
    look_again: int | None
    codes_gb: float


@dataclass(frozen=True)
class Query:
    """The person searched for, and the picture that shows her."""

    image: Path
    moment: float | None
    picture: Image
    box: Box

    @classmethod
    def of(cls, image: Path, at: float | None, box: Box) -> Query:
        """Reads the picture. Raises what `read_scene` raises, and BoxError for a box that is not in it."""
        from personsearch.geometry.boxes import check_box
        from personsearch.search.searchers import read_scene

        picture, moment = read_scene(image, at)
        return cls(image, moment, picture, check_box(box, picture.width, picture.height))

    def as_dict(self) -> dict[str, Any]:
        return Shown(self.image, self.moment, self.picture, self.box).as_dict()


Asker = Callable[[Query, "Limits"], "Answer"]


def refuse_odd_stages(reading: Reading, how: How, guide: Guide, *, several: bool) -> None:
    """Raises SettingError for options of `search` that do not go together. `several` says that there are more sights
    than one."""
    if guide.look_again is not None and (reading.reid is not None or guide.candidates is not None):
        raise SettingError("--look-again ranks by what the gallery is read by: leave --reid and --candidates out")
    if guide.keep is not None and reading.reid is None:
        raise SettingError("--keep says how many proposals go on to a re-id network: give --reid, too")
    if guide.proposer is None:
        if guide.codes_gb or guide.candidates or guide.keep or guide.look_again:
            what = "--keep, --candidates, --look-again and --codes-gb"
            raise SettingError(f"{what} are for a proposer: give --proposer, too")
        return
    if several:
        raise SettingError("--also and --not are for the gallery's people: leave --proposer out")
    if reading.model is not None:
        raise SettingError("a proposer does not ask the gallery's embeddings: give --model or --proposer, not both")
    if reading.runtime not in (None, "torch"):
        raise SettingError("a proposer is run by torch: leave --runtime out")
    if how != How(None, None, None, None):
        raise SettingError("--read, --once, --widen and --reread are for the gallery's people: leave --proposer out")


def asker_of(held: Gallery, reading: Reading, how: How, more: More, guide: Guide) -> tuple[str, Asker]:
    """A note on what is searched, and the function that answers."""
    if guide.proposer is None:
        return by_gallery(held, reading, how, more)
    if guide.look_again is not None:
        encoder = reading.load(held, held.about.min_score)
        return by_second_look(held, encoder, guide.proposer, guide.look_again, guide.codes_gb, reading.device)
    return by_proposer(held, guide.proposer, reading, guide)


def by_gallery(held: Gallery, reading: Reading, how: How, more: More) -> tuple[str, Asker]:
    """A note on what is searched, and the function that answers from the gallery's people."""
    import torch

    from personsearch.search.ranking import camera_of
    from personsearch.search.rereading import REREAD, Sight, load_crop_reader, reread
    from personsearch.search.searchers import SEARCH

    name = reading.model or held.about.model
    asked = f"{held.people:,} people in {len(held):,} scenes by {Path(name).name}"
    encoder = reading.load(held, 0.5)
    by_patches = held.about.read == SEARCH and how.read is None and how.reread != 0
    reader = load_crop_reader(encoder, name) if by_patches else None
    if more and reader is not None:
        raise SettingError("--also and --not need a gallery of --read readings, or --reread 0")
    if how.reread and reader is None:
        raise SettingError(f"--reread {how.reread}: patches can be read anew only for a gallery of --read search")

    def answer(query: Query, limits: Limits) -> Answer:
        if more:
            sights = [Shown(query.image, query.moment, query.picture, query.box), *more.sights]
            return held.answer(fused(held, encoder, sights, more.others), limits, once=how.once, widen=how.widen)
        embedding = encoder.encode_query(query.picture, query.box)
        if reader is not None:
            sight = Sight(embedding, reader.embed(query.picture, torch.tensor([query.box]))[0])
            return reread(held, sight, reader, limits, how.reread or REREAD, complain)
        camera = camera_of(query.image.resolve(), None if query.moment is None else 0)
        return held.ask(embedding, limits, camera=camera, once=how.once, widen=how.widen)

    return asked, answer


def by_proposer(held: Gallery, proposer: str, reading: Reading, guide: Guide) -> tuple[str, Asker]:
    """A note on what is searched, and the function that answers in two stages."""
    from personsearch.search.hits import Answer
    from personsearch.search.two_stage import load_two_stages

    searcher, codes = load_two_stages(
        proposer,
        reading.reid,
        folder_of_codes(held, guide.codes_gb),
        int(guide.codes_gb * 1e9),
        keep=guide.keep or 100,
        candidates=guide.candidates,
        device=reading.device,
        complain=complain,
    )

    def answer(query: Query, limits: Limits) -> Answer:
        code = searcher.encode_query(query.picture, query.box)
        asked_with = {name: getattr(limits, name) for name in ("top", "per_scene", "min_score", "min_gap", "allow")}
        with bar("asking") as progress:
            (hits,) = searcher.search(
                [code], held.scenes(), code_of=codes, complain=complain, progress=progress, **asked_with
            )
        return Answer(hits, [])

    names = [Path(name).name for name in (proposer, reading.reid) if name is not None]
    return f"{len(held):,} scenes by {' and '.join(names)}", answer
