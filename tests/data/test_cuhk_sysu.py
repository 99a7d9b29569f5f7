"""CUHK-SYSU's layout: what is written comes back, and each trap of the published files is stepped over."""

import random
import shutil
from dataclasses import replace

import numpy as np
import pytest
from layout_fixtures import TEST, described, make_benchmark, people
from scipy.io import loadmat, savemat

from personsearch.data.layouts.cuhk_sysu import PICTURES, TRAIN, load_cuhk_sysu, protocol_file, subset_file
from personsearch.data.layouts.cuhk_sysu_writer import save_cuhk_sysu
from personsearch.data.records import UNLABELED
from personsearch.errors import DataError, ImageError, PersonSearchError, SettingError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cuhk")
    benchmark = make_benchmark(folder / "pictures")
    save_cuhk_sysu(benchmark, folder / "data")
    return benchmark, folder / "data"


@pytest.fixture
def folder(written, tmp_path):
    """A copy to break."""
    return shutil.copytree(written[1], tmp_path / "copy")


def change(path, variable, edit):
    """Loads a variable, lets `edit` change it in place, and stores it."""
    value = loadmat(path)[variable]
    edit(value)
    savemat(path, {variable: value}, do_compression=True)


def test_what_is_written_comes_back(written, tmp_path):
    benchmark, folder = written
    loaded = load_cuhk_sysu(folder)
    assert people(loaded) == people(benchmark)
    assert [s.name for s in loaded.train] == ["s1.jpg", "s2.jpg", "s3.jpg", "s4.jpg"]
    assert loaded.identities == 3
    names = dict(zip("efghi", (s.name for s in loaded.test), strict=True))
    for query, original in zip(loaded.queries, benchmark.queries, strict=True):
        assert (query.scene, query.box, query.identity) == (names[original.scene], original.box, original.identity)
        assert sorted(query.gallery) == sorted(names[name] for name in original.gallery)
    assert loaded.train[0].read().size == (640, 480)
    save_cuhk_sysu(loaded, tmp_path / "again")
    assert described(load_cuhk_sysu(tmp_path / "again")) == described(loaded)


def test_the_files_are_as_published(written):
    _, folder = written
    pictures = loadmat(folder / "annotation" / "Images.mat")["Img"]
    assert pictures.shape == (1, 9)
    assert pictures[0, 0]["imname"].tolist() == ["s1.jpg"]
    first, second = (one["idlocate"] for one in pictures[0, 0]["box"][0])
    assert (first.dtype, first.tolist()) == (np.uint8, [[200, 100, 100, 150]])
    assert (second.dtype, second.tolist()) == (np.uint16, [[300, 20, 40, 90]])
    assert loadmat(folder / "annotation" / "pool.mat")["pool"].shape == (5, 1)
    assert loadmat(folder / TRAIN)["Train"].shape == (3, 1)
    queries = loadmat(folder / protocol_file(50))["TestG50"]
    assert queries.shape == (1, 2)
    assert queries[0, 0]["Query"][0, 0]["idname"].tolist() == ["p484"]
    sizes = [entry["idlocate"].size for entry in queries[0, 0]["Gallery"][0]]
    assert sizes == [4, 4, 0, 0], "positives first"
    negative = queries[0, 0]["Gallery"][0, -1]["idlocate"]
    assert (negative.shape, negative.dtype) == ((1, 0), float)
    assert not (folder / protocol_file(500)).exists(), "no more galleries than scenes"


def test_a_small_integer_type_does_not_overflow(written):
    assert load_cuhk_sysu(written[1]).train[0].persons[0].box == (200, 100, 300, 250)


def test_boxes_without_area_are_left_out(folder):
    def flatten(pictures):
        pictures[0, 1]["box"][0, 0]["idlocate"][0, 2] = 0

    change(folder / "annotation" / "Images.mat", "Img", flatten)
    assert len(load_cuhk_sysu(folder).train[1].persons) == 1


def test_many_sights_fit_their_count(tmp_path):
    made = make_benchmark(tmp_path / "pictures")
    many = replace(made, train=tuple(replace(made.train[0], name=f"a{n}") for n in range(300)))
    save_cuhk_sysu(many, tmp_path / "data")
    train = loadmat(tmp_path / "data" / TRAIN)["Train"]
    assert train[0, 0][0, 0]["nAppear"].item() == 300


def test_identities_without_a_box_keep_their_number(folder):
    def flatten(cells):
        for entry in cells[2, 0][0, 0]["scene"][0]:
            entry["idlocate"] = np.array([[1, 1, 0, 5]], dtype=np.uint8)

    change(folder / TRAIN, "Train", flatten)
    assert load_cuhk_sysu(folder).identities == 3


def test_identities_come_by_exactly_equal_boxes(folder):
    def shift(pictures):
        pictures[0, 1]["box"][0, 1]["idlocate"][0, 0] += 1

    change(folder / "annotation" / "Images.mat", "Img", shift)
    assert [p.identity for p in load_cuhk_sysu(folder).train[1].persons] == [1, UNLABELED]


def test_a_sight_that_only_the_protocol_knows_is_added(folder):
    def shift(queries):
        queries[0, 0]["Gallery"][0, 0]["idlocate"][0, 0] += 1

    change(folder / protocol_file(100), "TestG100", shift)
    boxes = [p.box for p in load_cuhk_sysu(folder).test[1].persons]
    assert boxes == [*(p.box for p in TEST["f"]), (121, 40, 166, 150)]


