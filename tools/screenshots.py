"""Takes the pictures of the page in docs/images, or of every view of it into a folder to look through.

Run: python tools/screenshots.py GALLERY [--look FOLDER] [--chromium PROGRAM]

GALLERY is one that `personsearch demo` made; with a film in it, its views show that, too. The page is served on this
machine for a moment. With --look, each view is taken at 1280 and at 390 pixels, light and dark.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZES = {"wide": (1280, 1000), "phone": (390, 844)}
PORT = 8799
HOME = f"http://127.0.0.1:{PORT}"
_SECONDS = 60
_QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("gallery", type=Path)
    options.add_argument("--look", type=Path)
    options.add_argument("--view", action="append", help="with --look: this view alone")
    options.add_argument("--chromium", default=shutil.which("chromium"))
    given = options.parse_args()
    if given.chromium is None:
        sys.exit("error: no chromium was found: name one with --chromium")
    command = [sys.executable, "-m", "personsearch", "serve", str(given.gallery), "--port", str(PORT)]
    with subprocess.Popen(command) as server, sync_playwright() as driver:
        try:
            wait_for_page()
            browser = driver.chromium.launch(executable_path=given.chromium, args=_QUIET)
            if given.look is None:
                take(browser, answers, "wide", "light", IMAGES / "page-wide.png")
                take(browser, answers, "phone", "dark", IMAGES / "page-phone.png")
                take(browser, scene, "wide", "light", IMAGES / "page-scene.png")
            else:
                given.look.mkdir(parents=True, exist_ok=True)
                for view in [one for one in VIEWS if not given.view or one.__name__ in given.view]:
                    for size in SIZES:
                        for scheme in ("light", "dark"):
                            take(browser, view, size, scheme, given.look / f"{view.__name__}-{size}-{scheme}.png")
            browser.close()
        finally:
            server.terminate()


def wait_for_page() -> None:
    for _ in range(3 * _SECONDS):
        try:
            urllib.request.urlopen(f"{HOME}/api/sources", timeout=_SECONDS).close()
            return
        except OSError:
            time.sleep(1)
    sys.exit("error: the page did not start")


def take(browser: Browser, view: Callable[[Page], None], size: str, scheme: str, target: Path) -> None:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(1000 * _SECONDS)
    page.goto(HOME)
    page.wait_for_selector("#scenes li")
    view(page)
    page.wait_for_load_state("networkidle")
    whole = page.locator("dialog[open]").count() == 0
    picture = Image.open(io.BytesIO(page.screenshot(full_page=whole)))
    picture.crop((0, 0, picture.width, min(picture.height, 2 * height))).quantize(256).save(target, optimize=True)
    print(target)
    context.close()


# ---------------------------------------------------------------------------------------------- views


def library(page: Page) -> None:
    page.locator("#scenes img").last.scroll_into_view_if_needed()
    page.evaluate("scrollTo(0, 0)")


def scene(page: Page) -> None:
    page.locator("#scenes button").nth(1).click()
    page.wait_for_selector("#stage .person")


def drawing(page: Page) -> None:
    scene(page)
    page.click("#draw")


def answers(page: Page) -> None:
    scene(page)
    biggest(page)
    page.wait_for_selector("#answers li")


def refined(page: Page) -> None:
    answers(page)
    page.locator("#answers .pair button").first.click()
    page.locator("#sights li").nth(1).wait_for()
    page.wait_for_load_state("networkidle")
    if page.locator("#answers li").count() > 1:
        page.locator("#answers .pair button").nth(3).click()
        page.locator("#others li").first.wait_for()


def film(page: Page) -> None:
    """The timeline of a film, where the gallery holds one."""
    films = page.locator("#source option", has_text="film ")
    if films.count():
        page.select_option("#source", films.first.get_attribute("value"))
        page.wait_for_load_state("networkidle")
    answers(page)


def answer(page: Page) -> None:
    answers(page)
    page.locator("#answers .open").first.click()
    page.wait_for_selector("#stage .her")


def absent(page: Page) -> None:
    """A picture of nobody who is here: noise in the shape of a person."""
    upload(page)
    page.click("#draw")
    page.click("#ask-box")
    page.wait_for_selector("#found:not([hidden])")


def upload(page: Page) -> None:
    image = Image.effect_noise((600, 400), 80).convert("RGB")
    file = io.BytesIO()
    image.save(file, "PNG")
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": file.getvalue()})
    page.wait_for_selector("#scene[open]")


def error(page: Page) -> None:
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_selector("#problem:not([hidden])")


def biggest(page: Page) -> None:
    """Clicks on the largest person of the scene that is open."""
    people = page.locator("#stage .person")
    boxes = [people.nth(number).bounding_box() for number in range(people.count())]
    areas = [0.0 if box is None else box["width"] * box["height"] for box in boxes]
    people.nth(areas.index(max(areas))).focus()
    page.keyboard.press("Enter")


VIEWS = (library, scene, drawing, answers, refined, film, answer, upload, absent, error)

if __name__ == "__main__":
    main()
