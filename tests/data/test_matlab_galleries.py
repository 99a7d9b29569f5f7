"""Protocols that are cut before scipy reads them: what is read must be what scipy reads of the whole file."""

import random
import struct
import zlib

import numpy as np
import pytest
from scipy.io import savemat

from personsearch.data.layouts.matlab import read_galleries, read_variable, text
from personsearch.data.layouts.matlab_galleries import cut_galleries
from personsearch.errors import DataError

SIGHT = ("imname", "idlocate", "ishard")
BOX = np.array([[1, 300, 3, 40]], np.uint16)
NOTHING = np.zeros((1, 0))


def structs(fields, rows):
    array = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for place, row in enumerate(rows):
        array[0, place] = tuple(row)
    return array


def entry(name, box=NOTHING, hard=NOTHING):
    return np.array([name]), box, hard


FEW = [entry("s1.jpg", BOX, 0), entry("s22.jpg"), entry("s333333.jpg", BOX, 1), entry("s4.jpg"), entry("s5.jpg")]
QUERY = structs((*SIGHT, "idname"), [(*entry("s9.jpg", BOX, 0), np.array(["p7"]))])


def records(*galleries):
    return structs(("Query", "Gallery"), [(QUERY, gallery) for gallery in galleries])


def save(path, value, compressed=True):
    savemat(path, {"TestG50": value}, do_compression=compressed)
    return path


def seen(found):
    """All that a loader looks at: queries, and the entries with a box."""

    def sights(entries):
        return [tuple(np.asarray(e[field]).tolist() for field in SIGHT) for e in entries if e["idlocate"].size]

    return [(sights(r["Query"].reshape(-1)), sights(r["Gallery"].reshape(-1))) for r in found.reshape(-1)]


def slow(path):
    """scipy reads everything."""
    found = read_variable(path, "TestG50")
    return seen(found), [tuple(text(e["imname"]) for e in r["Gallery"].reshape(-1)) for r in found.reshape(-1)]


def fast(path):
    found, names = read_galleries(path, "TestG50")
    return seen(found), list(names)


@pytest.mark.parametrize("compressed", [True, False])
def test_entries_without_a_box_are_cut_but_for_their_names(tmp_path, compressed):
    many = [entry(f"s{number}.jpg") for number in range(2_000)]
    path = save(tmp_path / "a.mat", records(structs(SIGHT, FEW), structs(SIGHT, FEW[:3] + many)), compressed)
    content, names = cut_galleries(path, "TestG50")
    assert len(content) < 6000
    assert names[0] == ("s1.jpg", "s22.jpg", "s333333.jpg", "s4.jpg", "s5.jpg")
    assert names[1][-1] == "s1999.jpg"
    assert fast(path) == slow(path)
    assert names[0][0] is names[1][0], "one string for each name"


