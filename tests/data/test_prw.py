"""PRW's layout: what is written comes back, and each trap of the published files is stepped over."""

import random
import shutil

import numpy as np
import pytest
from layout_fixtures import described, make_benchmark, people
from scipy.io import loadmat, savemat

from personsearch.data.layouts.prw import load_prw
from personsearch.data.layouts.prw_writer import save_prw
from personsearch.data.records import UNLABELED
from personsearch.errors import DataError, PersonSearchError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prw")
    benchmark = make_benchmark(folder / "pictures")
    save_prw(benchmark, folder / "data")
    return benchmark, folder / "data"


@pytest.fixture
def folder(written, tmp_path):
    """A copy to break. Its frames: c1s1_000001 (a), c2s1_000002 (b), ... c1s1_000009 (i)."""
    return shutil.copytree(written[1], tmp_path / "copy")


def people_file(folder, number):
    return next((folder / "annotations").glob(f"*_{number:06d}.jpg.mat"))


def rewrite(folder, number, rows, key="box_new"):
    savemat(people_file(folder, number), {key: np.array(rows, dtype=float).reshape(-1, 5)})


def test_what_is_written_comes_back(written, tmp_path):
    benchmark, folder = written
    loaded = load_prw(folder)
    assert people(loaded) == people(benchmark)
    assert loaded.identities == 3
    assert [s.name for s in loaded.train] == [f"c{1 + n % 2}s1_{n + 1:06d}.jpg" for n in range(4)]
    assert [s.camera for s in loaded.test] == [1, 2, 1, 2, 1]
    assert loaded.train[0].read().size == (640, 480)
    save_prw(loaded, tmp_path / "again")
    assert described(load_prw(tmp_path / "again")) == described(loaded)


def test_galleries_are_all_other_test_frames(written):
    loaded = load_prw(written[1])
    names = [scene.name for scene in loaded.test]
    for query in loaded.queries:
        assert list(query.gallery) == [name for name in names if name != query.scene]


def test_cross_camera_galleries(written):
    loaded = load_prw(written[1], cross_camera=True)
    cameras = {scene.name: scene.camera for scene in loaded.test}
    (query,) = loaded.queries  # 491 is asked for in camera 1, and seen by no other
    assert query.identity == 484
    assert {cameras[name] for name in query.gallery} == {2}


def test_the_files_are_as_published(written):
    _, folder = written
    lines = (folder / "query_info.txt").read_bytes().split(b"\r\n")
    assert lines == [b"484 20.0 30.0 50.0 120.0 c1s1_000005", b"491 180.0 90.0 90.0 200.0 c1s1_000007", b""]
    assert loadmat(folder / "frame_train.mat")["img_index_train"][0, 0].tolist() == ["c1s1_000001"]
    assert loadmat(folder / "ID_test.mat")["ID_test2"].tolist() == [[484, 491]]
    assert loadmat(people_file(folder, 3))["box_new"].tolist() == [[-2, 50, 60, 30, 80]]
    assert len(list((folder / "query_box").iterdir())) == 2


@pytest.mark.parametrize("key", ["box_new", "anno_file", "anno_previous"])
def test_each_of_the_three_keys(folder, key):
    rewrite(folder, 4, [[500, 10, 10, 50, 120]], key)
    assert load_prw(folder).train[3].persons[0].box == (10, 10, 60, 130)


def test_the_newest_key_wins(folder):
    old, new = np.array([[500.0, 1, 1, 5, 5]]), np.array([[500.0, 2, 2, 5, 5]])
    savemat(people_file(folder, 4), {"anno_previous": old, "box_new": new})
    assert load_prw(folder).train[3].persons[0].box == (2, 2, 7, 7)


def test_identities_with_holes_become_contiguous(folder):
    rewrite(folder, 1, [[932, 10, 10, 50, 120], [-2, 70, 10, 50, 120]])
    rewrite(folder, 2, [[3, 10, 10, 50, 120]])
    rewrite(folder, 4, [[480, 10, 10, 50, 120]])
    loaded = load_prw(folder)
    assert loaded.identities == 3
    assert [[p.identity for p in s.persons] for s in loaded.train] == [[2, UNLABELED], [0], [UNLABELED], [1]]


def test_training_identities_in_test_frames_keep_their_numbers(folder):
    rewrite(folder, 8, [[492, 10, 10, 50, 120], [492, 200, 10, 50, 120]])  # one of them twice in a frame
    assert [p.identity for p in load_prw(folder).test[3].persons] == [492, 492]


