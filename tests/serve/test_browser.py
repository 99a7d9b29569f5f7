"""What a person does on the page, in a real browser: open, click on somebody, look, refine, filter, export.

Chromium is Debian's; without it, or without Playwright, these tests are skipped.
"""

from __future__ import annotations

import csv
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from search_fakes import picture, save_pictures, save_video, searcher

from personsearch.search.gallery import Gallery
from personsearch.search.indexing import index_sources

app = pytest.importorskip("personsearch.serve.app", exc_type=ImportError)
uvicorn = pytest.importorskip("uvicorn")
playwright = pytest.importorskip("playwright.sync_api", reason="the browser is driven by Playwright")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium"),
]
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


def serve(served: Any) -> tuple[str, Any]:
    """The address of an app that runs in a thread, and the server, to be told `should_exit`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(served, host="127.0.0.1", port=port, log_level="error", lifespan="off"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return f"http://127.0.0.1:{port}", server


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photographs, a film that browsers play and one that they do not; person 3 is in all three."""
    folder = tmp_path_factory.mktemp("browser")
    save_pictures(folder / "photos", 8)
    save_video(folder / "gate.mp4", seconds=3, codec="libx264")
    save_video(folder / "old.avi", seconds=2)
    one = searcher()
    with Gallery.create(folder / "g", model="fake", fingerprint=one.fingerprint, dim=one.dim) as gallery:
        index_sources(gallery, one, [folder / "photos", folder / "gate.mp4", folder / "old.avi"], every=0.2)
    picture([(3, 30), (11, 90)]).save(folder / "mine.png")
    return folder


@pytest.fixture(scope="module")
def home(place: Path) -> Iterator[str]:
    address, server = serve(app.make_app(place / "g", searcher, fresh_for=0.0))
    yield address
    server.should_exit = True


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Any, home: str) -> Iterator[Any]:
    """The page, open; a test fails for anything that the browser complains about."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(10_000)
    shown = context.new_page()
    complaints: list[str] = []
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    shown.on(
        "request",
        lambda asked: None if asked.url.startswith((home, "data:", "blob:")) else complaints.append(asked.url),
    )
    shown.complaints = complaints
    shown.goto(home)
    shown.wait_for_selector("#scenes li")
    yield shown
    context.close()
    assert not complaints


def look_for(page: Any, scene: str, person: int) -> None:
    """Opens a scene and clicks on one of its people, counted from the left."""
    page.locator("#scenes button", has_text=scene).first.click()
    page.locator("#stage .person").nth(person).click()
    settle(page)


def until(page: Any, truth: str) -> None:
    """Waits for it; Playwright's own way wants `eval`, which the page forbids."""
    end = time.monotonic() + 20
    while not page.evaluate(truth):
        assert time.monotonic() < end, truth
        time.sleep(0.02)


def settle(page: Any) -> None:
    page.wait_for_selector("#found:not([hidden])")
    until(page, "!document.querySelector('#answers').hasAttribute('aria-busy')")


def names(page: Any) -> list[str]:
    return [name.rpartition("/")[2] for name in page.locator("#answers .where").all_inner_texts()]


# ---------------------------------------------------------------------------------------- what a person does


