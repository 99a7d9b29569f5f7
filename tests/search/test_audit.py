"""The audit: lines that cannot be changed, left out or cut off unseen."""

from __future__ import annotations

import errno
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from search_fakes import picture

from personsearch.errors import GalleryError
from personsearch.search import audit
from personsearch.search.audit import AUDIT, HEAD, picture_hash, read_audit, record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(5):
        record(tmp_path, "search", picture=picture_hash(picture([(number, 10)])), answers=number, who="me")
    return tmp_path


def test_lines_say_who_asked_what_and_follow_each_other(folder: Path) -> None:
    log = read_audit(folder)
    assert log.fault is None
    assert [(e["n"], e["who"], e["what"], e["answers"]) for e in log.entries] == [
        (n + 1, "me", "search", n) for n in range(5)
    ]
    assert [e["before"] for e in log.entries[1:]] == [e["hash"] for e in log.entries[:-1]]
    assert log.head == log.entries[-1]["hash"]
    assert len({e["picture"] for e in log.entries}) == 5
    assert log.entries[2]["picture"] == picture_hash(picture([(2, 10)]).convert("RGBA"))
    assert "@" in record(folder, "remove")["who"]


def test_no_log_is_an_empty_one(tmp_path: Path) -> None:
    assert read_audit(tmp_path) == audit.Audit([], None)


def test_every_change_is_seen(folder: Path) -> None:
    path, head = folder / AUDIT, folder / HEAD
    lines, note = path.read_text().splitlines(keepends=True), head.read_text()
    edited = lines[2].replace('"answers": 2', '"answers": 0')
    other = json.loads(edited)
    other["hash"] = audit._hash(other)  # by somebody who knows how
    for changed in (
        [*lines[:2], edited, *lines[3:]],
        [*lines[:2], json.dumps(other) + "\n", *lines[3:]],
        [*lines[:2], *lines[3:]],
        [lines[1], lines[0], *lines[2:]],
        [*lines[:3], lines[2], *lines[3:]],
        lines[1:],
        lines[:4],
        lines[:1],
        [],
        [*lines[:4], lines[4][:-9]],
        [*lines[:2], "\n", *lines[2:]],
        [*lines, "{}\n"],
        [*lines[:2], "\x00" * 40 + "\n", *lines[3:]],
    ):
        path.write_text("".join(changed))
        fault = read_audit(folder).fault
        assert fault is not None, changed
        assert "\n" not in fault
        record(folder, "search")  # and stays seen
        record(folder, "search")
        assert read_audit(folder).fault is not None, changed
        path.write_text("".join(lines))
        head.write_text(note)
        assert read_audit(folder).fault is None
    for broken in ("", "{}", "[]", '{"n": "5"}', note.replace("5", "4", 1)):
        head.write_text(broken)
        assert read_audit(folder).fault is not None
    head.unlink()
    assert "is missing" in (read_audit(folder).fault or "")
    head.write_text(note)
    path.unlink()
    assert read_audit(folder).fault is not None


def test_a_kill_between_a_line_and_its_note_is_no_fault(folder: Path) -> None:
    note = (folder / HEAD).read_text()
    record(folder, "search")
    for _ in range(3):  # killed each time
        (folder / HEAD).write_text(note)
        assert read_audit(folder).fault is None
        note = json.dumps({"n": len(read_audit(folder).entries), "hash": read_audit(folder).head})
        record(folder, "search")
        assert read_audit(folder).fault is None
    with (folder / AUDIT).open("a") as file:
        file.write('{"n": 10, "wh')  # killed within a line
    assert "was cut" in (read_audit(folder).fault or "")
    record(folder, "search")
    assert read_audit(folder).fault is None
    assert len(read_audit(folder).entries) == 10


def test_lines_that_come_while_it_is_read_are_no_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, others = audit._FileLog.read, [2, 1, 0]

    def read_late(log: Any) -> bytes:
        for _ in range(others.pop(0)):
            record(folder, "search")
        return read(log)

    monkeypatch.setattr(audit._FileLog, "read", read_late)
    assert read_audit(folder).fault is None


def test_many_at_once_leave_one_chain(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: record(tmp_path, "search", answers=n), range(40)))
    log = read_audit(tmp_path)
    assert log.fault is None
    assert sorted(entry["answers"] for entry in log.entries) == list(range(40))


def test_a_full_disk_is_one_line_and_leaves_the_log(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / AUDIT).read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("_note", "write"):
        with monkeypatch.context() as patch:
            patch.setattr(audit, name, full)
            with pytest.raises(GalleryError, match="No space left"):
                record(folder, "search")
        assert (folder / AUDIT).read_bytes() == before
        assert read_audit(folder).fault is None
    with pytest.raises(GalleryError, match="cannot be written"):
        record(folder / "nowhere", "search")