def test_galleries_stay_as_listed(folder):
    """Two published galleries hold their own query, four list a picture twice."""

    def repeat(queries):
        gallery = queries[0, 0]["Gallery"]
        gallery[0, 2] = queries[0, 0]["Query"][0, 0][["imname", "idlocate", "ishard"]]
        gallery[0, 3] = gallery[0, 0]

    change(folder / protocol_file(100), "TestG100", repeat)
    assert load_cuhk_sysu(folder).queries[0].gallery == ("s6.jpg", "s9.jpg", "s5.jpg", "s6.jpg")


def test_subsets_bring_their_own_queries(written):
    for subset in ("occlusion", "resolution"):
        benchmark = load_cuhk_sysu(written[1], subset=subset)
        for query in benchmark.queries:
            held = {s.name for s in benchmark.test for p in s.persons if p.identity == query.identity}
            assert held & set(query.gallery)
            assert query.scene not in query.gallery
    assert [q.identity for q in load_cuhk_sysu(written[1], subset="occlusion").queries] == [484, 491]


def test_identities_without_names_are_numbered(folder):
    path = folder / subset_file("occlusion")
    nameless = np.array([("s6.jpg", np.array([[120, 40, 45, 110]]), 0)], dtype=[(n, object) for n in "ibh"])
    nameless.dtype.names = ("imname", "idlocate", "ishard")
    gallery = np.array([("s9.jpg", np.array([[70, 80, 30, 60]]), 0)], dtype=nameless.dtype)
    savemat(path, {"Occlusion1": np.array([(nameless, gallery)], dtype=[("Query", object), ("Gallery", object)])})
    assert load_cuhk_sysu(folder, subset="occlusion").queries[0].identity == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"gallery_size": 99}, "no galleries of 99 scenes: choose one of 50, 100"),
        ({"subset": "rain"}, "no subset rain: choose one of occlusion, resolution"),
        ({"subset": "occlusion", "gallery_size": 50}, "not both"),
    ],
)
def test_impossible_options(written, options, reason):
    with pytest.raises(SettingError, match=reason):
        load_cuhk_sysu(written[1], **options)


def test_a_missing_protocol_names_its_file(written):
    with pytest.raises(DataError, match=r"TestG4000\.mat is missing"):
        load_cuhk_sysu(written[1], gallery_size=4000)


@pytest.mark.parametrize("name", ["annotation/Images.mat", "annotation/pool.mat", str(TRAIN), str(protocol_file(100))])
@pytest.mark.parametrize("keep", [0, 0.5, 0.9])
def test_a_damaged_file_is_named(folder, name, keep):
    path = folder / name
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(DataError, match=path.name):
        load_cuhk_sysu(folder)


def test_another_structure_is_named(folder):
    savemat(folder / "annotation" / "Images.mat", {"Img": np.zeros((1, 3))})
    with pytest.raises(DataError, match=r"Images\.mat does not have the published structure"):
        load_cuhk_sysu(folder)
    savemat(folder / "annotation" / "Images.mat", {"other": 1})
    with pytest.raises(DataError, match=r"Images\.mat has no variable Img"):
        load_cuhk_sysu(folder)


def test_pictures_that_are_missing_or_broken(folder):
    (folder / PICTURES / "s3.jpg").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"s3\.jpg"):
        load_cuhk_sysu(folder)
    (folder / PICTURES / "s3.jpg").unlink()
    with pytest.raises(DataError, match=r"lacks 1 pictures, first 's3\.jpg"):
        load_cuhk_sysu(folder)


def test_a_protocol_of_unknown_scenes(folder):
    def rename(queries):
        queries[0, 1]["Gallery"][0, 0]["imname"] = np.array(["s77.jpg"])

    change(folder / protocol_file(100), "TestG100", rename)
    with pytest.raises(DataError, match=r"TestG100\.mat names 's77\.jpg'"):
        load_cuhk_sysu(folder)


def test_a_query_with_nothing_to_find(folder):
    def forget(queries):
        for entry in queries[0, 0]["Gallery"][0]:
            entry["idlocate"] = np.zeros((1, 0))

    change(folder / protocol_file(100), "TestG100", forget)
    with pytest.raises(DataError, match=r"TestG100\.mat asks for person 484 of s5\.jpg, whom no gallery entry holds"):
        load_cuhk_sysu(folder)


def test_nothing_is_overwritten(written):
    benchmark, folder = written
    before = (folder / "annotation" / "Images.mat").read_bytes()
    with pytest.raises(DataError, match="exists already"):
        save_cuhk_sysu(benchmark, folder)
    assert (folder / "annotation" / "Images.mat").read_bytes() == before


def test_not_a_folder(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        load_cuhk_sysu(tmp_path / "nowhere")


def test_mutated_folders_load_or_are_refused_in_one_line(folder):
    """Bytes of any annotation file are changed, cut off or repeated."""
    chance = random.Random(0)
    files = {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.suffix in (".mat", ".txt")}
    refused = []
    for _ in range(60):
        path = chance.choice(list(files))
        broken = bytearray(files[path])
        for place in chance.choices(range(len(broken)), k=chance.randint(1, 3)):
            broken[place] = chance.choice((0, 1, 9, 32, 255, chance.randrange(256)))
        path.write_bytes(broken[: chance.choice((None, None, len(broken) // 2))])
        try:
            load_cuhk_sysu(folder)
        except PersonSearchError as error:
            refused.append(str(error))
        path.write_bytes(files[path])
    assert refused
    assert not any("\n" in line for line in refused)
