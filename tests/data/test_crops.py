"""Folders of cropped people: names that are none, and files that only look like pictures."""

import pytest
from PIL import Image

from personsearch.data.layouts.crops import load_crops
from personsearch.errors import DataError, ImageError


def _crop(path):
    Image.new("RGB", (20, 60)).save(path, "JPEG")


def test_two_cameras(tmp_path):
    for name in ("7_0.jpg", "7_5.jfif", "9_1.jpe"):
        _crop(tmp_path / name)
    (tmp_path / "._7_0.jpg").write_bytes(b"notes of a system")
    loaded = load_crops(tmp_path)
    assert [(s.persons[0].identity, s.camera) for s in loaded.test] == [(7, 0), (7, 1), (9, 0)]
    assert [(q.scene, q.gallery) for q in loaded.queries] == [("7_0.jpg", ("7_5.jfif",))]


@pytest.mark.parametrize("name", ["seven_0.jpg", "7.jpg", "7_0_1.jpg", "9" * 40 + "_0.jpg", "7_" + "9" * 40 + ".jpg"])
def test_names_that_are_no_numbers_of_people(tmp_path, name):
    _crop(tmp_path / name)
    with pytest.raises(DataError, match=r"is not named IDENTITY_K\.jpg with two numbers: rename it or take it out"):
        load_crops(tmp_path)


def test_what_only_looks_like_a_picture(tmp_path):
    (tmp_path / "7_0.jpg").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"7_0\.jpg is not a picture"):
        load_crops(tmp_path)
