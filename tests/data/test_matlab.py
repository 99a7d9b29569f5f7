"""MATLAB files: what is damaged is refused in one line, before scipy can stumble over it or fall."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from scipy.io import savemat

from personsearch.data.layouts.matlab import read_variable
from personsearch.data.layouts.matlab_layout import LayoutError, check_layout
from personsearch.errors import DataError

MUTATIONS = """
import random, struct, sys, zlib
from pathlib import Path
from personsearch.data.layouts.matlab import read_variable
from personsearch.errors import DataError

folder, chance, lines = Path(sys.argv[1]), random.Random(1), []
sources = {path: path.read_bytes() for path in sorted(folder.glob("*.mat"))}
for _ in range(600):
    path = chance.choice(list(sources))
    head, body = sources[path][:128], bytearray(sources[path][128:])
    for place in chance.choices(range(len(body)), k=chance.choice((1, 1, 1, 3))):
        body[place] = chance.choice((0, 1, 2, 128, 255, chance.randrange(256)))
    if chance.random() < 0.3:
        body = body[: chance.randrange(len(body))]
    if chance.random() < 0.3:  # with a checksum that is right
        body = zlib.compress(bytes(body))
        body = struct.pack("<II", 15, len(body)) + body
    broken = folder / "broken"
    broken.write_bytes(head + body)
    for names in ((), (path.stem,)):
        try:
            read_variable(broken, *names)
        except DataError as error:
            lines.append(str(error))
assert not any("\\n" in line for line in lines)
print(len(lines))
"""


def _structs(fields, rows):
    array = np.empty((1, len(rows)), dtype=[(field, object) for field in fields])
    for place, row in enumerate(rows):
        array[0, place] = tuple(row)
    return array


@pytest.fixture
def sources(tmp_path):
    """Files of each kind of structure that the published ones have; the variable is called as the file."""
    box = _structs(("idlocate", "ishard"), [(np.array([[1, 2, 3, 4]], np.uint8), np.zeros((1, 0)))] * 2)
    content = {
        "box_new": np.random.default_rng(0).random((3, 5)),
        "Img": _structs(("imname", "nAppear", "box"), [(np.array(["s1é.jpg"]), np.array([[2]]), box)] * 2),
        "pool": np.array([["c1s1_000001"], ["c1"]], dtype=object),
        "complex": np.array([[1 + 2j, 3j]]),
        "empty": np.zeros((0, 5)),
    }
    for name, value in content.items():
        savemat(tmp_path / f"{name}.mat", {name: value})
        savemat(tmp_path / f"{name}-c.mat", {f"{name}-c": value}, do_compression=True)
    return tmp_path


def test_whole_files_pass(sources):
    for path in sources.glob("*.mat"):
        check_layout(io.BytesIO(path.read_bytes()), ())
        assert read_variable(path, "other", path.stem).shape == read_variable(path).shape


def test_no_mutation_raises_anything_else_or_ends_the_program(sources):
    done = subprocess.run([sys.executable, "-c", MUTATIONS, str(sources)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 300
    assert not done.stderr


def _replaced(path, old, new):
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    return path


def test_a_kind_of_numbers_that_does_not_exist(sources):
    """scipy looks it up where nothing is, and crashes."""
    path = sources / "empty.mat"
    content = path.read_bytes()
    kind = len(content) - 8
    assert content[kind:] == struct.pack("<II", 9, 0)
    for wrong in (0, 8, 15, 19, 20, 0x5809):
        path.write_bytes(content[:kind] + struct.pack("<II", wrong, 0))
        with pytest.raises(DataError, match=r"empty\.mat is damaged or no MATLAB file: copy it again"):
            read_variable(path, "empty")


def test_names_of_no_length(sources):
    """scipy divides by it."""
    path = _replaced(sources / "Img.mat", struct.pack("<III", 0x00040005, 8, 1), struct.pack("<III", 0x00040005, 0, 1))
    with pytest.raises(DataError, match=r"Img\.mat is damaged"):
        read_variable(path, "Img")


def test_absurd_shapes_ask_for_no_memory(sources):
    for side in (2**31 - 1, -3, 10**6):
        path = sources / f"{side}.mat"
        path.write_bytes((sources / "pool.mat").read_bytes())
        _replaced(path, struct.pack("<IIII", 5, 8, 2, 1), struct.pack("<IIii", 5, 8, side, 1000))
        with pytest.raises(DataError, match="is damaged"):
            read_variable(path, "pool")


def test_a_wrong_checksum_is_seen_in_large_files_too(tmp_path):
    path = tmp_path / "a.mat"
    savemat(path, {"a": np.random.default_rng(0).random((1000, 1000))}, do_compression=True)
    assert read_variable(path, "a").shape == (1000, 1000)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        read_variable(path, "a")


def test_cells_within_cells_without_end():
    inner = b""
    for _ in range(3000):
        cell = struct.pack("<IIIIIIIIII", 6, 8, 1, 0, 5, 8, 1, 1, 1, 0) + (inner or struct.pack("<II", 14, 0))
        inner = struct.pack("<II", 14, len(cell)) + cell
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    with pytest.raises(LayoutError, match="more cells than are there"):
        check_layout(io.BytesIO(header + inner), ())


def test_other_variables_may_be_of_any_class(sources, tmp_path):
    """A published file may hold more than what is read of it."""
    path = tmp_path / "two.mat"
    other = bytearray((sources / "complex.mat").read_bytes()[128:])
    other[16] = 17  # a class of objects
    path.write_bytes((sources / "box_new.mat").read_bytes() + other)
    assert read_variable(path, "box_new").shape == (3, 5)


def test_a_file_of_version_7_3_or_4(sources):
    content = (sources / "box_new.mat").read_bytes()
    (sources / "new").write_bytes(content[:124] + b"\x00\x02IM" + content[128:])
    with pytest.raises(DataError, match=r"version 7\.3"):
        read_variable(sources / "new")
    savemat(sources / "old", {"box_new": np.ones((2, 5))}, format="4", appendmat=False)
    with pytest.raises(DataError, match="is damaged or no MATLAB file"):
        read_variable(sources / "old")


def test_the_checksum_is_looked_at(sources):
    content = (sources / "box_new-c.mat").read_bytes()
    inside = zlib.decompress(content[136:])
    assert struct.unpack("<II", inside[:8])[0] == 14
    (sources / "cut").write_bytes(content[:132] + struct.pack("<I", len(content) - 138) + content[136:-2])
    with pytest.raises(DataError, match="is damaged"):
        read_variable(sources / "cut")
