"""Sheets and boxes: what is drawn where, and that nothing a gallery can hold breaks them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from search_fakes import box_at, picture, save_pictures, save_video

from personsearch.data.records import Box
from personsearch.search.drawing import contact_sheet, draw_scene, person_crop
from personsearch.search.hits import GalleryHit
from personsearch.search.sources import Source


def hit(source: Path, box: Box = (60, 26, 80, 86), time: float | None = None) -> GalleryHit:
    return GalleryHit("s", box, 0.8, 0.9, source, None, time, 160, 96)


def test_draw_scene_draws_around_the_box_on_a_copy() -> None:
    image = picture([(1, 40)])
    before = np.asarray(image).copy()
    drawn = np.asarray(draw_scene(image, [box_at(40)], ["1"], color="#ff00ff", stroke=2))
    assert (np.asarray(image) == before).all()
    assert drawn.shape == before.shape
    assert (drawn[30:80, 42:58] == before[30:80, 42:58]).all()  # inside stays visible
    assert ((drawn == (255, 0, 255)).all(axis=2)[50, 36:40]).any()
    assert (drawn[:, 100:] == before[:, 100:]).all()
    assert (np.asarray(draw_scene(image, [])) == before).all()


@pytest.mark.parametrize("box", [(0, 0, 3, 90), (150, 60, 160, 96), (0, 0, 160, 96), (70.2, 40.1, 70.9, 40.7)])
def test_crop_has_its_size_and_never_stretches(box: Box) -> None:
    crop = person_crop(picture([(1, 40), (2, 100)]), box, (67, 134))
    assert crop.size == (67, 134)


def test_crop_shows_the_person_in_the_middle() -> None:
    crop = np.asarray(person_crop(picture([(0, 60)]), box_at(60), (40, 80)))
    assert (crop[30, 20] == (255, 0, 0)).all()
    assert (crop[60, 20] == (0, 255, 0)).all()
    assert (crop[40, 1] == (128, 128, 128)).all()


def test_sheet_grows_with_its_hits_and_marks_right_and_wrong(tmp_path: Path) -> None:
    (path,) = save_pictures(tmp_path, 1)
    query = picture([(1, 10)])
    sizes = [contact_sheet(query, box_at(10), [hit(path)] * count).height for count in (0, 1, 3, 4)]
    assert sizes[0] < sizes[1] == sizes[2] < sizes[3]
    green, red = ((21, 146, 75), (217, 45, 32))
    plain = np.asarray(contact_sheet(query, box_at(10), [hit(path)] * 2))
    judged = np.asarray(contact_sheet(query, box_at(10), [hit(path)] * 2, correct=[True, False]))
    for color in (green, red):
        assert (judged == color).all(axis=2).sum() > 1000
        assert not (plain == color).all(axis=2).any()


@pytest.mark.parametrize("name", ["straße – 人物 🚶.png", "a" * 120 + ".png", "tab\tline\nbreak.png", "[bold]%s{}.png"])
def test_any_file_name_is_drawn(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    picture([(1, 60)]).save(path)
    sheet = contact_sheet(Image.open(path), box_at(60), [hit(path, time=3723.4)], title=name, notes=[name])
    assert sheet.width > 1000


def test_a_picture_that_is_gone_leaves_a_card_that_says_so(tmp_path: Path) -> None:
    sheet = contact_sheet(picture([(1, 10)]), box_at(10), [hit(tmp_path / "gone.png"), hit(Path("bad\udcff.png"))])
    assert sheet.height > 500


def drawn(hit: GalleryHit) -> np.ndarray:
    """The part of the sheet that shows the hit's scene and person, without its caption."""
    sheet = contact_sheet(picture([(1, 10)]), box_at(10), [hit], columns=1)
    return np.asarray(sheet)[-36 - 78 - 268 : -36 - 78]


@pytest.mark.parametrize("what", ["another size", "another content", "turned", "gone", "a folder", "another film"])
def test_no_old_box_is_drawn_on_a_file_that_changed(tmp_path: Path, what: str) -> None:
    path = tmp_path / ("walk.avi" if what == "another film" else "a.png")
    (save_video(path, 2) if what == "another film" else picture([(1, 60)]).save(path))
    every, frame = (1.0, 5) if what == "another film" else (None, None)
    indexed = Source.of(path, every).with_digest()
    old = GalleryHit("s", box_at(60), 0.8, 0.9, path, frame, None, 160, 96, indexed)
    amber = (245, 158, 11)
    assert (drawn(old) == amber).all(axis=2).any(), "the box of a file as it was"
    if what == "another size":
        picture([(1, 10)], (320, 96)).save(path)
    elif what == "another content":
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b"x")
        os.utime(path, (1, 1))
    elif what == "turned":
        old = replace(old, width=96, height=160)
    elif what == "another film":
        save_video(path, 3)
    else:
        path.unlink()
        if what == "a folder":
            path.mkdir()
    assert not (drawn(old) == amber).all(axis=2).any()
    assert len(np.unique(drawn(old).reshape(-1, 3), axis=0)) > 2, "a line says why"


def test_a_file_that_was_only_touched_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture([(1, 60)]).save(path)
    for indexed in (Source.of(path).with_digest(), Source.of(path)):
        old = GalleryHit("s", box_at(60), 0.8, 0.9, path, None, None, 160, 96, indexed)
        os.utime(path, ns=(0, indexed.mtime_ns + 1))
        assert (drawn(old) == (245, 158, 11)).all(axis=2).any()