CASES = {
    "no two empty entries are alike": structs(SIGHT, [entry(f"s{n}.jpg", hard=n) for n in range(6)]),
    "only boxes": structs(SIGHT, FEW[:1] * 3),
    "boxes last": structs(SIGHT, FEW[::-1]),
    "one without a box": structs(SIGHT, FEW[1:2]),
    "a column": structs(SIGHT, FEW).T,
    "empty as 0x0": structs(
        SIGHT, [entry("s1.jpg", BOX, 0)] + [entry(f"s{n}.jpg", np.zeros((0, 0))) for n in range(5)]
    ),
    "boxes of doubles": structs(SIGHT, [entry("s1.jpg", BOX.astype(float), 0), *FEW[1:]]),
    "a box like the flags of a text": structs(SIGHT, [entry("s1.jpg", np.array([[4, 0, 4, 0]], np.int32), 0), *FEW]),
}
ODD = {
    "no box is an empty text": structs(
        SIGHT, [entry("s1.jpg", BOX, 0)] + [entry(f"s{n}.jpg", np.array([""])) for n in range(5)]
    ),
    "hard is a text": structs(SIGHT, [entry(f"s{n}.jpg", hard=np.array(["hard"])) for n in range(5)]),
    "an empty gallery": structs(SIGHT, []),
    "a square": structs(SIGHT, FEW[:4]).reshape(2, 2),
    "short names": structs(SIGHT, [entry("s1"), *FEW]),
    "an empty name": structs(SIGHT, [entry(""), *FEW]),
    "letters beyond ASCII": structs(SIGHT, [entry("sé1.jpg"), *FEW]),
    "a very long name": structs(SIGHT, [entry("s" * 300), *FEW]),
    "another field": structs((*SIGHT, "more"), [(*one, 1) for one in FEW]),
    "another order": structs(SIGHT[1:] + SIGHT[:1], [(*one[1:], one[0]) for one in FEW]),
    "two rows of letters": structs(SIGHT, [(np.array(["s1.jpg", "s2.jpg"]), NOTHING, NOTHING), *FEW]),
}


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_what_is_cut_says_the_same(tmp_path, case, compressed):
    path = save(tmp_path / "a.mat", records(CASES[case], structs(SIGHT, FEW)), compressed)
    assert cut_galleries(path, "TestG50") is not None
    assert fast(path) == slow(path)


@pytest.mark.parametrize("case", ODD)
def test_what_is_odd_is_not_cut(tmp_path, case):
    path = save(tmp_path / "a.mat", records(ODD[case], structs(SIGHT, FEW)))
    assert cut_galleries(path, "TestG50") is None
    assert fast(path) == slow(path)


@pytest.mark.parametrize("missing", SIGHT)
def test_a_missing_field_is_found_missing(tmp_path, missing):
    kept = [place for place, field in enumerate(SIGHT) if field != missing]
    rows = [[one[place] for place in kept] for one in FEW]
    path = save(tmp_path / "a.mat", records(structs([SIGHT[place] for place in kept], rows)))
    assert cut_galleries(path, "TestG50") is None
    assert [list(r["Gallery"].dtype.names) for r in read_galleries(path, "TestG50")[0][0]] == [[SIGHT[p] for p in kept]]


@pytest.mark.parametrize("zeros", [False, True])
def test_letters_of_two_bytes(tmp_path, zeros):
    """As older versions of MATLAB store them: a name of one letter more, and its bytes taken for letters of two."""
    path = save(tmp_path / "a.mat", records(structs(SIGHT, [entry(f"s{n}.jpgs{n}.jpg") for n in range(10, 30)])), False)
    content = path.read_bytes()
    for number in range(10, 30):
        name = f"s{number}.jpg"
        narrow = struct.pack("<IIII", 1, 14, 1, 0) + struct.pack("<II", 16, 14) + (2 * name).encode()
        letters = name.encode("utf-16-le") if zeros else (2 * name).encode()
        wide = struct.pack("<IIII", 1, 7, 1, 0) + struct.pack("<II", 17, 14) + letters
        assert content.count(narrow) == 1
        content = content.replace(narrow, wide)
    path.write_bytes(content)
    assert (cut_galleries(path, "TestG50") is not None) == zeros
    assert fast(path) == slow(path)
    if zeros:
        assert fast(path)[1][0][:2] == ("s10.jpg", "s11.jpg")


def outcome(read, path):
    try:
        return read(path)
    except DataError as error:
        return str(error)
    except Exception:  # what `as_published` makes one line of
        return "not as published"


def pack(content):
    packed = zlib.compress(content)
    return struct.pack("<II", 15, len(packed)) + packed