def test_negative_coordinates_are_cut(folder):
    rewrite(folder, 9, [[484, -1.703, 20, 41.703, 80], [491, 600, 400, 100, 100], [5, -50, 10, 20, 20]])
    persons = load_prw(folder).test[4].persons
    assert [p.box for p in persons] == [pytest.approx((0, 20, 40, 100)), (600, 400, 640, 480)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_queries_are_found_by_frame_and_number(folder, end):
    (folder / "query_info.txt").write_bytes(f"484 20 30 51.2 120 c1s1_000005{end}{end}".encode())
    (query,) = load_prw(folder).queries
    assert query.box == (20, 30, 70, 150), "the annotated box, which differs by a pixel"


def test_of_two_with_one_number_the_nearer_is_meant(folder):
    rewrite(folder, 5, [[484, 300, 30, 50, 120], [484, 20, 30, 50, 120]])
    assert load_prw(folder).queries[0].box == (20, 30, 70, 150)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("query_info.txt", b"484 20 30 c1s1_000005", r"line 1 of .*query_info\.txt is not"),
        ("query_info.txt", b"484 20 30 a 9 c1s1_000005", "line 1 of"),
        ("query_info.txt", b"484 20 30 50 120 c1s1_000002", "asks in c1s1_000002.jpg, which is not a test frame"),
        ("query_info.txt", b"7 20 30 50 120 c1s1_000005", "asks for person 7 of c1s1_000005.jpg"),
        ("query_info.txt", b"\xff\xfe\x00", "cannot be read as text"),
        ("query_info.txt", b"-1 20 30 50 120 c1s1_000005", "line 1 of .* negative or too large"),
        ("query_info.txt", b"9" * 30 + b" 20 30 50 120 c1s1_000005", "line 1 of .* negative or too large"),
        ("query_info.txt", b"484 20 nan 50 120 c1s1_000005", "line 1 of .* negative or too large"),
        ("query_info.txt", b"484 20 1e999 50 120 c1s1_000005", "line 1 of .* negative or too large"),
        ("frame_test.mat", b"", r"frame_test\.mat"),
        ("annotations/c1s1_000003.jpg.mat", b"MATLAB", r"c1s1_000003\.jpg\.mat"),
    ],
)
def test_a_damaged_file_is_named(folder, name, content, reason):
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=reason):
        load_prw(folder)


def test_a_matrix_of_another_shape_is_named(folder):
    savemat(people_file(folder, 3), {"box_new": np.zeros((2, 4))})
    with pytest.raises(DataError, match=r"000003\.jpg\.mat holds a matrix \(2, 4\)"):
        load_prw(folder)


@pytest.mark.parametrize("number", [-3, 7.5, np.nan, np.inf, 1e300])
def test_people_of_impossible_numbers_are_named(folder, number):
    rewrite(folder, 3, [[number, 10, 10, 50, 120]])
    with pytest.raises(DataError, match=r"000003\.jpg\.mat has a person of number"):
        load_prw(folder)


@pytest.mark.parametrize("stored", ["text", {"a": 1}, np.array([[{}] * 5], dtype=object), np.ones((1, 5)) * 1j])
def test_anything_else_in_place_of_people_is_named(folder, stored):
    savemat(people_file(folder, 3), {"box_new": stored})
    with pytest.raises(DataError, match=r"000003\.jpg\.mat (holds a matrix|does not have the published structure)"):
        load_prw(folder)


def test_names_that_leave_the_folder_are_refused(folder):
    for name in ("../frames/c1s1_000001", "", "/etc/passwd"):
        savemat(folder / "frame_train.mat", {"img_index_train": np.array([[name]], dtype=object)})
        with pytest.raises(DataError, match=r"frame_train\.mat names the file|first '\.jpg'"):
            load_prw(folder)


def test_a_frame_that_is_listed_twice_is_named(folder):
    names = np.array([["c1s1_000001"], ["c1s1_000001"]], dtype=object)
    savemat(folder / "frame_train.mat", {"img_index_train": names})
    with pytest.raises(DataError, match=r"hold 'c1s1_000001\.jpg' twice"):
        load_prw(folder)


def test_what_is_left_out_is_counted(folder):
    rewrite(folder, 5, [[484, 20, 30, 50, 120], [800, 100, 30, 50, 120], [3, -60, 30, 50, 90], [4, -30, 30, 50, 90]])
    with (folder / "query_info.txt").open("ab") as file:
        file.write(b"800 100 30 50 120 c1s1_000005.jpg\r\n")
    loaded = load_prw(folder)
    assert [query.identity for query in loaded.queries] == [484, 491]
    assert loaded.notes == (
        "1 boxes have less than a pixel in their picture: left out",
        "1 boxes lie for more than half outside their picture: cut",
        "1 queries have nothing to find in their galleries: left out",
    )


def test_a_byte_order_mark_is_no_part_of_a_number(folder):
    path = folder / "query_info.txt"
    before = load_prw(folder).queries
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_prw(folder).queries == before


def test_missing_files_are_counted(folder):
    for number in (2, 3):
        people_file(folder, number).unlink()
    with pytest.raises(DataError, match=r"lacks 2 annotations, first 'c2s1_000002\.jpg\.mat'"):
        load_prw(folder)
    next((folder / "frames").glob("*_000006.jpg")).unlink()
    with pytest.raises(DataError, match=r"lacks 1 frames, first 'c2s1_000006\.jpg'"):
        load_prw(folder)


def test_nothing_is_overwritten(written):
    benchmark, folder = written
    with pytest.raises(DataError, match="exists already"):
        save_prw(benchmark, folder)


def test_mutated_folders_load_or_are_refused_in_one_line(folder):
    """Bytes of any annotation file are changed, cut off or repeated."""
    chance = random.Random(0)
    files = {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.suffix in (".mat", ".txt")}
    refused = []
    for _ in range(150):
        path = chance.choice(list(files))
        broken = bytearray(files[path])
        for place in chance.choices(range(len(broken)), k=chance.randint(1, 3)):
            broken[place] = chance.choice((0, 1, 9, 32, 255, chance.randrange(256)))
        path.write_bytes(broken[: chance.choice((None, None, len(broken) // 2))])
        try:
            load_prw(folder)
        except PersonSearchError as error:
            refused.append(str(error))
        path.write_bytes(files[path])
    assert refused
    assert not any("\n" in line for line in refused)
