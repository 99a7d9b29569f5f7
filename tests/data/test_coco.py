import json
import random

import pytest
from PIL import Image

from personsearch.data.coco import load_coco, save_coco
from personsearch.data.pictures import ImageFile
from personsearch.data.records import UNLABELED, Benchmark, Person, Query, Scene
from personsearch.errors import DataError, SettingError


@pytest.fixture
def document():
    """Two training pictures and five for search; person 7 is in three of these, person 9 in two."""
    sights = [(1, 30), (1, -1), (2, 10), (2, 30), (3, 7), (3, 9), (4, 7), (5, 9), (6, 7)]
    return {
        "info": {},
        "images": [
            {"id": i, "file_name": f"part/{i}.png", "width": 80, "height": 60, "camera": i % 2}
            | ({"split": "train"} if i < 3 else {})
            for i in range(1, 8)
        ],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": 100 + n,
                "image_id": image,
                "category_id": 1,
                "bbox": [n, 5, 20, 50],
                "person_id": person,
                "visible": 0.5 + n / 100,
            }
            for n, (image, person) in enumerate(sights)
        ],
    }


def write(folder, document):
    (folder / "images" / "part").mkdir(parents=True, exist_ok=True)
    for i in range(1, 8):
        Image.new("RGB", (80, 60), (i, i, i)).save(folder / "images" / "part" / f"{i}.png")
    content = document if isinstance(document, str) else json.dumps(document)
    (folder / "annotations.json").write_text(content)
    return folder


def test_scenes_splits_and_contiguous_training_identities(tmp_path, document):
    benchmark = load_coco(write(tmp_path, document))
    assert [scene.name for scene in benchmark.train] == ["part/1.png", "part/2.png"]
    assert [[p.identity for p in scene.persons] for scene in benchmark.train] == [[1, UNLABELED], [0, 1]]
    assert benchmark.identities == 2
    assert [[p.identity for p in scene.persons] for scene in benchmark.test] == [[7, 9], [7], [9], [7], []]
    scene = benchmark.test[0]
    assert (scene.width, scene.height, scene.camera, scene.time) == (80, 60, 1, None)
    assert scene.persons[0] == Person((4, 5, 24, 55), 7, 0.54)
    assert scene.read().getpixel((0, 0)) == (3, 3, 3)


def test_derived_queries_take_the_best_sight_and_all_positives(tmp_path, document):
    benchmark = load_coco(write(tmp_path, document))
    seven, nine = benchmark.queries
    assert (seven.scene, seven.identity, seven.box) == ("part/6.png", 7, (8, 5, 28, 55))
    assert seven.gallery == ("part/3.png", "part/4.png", "part/5.png", "part/7.png")
    assert (nine.scene, nine.identity) == ("part/5.png", 9)
    assert load_coco(tmp_path) == benchmark


@pytest.mark.parametrize("size", [1, 2, 3])
def test_small_galleries_keep_all_positives(tmp_path, document, size):
    seven, nine = load_coco(write(tmp_path, document), gallery_size=size).queries
    assert {"part/3.png", "part/4.png"} <= set(seven.gallery)
    assert len(seven.gallery) == max(size, 2)
    assert len(nine.gallery) == size


def test_people_seen_badly_or_once_make_no_query(tmp_path, document):
    for record in document["annotations"]:
        if record["person_id"] == 7:
            record["bbox"][3] = 39
    document["annotations"][7]["visible"] = 0.4
    assert load_coco(write(tmp_path, document)).queries == ()


def test_written_queries_keep_or_resize_their_galleries(tmp_path, document):
    document["queries"] = [{"annotation_id": 104, "gallery": [6, 4, 7]}]
    (query,) = load_coco(write(tmp_path, document)).queries
    assert query == Query("part/3.png", (4, 5, 24, 55), 7, ("part/6.png", "part/4.png", "part/7.png"))
    (query,) = load_coco(tmp_path, gallery_size=2).queries
    assert query.gallery == ("part/4.png", "part/6.png")
    (query,) = load_coco(tmp_path, gallery_size=9).queries
    assert query.gallery == ("part/4.png", "part/5.png", "part/6.png", "part/7.png")


def test_boxes_are_cut_and_what_is_no_person_is_left_out(tmp_path, document):
    extra = [([-10, 50, 20, 50], {}), ([90, 0, 5, 5], {}), ([1, 1, 0, 5], {}), ([1, 1, 5, 5], {"iscrowd": 1})]
    document["categories"].append({"id": 2, "name": "dog"})
    extra.append(([1, 1, 5, 5], {"category_id": 2}))
    for n, (bbox, more) in enumerate(extra):
        record = {"id": n, "image_id": 7, "category_id": 1, "bbox": bbox} | more
        document["annotations"].append(record)
    assert load_coco(write(tmp_path, document)).test[-1].persons == (Person((0, 50, 10, 60), UNLABELED, 1.0),)


