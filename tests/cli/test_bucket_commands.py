"""Every command that takes a gallery takes one in a bucket, and says the same of it as of one in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from search_fakes import FakeModel, save_pictures
from store import BUCKET, Store
from typer.testing import CliRunner, Result

from personsearch.cli.app import app
from personsearch.search import searchers
from personsearch.search.audit import read_audit
from personsearch.search.bucket import BucketPath
from personsearch.search.searchers import SceneSearcher

BOX = ["--box", "10", "26", "30", "86"]


@pytest.fixture(autouse=True)
def fake_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(weights: str, _device: str | None = None, least: float = 0.5, read: str | None = None, **_: object) -> (
        SceneSearcher
    ):  # fmt: skip
        return SceneSearcher(FakeModel(), f"{weights}-1", weights, least, 12, read or "readings")

    monkeypatch.setattr(searchers, "load_searcher", load)
    monkeypatch.setenv("COLUMNS", "300")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    store = Store()
    for name, value in store.environment().items():
        monkeypatch.setenv(name, value)
    yield store
    BucketPath(BUCKET).rmtree()
    store.close()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_commands_say_the_same_of_a_gallery_in_a_bucket(store: Store, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    paths = save_pictures(photos, 4)
    save_pictures(tmp_path / "crowd", 10)
    (tmp_path / "out").mkdir()

    def said(top: str) -> list[str]:
        gallery, other, big, out = f"{top}/g", f"{top}/other", f"{top}/big", tmp_path / "out"
        commands: list[list[object]] = [
            ["index", photos, "--gallery", gallery],
            ["index", photos, "--gallery", gallery, "--json"],
            ["index", paths[0], "--gallery", other],
            ["search", gallery, "--image", paths[1], *BOX, "--json"],
            ["search", gallery, "--image", paths[1], *BOX, "--appearances", "--sure", "0"],
            ["search", gallery, "--image", paths[1], *BOX, "--json", "--memory", "500MB"],
            ["index", tmp_path / "crowd", "--gallery", big],
            ["gallery", "approximate", big],
            ["search", big, "--image", paths[1], *BOX, "--json", "--approximate"],
            ["gallery", "approximate", big, "--drop", "--json"],
            ["gallery", "show", gallery],
            ["gallery", "remove", gallery, paths[2]],
            ["gallery", "retain", gallery, "--days", "9"],
            ["gallery", "prune", gallery],
            ["gallery", "verify", gallery],
            ["gallery", "merge", gallery, other, "--into", f"{top}/both"],
            ["gallery", "export", gallery, "--image", paths[1], *BOX, "--sure", "0", "--out", out, "--force"],
            ["gallery", "audit", gallery, "--verify"],
            ["index", photos, "--gallery", gallery, "--force"],
            ["watch", photos, "--gallery", gallery, "--stop-after", "0.1"],
        ]
        results = [run(*command) for command in commands]
        for command, result in zip(commands, results, strict=True):
            assert result.exit_code == 0, (command, result.output, result.exception)
        return [result.output.replace(top, "TOP").partition("; the last one is")[0] for result in results]

    assert said(f"s3://{BUCKET}/top") == said(str(tmp_path / "top"))
    listed = run("gallery", "list", f"s3://{BUCKET}").output
    assert all(f"s3://{BUCKET}/top/{name}" in listed for name in ("g", "other", "both"))
    whats = [entry["what"] for entry in read_audit(store.place("top/g")).entries]
    assert whats == ["search", "search", "search", "remove", "retain", "prune", "export", "replace"]


def test_what_cannot_be_is_one_line(store: Store, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    paths = save_pictures(photos, 2)
    gallery = f"s3://{BUCKET}/g"
    assert run("index", photos, "--gallery", gallery).exit_code == 0
    ask = ["search", gallery, "--image", paths[0], *BOX]
    for arguments, line in [
        (["index", "s3://people/photos", "--gallery", gallery], "only galleries may be in a bucket"),
        ([*ask, "--out", "s3://people/out"], "only galleries may be in a bucket"),
        (["index", photos, "--gallery", "gs://people/g"], "give a folder or s3://BUCKET/PATH"),
        (["index", photos, "--gallery", "s3://nobody/g"], "there is no bucket nobody"),
        (["search", f"s3://{BUCKET}/none", *ask[2:]], "no gallery there; make one: personsearch index"),
        (["gallery", "merge", gallery, "--into", gallery], "is named twice"),
        ([*ask, "--memory", "1kB"], "more memory than that: give --memory"),
        ([*ask, "--memory", "little"], "give a size such as 2GB"),
        ([*ask, "--approximate"], "has no approximate index; make one: personsearch gallery approximate"),
        ([*ask, "--approximate", "--appearances"], "leave --proposer and --appearances out"),
        (["gallery", "approximate", gallery], "too few for an approximate index, which needs 20"),
        (["index", photos, "--gallery", gallery, "--ray", "127.0.0.1:9"], "ray"),
    ]:
        result = run(*arguments)
        (told,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
        assert line in told
        assert result.exit_code in (1, 2)
