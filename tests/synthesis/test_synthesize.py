"""The driver: same seed, same bytes; stopped and resumed equals never stopped; folders are guarded."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("anny", reason="needs pip install 'personsearch[synthesis]'")
pytest.importorskip("warp", reason="needs pip install 'personsearch[synthesis]'")

from personsearch.errors import DataError, SettingError
from personsearch.synthesis import synthesize
from personsearch.synthesis import synthesize as door
from personsearch.synthesis.synthesize import checked, claim, done, render_one, shard_path, summarize, write_atomic

SIZE = {"identities": 8, "scenes": 5, "test_identities": 3, "test_scenes": 2, "width": 160, "height": 96}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rendered") / "out"
    synthesize(out, **SIZE, seed=3, workers=1)
    return out


def test_layout(rendered: Path) -> None:
    document = json.loads((rendered / "annotations.json").read_text())
    assert sorted(p.name for p in rendered.iterdir()) == ["annotations.json", "images", "settings.json"]
    assert [image["id"] for image in document["images"]] == list(range(5))
    assert {image["file_name"] for image in document["images"]} == {p.name for p in (rendered / "images").iterdir()}
    assert [image["split"] for image in document["images"]] == ["train"] * 3 + ["test"] * 2
    assert all({"width", "height", "camera", "place"} <= set(image) for image in document["images"])
    for person in document["annotations"]:
        x, y, w, h = person["bbox"]
        assert 0 <= x < x + w <= 160
        assert 0 <= y < y + h <= 96
        assert h >= 24
        assert 0 < person["area"] <= w * h
        assert 0.2 <= person["visible"] <= 1
        assert person["category_id"] == 1


def test_train_and_test_share_nobody_and_no_place(rendered: Path) -> None:
    document = json.loads((rendered / "annotations.json").read_text())
    split = {image["id"]: image["split"] for image in document["images"]}
    people: dict[str, set[int]] = {"train": set(), "test": set()}
    places: dict[str, set[str]] = {"train": set(), "test": set()}
    for person in document["annotations"]:
        if person["person_id"] >= 0:
            people[split[person["image_id"]]].add(person["person_id"])
    for image in document["images"]:
        places[image["split"]].add(image["place"])
    assert people["train"] <= set(range(5))
    assert people["test"] <= set(range(5, 8))
    assert not places["train"] & places["test"]


def test_a_resumed_run_in_another_process_equals_an_uninterrupted_one(rendered: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    settings = checked(8, 5, 3, 3, 2, 160, 96)
    claim(out, settings.as_dict())
    for index in (1, 2, 4):
        render_one(out, settings, index)
    (out / "images" / "000003.jpg").write_bytes(b"a picture whose annotations were never written")
    (out / "images" / ".000003.jpg.part").write_bytes(b"of a run that was killed")
    synthesize(out, **SIZE, seed=3, workers=2)
    assert contents(out) == contents(rendered)


def test_two_processes_do_not_work_in_one_folder(rendered: Path, tmp_path: Path) -> None:
    """The second leaves what the first one is writing alone; a kill frees the folder."""
    shutil.copytree(rendered, tmp_path / "out")
    for folder in (tmp_path / "out", tmp_path / "new"):
        (folder / "images").mkdir(parents=True, exist_ok=True)
        part = folder / "images" / ".000003.jpg.part"
        part.write_bytes(b"being written")
        if folder.name == "new":
            shutil.copy(rendered / "settings.json", folder)
        code = (
            "import sys, time; from pathlib import Path; from personsearch.files import alone_in\n"
            "with alone_in(Path(sys.argv[1])): print('in', flush=True); time.sleep(600)"
        )
        with subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout
            assert other.stdout.readline() == "in\n"
            with pytest.raises(SettingError, match="another process works in it: wait until it has ended"):
                synthesize(folder, **SIZE, seed=3, workers=1)
            assert part.exists()
            other.kill()
        synthesize(folder, **SIZE, seed=3, workers=1)
        assert contents(folder) == contents(rendered)


def test_a_run_killed_at_its_first_file_begins_again(rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".settings.json.part").write_bytes(b"{")
    synthesize(tmp_path / "out", **SIZE, seed=3, workers=1)
    assert contents(tmp_path / "out") == contents(rendered)


def test_a_finished_folder_is_left_alone(rendered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(rendered)
    monkeypatch.setattr(sys.modules[door.__module__], "render_one", None)
    assert synthesize(rendered, **SIZE, seed=3) == rendered / "annotations.json"
    assert contents(rendered) == before


def test_a_lost_picture_of_a_finished_folder_is_rendered_again(rendered: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(rendered, out)
    (out / "images" / "000002.jpg").unlink()
    synthesize(out, **SIZE, seed=3, workers=1)
    assert contents(out) == contents(rendered)


def test_other_settings_are_refused(rendered: Path) -> None:
    with pytest.raises(SettingError, match="made with seed=3, not 4") as caught:
        synthesize(rendered, **SIZE, seed=4)
    assert str(rendered) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(SettingError, match="is not empty"):
        synthesize(tmp_path, **SIZE)
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"identities": 1}, "--identities is 1"),
        ({"scenes": 0}, "--scenes is 0"),
        ({"test_identities": 8}, "leave some people to train on, or give --test-scenes 5"),
        ({"test_identities": 0}, "nobody is left to test: give --test-scenes 0, or --test-identities"),
        ({"test_scenes": 6}, "--test-scenes is 6"),
        ({"width": 10}, "--width is 10"),
        ({"seed": -1}, "--seed is -1"),
    ],
)
def test_impossible_numbers(change: dict[str, int], message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=message):
        synthesize(tmp_path / "out", **(SIZE | change))
    assert not (tmp_path / "out").exists()


def test_one_in_five_is_test_by_default() -> None:
    settings = checked(50, 100, 0, None, None, 1000, 600)
    assert (settings.test_identities, settings.test_scenes) == (10, 20)


def test_an_interrupted_write_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"old")

    def full_disk(self: Path, target: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new and longer")
    assert [p.name for p in tmp_path.iterdir()] == ["picture.jpg"]
    assert path.read_bytes() == b"old"


def test_the_picture_is_there_before_its_annotations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run killed between the two renders the scene again."""
    settings = checked(8, 5, 3, 3, 2, 160, 96)
    claim(tmp_path / "out", settings.as_dict())
    module = sys.modules[door.__module__]
    written: list[str] = []
    monkeypatch.setattr(module, "write_atomic", lambda path, content: written.append(path.suffix))
    render_one(tmp_path / "out", settings, 0)
    assert written == [".jpg", ".json"]