def test_click_refine_filter_and_export(page: Any, tmp_path: Path) -> None:
    assert "photos" in page.inner_text("#scenes")
    look_for(page, "p002.png", 1)  # person 3
    assert set(names(page)[:3]) == {"p003.png", "gate.mp4", "old.avi"}  # the right ones first
    assert page.evaluate("document.activeElement.id") == "found-title"
    page.locator("#answers li", has_text="p003.png").get_by_role("button", name="It is not").click()
    settle(page)
    assert "p003.png" not in names(page)
    page.get_by_role("button", name="Take away: somebody else 1").click()
    settle(page)
    page.locator("#answers li", has_text="p003.png").get_by_role("button", name="It is", exact=True).click()
    until(page, "document.querySelectorAll('#sights li').length == 2")
    settle(page)
    assert set(names(page)[:2]) == {"gate.mp4", "old.avi"}
    assert "p003.png" not in names(page)  # what was asked with is no answer
    page.select_option("#within", label="film " + page.locator("#within option", has_text="gate.mp4").inner_text()[5:])
    until(page, "document.querySelectorAll('#answers li').length == 1")
    assert "00:00 to 00:02" in page.inner_text("#answers")
    page.fill("#within-after", "0:01")
    page.press("#within-after", "Enter")
    until(page, "document.querySelector('#answers').innerText.includes('00:01 to 00:02')")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save as CSV").click()
    saved.value.save_as(tmp_path / "answers.csv")
    (row,) = csv.DictReader((tmp_path / "answers.csv").read_text().splitlines())
    assert row["source"].endswith("gate.mp4")
    assert float(row["first"]) == pytest.approx(1.0)


def test_a_time_that_is_none_is_said(page: Any) -> None:
    look_for(page, "p002.png", 1)
    page.fill("#within-after", "soon")
    page.press("#within-after", "Enter")
    page.wait_for_selector("#problem:not([hidden])")
    assert "1:30" in page.inner_text("#problem")


def test_the_slider_shows_who_is_less_alike_and_asks_once(page: Any) -> None:
    look_for(page, "p002.png", 1)
    first = len(names(page))
    asked = []
    page.on("request", lambda one: asked.append(one.url) if one.url.endswith("/api/ask") else None)
    page.locator("#sure").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    until(page, f"document.querySelectorAll('#answers li').length > {first}")
    assert page.locator("#sure").get_attribute("aria-valuetext") == "anybody, most alike first"
    assert len(asked) == 1


def test_an_answer_opens_its_scene_with_the_box_and_the_film_plays_from_there(page: Any) -> None:
    look_for(page, "p002.png", 1)
    page.locator("#answers li", has_text="gate.mp4").locator(".open").click()
    page.wait_for_selector("#stage .her")
    assert page.locator("#stage .person").count() == 2
    page.get_by_role("button", name="Play the film from here").click()
    until(page, "document.querySelector('#stage video')?.readyState >= 2")
    page.keyboard.press("Escape")
    assert not page.locator("#scene").is_visible()
    until(page, "!document.querySelector('#stage video')")  # a film that nobody sees does not play on


def test_a_film_that_no_browser_plays_leaves_the_picture(page: Any) -> None:
    page.select_option("#source", label=page.locator("#source option", has_text="old.avi").inner_text())
    page.locator("#scenes button", has_text="old.avi at").or_(page.locator("#scenes button")).first.click()
    page.get_by_role("button", name="Play the film from here").click()
    until(page, "document.querySelector('#scene-words').textContent.includes('cannot play')")
    assert page.locator("#stage img").count() == 1
    page.complaints.clear()  # the browser says itself that it cannot


