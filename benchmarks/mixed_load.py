"""The page under mixed load: some clients ask, somebody else indexes and removes, for many minutes.

Run: python benchmarks/mixed_load.py PICTURES OUT [--minutes 30] [--clients 4] [--batch 20] [--kept 4] [--port 8799]

`serve` and `index` run as a user starts them, as processes of their own. Pictures of the folder PICTURES come in
batches, each cut differently so that it is new to the gallery; the oldest batch is removed again, so that the gallery
stays as large as KEPT batches and the memory of the page should stay flat. Clients do what the page does: look at
scenes, click on a person, fetch the answers' pictures, say who it is and is not, export, bring a picture. What is
refused with a sentence (a person who was removed meanwhile, too many at once) is counted apart; anything else that
fails is an error. OUT gets a log a minute and log.json.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

PAUSE = 1.0
"""Seconds a client looks at what it got, on average."""
REFUSED = (404, 410, 429, 503)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("pictures", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--minutes", type=float, default=30)
    options.add_argument("--clients", type=int, default=4)
    options.add_argument("--batch", type=int, default=20)
    options.add_argument("--kept", type=int, default=4)
    options.add_argument("--port", type=int, default=8799)
    given = options.parse_args()
    given.out.mkdir(parents=True)
    pictures = sorted(path for path in given.pictures.iterdir() if path.suffix.lower() in (".jpg", ".png"))
    gallery = Batches(pictures, given.out, given.batch, given.kept)
    for _ in range(given.kept):
        gallery.turn()
    serve = subprocess.Popen(command("serve", gallery.folder, "--port", given.port), stderr=subprocess.PIPE)
    try:
        load = Load(f"http://127.0.0.1:{given.port}", pictures)
        load.wait()
        watch(load, gallery, serve.pid, given.clients, time.monotonic() + 60 * given.minutes)
    finally:
        serve.terminate()
        _, told = serve.communicate()
    print("the page said:", told.decode().strip())


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "personsearch", *map(str, words)]


@dataclass
class Batches:
    """A gallery through which pictures pass."""

    pictures: list[Path]
    out: Path
    size: int
    kept: int
    number: int = 0

    @property
    def folder(self) -> Path:
        return self.out / "gallery"

    def turn(self) -> None:
        """Indexes one batch more, and removes the oldest where there are too many. Raises CalledProcessError."""
        place = self.out / "pictures" / f"{self.number:05}"
        place.mkdir(parents=True)
        for count in range(self.size):
            path = self.pictures[(self.number * self.size + count) % len(self.pictures)]
            with Image.open(path) as image:
                left = 1 + self.number % 50  # never cut the same: a picture that is known is not read again
                image.convert("RGB").crop((left, 0, *image.size)).save(place / f"{path.stem}.jpg")
        subprocess.run(command("index", place, "--gallery", self.folder), check=True, capture_output=True)
        self.number += 1
        old = self.out / "pictures" / f"{self.number - 1 - self.kept:05}"
        if old.exists():
            removed = command("gallery", "remove", self.folder, old)
            subprocess.run(removed, check=True, capture_output=True)
            shutil.rmtree(old)


@dataclass
class Load:
    """What clients saw: seconds by what they asked, and what went wrong."""

    address: str
    pictures: list[Path]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self) -> None:
        for _ in range(120):
            try:
                httpx2.get(self.address + "/api/sources", timeout=10)
            except httpx2.TransportError:
                time.sleep(0.5)
            else:
                return
        raise SystemExit("the page does not come up")

    def client(self, seed: int, until: float) -> None:
        chance = random.Random(seed)
        with httpx2.Client(base_url=self.address, timeout=120) as http:
            while time.monotonic() < until:
                try:
                    self.visit(http, chance)
                except (httpx2.HTTPError, ValueError, KeyError) as error:
                    with self.lock:
                        self.errors.append(f"{type(error).__name__}: {error}")

    def visit(self, http: httpx2.Client, chance: random.Random) -> None:
        """One person is asked for, and then once more with what was learned."""
        scenes = self.asked(http, "look", "GET", "/api/scenes", params={"start": chance.randrange(40)})
        if scenes is None or not scenes["scenes"]:
            return
        scene = chance.choice(scenes["scenes"])["id"]
        self.asked(http, "picture", "GET", f"/api/scenes/{scene}/picture")
        people = self.asked(http, "look", "GET", f"/api/scenes/{scene}")
        if chance.random() < 0.1:
            content = chance.choice(self.pictures).read_bytes()
            people = self.asked(http, "bring a picture", "POST", "/api/pictures", content=content)
        if people is None or not people["people"]:
            return
        sight = chance.choice(people["people"])["id"]
        found = self.asked(http, "ask", "POST", "/api/ask", json={"sights": [sight], "sure": 0})
        for one in (found or {"answers": []})["answers"][:6]:
            self.asked(http, "picture", "GET", f"/api/people/{one['person']}/picture")
        time.sleep(chance.expovariate(1 / PAUSE))
        if found is None or len(found["answers"]) < 3:
            return
        first, *_, last = (one["person"] for one in found["answers"])
        refined = {"sights": [sight, first], "others": [last], "sure": 0}
        self.asked(http, "refine", "POST", "/api/ask", json=refined)
        if chance.random() < 0.2:
            self.asked(http, "export", "POST", "/api/export/csv", json=refined)
        time.sleep(chance.expovariate(1 / PAUSE))

    def asked(self, http: httpx2.Client, what: str, method: str, path: str, **sent: Any) -> Any:
        """The answer, or None where it was refused in a sentence."""
        began = time.perf_counter()
        answer = http.request(method, path, **sent)
        spent = time.perf_counter() - began
        json_body = answer.headers.get("content-type", "").startswith("application/json")
        with self.lock:
            if answer.status_code == 200:
                self.seconds.setdefault(what, []).append(spent)
            elif answer.status_code in REFUSED and json_body and "error" in answer.json():
                self.refused[f"{answer.status_code} {what}: {answer.json()['error']}"] += 1
            else:
                self.errors.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return answer.json() if answer.status_code == 200 and json_body else answer if answer.is_success else None


def watch(load: Load, gallery: Batches, page: int, clients: int, until: float) -> None:
    """Starts everybody, writes a line a minute, and what came of it all."""
    threads = [threading.Thread(target=load.client, args=(seed, until)) for seed in range(clients)]
    for one in threads:
        one.start()
    indexer = threading.Thread(target=keep_indexing, args=(gallery, load, until))
    indexer.start()
    began, minutes = time.monotonic(), []
    while time.monotonic() < until:
        time.sleep(min(60.0, max(0.0, until - time.monotonic())))
        with load.lock:
            asked = sum(map(len, load.seconds.values()))
            refused, errors = load.refused.total(), len(load.errors)
        minute = {
            "minutes": round((time.monotonic() - began) / 60, 1), "page_mb": round(resident(page) / 1e6),
            "answered": asked, "refused": refused, "errors": errors, "batches": gallery.number,
        }  # fmt: skip
        minutes.append(minute)
        print(json.dumps(minute), flush=True)
    for one in (*threads, indexer):
        one.join()
    quantiles = {
        what: {"times": len(spent), **dict(zip(("p50", "p95"), np.percentile(spent, [50, 95]).round(3), strict=True))}
        for what, spent in load.seconds.items()
    }
    told = {"minutes": minutes, "seconds": quantiles, "refused": load.refused, "errors": load.errors}
    (gallery.out / "log.json").write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps({key: told[key] for key in ("seconds", "refused", "errors")}, indent=1))


def keep_indexing(gallery: Batches, load: Load, until: float) -> None:
    while time.monotonic() < until:
        try:
            gallery.turn()
        except subprocess.CalledProcessError as error:
            with load.lock:
                load.errors.append(f"{' '.join(error.cmd[2:5])}: {error.stderr.decode()[-300:]}")


def resident(process: int) -> int:
    """Bytes that a process holds in memory, on Linux."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    main()
