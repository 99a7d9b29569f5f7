"""A damaged gallery: one line, what is left to do, and that what is advised works."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from personsearch.errors import GalleryError
from personsearch.geometry.detections import Detections
from personsearch.search.faults import newest_whole, quiet_panics, reading, writing
from personsearch.search.gallery import Gallery
from personsearch.search.rows import IndexedScene, check_rows, row_of, schema
from personsearch.search.sources import Source
from personsearch.search.table import SceneTable

FLIPS = int(os.environ.get("PERSONSEARCH_TEST_FLIPS", "60"))
DIM = 8


def scene(number: int) -> IndexedScene:
    generator = torch.Generator().manual_seed(number)
    boxes = torch.rand(3, 4, generator=generator).sort(dim=1).values * 50
    embeddings = torch.nn.functional.normalize(torch.randn(3, DIM, generator=generator), dim=1)
    found = Detections(boxes, torch.rand(3, generator=generator), embeddings)
    return IndexedScene(Source(f"/there/{number}.jpg", 10, 20), 100, 50, found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Gallery.create(tmp_path / "g", model="fake", fingerprint="f1", dim=DIM) as gallery:
        for number in range(5):
            gallery.add([scene(number)])
    return tmp_path / "g"


def use(folder: Path) -> int:
    """Everything that reads a gallery."""
    gallery = Gallery.open(folder)
    gallery.indexed()
    gallery.scenes()
    gallery.search(torch.ones(DIM), 100, per_scene=None)
    return len(gallery)


def test_a_turned_byte_anywhere_is_one_line_and_its_advice_works(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(0)
    copy, followed = tmp_path / "copy", 0
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file() and p.stat().st_size)
    latest = [name for name in files if name.suffix == ".manifest"][:1]
    for number in range(FLIPS):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        path = copy / rng.choice(latest if number % 2 else files)
        turned = bytearray(path.read_bytes())
        turned[rng.randrange(len(turned))] ^= 1 << rng.randrange(8)
        path.write_bytes(turned)
        try:
            use(copy)
        except GalleryError as error:
            line = str(error)
            assert "\n" not in line
            assert "damaged" in line or "newer" in line
            assert "index again with --force" in line or "newer" in line
            advice = re.search(r"of (\d+) scenes, is whole: delete (.*) and it is opened", line)
            if advice:
                for doomed in advice[2].split():
                    Path(doomed).unlink()
                assert use(copy) == int(advice[1])
                followed += 1
    assert followed > 0
    assert "panicked" not in capfd.readouterr().err


class Panic(BaseException):
    """As a panic of Rust arrives in Python: no Exception."""


Panic.__name__ = "PanicException"


class Broken:
    """A table of which each call ends with the same error."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Callable[..., object]:
        if name == "schema":
            return schema(DIM)  # type: ignore[no-any-return]
        if name == "version":  # seen when a table is opened, which is guarded as a whole
            return 1  # type: ignore[return-value]

        def call(*_: object, **__: object) -> object:
            os.write(2, b"thread 'x' panicked at y\n" if isinstance(self.error, Panic) else b"a word\n")
            raise self.error

        return call


EVERY_CALL: list[Callable[[SceneTable], object]] = [
    lambda table: table.read(),
    lambda table: table.rows(["source"]),
    lambda table: table.fragments(),
    lambda table: table.add_digests(),
    lambda table: table.append([row_of(scene(1).source, None, None, 1, 1, Detections.empty(DIM))]),
    lambda table: table.delete("/there/1.jpg"),
    lambda table: table.relink([(scene(1).source, scene(2).source)]),
    lambda table: table.tidy(),
]


@pytest.mark.parametrize("call", EVERY_CALL)
def test_every_call_of_the_library_is_guarded(
    folder: Path, call: Callable[[SceneTable], object], capfd: pytest.CaptureFixture[str]
) -> None:
    for error in (Panic("called unwrap\non None"), RuntimeError("lance\nerror"), TypeError("x"), KeyError("y")):
        with pytest.raises(GalleryError) as caught:
            call(SceneTable(folder, Broken(error), DIM))
        assert "\n" not in str(caught.value)
    shown = capfd.readouterr().err
    assert "panicked" not in shown
    assert "a word" in shown
    for stop in (KeyboardInterrupt(), SystemExit(3)):
        with pytest.raises(type(stop)):
            call(SceneTable(folder, Broken(stop), DIM))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "x"), "Permission denied"),
        (RuntimeError("LanceError(IO): Generic: Too many open files (os error 24), src/x.rs"), "Too many open files"),
        (MemoryError(), "Cannot allocate memory: end other programs"),
        (Panic("OS can't spawn worker thread: Resource temporarily unavailable (os error 11)"), "ulimit -u"),
        (Panic('failed to create UnixStream: Os { code: 24, kind: Uncategorized, message: "Too many" }'), "ulimit -n"),
    ],
)
def test_what_is_not_the_tables_fault_is_not_called_damage(tmp_path: Path, error: Exception, said: str) -> None:
    for guard in (reading(tmp_path, DIM), writing(tmp_path)):
        with pytest.raises(GalleryError, match=said) as caught, guard:
            raise error
        assert "damaged" not in str(caught.value)
        assert "--force" not in str(caught.value)