def test_a_picture_of_ones_own_and_a_box_by_mouse_and_by_keys(page: Any, place: Path) -> None:
    page.set_input_files("#file", place / "mine.png")
    page.wait_for_selector("#scene[open]")
    page.locator("#stage .person").first.click()
    settle(page)
    assert "p002.png" in names(page)
    page.set_input_files("#file", place / "mine.png")
    page.get_by_role("button", name="Draw a box").click()
    page.locator("#stage .drawn").scroll_into_view_if_needed()
    area = page.locator("#stage").bounding_box()
    x, y = area["width"] / 160, area["height"] / 96
    page.mouse.move(area["x"] + 30 * x, area["y"] + 26 * y)
    page.mouse.down()
    page.mouse.move(area["x"] + 50 * x, area["y"] + 86 * y, steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Look for the person in the box").click()
    page.wait_for_selector("#scene:not([open])", state="attached")
    settle(page)
    assert set(names(page)[:4]) == {"p002.png", "p003.png", "gate.mp4", "old.avi"}
    page.locator("#scenes button", has_text="p002.png").click()
    page.get_by_role("button", name="Draw a box").click()
    before = page.locator(".drawn").bounding_box()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    after = page.locator(".drawn").bounding_box()
    assert after["x"] < before["x"]
    assert after["height"] > before["height"]
    page.keyboard.press("Enter")
    page.wait_for_selector("#scene:not([open])", state="attached")
    settle(page)


def test_another_scene_adds_a_sight(page: Any) -> None:
    look_for(page, "p002.png", 1)
    page.locator("#scenes button", has_text="p003.png").click()
    page.check("#same")
    page.locator("#stage .person").first.click()
    until(page, "document.querySelectorAll('#sights li').length == 2")


def test_by_keys_alone(page: Any) -> None:
    page.locator("#scenes button", has_text="p002.png").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#scene[open]")
    for _ in range(6):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('person')"):
            break
    assert "Person 1 of 3 from the left" in page.evaluate("document.activeElement.ariaLabel")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    settle(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_page_and_words_can_be_read(page: Any, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    look_for(page, "p002.png", 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(SMALL) == []
    page.locator("#answers .open").first.click()
    page.wait_for_selector("#stage .her")
    assert page.evaluate("document.querySelector('#scene').scrollWidth") <= width


CONTRAST = """() => {
  const rgb = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
  const ground = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  return [...document.querySelectorAll('main *, header *')].filter((e) => e.offsetParent && [...e.childNodes]
    .some((n) => n.nodeType == 3 && n.textContent.trim())).map((e) => {
      const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
      return [e.tagName, e.textContent.slice(0, 30), (a + .05) / (b + .05)]; }).filter((one) => one[2] < 4.5);
}"""
"""Elements with words of less contrast than 4.5 to 1, which WCAG 2 asks for."""
SMALL = """() => [...document.querySelectorAll('main button, main input, main select')].filter((e) => e.offsetParent)
  .map((e) => [e.textContent || e.id, e.getBoundingClientRect()]).filter(([, r]) => r.width < 24 || r.height < 24)
  .map(([name, r]) => [name, r.width, r.height])"""
"""Things to press that are smaller than the 24 pixels of WCAG 2.2."""


# ---------------------------------------------------------------------------------------- when things go wrong


def test_a_file_that_is_gone_is_said_where_its_picture_was(browser: Any, tmp_path: Path) -> None:
    save_pictures(tmp_path / "photos", 2)
    one = searcher()
    with Gallery.create(tmp_path / "g", model="fake", fingerprint=one.fingerprint, dim=one.dim) as gallery:
        index_sources(gallery, one, [tmp_path / "photos"])
    address, server = serve(app.make_app(tmp_path / "g", searcher, token="letmein0123456789", fresh_for=0.0))
    page = browser.new_page()
    page.goto(address)
    page.wait_for_selector("#door:not([hidden])")
    page.fill("#token", "guess")
    page.press("#token", "Enter")
    page.wait_for_selector("#problem:not([hidden])")
    assert page.inner_text("#problem") == "This is not the token."
    page.fill("#token", "letmein0123456789")
    page.press("#token", "Enter")
    page.wait_for_selector("#scenes li")
    (tmp_path / "photos" / "p001.png").unlink()
    page.locator("#scenes button", has_text="p001.png").click()
    page.wait_for_selector("#stage .lost")
    assert "moved or deleted" in page.inner_text("#stage")
    page.keyboard.press("Escape")
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_selector("#problem:not([hidden])")
    assert "not a picture" in page.inner_text("#problem")
    shutil.rmtree(tmp_path / "g")
    page.locator("#source").dispatch_event("change")
    until(page, "document.querySelector('#problem').innerText.includes('no gallery')")
    server.should_exit = True
    page.close()
