"""The page from outside: what it shows, whom it answers, and what it refuses, each in one sentence."""

from __future__ import annotations

import csv
import io
import json
import shutil
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from search_fakes import picture, save_pictures, save_video, searcher

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from personsearch.search.audit import picture_hash, read_audit
from personsearch.search.gallery import Gallery
from personsearch.search.indexing import index_sources
from personsearch.serve.app import STATIC, make_app
from personsearch.serve.library import Library
from personsearch.serve.pace import Pace
from personsearch.serve.uploads import Uploads
from personsearch.serve.witness import Witness

HOME = "http://127.0.0.1:8765"
TOKEN = "letmein0123456789"


def client(folder: Path, token: str | None = None, base_url: str = HOME) -> TestClient:
    app = make_app(folder, searcher, token=token, pace=Pace(10**6, 0.0), fresh_for=0.0)
    return TestClient(app, base_url=base_url, raise_server_exceptions=False)


def index(folder: Path, *sources: Path, force: bool = False) -> None:
    one = searcher()
    if Gallery.exists(folder) and not force:
        gallery = Gallery.open(folder, write=True)
    else:
        gallery = Gallery.create(folder, model="fake", fingerprint=one.fingerprint, dim=one.dim, force=force)
    with gallery:
        if sources:
            index_sources(gallery, one, list(sources), every=0.2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve")
    save_pictures(folder / "photos", 4)
    save_video(folder / "walk.avi", seconds=3)
    index(folder / "g", folder / "photos", folder / "walk.avi")
    return folder


@pytest.fixture(scope="module")
def page(place: Path) -> Iterator[TestClient]:
    with client(place / "g") as opened:
        yield opened


def sentence(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    line = answer.json()["error"]
    assert "\n" not in line
    assert "/tmp" not in line
    return str(line)


def people_of(page: TestClient, name: str, place: int = 0) -> list[str]:
    scenes = page.get("/api/scenes").json()["scenes"]
    chosen = [scene for scene in scenes if scene["name"].endswith(name)][place]
    return [person["id"] for person in page.get(f"/api/scenes/{chosen['id']}").json()["people"]]


def asked(page: TestClient, *sights: str, **more: Any) -> list[dict[str, Any]]:
    answer = page.post("/api/ask", json={"sights": sights, **more})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["answers"])


# ------------------------------------------------------------------------------------------------ what it shows


def test_the_page_loads_nothing_from_elsewhere_and_runs_no_inline_code(page: TestClient) -> None:
    for path in ("/", "/page.css", "/page.js"):
        answer = page.get(path)
        assert answer.status_code == 200
        assert "http://" not in answer.text.replace("http://www.w3.org", "")
        assert "https://" not in answer.text
        assert "unsafe" not in answer.headers["content-security-policy"]
    html = (STATIC / "index.html").read_text()
    assert " style=" not in html
    assert "onclick" not in html
    for word in ("embedding", "threshold", "gallery", "cosine"):
        assert word not in html.lower()


def test_sources_scenes_and_people_are_counted(page: TestClient) -> None:
    told = page.get("/api/sources").json()
    assert [(s["name"].rpartition("/")[2], s["film"], s["scenes"], s["people"]) for s in told["sources"]] == [
        ("photos", False, 4, 10), ("walk.avi", True, 15, 30)
    ]  # fmt: skip
    assert told["scenes"] == 4 + 15
    film = told["sources"][-1]["id"]
    listed = page.get("/api/scenes", params={"source": film}).json()
    assert listed["total"] == 15
    assert page.get("/api/scenes", params={"source": film, "start": 10**9}).json()["scenes"] == []
    late = page.get("/api/scenes", params={"source": film, "after": 1, "before": 2.05}).json()
    assert [scene["time"] for scene in late["scenes"]] == pytest.approx([1.0, 1.2, 1.4, 1.6, 1.8, 2.0])
    for wrong in ({"start": -5}, {"after": "nan"}, {"before": "-1"}, {"start": 10**30}):
        sentence(page.get("/api/scenes", params=wrong), 422)


def test_pictures_are_jpeg_and_no_address_holds_a_path(page: TestClient, place: Path) -> None:
    scene = page.get("/api/scenes").json()["scenes"][0]
    assert str(place) not in json.dumps(scene)
    for path in (f"/api/scenes/{scene['id']}/picture", f"/api/people/{scene['id']}-0/picture"):
        answer = page.get(path)
        assert answer.headers["content-type"] == "image/jpeg"
        assert Image.open(io.BytesIO(answer.content)).format == "JPEG"


# ------------------------------------------------------------------------------------------------ asking


def test_a_click_finds_her_elsewhere_and_not_in_the_same_scene(page: TestClient) -> None:
    answers = asked(page, people_of(page, "p000.png")[1])
    assert answers[0]["name"].endswith("p001.png")
    assert not any(one["name"].endswith("p000.png") for one in answers)
    assert answers[0]["person"] == people_of(page, "p001.png")[0]
    assert "alike" in answers[0]["words"]


def test_a_film_answers_once_with_its_time(page: TestClient) -> None:
    (seen,) = [one for one in asked(page, people_of(page, "p003.png")[0], sure=2) if one["first"] is not None]
    assert (seen["first"], seen["frames"]) == (0.0, 15)
    assert seen["last"] == pytest.approx(2.8)


def test_somebody_else_is_taken_off(page: TestClient) -> None:
    sight = people_of(page, "p000.png")[0]
    first = asked(page, sight, sure=0)
    without = asked(page, sight, sure=0, others=[first[0]["person"]])
    assert first[0]["person"] not in [one["person"] for one in without]
    more = asked(page, sight, people_of(page, "p001.png")[0], sure=0)
    assert more
    source = first[0]["source"]
    assert {one["source"] for one in asked(page, sight, sure=0, source=source)} == {source}


def test_answers_go_into_files(page: TestClient, place: Path) -> None:
    question = {"sights": [people_of(page, "p000.png")[1]]}
    row, *_ = csv.DictReader(io.StringIO(page.post("/api/export/csv", json=question).text))
    same, *_ = page.post("/api/export/json", json=question).json()
    assert row["source"] == same["source"] == str(place / "photos" / "p001.png")
    assert float(row["x1"]) == same["x1"]
    empty = page.post("/api/export/csv", json={**question, "after": 1e6}).text
    assert next(csv.reader(io.StringIO(empty))) == list(row)
    sentence(page.post("/api/export/exe", json=question), 422)


# ------------------------------------------------------------------------------------------------------- the audit


def test_each_question_is_noted_with_its_picture(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "g", tmp_path / "g", ignore=shutil.ignore_patterns("audit*"))
    own = picture([(2, 40), (7, 100)])
    with client(tmp_path / "g") as page:
        found = asked(page, sight := people_of(page, "p000.png")[1])
        page.post("/api/export/csv", json={"sights": [sight]})
        brought = page.post("/api/pictures", content=file_of(own)).json()
        asked(page, brought["people"][0]["id"])
        drawn = page.post(f"/api/pictures/{brought['id']}/people", json={"box": [40, 10, 60, 70]}).json()
        asked(page, drawn["id"])
    audit = read_audit(tmp_path / "g")
    assert audit.fault is None
    assert [entry["what"] for entry in audit.entries] == ["search", "export", "search", "search"]
    assert audit.entries[0]["answers"] == len(found)
    assert {entry["who"] for entry in audit.entries} == {"testclient"}
    shown = picture_hash(Image.open(place / "photos" / "p000.png"))
    assert [entry["picture"] for entry in audit.entries] == [shown, shown, picture_hash(own), picture_hash(own)]


def test_a_question_about_a_picture_that_has_just_gone_is_noted(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "g", tmp_path / "g", ignore=shutil.ignore_patterns("audit*"))
    complaints: list[str] = []
    uploads = Uploads(searcher)
    Witness(tmp_path / "g", complaints.append).note("search", Library(place / "g").now(), uploads, "upgone-0", 3, "she")
    (entry,) = read_audit(tmp_path / "g").entries
    assert (entry["picture"], entry["answers"], complaints) == (None, 3, [])


def test_a_question_is_answered_where_the_audit_cannot_be_written(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "g", tmp_path / "g", ignore=shutil.ignore_patterns("audit*"))
    (tmp_path / "g" / "audit.jsonl").mkdir()
    heard: list[str] = []
    app = make_app(tmp_path / "g", searcher, pace=Pace(10**6, 0.0), fresh_for=0.0, complain=heard.append)
    with TestClient(app, base_url=HOME) as page:
        sight = people_of(page, "p000.png")[1]
        assert asked(page, sight)
        assert asked(page, sight)
    (line,) = heard
    assert "not noted in the audit" in line


# ------------------------------------------------------------------------------------------------ pictures of one's own


def file_of(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_picture_of_ones_own_asks(page: TestClient) -> None:
    brought = page.post("/api/pictures", content=file_of(picture([(2, 40), (7, 100)]))).json()
    assert [round(person["box"][0]) for person in brought["people"]] == [40, 100]
    assert page.get(f"/api/pictures/{brought['id']}/picture").status_code == 200
    answers = asked(page, brought["people"][0]["id"])
    assert {one["name"].rpartition("/")[2] for one in answers[:2]} == {"p001.png", "p002.png"}
    sentence(page.post("/api/ask", json={"sights": [f"{brought['id']}-7"]}), 404)


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 10 gigapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [
        (b"", 400, "empty"),
        (b"no picture", 400, "not a picture"),
        (file_of(picture([(1, 10)]))[:-60], 400, "cannot be read"),
        (bomb(), 400, "pixels"),
        (b"0" * 24_000_001, 413, "too large"),
    ],
    ids=["empty", "text", "cut", "bomb", "huge"],
)
def test_what_is_no_picture_is_refused_in_one_sentence(
    page: TestClient, content: bytes, status: int, word: str
) -> None:
    assert word in sentence(page.post("/api/pictures", content=content), status)


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("name", ["..%2F..%2Fetc%2Fpasswd", "%00", "a%00b", "..", "é", "0" * 500, "x-0", "-", "up"])
def test_names_that_name_nothing(page: TestClient, name: str) -> None:
    for path in (f"/api/scenes/{name}", f"/api/scenes/{name}/picture", f"/api/people/{name}/picture",
                 f"/api/pictures/{name}/picture", f"/{name}"):  # fmt: skip
        answer = page.get(path)
        assert answer.status_code == 404 or (name == ".." and answer.status_code == 200), path
        assert "root:" not in answer.text


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"sights": "a"}', b'{"sights": [1]}', b'{"sights": ["../a"]}', b'{"sights": [], "sure": 9}',
     b'{"sights": [], "more": 1}', b'{"sights": ["\\u0000"]}', b"\xff\xfe"],
)  # fmt: skip
def test_questions_that_cannot_be_understood(page: TestClient, body: bytes) -> None:
    answer = page.post("/api/ask", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]


