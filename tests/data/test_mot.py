import random

import pytest
from PIL import Image
from test_video import write_video

from personsearch.data.layouts.mot import load_mot
from personsearch.data.records import UNLABELED, Person
from personsearch.data.sources import load_benchmark
from personsearch.data.video import read_header
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
        (["0,1,1,1,9,9,1,1,1"], "annotates frame 0: the first frame is 1"),
        (["-4,1,1,1,9,9,1,1,1"], "annotates frame -4: the first frame is 1"),
        (["1e300,1,1,1,9,9,1,1,1"], "frame 1e.300 and the identity 1: give whole numbers"),
        (["1.5,1,1,1,9,9,1,1,1"], "frame 1.5 and the identity 1: give whole numbers"),
        (["1,-2,1,1,9,9,1,1,1"], "the identity -2"),
        (["1,1,1,1,9,9,1,1,nan"], "not finite"),
        (["1,1,1,1,9,9,1,1,1", "2,1,1,1,9,9,1"], "line 2 of .* has 7 columns and the lines before have 9"),
        (["1,1,1,1,9,9,1,3,1"], "its eighth column holds the classes 3, and people are class 1: renumber them"),
        (["1,1,1,1,9,9,1,0,1,0", "1,2,1,1,9,9,1,2,1,0"], "holds the classes 0, 2, and people are class 1"),
        (["1,1,1e308,1,1e308,9,1"], "no box within its picture"),
        (["1,1,100,1,9,9,1"], "no box within its picture: give boxes in pixels"),
        (["1,1,0.1,0.1,0.2,0.5,1"], "no box within its picture: give boxes in pixels"),
    ],
)
def test_broken_annotations_are_one_clear_line(tmp_path, lines, reason):
    with pytest.raises(DataError, match=reason) as caught:
        load_mot(sequence(tmp_path, lines))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tails", "identities", "visible", "note"),
    [
        # MOT15: metres, or what stands for unknown
        (["1,-4.2,7,0", "1,3,1,0", "1,1,1,0"], [1, 2, 3], [1, 1, 1], ()),
        (["1,-1,-1,-1", "1,-1,-1,-1", "1,-1,-1,-1"], [1, 2, 3], [1, 1, 1], ()),
        (["1,0,0,0", "1,0,0,0", "1,0,0,0"], [1, 2, 3], [1, 1, 1], ()),
        # classes, how well people are seen, and something more
        (["1,1,0.5,-1", "1,3,0.25,-1", "1,1,1,-1"], [1, 3], [0.5, 1], ("of class 3, not 1: left out",)),
        # classes, cut off, hidden: no column of parts
        (["1,1,0,2", "1,4,1,0", "0,1,0,0"], [1], [1], ("of class 4, not 1: left out", "have flag 0: left out")),
        (["0.9,1", "0.8,2", "0.7,1"], [1, 3], [1, 1], ("of class 2, not 1: left out",)),
        (["1,1,0,0,7", "1,1,0.5,0,8", "1,5,1,0,9"], [1, 2], [0, 0.5], ("of class 5, not 1: left out",)),
    ],
)
def test_columns_are_told_apart_by_what_they_hold(tmp_path, tails, identities, visible, note):
    lines = [f"1,{number},1,1,9,9,{tail}" for number, tail in enumerate(tails, start=1)]
    benchmark = load_mot(sequence(tmp_path, lines, frames=1))
    (scene,) = benchmark.test
    assert [p.identity for p in scene.persons] == identities
    assert [p.visible for p in scene.persons] == visible
    assert benchmark.notes == tuple(f"1 lines of gt.txt {'are ' * ('of' in n)}{n}" for n in note)


def test_what_editors_and_other_programs_write_is_read(tmp_path):
    lines = [f"{frame},5,{frame},2,10,20,1,1,0.5" for frame in range(1, 10)]
    expected = load_mot(sequence(tmp_path / "seq", lines), stride=2, gap=4)
    path = tmp_path / "seq" / "gt" / "gt.txt"
    plain = path.read_text()
    for text in (
        "\ufeff" + plain,
        plain.replace("\n", "\r\n") + "\r\n\r\n",
        plain.replace("\n", ",\n"),
        plain.replace("\n", " , \n"),
        plain.replace(",", ", "),
        plain.replace(",", " "),
        plain.replace(",", "\t"),
        plain.replace(",5,", ",5.0,").replace("0.5", "5e-1"),
    ):
        path.write_bytes(text.encode())
        assert load_mot(tmp_path / "seq", stride=2, gap=4) == expected


def test_people_without_identity_are_nobody_to_ask_for(tmp_path):
    lines = [f"{frame},-1,{left},2,10,20,0.9,-1,-1,-1" for frame in range(1, 10) for left in (5, 30)]
    benchmark = load_mot(sequence(tmp_path, lines), stride=2, gap=2)
    assert {p.identity for scene in benchmark.test for p in scene.persons} == {UNLABELED}
    assert all(len(scene.persons) == 2 for scene in benchmark.test)
    assert benchmark.queries == ()


