"""`data check`: every problem at once."""

import numpy as np
import pytest
from layout_fixtures import make_benchmark
from scipy.io import savemat

from personsearch.data.check import PUBLISHED, check_data
from personsearch.data.coco import save_coco
from personsearch.data.cuhk_sysu_writer import save_cuhk_sysu
from personsearch.data.prw_writer import save_prw
from personsearch.errors import DataError


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
    report = check_data(f"cuhk-sysu:{folder}", lambda files, total: seen.append(total) or files)
    named = " ".join(report.problems)
    for name in ("s2.jpg", "s3.jpg", "TestG50.mat"):
        assert name in named
    assert len(report.problems) == 3
    assert report.counts == {}
    assert seen == [6 + 9 + 2]


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