def test_a_question_needs_a_sight_and_is_short(page: TestClient) -> None:
    assert "click" in sentence(page.post("/api/ask", json={"sights": []}), 400)
    sentence(page.post("/api/ask", json={"sights": ["a" * 70_000]}), 413)


def test_other_pages_and_other_names_of_this_machine_are_refused(page: TestClient) -> None:
    for headers in ({"origin": "https://example.org"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        sentence(page.post("/api/ask", json={"sights": []}, headers=headers), 403)
    assert page.post("/api/ask", json={"sights": []}, headers={"origin": HOME}).status_code == 400
    sentence(page.get("/api/sources", headers={"host": "rebound.example"}), 421)
    assert page.get("/api/sources", headers={"host": "localhost:8765"}).status_code == 200


# ------------------------------------------------------------------------------------------------ a box of one's own


def test_a_box_drawn_in_a_picture_asks(page: TestClient) -> None:
    brought = page.post("/api/pictures", content=file_of(picture([(2, 40), (7, 100)]))).json()
    drawn = page.post(f"/api/pictures/{brought['id']}/people", json={"box": [40, 26, 60, 86]}).json()
    assert drawn["box"] == [40, 26, 60, 86]
    answers = asked(page, drawn["id"])
    assert {one["name"].rpartition("/")[2] for one in answers[:2]} == {"p001.png", "p002.png"}
    assert asked(page, drawn["id"])[0] == asked(page, brought["people"][0]["id"])[0]


def test_a_box_drawn_in_a_scene_asks_the_other_scenes(page: TestClient) -> None:
    scene = people_of(page, "p001.png")[0].rpartition("-")[0]
    drawn = page.post(f"/api/scenes/{scene}/people", json={"box": [10, 26, 30, 86]}).json()
    answers = asked(page, drawn["id"])
    assert answers[0]["name"].endswith("p000.png")
    assert scene not in [one["scene"] for one in answers]


@pytest.mark.parametrize("box", [[0, 0, 0, 0], [500, 500, 600, 700], [60, 26, 40, 86], [-50, -50, -1, -1]])
def test_a_box_of_nothing_is_refused(page: TestClient, box: list[float]) -> None:
    scene = page.get("/api/scenes").json()["scenes"][0]["id"]
    assert "box" in sentence(page.post(f"/api/scenes/{scene}/people", json={"box": box}), 400)


@pytest.mark.parametrize("box", ["[1, 2, 3]", "[1, 2, 3, NaN]", "[1, 2, 3, Infinity]", "[1, 2, 3, 1e300]", "null"])
def test_a_box_that_is_none_is_refused(page: TestClient, box: str) -> None:
    scene = page.get("/api/scenes").json()["scenes"][0]["id"]
    body = {"content": f'{{"box": {box}}}', "headers": {"content-type": "application/json"}}
    assert page.post(f"/api/scenes/{scene}/people", **body).status_code in (400, 422)


# ------------------------------------------------------------------------------------------------ films and times


def test_a_film_comes_in_ranges(page: TestClient, place: Path) -> None:
    scene = next(s for s in page.get("/api/scenes", params={"start": 4}).json()["scenes"] if s["film"])
    whole = (place / "walk.avi").read_bytes()
    part = page.get(f"/api/scenes/{scene['id']}/film", headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole)}"
    assert part.headers["content-type"].startswith("video/")
    assert page.get(f"/api/scenes/{scene['id']}/film", headers={"range": "bytes=999999999-"}).status_code == 416
    first = page.get("/api/scenes").json()["scenes"][0]["id"]
    sentence(page.get(f"/api/scenes/{first}/film"), 404)


def test_a_question_of_a_time_is_about_films_alone(page: TestClient) -> None:
    sight = people_of(page, "p003.png")[0]
    (seen,) = asked(page, sight, after=1, before=2)
    assert (seen["first"], seen["last"]) == pytest.approx((1.0, 2.0))
    assert asked(page, sight, after=100) == []


# ------------------------------------------------------------------------------------------------ while things change


def test_it_answers_from_what_is_there_now(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 2)
    index(tmp_path / "g")
    with client(tmp_path / "g") as page:
        assert page.get("/api/sources").json() == {"sources": [], "scenes": 0, "people": 0}
        brought = page.post("/api/pictures", content=file_of(picture([(1, 40)]))).json()
        sight = brought["people"][0]["id"]
        assert asked(page, sight, sure=0) == []
        index(tmp_path / "g", tmp_path / "photos")
        assert len(asked(page, sight, sure=3)) == 2
        (tmp_path / "photos" / "p000.png").rename(tmp_path / "elsewhere.png")
        first = page.get("/api/scenes").json()["scenes"][0]["id"]
        assert "moved or deleted" in sentence(page.get(f"/api/scenes/{first}/picture"), 410)
        index(tmp_path / "g", tmp_path / "photos", force=True)
        assert len(asked(page, sight, sure=3)) == 1
        sentence(page.get(f"/api/scenes/{first}"), 404)
        shutil.rmtree(tmp_path / "g")
        assert page.get("/api/sources").status_code == 503


def test_a_gallery_of_another_model_does_not_answer(tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 1)
    index(tmp_path / "g")
    with client(tmp_path / "g") as page:
        other = searcher("fake-2")
        made = Gallery.create(tmp_path / "g", model="other", fingerprint=other.fingerprint, dim=other.dim, force=True)
        with made:
            index_sources(made, other, [tmp_path / "photos"])
        assert "start the page again" in sentence(page.get("/api/sources"), 503)
