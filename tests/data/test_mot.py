import pytest
from PIL import Image
from test_video import write_video

from personsearch.data.mot import load_mot
from personsearch.data.records import Person
from personsearch.data.sources import load_benchmark
from personsearch.errors import DataError, SettingError


def sequence(folder, lines, frames=9, nested=True):
    """A folder of numbered pictures of 60x40 with these lines of ground truth."""
    (folder / "img1").mkdir(parents=True)
    for number in range(1, frames + 1):
        Image.new("RGB", (60, 40), (number, 0, 0)).save(folder / "img1" / f"{number:06d}.png")
    annotate(folder / "gt" if nested else folder, lines)
    return folder


def annotate(folder, lines):
    folder.mkdir(exist_ok=True)
    (folder / "gt.txt").write_text("\n".join(lines) + "\n")


def test_scenes_and_queries_of_a_sequence(tmp_path):
    lines = [f"{frame},5,{frame},2,10,20,1,1,0.5" for frame in range(1, 10)]
    lines += ["1,6,1,1,5,5,1,1,1", "3,6,1,1,5,5,1,1,1", "5,8,1,1,5,5,1,1,1"]
    benchmark = load_mot(sequence(tmp_path / "seq", lines), stride=2, gap=4)
    assert (benchmark.name, benchmark.train, benchmark.identities) == ("seq", (), 0)
    assert [scene.name for scene in benchmark.test] == ["000001", "000003", "000005", "000007", "000009"]
    assert benchmark.test[0].persons == (Person((1, 2, 11, 22), 5, 0.5), Person((1, 1, 6, 6), 6, 1.0))
    assert benchmark.test[2].read().getpixel((0, 0)) == (5, 0, 0)
    assert [(q.scene, q.identity, q.gallery) for q in benchmark.queries] == [
        ("000001", 5, ("000005", "000007", "000009")),
        ("000003", 5, ("000007", "000009")),
        ("000005", 5, ("000001", "000009")),
        ("000007", 5, ("000001", "000003")),
        ("000009", 5, ("000001", "000003", "000005")),
    ]


def test_the_earlier_format_has_no_class_and_boxes_are_cut(tmp_path):
    lines = [
        "1,1,-5,2,10,20,1,-4.2,7,0",
        "1,2,0,0,10,10,0,1,1,0",  # flag 0
        "1,3,100,0,10,10,1,1,1,0",  # outside
        "",
        "1,4,3,3,0,10,1,1,1,0",  # no area
    ]
    (scene,) = load_mot(sequence(tmp_path, lines, frames=1, nested=False)).test
    assert scene.persons == (Person((0, 2, 5, 22), 1),)
    assert scene.time is None


def test_other_classes_do_not_count(tmp_path):
    lines = ["1,1,1,1,9,9,1,7,1", "1,2,1,1,9,9,0,1,1", "1,3,1,1,9,9,1.0,1.0,1.0"]
    assert [p.identity for p in load_mot(sequence(tmp_path, lines)).test[0].persons] == [3]


def test_frame_one_is_the_first_frame_of_a_video(tmp_path):
    write_video(tmp_path / "a.mkv", [i / 10 for i in range(20)])
    annotate(tmp_path, [f"{frame},5,1,2,10,20,1,1,1,0" for frame in range(1, 21)])
    benchmark = load_mot(tmp_path, stride=5, gap=10)
    assert [scene.name for scene in benchmark.test] == ["000001", "000006", "000011", "000016"]
    assert [round(sum(scene.read().getpixel((9, 9))) / 24) for scene in benchmark.test] == [0, 5, 10, 15]
    assert [scene.time for scene in benchmark.test] == [0, 0.5, 1.0, 1.5]
    assert len(benchmark.queries) == 4


def test_the_rate_of_pictures_is_in_seqinfo(tmp_path):
    sequence(tmp_path, ["1,1,1,1,9,9,1,1,1"])
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nframeRate=2\n")
    assert [scene.time for scene in load_mot(tmp_path, stride=4).test] == [0, 2, 4]
    (tmp_path / "seqinfo.ini").write_text("[Sequence]\nframeRate=fast\n")
    with pytest.raises(DataError, match=r"seqinfo\.ini"):
        load_mot(tmp_path)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "annotates nobody"),
        (["1,1,1,1,9,9,0,1,1"], "annotates nobody"),
        (["1,1,1,1,9,9,1,1,1", "1;2;3"], "line 2 of .*gt.txt is not numbers"),
        (["1,2,3"], "line 1 of .* has 3 columns"),
        (["1,1,nan,1,9,9,1,1,1"], "not finite"),
        (["1,1,1,1,9,9,1,1,1", "1,1,2,1,9,9,1,1,1"], "identity 1 twice"),
        (["10,1,1,1,9,9,1,1,1"], "annotates frame 10, which has no picture"),
    ],
)
def test_broken_annotations_are_one_clear_line(tmp_path, lines, reason):
    with pytest.raises(DataError, match=reason) as caught:
        load_mot(sequence(tmp_path, lines))
    assert "\n" not in str(caught.value)


def test_what_can_be_missing(tmp_path):
    with pytest.raises(DataError, match="not a folder"):
        load_mot(tmp_path / "none")
    with pytest.raises(DataError, match=r"neither gt\.txt nor gt/gt\.txt"):
        load_mot(tmp_path)
    annotate(tmp_path, ["1,1,1,1,9,9,1,1,1"])
    with pytest.raises(DataError, match="no folder img1 and 0 videos"):
        load_mot(tmp_path)
    (tmp_path / "img1").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        load_mot(tmp_path)
    Image.new("RGB", (9, 9)).save(tmp_path / "img1" / "first.png")
    with pytest.raises(DataError, match="not named by its frame's number"):
        load_mot(tmp_path)


def test_impossible_numbers_of_frames(tmp_path):
    for options in ({"stride": 0}, {"gap": 0}):
        with pytest.raises(SettingError, match="give 1 or more"):
            load_mot(tmp_path, **options)


def test_a_benchmark_by_one_word(tmp_path):
    lines = [f"{frame},5,{frame},2,10,20,1,1,0.5" for frame in range(1, 10)]
    folder = sequence(tmp_path, lines)
    assert load_benchmark(f"mot:{folder}", stride=3, gap=3) == load_mot(folder, stride=3, gap=3)


@pytest.mark.parametrize(
    ("spec", "options", "error", "reason"),
    [
        ("rendered", {}, DataError, "does not say where"),
        ("mot:", {}, DataError, "does not say where"),
        (
            "voc:here",
            {},
            DataError,
            "not a known layout: give one of coco:FOLDER, cuhk-sysu:FOLDER, prw:FOLDER, mot:FOLDER",
        ),
        ("mot:here", {"gallery_size": 3}, SettingError, "no option 'gallery_size': its options are stride, gap"),
    ],
)
def test_an_unknown_source(spec, options, error, reason):
    with pytest.raises(error, match=reason):
        load_benchmark(spec, **options)
