"""Fails when a page of the site loads anything from elsewhere, a font, script, style or picture.

Run: python tools/check_site.py SITE
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path


def main() -> None:
    site = Path(sys.argv[1])
    if not (site / "index.html").exists():
        raise SystemExit(f"{site}: no site there; build it: make docs")
    found = list(loaded_from_elsewhere(site))
    if found:
        raise SystemExit("these pages load from elsewhere:\n" + "\n".join(found))


def loaded_from_elsewhere(site: Path) -> Iterator[str]:
    """One line for each thing that a page or a style would fetch from another host."""
    for path in sorted(site.rglob("*.html")):
        parser = _Loaded()
        parser.feed(path.read_text(encoding="utf-8"))
        yield from (f"{path.relative_to(site)}: {address}" for address in parser.addresses if _is_elsewhere(address))
    for path in sorted(site.rglob("*.css")):
        addresses = re.findall(r"""(?:url\(|@import)\s*["']?([^"')]+)""", path.read_text(encoding="utf-8"))
        yield from (f"{path.relative_to(site)}: {address}" for address in addresses if _is_elsewhere(address))


def _is_elsewhere(address: str) -> bool:
    return re.match(r"\s*(?:https?:)?//", address, re.IGNORECASE) is not None


class _Loaded(HTMLParser):
    """Collects what a browser fetches by itself to show a page. Links that a reader may follow are no such thing."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "srcset", "poster", "data") if tag != "link" else ("href",)
        self.addresses += [value for name, value in attrs if name in names and value]


if __name__ == "__main__":
    main()