def test_summary(rendered: Path) -> None:
    counts = summarize(rendered / "annotations.json")
    document = json.loads((rendered / "annotations.json").read_text())
    assert counts["scenes"] == 5
    assert counts["people"] == len(document["annotations"])
    assert 0 < counts["identities"] <= 8


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import personsearch.synthesis, sys; print([m for m in ('torch', 'warp', 'anny') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=True)
    assert run.stdout.strip() == "[]"


SHARD = b'{"image": {"width": 1, "height": 1, "camera": "c", "place": "p", "split": "train"}, "people": []}'


@pytest.mark.parametrize(
    "damage",
    [
        *(b"", b'{"image": {}', b"\xff", b"[]", b'{"image": 1, "people": []}', b"[" * 100_000),
        *(SHARD.replace(b'"split"', b'"s"'), SHARD.replace(b"[]", b"[1]"), SHARD.replace(b"[]", b'[{"bbox": []}]')),
    ],
)
def test_a_damaged_shard_counts_as_missing(tmp_path: Path, damage: bytes) -> None:
    for folder, name, content in (("images", "000000.jpg", b"\xff\xd8\xff\xd9"), ("shards", "000000.json", SHARD)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(content)
    assert done(tmp_path, 0)
    shard_path(tmp_path, 0).write_bytes(damage)
    assert not done(tmp_path, 0)


@pytest.mark.parametrize("kept", [0, 1, 2, 0.5, -1])
def test_a_picture_that_was_cut_is_rendered_again(rendered: Path, tmp_path: Path, kept: float) -> None:
    shutil.copytree(rendered, tmp_path / "out")
    picture = tmp_path / "out" / "images" / "000001.jpg"
    whole = picture.read_bytes()
    picture.write_bytes(whole[: int(kept * len(whole)) if kept == 0.5 else int(kept)])
    synthesize(tmp_path / "out", **SIZE, seed=3, workers=1)
    assert contents(tmp_path / "out") == contents(rendered)


@pytest.mark.parametrize("lost", ["images", "annotations", "camera", "place", "person_id", "bbox"])
def test_annotations_that_lack_something_are_one_line(rendered: Path, tmp_path: Path, lost: str) -> None:
    shutil.copytree(rendered, tmp_path / "out")
    file = tmp_path / "out" / "annotations.json"
    document = json.loads(file.read_text())
    for holder in (document, document["images"][0], document["annotations"][0]):
        holder.pop(lost, None)
    file.write_text(json.dumps(document))
    with pytest.raises(DataError, match=rf"annotations\.json: damaged \(KeyError: '{lost}'\); delete it, and the same"):
        synthesize(tmp_path / "out", **SIZE, seed=3, workers=1)
    file.unlink()
    synthesize(tmp_path / "out", **SIZE, seed=3, workers=1)
    assert contents(tmp_path / "out") == contents(rendered)


@pytest.mark.parametrize("damage", [b"", b"[1]", b"{", b"\xff"])
def test_damaged_files_of_an_earlier_run_are_one_line(tmp_path: Path, damage: bytes) -> None:
    for name, remedy, read in (
        ("settings.json", "delete the folder", lambda: claim(tmp_path, {})),
        ("annotations.json", "the same command makes it again", lambda: summarize(tmp_path / "annotations.json")),
    ):
        (tmp_path / name).write_bytes(damage)
        with pytest.raises(DataError, match=remedy):
            read()