def test_annotated_frames_that_miss_the_stride_are_the_scenes(tmp_path):
    lines = [f"{frame},5,1,2,10,20,1,1,1" for frame in (3, 5, 6, 9)]
    benchmark = load_mot(sequence(tmp_path, lines), stride=3, gap=2)
    assert [scene.name for scene in benchmark.test] == ["000003", "000006", "000009"]
    assert len(benchmark.queries) == 3
    assert benchmark.notes == ("nobody is annotated in frames 1, 4, ...: scenes are annotated frames 3 apart",)
    assert [scene.name for scene in load_mot(tmp_path, stride=4).test] == ["000001", "000005", "000009"]


def test_hidden_files_are_no_frames(tmp_path):
    sequence(tmp_path, ["1,1,1,1,9,9,1,1,1"], frames=2)
    (tmp_path / "img1" / "._000001.png").write_bytes(b"notes of a system")
    (tmp_path / "img1" / "Thumbs.db").write_bytes(b"notes of another")
    assert len(load_mot(tmp_path, stride=1).test) == 2


def test_frames_of_another_size_than_seqinfo_says_are_refused(tmp_path):
    sequence(tmp_path, ["1,1,1,1,9,9,1,1,1"])
    path = tmp_path / "seqinfo.ini"
    path.write_text("\ufeff[Sequence]\nname=100%\nframeRate=2\nimWidth=60\nimHeight=40\nseqLength=9\n")
    assert load_mot(tmp_path, stride=4).notes == ()
    path.write_text("[Sequence]\nimWidth=60\nimHeight=40\nseqLength=12\n")
    assert load_mot(tmp_path, stride=4).notes == ("seqinfo.ini says 12 frames, and 9 are there",)
    path.write_text("[Sequence]\nimWidth=120\nimHeight=80\n")
    with pytest.raises(DataError, match=r"frame 1 is 60x40 pixels, and its boxes are for one of 120x80.*seqinfo"):
        load_mot(tmp_path)


def test_a_film_of_another_rate_or_size_than_seqinfo_says(tmp_path):
    write_video(tmp_path / "a.mkv", [i / 10 for i in range(20)])
    annotate(tmp_path, ["1,5,1,2,10,20,1,1,1,0"])
    header = read_header(tmp_path / "a.mkv")
    path = tmp_path / "seqinfo.ini"
    path.write_text(f"[Sequence]\nframeRate=30\nimWidth={header.width}\nimHeight={header.height}\n")
    (note,) = load_mot(tmp_path).notes
    assert note == "seqinfo.ini says 30 frames a second, the film says 10, which is used"
    path.write_text(f"[Sequence]\nimWidth={header.height}\nimHeight={header.width + 2}\n")
    with pytest.raises(DataError, match=r"frame 1 is .* and its boxes are for one of"):
        load_mot(tmp_path)


@pytest.mark.parametrize("entry", ["frameRate=nan", "frameRate=inf", "frameRate=1e-9", "imWidth=1e400", "imHeight=x"])
def test_impossible_numbers_of_seqinfo(tmp_path, entry):
    sequence(tmp_path, ["1,1,1,1,9,9,1,1,1"])
    (tmp_path / "seqinfo.ini").write_text(f"[Sequence]\n{entry}\n")
    with pytest.raises(DataError, match=r"seqinfo\.ini has an impossible"):
        load_mot(tmp_path)


def test_mutated_sequences_load_or_are_refused_in_one_line(tmp_path):
    lines = [f"{frame},{frame % 3},{frame},2,10,20,1,1,0.5" for frame in range(1, 10)]
    folder = sequence(tmp_path, lines)
    info = b"[Sequence]\nname=a\nframeRate=2\nimWidth=60\nimHeight=40\nseqLength=9\n"
    (folder / "seqinfo.ini").write_bytes(info)
    chance = random.Random(0)
    refused = []
    for _ in range(400):
        for path, content in ((folder / "gt" / "gt.txt", "\n".join(lines).encode()), (folder / "seqinfo.ini", info)):
            broken = bytearray(content)
            for place in chance.choices(range(len(broken)), k=chance.randint(0, 2)):
                broken[place] = chance.choice(b"0123456789,.-+e \n\0=[]n\xff")
            path.write_bytes(broken)
        try:
            load_mot(folder, stride=2)
        except DataError as error:
            refused.append(str(error))
    assert refused
    assert not any("\n" in line for line in refused)


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
        ("mot:here", {"gallery_size": 3}, SettingError, "--gallery-size is for coco and cuhk-sysu data: leave"),
    ],
)
def test_an_unknown_source(spec, options, error, reason):
    with pytest.raises(error, match=reason):
        load_benchmark(spec, **options)
