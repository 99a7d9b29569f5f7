"""The most alike of a gallery of embeddings are read anew from their patches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from search_fakes import FakeModel, box_at, picture, save_pictures, searcher
from torch import Tensor
from torch.nn import functional as F

from personsearch.search.gallery import Gallery
from personsearch.search.indexing import index_sources
from personsearch.search.once_a_scene import once_a_scene
from personsearch.search.picking import Limits
from personsearch.search.rereading import Sight, reread


class Patches:
    """Reads people by colour, as the fake model does, but in other numbers; counts the pictures that it saw."""

    def __init__(self) -> None:
        self.seen = 0

    def embed(self, image: Image.Image, boxes: Tensor) -> Tensor:
        self.seen += 1
        return F.normalize(FakeModel().embed(image, boxes).abs() + 0.3, dim=1)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    save_pictures(tmp_path / "photos", 5)
    one = searcher()
    made = Gallery.create(tmp_path / "g", model="fake", fingerprint=one.fingerprint, dim=one.dim)
    with made:
        index_sources(made, one, [tmp_path / "photos"])
    return Gallery.open(tmp_path / "g")


def sight(identity: int = 3) -> Sight:
    image, box = picture([(identity, 10)]), torch.tensor([box_at(10)])
    return Sight(FakeModel().embed(image, box)[0], Patches().embed(image, box)[0])


def test_answers_are_ranked_by_both_cosines(gallery: Gallery) -> None:
    lines: list[str] = []
    asked, reader = sight(), Patches()
    hits = reread(gallery, asked, reader, Limits(100, None), 50, lines.append).hits
    stored = gallery.ask(asked.embedding, Limits(100, None)).hits
    assert len(hits) == len(stored) > 5
    expected = []
    for hit in stored:
        patch = Patches().embed(hit.picture.read(), torch.tensor([hit.box]))[0]
        expected.append(0.4 * hit.similarity + 0.6 * float(patch @ asked.patch))
    names = sorted({hit.scene for hit in stored})
    scene_of = torch.tensor([names.index(hit.scene) for hit in stored])
    ranks = once_a_scene(torch.tensor(expected), scene_of, torch.tensor([hit.score for hit in stored]))
    order = ranks.argsort(descending=True, stable=True).tolist()
    assert [(hit.scene, hit.box) for hit in hits] == [(stored[row].scene, stored[row].box) for row in order]
    assert [hit.similarity for hit in hits] == pytest.approx([expected[row] for row in order], abs=1e-5)
    assert reader.seen == len(names), "each picture is opened once"
    assert not lines


def test_only_the_most_alike_are_read_and_answer(gallery: Gallery) -> None:
    reader = Patches()
    first = gallery.ask(sight().embedding, Limits(2, None)).hits
    hits = reread(gallery, sight(), reader, Limits(1), 2, lambda line: None).hits
    assert len(hits) == 1
    assert (hits[0].scene, hits[0].box) in {(hit.scene, hit.box) for hit in first}
    assert reader.seen <= 2


def test_who_is_gone_or_changed_keeps_what_is_stored_and_is_told(gallery: Gallery, tmp_path: Path) -> None:
    stored = {(hit.scene, hit.box): hit.similarity for hit in gallery.ask(sight().embedding, Limits(100, None)).hits}
    gone, changed, *_ = sorted((tmp_path / "photos").iterdir())
    gone.unlink()
    Image.new("RGB", (40, 40)).save(changed)
    lines: list[str] = []
    hits = reread(gallery, sight(), Patches(), Limits(100, None), 50, lines.append).hits
    assert len(hits) == len(stored), "nobody is lost"
    unread = [hit for hit in hits if hit.source in (gone, changed)]
    assert [hit.similarity for hit in unread] == pytest.approx([stored[hit.scene, hit.box] for hit in unread])
    (line,) = lines
    assert line.startswith(f"{len(unread)} of the {len(hits)} most alike cannot be read anew")


def test_an_empty_gallery_gives_nothing(tmp_path: Path) -> None:
    one = searcher()
    Gallery.create(tmp_path / "g", model="fake", fingerprint=one.fingerprint, dim=one.dim).close()
    assert reread(Gallery.open(tmp_path / "g"), sight(), Patches(), Limits(), 100, print).hits == []
