"""`data check`: every problem at once."""

import json
from dataclasses import replace

import numpy as np
import pytest
from layout_fixtures import make_benchmark, person
from PIL import Image
from scipy.io import savemat

from personsearch.data.check import PUBLISHED, check_data
from personsearch.data.layouts.coco import save_coco
from personsearch.data.layouts.cuhk_sysu_writer import save_cuhk_sysu
from personsearch.data.layouts.prw_writer import save_prw
from personsearch.data.queries import NO_QUERIES
from personsearch.errors import DataError
from personsearch.progress import Progress


@pytest.fixture
def benchmark(tmp_path):
    return make_benchmark(tmp_path / "pictures")


COUNTS = {
    "training scenes": 4,
    "training people": 6,
    "training identities": 3,
    "test scenes": 5,
    "test people": 7,
    "queries": 2,
}


def test_a_complete_folder(benchmark, tmp_path):
    save_prw(benchmark, tmp_path / "prw")
    report = check_data(f"prw:{tmp_path / 'prw'}")
    assert report.problems == ()
    assert report.counts == COUNTS
    assert report.published == PUBLISHED["prw"]
    assert report.published.keys() == report.counts.keys()
    assert any("2 training identities are seen once" in line for line in report.remarks)
    assert any("1 training scenes hold only people without identity" in line for line in report.remarks)


def test_every_missing_and_damaged_file_is_named(benchmark, tmp_path):
    folder = tmp_path / "cuhk"
    save_cuhk_sysu(benchmark, folder)
    seen = []
    pictures = folder / "Image" / "SSM"
    (pictures / "s2.jpg").unlink()
    (pictures / "s3.jpg").write_bytes((pictures / "s3.jpg").read_bytes()[:900])
    (folder / "annotation" / "test" / "train_test" / "TestG50.mat").write_bytes(b"no")
    report = check_data(f"cuhk-sysu:{folder}", Progress(lambda _done, total, _what: seen.append(total)))
    named = " ".join(report.problems)
    for name in ("s2.jpg", "s3.jpg", "TestG50.mat"):
        assert name in named
    assert len(report.problems) == 3
    assert report.counts == {}
    assert seen == [6 + 9 + 2] * (6 + 9 + 2)


def test_a_complete_cuhk_folder_has_no_problems(benchmark, tmp_path):
    save_cuhk_sysu(benchmark, tmp_path / "cuhk")
    report = check_data(f"cuhk-sysu:{tmp_path / 'cuhk'}")
    assert report.problems == ()
    assert report.counts == COUNTS


def test_every_protocol_is_read(benchmark, tmp_path):
    save_cuhk_sysu(benchmark, tmp_path / "cuhk")
    path = tmp_path / "cuhk" / "annotation" / "test" / "train_test" / "TestG50.mat"
    savemat(path, {"TestG50": np.zeros((1, 2))})
    (problem,) = check_data(f"cuhk-sysu:{tmp_path / 'cuhk'}").problems
    assert "TestG50.mat does not have the published structure" in problem


def test_what_stands_before_a_broken_list_is_looked_at(benchmark, tmp_path):
    save_cuhk_sysu(benchmark, tmp_path / "cuhk")
    (tmp_path / "cuhk" / "annotation" / "Images.mat").write_bytes(b"no")
    (tmp_path / "cuhk" / "annotation" / "Person.mat").unlink()
    named = " ".join(check_data(f"cuhk-sysu:{tmp_path / 'cuhk'}").problems)
    assert "Images.mat is damaged" in named
    assert "Person.mat is missing" in named


def test_coco_and_a_layout_without_published_counts(benchmark, tmp_path):
    save_coco(benchmark, tmp_path / "coco")
    report = check_data(f"coco:{tmp_path / 'coco'}")
    assert (report.problems, report.counts, report.published) == ((), COUNTS, {})


@pytest.mark.parametrize("layout", ["coco", "cuhk-sysu", "prw", "mot"])
def test_not_even_a_folder(tmp_path, layout):
    (problem,) = check_data(f"{layout}:{tmp_path / 'nowhere'}").problems
    assert "nowhere" in problem


def test_an_unknown_layout():
    with pytest.raises(DataError, match="not a known layout"):
        check_data("voc:folder")


