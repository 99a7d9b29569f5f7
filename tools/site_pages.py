"""What the site has beside the pages in docs/: the API of each room, CONTRIBUTING and CHANGELOG. A hook of MkDocs."""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "personsearch"
COPIED = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages that stand at the root of the repository, and their names on the site."""
WITHOUT_API = ("cli",)
"""Rooms that nobody imports from: each command says what it does with --help."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Adds the pages that are made here to the menu."""
    assert config.nav is not None
    config.nav += [
        {"Contribute": COPIED["CONTRIBUTING.md"]},
        {"Changes": COPIED["CHANGELOG.md"]},
        {"API": [{room: f"api/{room}.md"} for room in api_pages()]},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Makes the pages."""
    for room, text in api_pages().items():
        files.append(File.generated(config, f"api/{room}.md", content=text))
    for source, name in COPIED.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, name, content=text))
    return files


def api_pages() -> dict[str, str]:
    """Room to its page: every module in it, for mkdocstrings to fill."""
    pages: dict[str, list[str]] = {"personsearch": []}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        room = parts[0] if len(parts) > 1 else "personsearch"
        if path.stem.startswith("__") or room in WITHOUT_API:
            continue
        pages.setdefault(room, []).append(f"::: {'.'.join(('personsearch', *parts))}\n")
    return {room: "\n".join([f"# {room}\n", *modules]) for room, modules in pages.items()}