def test_a_gallery_of_one_state_has_no_older_one(folder: Path) -> None:
    assert newest_whole(folder, DIM) == (4, sorted((folder / "scenes.lance" / "_versions").glob("*.manifest"))[:1])
    for manifest in sorted((folder / "scenes.lance" / "_versions").glob("*.manifest"))[1:]:
        manifest.unlink()
    assert newest_whole(folder, DIM) is None


def test_stderr_is_kept_for_others(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_panics():
        print("before", file=sys.stderr)
        with quiet_panics():
            os.write(2, b"inside\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\ninside\nafter\n"


def test_without_stderr_a_gallery_is_read_all_the_same(folder: Path) -> None:
    code = f"from personsearch import Gallery; print(len(Gallery.open({str(folder)!r})))"
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "5\n"


# -------------------------------------------------------------------- rows that cannot be


def rows() -> list[dict[str, object]]:
    scenes = [scene(number) for number in range(3)]
    return [row_of(s.source, None, None, 100, 50, s.people) for s in scenes]


BAD: list[tuple[str, object, str]] = [
    ("scores", [0.5], "do not agree"),
    ("embeddings", [[0.0] * DIM], "do not agree"),
    ("boxes", [[0.0, 0, 1, 1]] * 4, "do not agree"),
    ("boxes", [[float("nan"), 0, 1, 1]] * 3, "impossible boxes"),
    ("boxes", [[5.0, 0, 1, 1]] * 3, "impossible boxes"),
    ("boxes", [[0.0, 0, 1e30, 1]] * 3, "impossible boxes"),
    ("boxes", [[0.0, None, 1, 1]] * 3, "gaps"),
    ("scores", [0.5, float("inf"), 0.5], "impossible boxes or scores of '/there/1.jpg'"),
    ("width", -7, "impossible boxes"),
    ("time", float("nan"), "times"),
    ("time", -1.0, "times"),
    ("source", None, "without its source"),
    ("boxes", None, "without its boxes"),
]


@pytest.mark.parametrize(("column", "value", "why"), BAD)
def test_rows_that_contradict_themselves_are_damage(folder: Path, column: str, value: object, why: str) -> None:
    table = pa.Table.from_pylist(rows(), schema=schema(DIM))
    check_rows(table)
    check_rows(table.slice(0, 0))
    bad = rows()
    bad[1][column] = value
    with pytest.raises(ValueError, match=why):
        check_rows(pa.Table.from_pylist(bad, schema=schema(DIM)))
    with Gallery.open(folder, write=True) as gallery:
        gallery._table._table.add(pa.Table.from_pylist(bad, schema=schema(DIM)))
    with pytest.raises(GalleryError, match="damaged"):
        use(folder)


ABOUT = {"model": "m", "fingerprint": "f", "dim": DIM, "min_score": 0.5, "created": "x", "format": 2}


@pytest.mark.parametrize(
    "about",
    [
        "[" * 100_000,
        '{"format": -1e999}',
        '{"format": "2"}',
        "\0",
        json.dumps({**ABOUT, "dim": 1e300}),
        json.dumps({**ABOUT, "dim": 9}),
        json.dumps({**ABOUT, "dim": -3}),
        json.dumps({**ABOUT, "min_score": 80}),
        json.dumps({**ABOUT, "min_score": float("nan")}),
    ],
)
def test_whatever_gallery_json_holds_is_one_line(folder: Path, about: str) -> None:
    (folder / "gallery.json").write_text(about)
    with pytest.raises(GalleryError, match=r"damaged.*; index again with --force") as caught:
        Gallery.open(folder)
    assert "\n" not in str(caught.value)


def test_a_damaged_gallery_can_be_indexed_again_into_the_same_folder(folder: Path) -> None:
    for path in (folder / "scenes.lance").rglob("*.manifest"):
        path.write_bytes(b"nonsense")
    with pytest.raises(GalleryError, match="damaged; index again with --force"):
        Gallery.open(folder, write=True)
    with Gallery.create(folder, model="fake", fingerprint="f1", dim=DIM, force=True) as gallery:
        gallery.add([scene(1)])
    assert use(folder) == 1


LISTS = """
import sys
from pathlib import Path
from test_damage import use
from personsearch.errors import GalleryError

folder = Path(sys.argv[1])
(path,) = (folder / "scenes.lance" / "_deletions").glob("*.arrow")
whole = path.read_bytes()
refused = 0
for place in range(0, len(whole), 5):
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xA5]) + whole[place + 1 :])
    try:
        use(folder)
    except GalleryError as error:
        assert len(str(error).splitlines()) == 1, error
        refused += 1
print(refused)
"""


def test_a_damaged_list_of_dropped_rows_does_not_end_the_process(tmp_path: Path) -> None:
    """Lance takes as much memory as such a list asks for, and aborts when there is not so much."""
    with Gallery.create(tmp_path / "g", model="fake", fingerprint="f1", dim=DIM) as gallery:
        gallery.add([scene(number) for number in range(5)])
        gallery.forget("/there/1.jpg")
    assert use(tmp_path / "g") == 4
    paths = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    done = subprocess.run(
        [sys.executable, "-c", LISTS, str(tmp_path / "g")],
        env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 20
