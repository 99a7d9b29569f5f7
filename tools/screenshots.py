"""Takes the pictures of the page in docs/images: python tools/screenshots.py GALLERY [CHROMIUM]

GALLERY is one that `personsearch demo` made. The page is served on this machine for a moment and asked for the first
person of the first scene with somebody in it, at 1280 and at 390 pixels.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SIZES = {"page-wide.png": (1280, 1100), "page-phone.png": (390, 1500)}
PORT = 8799
HOME = f"http://127.0.0.1:{PORT}"
_SECONDS = 60


def main() -> None:
    gallery = Path(sys.argv[1])
    chromium = sys.argv[2] if len(sys.argv) > 2 else shutil.which("chromium")
    if chromium is None:
        sys.exit("error: no chromium was found: name one as the second argument")
    command = [sys.executable, "-m", "personsearch", "serve", str(gallery), "--port", str(PORT)]
    with subprocess.Popen(command) as server:
        try:
            person = somebody()
            for name, size in SIZES.items():
                take(chromium, f"{HOME}/#person={person}", size, IMAGES / name)
                print(IMAGES / name)
        finally:
            server.terminate()


def somebody() -> str:
    """The id of a person whom the page can be asked for; waits until the page is there."""
    for _ in range(_SECONDS):
        try:
            scenes = read("/api/scenes")["scenes"]
            break
        except OSError:
            time.sleep(1)
    else:
        sys.exit("error: the page did not start")
    scene = next(scene for scene in scenes if scene["count"])
    return str(read(f"/api/scenes/{scene['id']}")["people"][0]["id"])


def read(path: str) -> dict[str, list[dict[str, int]]]:
    with urllib.request.urlopen(HOME + path, timeout=_SECONDS) as answer:
        told: dict[str, list[dict[str, int]]] = json.load(answer)
    return told


def take(chromium: str, address: str, size: tuple[int, int], target: Path) -> None:
    with tempfile.TemporaryDirectory() as profile:
        options = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            f"--window-size={size[0]},{size[1]}",
            "--virtual-time-budget=20000",
            f"--screenshot={target}",
        ]
        subprocess.run([chromium, *options, address], check=True, capture_output=True, timeout=2 * _SECONDS)


if __name__ == "__main__":
    main()
