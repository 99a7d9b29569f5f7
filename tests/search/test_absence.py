"""Whether anybody here looks so alike, and the strangers that a gallery keeps to tell it by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from personsearch.geometry.detections import Detections
from personsearch.search import asking
from personsearch.search.absence import is_absent
from personsearch.search.gallery import Gallery
from personsearch.search.picking import Limits
from personsearch.search.rows import IndexedScene
from personsearch.search.searchers import READINGS
from personsearch.search.sources import Source
from personsearch.search.stranger_file import STRANGERS, load_strangers, save_strangers
from personsearch.search.strangers import Strangers

DIM, PEOPLE = 32, 60


def looks(seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(PEOPLE, DIM, generator=torch.Generator().manual_seed(seed)), dim=1)


def fill(folder: Path, scenes: int = 20, start: int = 0, force: bool = False) -> None:
    """Person i is in one scene of three, a little changed each time."""
    chance = torch.Generator().manual_seed(start)
    with Gallery.create(folder, model="m", fingerprint="f", dim=DIM, read=READINGS, force=force) as made:
        for number in range(start, start + scenes):
            here = [i for i in range(PEOPLE) if (i + number) % 3 == 0]
            vectors = F.normalize(looks()[here] + 0.05 * torch.randn(len(here), DIM, generator=chance), dim=1)
            boxes = torch.tensor([[10.0 * i, 0.0, 10.0 * i + 8, 20.0] for i in range(len(here))])
            people = Detections(boxes, torch.full((len(here),), 0.9), vectors)
            made.add([IndexedScene(Source(f"/p/{number}.png", 1, 1), 1000, 50, people)])


def test_who_is_here_is_found_and_who_is_not_is_absent(tmp_path: Path) -> None:
    fill(tmp_path / "g")
    gallery = Gallery.open(tmp_path / "g")
    assert not any(gallery.ask(one).absent for one in looks())
    told = [gallery.ask(one).absent for seed in range(1, 9) for one in looks(seed)]
    assert sum(told) >= 0.8 * len(told)  # the promise


def test_among_nobody_everybody_is_absent(tmp_path: Path) -> None:
    fill(tmp_path / "g")
    gallery = Gallery.open(tmp_path / "g")
    among = torch.zeros(gallery.people, dtype=torch.bool)
    answer = gallery.ask(looks()[0], Limits(among=among))
    assert (answer.hits, answer.absent) == ([], True)
    among[7] = True
    (hit,) = gallery.ask(looks()[0], Limits(among=among)).hits
    assert hit.box == gallery.crowd().hit(7, 0.0).box


def test_a_gallery_of_few_does_not_tell() -> None:
    few = Strangers(np.linspace(0, 1, 99, dtype=np.float32))
    assert is_absent(0.9, few, 10) is None
    many = Strangers(np.linspace(0, 0.5, 1000, dtype=np.float32))
    assert is_absent(-np.inf, many, 10)
    assert is_absent(0.4, many, 10)
    assert not is_absent(0.51, many, 10)


def test_strangers_are_counted_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "g")
    kept = Gallery.open(tmp_path / "g").strangers()
    assert len(kept) > 100
    with monkeypatch.context() as patch:
        patch.setattr(asking, "find_strangers", lambda *_: pytest.fail("they are counted already"))
        again = Gallery.open(tmp_path / "g").strangers()
    assert np.array_equal(kept.likenesses, again.likenesses)
    (tmp_path / "g" / STRANGERS).write_bytes(b"PK\x03\x04 damaged")
    assert np.abs(Gallery.open(tmp_path / "g").strangers().likenesses - kept.likenesses).max() < 1e-3


def test_strangers_of_another_version_count_as_none(tmp_path: Path) -> None:
    save_strangers(tmp_path, 3, Strangers(np.zeros(5, dtype=np.float32)))
    assert load_strangers(tmp_path, 4) is None
    assert load_strangers(tmp_path / "nowhere", 3) is None
    loaded = load_strangers(tmp_path, 3)
    assert loaded is not None
    assert len(loaded) == 5
    save_strangers(tmp_path, 3, Strangers(np.array([1, 0], dtype=np.float32)))  # they rise
    assert load_strangers(tmp_path, 3) is None


def test_a_gallery_made_anew_has_its_own_strangers(tmp_path: Path) -> None:
    fill(tmp_path / "g")
    before = Gallery.open(tmp_path / "g").strangers()
    fill(tmp_path / "g", start=1, force=True)
    made = Gallery.open(tmp_path / "g")
    assert not np.array_equal(before.likenesses, made.strangers().likenesses)
    with Gallery.open(tmp_path / "g", write=True) as held:
        held.forget("/p/1.png")
        assert load_strangers(tmp_path / "g", held._table.version) is None
    assert load_strangers(tmp_path / "g", Gallery.open(tmp_path / "g")._table.version) is not None