def test_damaged_files_are_read_or_refused_as_by_scipy(tmp_path):
    path = save(tmp_path / "a.mat", records(structs(SIGHT, FEW), structs(SIGHT, FEW[1:])), False)
    whole = path.read_bytes()
    chance, refused, cut = random.Random(0), 0, 0
    for _ in range(300):
        head, body = whole[:128], bytearray(whole[128:])
        for place in chance.choices(range(len(body)), k=chance.choice((1, 1, 2))):
            body[place] = chance.choice((0, 1, 2, 4, 14, 128, 255, chance.randrange(256)))
        if chance.random() < 0.1:
            body = body[: chance.randrange(len(body))]
        if chance.random() < 0.1:
            body += bytes(8 * chance.randrange(3))
        path.write_bytes(head + (pack(bytes(body)) if chance.random() < 0.5 else bytes(body)))
        expected = outcome(slow, path)
        assert outcome(fast, path) == expected
        refused += isinstance(expected, str)
        cut += cut_galleries(path, "TestG50") is not None
    assert refused > 60
    assert cut > 60


@pytest.mark.parametrize("compressed", [True, False])
def test_a_file_that_is_cut_off_or_too_long(tmp_path, compressed):
    whole = save(tmp_path / "a.mat", records(structs(SIGHT, FEW)), compressed).read_bytes()
    path = tmp_path / "part.mat"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert cut_galleries(path, "TestG50") is None
        with pytest.raises(DataError, match=r"part\.mat is damaged"):
            read_galleries(path, "TestG50")
    path.write_bytes(whole + bytes(8))
    assert cut_galleries(path, "TestG50") is None


def test_a_wrong_checksum(tmp_path):
    path = save(tmp_path / "a.mat", records(structs(SIGHT, FEW)))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        read_galleries(path, "TestG50")


def test_other_files_are_not_cut(tmp_path):
    path = save(tmp_path / "a.mat", records(structs(SIGHT, FEW)))
    content = path.read_bytes()
    assert cut_galleries(path, "TestG100") is None
    assert cut_galleries(tmp_path / "missing.mat", "TestG50") is None
    path.write_bytes(content[:124] + b"\x00\x02IM" + content[128:])
    assert cut_galleries(path, "TestG50") is None
    with pytest.raises(DataError, match=r"version 7\.3"):
        read_galleries(path, "TestG50")
    savemat(path, {"TestG50": records(structs(SIGHT, FEW)), "other": 1})
    assert cut_galleries(path, "TestG50") is None
    assert fast(path) == slow(path)
    savemat(path, {"other": 1})
    with pytest.raises(DataError, match="has no variable TestG50"):
        read_galleries(path, "TestG50")


def test_what_stands_behind_or_within_a_name_is_not_passed_over(tmp_path):
    path = save(tmp_path / "a.mat", records(structs(SIGHT, FEW)), False)
    whole = path.read_bytes()
    for odd in (b"s22.jpg!", b"s2\0.jpg\0", b"s22.jp\xff\0"):
        assert whole.count(b"s22.jpg\0") == 1
        path.write_bytes(whole.replace(b"s22.jpg\0", odd))
        assert cut_galleries(path, "TestG50") is None
        assert outcome(fast, path) == outcome(slow, path)


def test_an_entry_of_four_matrices_is_not_passed_over(tmp_path):
    """One that the head of its struct does not speak of: the next entry's name is then not where it seems."""
    path = save(tmp_path / "a.mat", records(structs(SIGHT, FEW)), False)
    whole = path.read_bytes()
    name = struct.pack("<II", 16, 7) + b"s22.jpg\0"
    empty = whole[whole.index(name) + len(name) :][:56]
    assert empty[:8] == struct.pack("<II", 14, 48)
    content = bytearray(whole.replace(name, name + empty))
    gallery = content.rindex(struct.pack("<4I", 6, 8, 2, 0)) - 8
    for tag in (128, gallery):  # both grow
        content[tag + 4 : tag + 8] = struct.pack("<I", struct.unpack_from("<I", content, tag + 4)[0] + len(empty))
    path.write_bytes(content)
    assert cut_galleries(path, "TestG50") is None
    assert outcome(fast, path) == outcome(slow, path)