def _break(document, *path, value):
    *way, last = path
    for key in way:
        document = document[key]
    if value is None:
        del document[last]
    else:
        document[last] = value


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("images",), None, "no list of objects 'images'"),
        (("images",), [], "lists no images"),
        (("annotations",), None, "no list of objects 'annotations'"),
        (("categories",), [{"id": 1, "name": "dog"}], "no category named person"),
        (("images", 2, "id"), None, r"images\[2\] of .*annotations.json has no 'id'"),
        (("images", 2, "width"), "80", "impossible 'width'"),
        (("images", 2, "height"), 0, "80x0"),
        (("images", 2, "id"), 1, "id 1 of another image"),
        (("images", 2, "split"), "val", "give train or test"),
        (("images", 2, "file_name"), "part/1.png", "list each picture once"),
        (("images", 2, "file_name"), "part/none.png", "lacks 1 of its pictures, first part/none.png"),
        (("images", 2, "file_name"), "../secret.png", "outside its folder"),
        (("images", 2, "file_name"), "part/../../secret.png", "outside its folder"),
        (("images", 2, "file_name"), "/etc/secret.png", "outside its folder"),
        (("images", 2, "file_name"), "c:\\secret.png", "outside its folder"),
        (("images", 2, "file_name"), "", "outside its folder"),
        (("annotations", 1, "id"), 100, "id 100 of another annotation"),
        (("annotations", 1, "image_id"), 55, "image 55, which is not listed"),
        (("annotations", 1, "bbox"), None, "has no 'bbox'"),
        (("annotations", 1, "bbox"), [1, 2, float("nan"), 3], "four finite numbers"),
        (("annotations", 1, "bbox"), [1, 2, 3], "four finite numbers"),
        (("annotations", 1, "visible"), 1.5, "between 0 and 1"),
        (("annotations", 1, "person_id"), -2, "give 0 or more"),
        (("annotations", 1, "person_id"), 30, "person 30 a second time"),
        (("queries",), [{"annotation_id": 102, "gallery": [4]}], "no person in a test picture"),
        (("queries",), [{"annotation_id": 104, "gallery": [1]}], "searches in 1, which is not the id of a test"),
        (("queries",), [{"annotation_id": 104, "gallery": [7]}], "no picture of its gallery holds"),
        (("queries",), [{"gallery": [7]}], r"queries\[0\] .* has no 'annotation_id'"),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path, document, path, value, reason):
    _break(document, *path, value=value)
    with pytest.raises(DataError, match=reason) as caught:
        load_coco(write(tmp_path, document))
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [("{", "is not JSON"), ("[]", "not one JSON object"), ("\udcff", "cannot be read as text")],
)
def test_no_json(tmp_path, content, reason):
    write(tmp_path, {})
    (tmp_path / "annotations.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=reason):
        load_coco(tmp_path)


def test_no_folder_and_no_file(tmp_path):
    with pytest.raises(DataError, match=r"has no annotations\.json"):
        load_coco(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        load_coco(tmp_path / "none")


def test_an_impossible_gallery(tmp_path):
    with pytest.raises(SettingError, match="gallery of 0"):
        load_coco(tmp_path, gallery_size=0)


def test_saving_and_loading_give_the_same_benchmark(tmp_path, document):
    first = load_coco(write(tmp_path / "bench", document))
    save_coco(first, tmp_path / "bench", force=True)
    assert load_coco(tmp_path / "bench") == first
    other = tmp_path / "elsewhere" / "bench"
    save_coco(first, other)
    second = load_coco(other)
    assert second.queries == first.queries
    assert [s.persons for s in second.test] == [s.persons for s in first.test]
    assert second.test[3].read().tobytes() == first.test[3].read().tobytes()
    with pytest.raises(DataError, match="exists already"):
        save_coco(first, other)


class _Frame:
    def read(self):
        return Image.new("RGB", (50, 50), "red")


def test_saving_names_scenes_by_their_files(tmp_path):
    scene = Scene("000001", _Frame(), 50, 50, (Person((1, 2, 30, 50), 3),), camera=2, time=1.5)
    save_coco(Benchmark("video", (), 0, (scene,), ()), tmp_path)
    (loaded,) = load_coco(tmp_path).test
    assert (loaded.name, loaded.time, loaded.camera, loaded.persons) == ("000001.jpg", 1.5, 2, scene.persons)
    assert loaded.read().size == (50, 50)


def test_saving_refuses_names_that_leave_the_folder_and_strange_queries(tmp_path):
    scene = Scene("../a", _Frame(), 50, 50)
    with pytest.raises(DataError, match="outside its folder"):
        save_coco(Benchmark("b", (), 0, (scene,), ()), tmp_path)
    scene = Scene("a", _Frame(), 50, 50)
    with pytest.raises(DataError, match="no annotated person"):
        save_coco(Benchmark("b", (), 0, (scene,), (Query("a", (1, 2, 3, 4), 5, ("a",)),)), tmp_path)
    assert not (tmp_path / "annotations.json").exists()


def test_galleries_do_not_depend_on_the_global_generator(tmp_path, document):
    write(tmp_path, document)
    random.seed(1)
    first = load_coco(tmp_path, gallery_size=3)
    random.seed(2)
    assert load_coco(tmp_path, gallery_size=3) == first
    assert isinstance(first.test[0].picture, ImageFile)
