"""Who is refused, and what: guesses, strangers' pages, too much, too often, too many, too slow, and who leaves."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from search_fakes import FakeModel, save_pictures, save_video, searcher

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse

from personsearch.errors import SettingError
from personsearch.search.gallery import Gallery
from personsearch.search.indexing import index_sources
from personsearch.search.searchers import SceneEncoder
from personsearch.serve import guard
from personsearch.serve.app import make_app
from personsearch.serve.door import Door, check_address, is_token
from personsearch.serve.guard import AT_ONCE, Guard
from personsearch.serve.pace import Pace, Turns

TOKEN = "letmein0123456789"
HOME, FAR = "http://127.0.0.1:8765", "http://pc.example:8765"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("refused")
    save_pictures(place / "photos", 2)
    save_video(place / "walk.avi", seconds=1)
    one = searcher()
    with Gallery.create(place / "g", model="fake", fingerprint=one.fingerprint, dim=one.dim) as gallery:
        index_sources(gallery, one, [place / "photos", place / "walk.avi"], every=0.2)
    return place / "g"


def client(folder: Path, base_url: str = HOME, **options: Any) -> TestClient:
    app = make_app(folder, searcher, fresh_for=0.0, **options)
    return TestClient(app, base_url=base_url, raise_server_exceptions=False)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


# ------------------------------------------------------------------------------------------------ the token


def test_a_thousand_guesses_are_hardly_heard_and_who_is_in_stays_in(folder: Path) -> None:
    with client(folder, FAR, token=TOKEN) as inside, client(folder, FAR, token=TOKEN) as _:
        assert inside.post("/api/enter", json={"token": TOKEN}).status_code == 200
        statuses = [inside.post("/api/enter", json={"token": f"{n:016}"}).status_code for n in range(500)]
        bare = {"cookie": ""}
        statuses += [inside.get("/api/sources", headers=bearer(f"{n:016}") | bare).status_code for n in range(500)]
        assert set(statuses) == {401, 429}
        assert statuses.count(401) <= 40  # ten at once, and one in ten seconds
        late = inside.get("/api/sources", headers=bearer(TOKEN) | bare)
        assert late.status_code == 429  # not even the right one: else guessing would go on
        assert "wait" in late.json()["error"]
        assert inside.get("/api/sources").status_code == 200


def test_the_token_opens_and_the_cookie_does_not_tell_it(folder: Path) -> None:
    with client(folder, FAR, token=TOKEN) as page:
        assert page.get("/").status_code == 200
        assert page.get("/parts.js").status_code == 200
        assert page.get("/api/sources").status_code == 401
        assert page.post("/api/enter", json={"token": TOKEN[:-1]}).status_code == 401
        assert page.get("/api/sources", headers=bearer(TOKEN)).status_code == 200
        cookie = page.post("/api/enter", json={"token": TOKEN}).headers["set-cookie"]
        assert "httponly" in cookie.lower()
        assert "samesite=strict" in cookie.lower()
        assert TOKEN not in cookie
        assert page.get("/api/sources").status_code == 200
        page.cookies.clear()
        for cookie in (f"personsearch={TOKEN}", "personsearch=", "personsearch=é", 'personsearch="', "a;;=b"):
            headers = {b"cookie": cookie.encode("latin-1")}
            assert page.get("/api/sources", headers=headers).status_code in (401, 429), cookie


def test_no_guess_is_the_token() -> None:
    assert is_token(TOKEN, TOKEN)
    guesses = [str(n) for n in range(1000)] + [TOKEN[:n] for n in range(len(TOKEN))] + [TOKEN + "0", TOKEN.upper()]
    assert not any(is_token(guess, TOKEN) for guess in guesses)


def test_an_open_door_stands_open() -> None:
    assert Door(None).tries("", "") == 200


def test_others_reach_it_with_a_long_token_by_tls_alone() -> None:
    check_address("127.0.0.1", None)
    check_address("::1", None)
    check_address("0.0.0.0", TOKEN, encrypted=True)
    for host, token in (("0.0.0.0", None), ("0.0.0.0", "short"), ("127.0.0.1", "a b" * 9)):
        with pytest.raises(SettingError, match="--token"):
            check_address(host, token, encrypted=True)
    with pytest.raises(SettingError, match="--certificate"):
        check_address("0.0.0.0", TOKEN)


def test_behind_a_proxy_only_https_is_heard_and_guesses_count_by_visitor(folder: Path) -> None:
    with client(folder, FAR, token=TOKEN, proxy=True) as page:
        assert page.get("/").status_code == 403
        assert page.get("/", headers={"x-forwarded-proto": "http"}).status_code == 403
        https = {"x-forwarded-proto": "https"}
        for _ in range(20):
            page.post("/api/enter", json={"token": "a"}, headers=https | {"x-forwarded-for": "1.2.3.4, 10.0.0.1"})
        told = page.post("/api/enter", json={"token": "a"}, headers=https | {"x-forwarded-for": "9.9.9.9, 10.0.0.1"})
        assert told.status_code == 429  # a visitor's own word for where it comes from does not count
        entered = page.post("/api/enter", json={"token": TOKEN}, headers=https | {"x-forwarded-for": "10.0.0.2"})
        assert entered.status_code == 200
        assert "secure" in entered.headers["set-cookie"].lower()


# ------------------------------------------------------------------------------------------------ pages and names


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://example.org"}, {"origin": "null"}, {"origin": "http://127.0.0.1:1"}, {"origin": ""},
     {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}],
)  # fmt: skip
def test_another_origin_may_not_ask(folder: Path, headers: dict[str, str]) -> None:
    with client(folder) as page:
        for path in ("/api/ask", "/api/pictures", "/api/enter", "/api/export/csv", "/api/scenes/a/people"):
            assert page.post(path, json={}, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "host", ["rebound.example", "127.0.0.1.example", "localhost.example:8765", "", "[::2]", "a@127.0.0.1"]
)
def test_another_name_for_this_machine_is_refused(folder: Path, host: str) -> None:
    with client(folder) as page:
        assert page.get("/api/sources", headers={"host": host}).status_code == 421


PATHS = ["../../etc/passwd",
         "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "....//....//etc/passwd", "/etc/passwd",
         "%00", "a%00.jpg", "%c0%ae%c0%ae/etc/passwd", "..\\..\\etc\\passwd", "static/../guard.py", "page.js%00.css",
         "//evil.example/", "%2525", "a" * 5000, "file:///etc/passwd", "~root", "CON", ".git/config"]  # fmt: skip


@pytest.mark.parametrize("name", PATHS)
def test_tricks_with_paths_find_nothing(folder: Path, name: str) -> None:
    with client(folder) as page:
        for start in ("/", "/api/", "/api/scenes/", "/api/people/", "/api/pictures/"):
            for end in ("", "/picture", "/film"):
                answer = page.get(f"{start}{name}{end}")
                assert answer.status_code in (404, 405, 422), answer.url
                assert "root:" not in answer.text
                assert "\n" not in answer.json()["error"]


def test_a_film_swapped_for_a_link_is_not_given_out(folder: Path) -> None:
    film = folder.parent / "walk.avi"
    with client(folder) as page:
        scene = next(s["id"] for s in page.get("/api/scenes").json()["scenes"] if s["film"])
        assert page.get(f"/api/scenes/{scene}/film").status_code == 200
        film.rename(folder.parent / "away.avi")
        try:
            assert page.get(f"/api/scenes/{scene}/film").status_code == 410
            film.symlink_to("/etc/passwd")
            answer = page.get(f"/api/scenes/{scene}/film")
            assert answer.status_code == 410
            assert "changed" in answer.json()["error"]
        finally:
            film.unlink()
            (folder.parent / "away.avi").rename(film)


def test_methods_that_are_not_there(folder: Path) -> None:
    with client(folder) as page:
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            answer = page.request(method, "/api/sources")
            assert answer.status_code == 405
            assert "access-control-allow-origin" not in answer.headers
        for path in ("/docs", "/redoc", "/openapi.json"):
            assert page.get(path).status_code == 404


# ------------------------------------------------------------------------------------------------ too often, too many


def test_a_bucket_fills_as_time_goes_on() -> None:
    now = [0.0]
    pace = Pace(3, 0.5, lambda: now[0])
    assert [pace.spend("a") for _ in range(4)] == [True, True, True, False]
    assert pace.spend("b")
    now[0] = 2.0
    assert [pace.spend("a") for _ in range(2)] == [True, False]
    now[0] = 1e9
    assert pace.left("a") == 3


def test_addresses_without_end_are_forgotten() -> None:
    pace = Pace(1, 0.0, lambda: 0.0)
    for number in range(20_000):
        pace.spend(str(number))
    assert len(pace._left) == 10_000


def test_questions_without_end_are_refused_and_looking_goes_on(folder: Path) -> None:
    with client(folder, pace=Pace(5, 0.0)) as page:
        statuses = [page.post("/api/ask", json={"sights": []}).status_code for _ in range(8)]
        assert statuses == [400] * 5 + [429] * 3
        assert page.post("/api/ask", json={"sights": []}).headers["retry-after"]
        assert page.get("/api/sources").status_code == 200


def test_turns_are_given_back() -> None:
    turns = Turns(2)
    assert [turns.take() for _ in range(3)] == [True, True, False]
    turns.give_back()
    assert turns.take()


def asked(app: Guard, path: str = "/api/ask", messages: Any = None) -> Any:
    """One POST to the guard, as a server would hand it on: its status, or None where nobody was answered."""
    scope = {"type": "http", "method": "POST", "path": path, "headers": [(b"host", b"127.0.0.1")], "client": ("h", 1)}
    told: list[Any] = []

    async def run() -> Any:
        waiting = list(messages or [{"type": "http.request", "body": b"{}", "more_body": False}])

        async def receive() -> Any:
            return waiting.pop(0) if waiting else await asyncio.sleep(3600)

        async def send(message: Any) -> None:
            told.append(message)

        await app(scope, receive, send)
        return told[0]["status"] if told else None

    return run()


def guarded(inner: Any) -> Guard:
    return Guard(inner, door=Door(None), limits={})


def test_more_than_some_at_once_are_told_to_come_again() -> None:
    async def together() -> list[int]:
        enough = asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            await enough.wait()
            await PlainTextResponse("")(scope, receive, send)

        app = guarded(slow)
        waiting = [asyncio.create_task(asked(app)) for _ in range(AT_ONCE)]
        await asyncio.sleep(0.05)
        refused = await asked(app)
        enough.set()
        return [refused, *await asyncio.gather(*waiting), await asked(app)]

    assert asyncio.run(together()) == [503, *[200] * AT_ONCE, 200]


def test_a_fault_gives_its_turn_back() -> None:
    async def fault(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError

    async def often() -> None:
        app = guarded(fault)
        for _ in range(2 * AT_ONCE):
            with pytest.raises(RuntimeError):
                await asked(app)

    asyncio.run(often())


def test_who_sends_slowly_or_leaves_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "LONGEST_BODY", 0.05)
    begun = {"type": "http.request", "body": b"{", "more_body": True}

    async def never(scope: Any, receive: Any, send: Any) -> None:
        pytest.fail("half a question was answered")

    assert asyncio.run(asked(guarded(never), messages=[begun])) == 408
    assert asyncio.run(asked(guarded(never), messages=[begun, {"type": "http.disconnect"}])) is None


# ------------------------------------------------------------------------------------------------ a real server


def test_a_client_that_leaves_in_the_middle_harms_nobody(folder: Path) -> None:
    uvicorn = pytest.importorskip("uvicorn")
    slow = threading.Event()

    def load() -> SceneEncoder:
        slow.wait(0.2)
        return SceneEncoder(FakeModel(), "fake-1", "fake", dim=12)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = make_app(folder, load, fresh_for=0.0)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off"))
    running = threading.Thread(target=server.run, daemon=True)
    running.start()
    while not server.started:
        time.sleep(0.01)
    picture = next((folder.parent / "photos").iterdir()).read_bytes()
    head = b"POST /api/pictures HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: %d\r\n\r\n" % (port, len(picture))
    for sent in (head[:20], head, head + picture[:50], head + picture):
        for _ in range(AT_ONCE):
            with socket.create_connection(("127.0.0.1", port)) as leaving:
                leaving.sendall(sent)
    end = time.monotonic() + 20
    while True:  # until the last turn was given back
        with socket.create_connection(("127.0.0.1", port)) as staying:
            staying.sendall(head + picture)
            first = staying.recv(100).split(b"\r\n")[0]
        if first == b"HTTP/1.1 200 OK":
            break
        assert time.monotonic() < end, first
        time.sleep(0.05)
    server.should_exit = True
    running.join(20)
