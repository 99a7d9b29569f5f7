import copy
import json
import random
from pathlib import Path

import pytest
from PIL import Image

from personsearch.data.check import check_data
from personsearch.data.layouts.coco import list_files as coco_files
from personsearch.data.layouts.coco import load_coco, save_coco
from personsearch.data.pictures import ImageFile
from personsearch.data.records import UNLABELED, Benchmark, Person, Query, Scene
from personsearch.errors import DataError, ImageError, SettingError


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
    benchmark = load_coco(write(tmp_path, document))
    assert benchmark.test[-1].persons == (Person((0, 50, 10, 60), UNLABELED, 1.0),)
    assert benchmark.notes == (
        "1 boxes lie for more than half outside their picture: cut",
        "2 boxes have less than a pixel in their picture: left out",
        "1 annotations are crowds: left out",
        "1 annotations are of other categories than person: left out",
    )


def test_annotations_without_any_identity_are_told(tmp_path, document):
    for record in document["annotations"]:
        del record["person_id"]
    benchmark = load_coco(write(tmp_path, document))
    assert (benchmark.identities, benchmark.queries) == (0, ())
    assert benchmark.notes == ("9 annotations, all there are, lack a person_id: there is nobody to ask for",)


def test_a_person_twice_in_a_picture_is_kept_as_in_prw(tmp_path, document):
    document["annotations"][1]["person_id"] = 30
    benchmark = load_coco(write(tmp_path, document))
    assert [p.identity for p in benchmark.train[0].persons] == [1, 1]
    save_coco(benchmark, tmp_path / "again")
    assert load_coco(tmp_path / "again").train[0].persons == benchmark.train[0].persons


def test_what_other_programs_write_is_read(tmp_path, document):
    """A byte order mark, Windows' line ends, whole numbers as 7.0, and names with colons and newlines."""
    expected = load_coco(write(tmp_path / "bench", document))
    for name in ("part/12:30:59.png", "part/a\nb.png", "c:1.png"):
        (tmp_path / "bench" / "images" / name).write_bytes((tmp_path / "bench/images/part/3.png").read_bytes())
        document["images"][2]["file_name"] = name
        for record in document["images"]:
            record |= {"width": 80.0, "height": 60.0, "camera": float(record["id"] % 2), "time": None, "license": [1]}
        for record in document["annotations"]:
            record |= {"person_id": float(record["person_id"]), "segmentation": {"counts": "x"}, "iscrowd": 0}
        text = json.dumps(document, indent=1).replace("\n", "\r\n")
        (tmp_path / "bench" / "annotations.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
        loaded = load_coco(tmp_path / "bench")
        assert loaded.test[0].name == name
        assert loaded.test[1:] == expected.test[1:]
        assert loaded.test[0].persons == expected.test[0].persons
        save_coco(loaded, tmp_path / "again", force=True)
        assert load_coco(tmp_path / "again").test[0].name == name


def test_a_picture_of_another_size_is_not_searched(tmp_path, document):
    folder = write(tmp_path, document)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (80, 60)).save(folder / "images" / "part" / "3.png", exif=exif)
    Image.new("RGB", (40, 30)).save(folder / "images" / "part" / "4.png")
    turned, small, right = load_coco(folder).test[:3]
    with pytest.raises(ImageError, match=r"part/3\.png is 60x80 pixels, turned upright by its Exif, .* 80x60"):
        turned.read()
    with pytest.raises(ImageError, match=r"part/4\.png is 40x30 pixels, and its boxes are for one of 80x60"):
        small.read()
    assert right.read().size == (80, 60)


def test_a_query_outside_its_picture_says_that_the_picture_is_another_one(tmp_path, document):
    """Boxes of a picture that is stored lying and shown upright, under the size that is stored."""
    document["queries"] = [{"annotation_id": 104, "gallery": [6, 4, 7]}]
    document["annotations"][4]["bbox"] = [62, 5, 10, 50]
    document["images"][2] |= {"width": 60, "height": 80}
    folder = write(tmp_path, document)
    with pytest.raises(
        DataError, match=r"104, which has less than a pixel in its picture, part/3.png \(which is 80x60 "
    ):
        load_coco(folder)
    problems = check_data(f"coco:{folder}").problems
    assert len(problems) == 2
    assert problems[0].startswith("part/3.png is 80x60 pixels, turned upright by its Exif, and its boxes are for one")
    assert "not 60x80): repair it" in problems[1]