def _lying(path):
    """The picture as a phone stores it: on its side, and with the word how to turn it."""
    with Image.open(path) as image:
        stored = image.convert("RGB").transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(path, exif=exif)


def test_stated_sizes_are_compared_with_pixels(benchmark, tmp_path):
    """Boxes for the stored picture, and a reader that turns it upright: everything would be looked for elsewhere."""
    save_coco(benchmark, tmp_path / "coco")
    assert check_data(f"coco:{tmp_path / 'coco'}").problems == ()
    document = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    _lying(tmp_path / "coco" / "images" / "e.png")  # upright still 640x480
    for record in document["images"]:
        if record["file_name"] == "e.png":
            record["width"], record["height"] = 480, 640
        if record["file_name"] == "f.png":
            record["width"] = 1280
    (tmp_path / "coco" / "annotations.json").write_text(json.dumps(document))
    turned, wide = check_data(f"coco:{tmp_path / 'coco'}").problems
    assert "e.png is 640x480 pixels, turned upright by its Exif, and its boxes are for one of 480x640" in turned
    assert "f.png is 640x480 pixels, and its boxes are for one of 1280x480" in wide


def test_sizes_of_a_sequence_are_compared_with_pixels(tmp_path):
    (tmp_path / "img1").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "img1" / "000001.png")
    (tmp_path / "gt.txt").write_text("1,1,1,1,9,9,1,1,1\n1,2,1,1,9,9,1,3,1\n")
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nimWidth=60\nimHeight=40\nseqLength=2\n")
    report = check_data(f"mot:{tmp_path}")
    assert report.problems == ()
    assert set(report.remarks) >= {
        "1 lines of gt.txt are of class 3, not 1: left out",
        "seqinfo.ini says 2 frames, and 1 are there",
        f"the data {NO_QUERIES}",
    }
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nimWidth=40\nimHeight=60\n")
    (problem,) = check_data(f"mot:{tmp_path}").problems
    assert "frame 1 is 60x40 pixels" in problem


@pytest.mark.parametrize(("layout", "save"), [("cuhk-sysu", save_cuhk_sysu), ("prw", save_prw)])
def test_boxes_that_leave_their_picture_are_told(benchmark, tmp_path, layout, save):
    """As where pictures were made smaller, or turned, and their boxes were not."""
    save(benchmark, tmp_path / "data")
    before = check_data(f"{layout}:{tmp_path / 'data'}").remarks
    for path in (tmp_path / "data").rglob("*.jpg"):
        if path.parent.name in ("SSM", "frames"):
            Image.new("RGB", (240, 180)).save(path)
    told = set(check_data(f"{layout}:{tmp_path / 'data'}").remarks) - set(before)
    assert any("boxes have less than a pixel in their picture: left out" in line for line in told)
    assert any("boxes lie for more than half outside their picture: cut" in line for line in told)


def test_what_the_loader_left_out_is_a_remark(benchmark, tmp_path):
    test = (replace(benchmark.test[0], persons=(person(1, 2, 30, 40, 484), person(50, 2, 30, 40, 484))),)
    save_coco(replace(benchmark, train=(), identities=0, test=test, queries=()), tmp_path / "coco")
    document = json.loads((tmp_path / "coco" / "annotations.json").read_text())
    document["annotations"].append({"id": 9, "image_id": 1, "bbox": [1, 2, 0.001, 0.001]})
    document["annotations"].append({"id": 10, "image_id": 1, "bbox": [1, 2, 30, 40], "iscrowd": 1})
    (tmp_path / "coco" / "annotations.json").write_text(json.dumps(document))
    assert set(check_data(f"coco:{tmp_path / 'coco'}").remarks) == {
        "1 boxes have less than a pixel in their picture: left out",
        "1 annotations are crowds: left out",
        "1 scenes hold someone twice",
        f"the data {NO_QUERIES}",
    }


def test_names_that_no_file_has_are_one_line(benchmark, tmp_path):
    save_coco(benchmark, tmp_path / "coco")
    path = tmp_path / "coco" / "annotations.json"
    whole = path.read_text()
    for name in ("a" * 3000, "a\\u0000b", "../e.png"):
        path.write_text(whole.replace('"e.png"', f'"{name}"'))
        (problem,) = check_data(f"coco:{tmp_path / 'coco'}").problems
        assert "\n" not in problem