def test_mutated_annotations_load_or_are_refused_in_one_line(tmp_path, document):
    """Any value anywhere is replaced by any other."""
    document["queries"] = [{"annotation_id": 104, "gallery": [6, 4, 7]}]
    folder = write(tmp_path, document)
    odd = ["", "a", [], [1], {}, {"a": []}, None, True, -1, 0, 10**30, 10**400, 1e308, float("nan"), float("-inf"), 2.5]
    chance = random.Random(0)
    lines = []
    for _ in range(600):
        broken = copy.deepcopy(document)
        for _ in range(chance.randint(1, 2)):
            place = broken
            while isinstance(place, dict | list) and place:
                keys = list(place) if isinstance(place, dict) else range(len(place))
                key, holder = chance.choice(keys), place
                place = place[key]
            holder[key] = chance.choice(odd)
        (folder / "annotations.json").write_text(json.dumps(broken))
        for call in (load_coco, coco_files):
            try:
                call(folder)
            except DataError as error:
                lines.append(str(error))
    assert lines
    assert not any("\n" in line for line in lines)


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
        (("images", 2, "file_name"), "part/none.png", "lacks 1 of its pictures, first 'part/none.png'"),
        (("images", 2, "file_name"), "../secret.png", "outside its folder"),
        (("images", 2, "file_name"), "part/../../secret.png", "outside its folder"),
        (("images", 2, "file_name"), "/etc/secret.png", "outside its folder"),
        (("images", 2, "file_name"), "part\\3.png", r"lacks 1 of its pictures, first .*write / for the \\"),
        (("images", 2, "file_name"), "a" * 5000 + ".png", "lacks 1 of its pictures"),
        (("images", 2, "file_name"), "a\0.png", "no file can be called"),
        (("images", 2, "file_name"), "\ud800.png", "no file can be called"),
        (("images", 2, "file_name"), ["a.png"], "impossible 'file_name'"),
        (("images", 2, "id"), [1], r"impossible 'id', \[1\]"),
        (("images", 2, "width"), 80.5, "impossible 'width', 80.5"),
        (("images", 2, "width"), 10**300, "impossible 'width'"),
        (("images", 2, "width"), float("inf"), "impossible 'width', inf"),
        (("images", 2, "camera"), 10**300, "impossible 'camera'"),
        (("images", 2, "time"), 10**4000, "impossible 'time'"),
        (("images", 2, "time"), float("nan"), "impossible 'time'"),
        (("images", 2, "split"), {"a": 1}, "has the split {'a': 1}: give train or test"),
        (("categories",), [{"id": [1], "name": ["person"]}], "no category named person"),
        (("images", 2, "file_name"), "", "outside its folder"),
        (("annotations", 1, "id"), 100, "id 100 of another annotation"),
        (("annotations", 1, "image_id"), 55, "image 55, which is not listed"),
        (("annotations", 1, "bbox"), None, "has no 'bbox'"),
        (("annotations", 1, "bbox"), [1, 2, float("nan"), 3], "four finite numbers"),
        (("annotations", 1, "bbox"), [1, 2, 3], "four finite numbers"),
        (("annotations", 1, "visible"), 1.5, "between 0 and 1"),
        (("annotations", 1, "person_id"), -2, "give 0 or more"),
        (("annotations", 1, "bbox"), [1, 2, 10**400, 3], "four finite numbers"),
        (("annotations", 1, "bbox"), [1, 2, [3], 3], "four finite numbers"),
        (("annotations", 1, "bbox"), [1, 2, True, 3], "four finite numbers"),
        (("annotations", 1, "bbox"), {"x": 1}, "impossible 'bbox'"),
        (("annotations", 1, "id"), {}, "impossible 'id'"),
        (("annotations", 1, "image_id"), [3], "impossible 'image_id'"),
        (("annotations", 1, "person_id"), 10**19, "impossible 'person_id'"),
        (("annotations", 1, "person_id"), 7.5, "impossible 'person_id'"),
        (("annotations", 1, "person_id"), float("nan"), "impossible 'person_id'"),
        (("annotations", 1, "visible"), 10**400, "impossible 'visible'"),
        (("annotations", 1, "visible"), float("nan"), "impossible 'visible'"),
        (("queries",), [{"annotation_id": [104], "gallery": [4]}], r"queries\[0\] of .* impossible 'annotation_id'"),
        (("queries",), [{"annotation_id": {}, "gallery": [4]}], r"queries\[0\] of .* impossible 'annotation_id'"),
        (("queries",), [{"annotation_id": 104, "gallery": [4, [6]]}], r"queries\[0\] .* searches in \[6\]"),
        (("queries",), [{"annotation_id": 104, "gallery": [{"id": 4}]}], r"queries\[0\] .* searches in {'id': 4}"),
        (("queries",), [{"annotation_id": 104, "gallery": {"4": 1}}], "impossible 'gallery'"),
        (("queries",), {"annotation_id": 104}, "no list of objects 'queries'"),
        (("queries",), [{"annotation_id": 102, "gallery": [4]}], "102, which is in .*, a picture to train on: repair"),
        (("queries",), [{"annotation_id": 999, "gallery": [4]}], "annotation 999, which is not there: repair it"),
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
    [
        ("{", "is not JSON"),
        ("[]", "not one JSON object"),
        ("\udcff", "cannot be read as text"),
        ("[" * 100_000, "nested too deep"),
        ('{"images": ' + "9" * 5000 + "}", "absurd number"),
    ],
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


def test_saving_into_the_same_folder_by_another_path(tmp_path, document, monkeypatch):
    write(tmp_path / "bench", document)
    monkeypatch.chdir(tmp_path)
    first = load_coco(Path("bench"))
    save_coco(first, tmp_path / "bench", force=True)
    assert [s.persons for s in load_coco(tmp_path / "bench").test] == [s.persons for s in first.test]


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
