"""Draws the package as a house, from what its files import: python tools/draw_house.py [PICTURE.svg]

A room is a folder or a module at the package's root. It stands on the lowest floor that its imports allow: above every
room that it imports. Arrows go to what a room imports; those that follow from other arrows are left out, and those to
the ground floor, which everybody uses. What is written in a room is the beginning of its docstring.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from textwrap import wrap

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "personsearch"
PICTURE = ROOT / "docs" / "images" / "house.svg"

Graph = Mapping[str, set[str]]
Place = tuple[int, int]
"""Floor, counted from the ground, and column."""

WIDTH, HEIGHT, GUTTER, FLOOR = 240, 98, 30, 134
"""Of a room, between two columns, and from floor to floor, in pixels."""
MARGIN = 24
LINES, LETTERS = 3, 28
"""Lines in a room under its name, and letters in each."""
STYLE = """
text { font-family: Helvetica, Arial, 'DejaVu Sans', sans-serif; fill: #24292f; }
.name { font-size: 19px; font-weight: bold; }
.says { font-size: 14px; fill: #57606a; }
.room { fill: #ffffff; stroke: #57606a; stroke-width: 1.2; }
.ground { fill: #eaeef2; }
.arrow { fill: none; stroke: #0969da; stroke-width: 1.6; }
"""


def main() -> None:
    picture = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE
    picture.write_text(draw(), encoding="utf-8")
    print(picture)


def draw() -> str:
    """The house as an SVG document."""
    graph = imports(PACKAGE)
    floors = floors_of(graph)
    arrows = {(a, b) for a, b in needed_arrows(graph) if floors[b] > 0}
    places = places_of(floors, arrows)
    says = {room: summary(PACKAGE, room) for room in graph}
    return _svg(places, arrows, says)


def imports(package: Path) -> dict[str, set[str]]:
    """What each room imports, anywhere in its files; `__init__` and `__main__` of the package are no rooms."""
    files = {path: path.relative_to(package).parts[0].removesuffix(".py") for path in sorted(package.rglob("*.py"))}
    rooms = {room for room in files.values() if not room.startswith("__")}
    graph: dict[str, set[str]] = {room: set() for room in sorted(rooms)}
    for path, room in files.items():
        if room in rooms:
            graph[room] |= (_imported(path, package.name) & rooms) - {room}
    return graph


def _imported(path: Path, package: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith(f"{package}.")}
    return found


def floors_of(graph: Graph) -> dict[str, int]:
    """Room to floor: the ground floor imports nothing. Raises ValueError for rooms that import each other."""
    floors: dict[str, int] = {}
    while len(floors) < len(graph):
        ready = [room for room in graph if room not in floors and graph[room] <= floors.keys()]
        if not ready:
            raise ValueError(f"these rooms import each other: {', '.join(sorted(graph.keys() - floors.keys()))}")
        floors |= {room: 1 + max((floors[below] for below in graph[room]), default=-1) for room in ready}
    return floors


def needed_arrows(graph: Graph) -> set[tuple[str, str]]:
    """Imports that do not follow from others: a to b, but for a that imports another room which leads to b."""
    below = {room: _reached(graph, room) for room in graph}
    return {(a, b) for a in graph for b in graph[a] if not any(b in below[other] for other in graph[a] - {b})}


def _reached(graph: Graph, room: str) -> set[str]:
    return graph[room].union(*(_reached(graph, other) for other in graph[room]))


def places_of(floors: Mapping[str, int], arrows: Iterable[tuple[str, str]]) -> dict[str, Place]:
    """Where rooms stand: in the free column that is nearest to what they import, the ground floor from the left."""
    columns = max(list(floors.values()).count(floor) for floor in set(floors.values()))
    below: dict[str, list[str]] = {room: [] for room in floors}
    for a, b in arrows:
        below[a].append(b)
    places: dict[str, Place] = {}
    for floor in sorted(set(floors.values())):
        free = list(range(columns))
        wishes = {room: _mean(places[b][1] for b in below[room]) for room in floors if floors[room] == floor}
        for room in sorted(wishes, key=lambda room: (wishes[room], room)):
            column = min(free, key=lambda column: (abs(column - wishes[room]), column))
            free.remove(column)
            places[room] = (floor, column)
    return places


def _mean(values: Iterable[int]) -> float:
    listed = list(values)
    return sum(listed) / len(listed) if listed else float("inf")


def summary(package: Path, room: str) -> list[str]:
    """Lines for a room: as many whole clauses of its docstring's first paragraph as there is space for."""
    folder = package / room / "__init__.py"
    path = folder if folder.exists() else package / f"{room}.py"
    first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    text = " ".join(first.replace("`", "").split()).rstrip(".")
    ends = [len(text), *sorted((found.start() for found in re.finditer(r"[.:;] ", text)), reverse=True)]
    for end in ends:
        lines = wrap(text[:end], LETTERS)
        if len(lines) <= LINES:
            return lines
    return wrap(text, LETTERS, max_lines=LINES, placeholder=" …")


def _svg(places: Mapping[str, Place], arrows: Iterable[tuple[str, str]], says: Mapping[str, list[str]]) -> str:
    columns = 1 + max(column for _, column in places.values())
    top = max(floor for floor, _ in places.values())
    width = 2 * MARGIN + columns * (WIDTH + GUTTER)
    height = 2 * MARGIN + top * FLOOR + HEIGHT

    def corner(room: str) -> tuple[float, float]:
        floor, column = places[room]
        return MARGIN + GUTTER / 2 + column * (WIDTH + GUTTER), MARGIN + (top - floor) * FLOOR

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-label="The rooms of personsearch and what they import">',
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L10 5L0 10z" fill="#0969da"/></marker></defs>',
        f'<rect width="{width}" height="{height}" rx="10" fill="#f6f8fa"/>',
        *(_arrow(corner(a), corner(b), _is_direct(places, a, b)) for a, b in sorted(arrows)),
        *(_room(corner(room), room, says[room], "room" if places[room][0] else "room ground") for room in places),
        f'<text class="says" x="{width - MARGIN - GUTTER / 2}" y="{height - MARGIN - HEIGHT / 2:g}" '
        'text-anchor="end">every room uses the ground floor</text>',
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _room(corner: tuple[float, float], name: str, says: list[str], style: str) -> str:
    x, y = corner
    written = [
        f'<text class="says" x="{x + 12:g}" y="{y + 48 + 18 * number:g}">{escape(line)}</text>'
        for number, line in enumerate(says)
    ]
    return "".join(
        [
            f'<rect class="{style}" x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>',
            f'<text class="name" x="{x + 12:g}" y="{y + 26:g}">{escape(name)}</text>',
            *written,
        ]
    )


def _is_direct(places: Mapping[str, Place], a: str, b: str) -> bool:
    """Whether nothing stands between two rooms: they are on neighbouring floors, or with free space between them."""
    (upper, column), (lower, other) = places[a], places[b]
    between = {(floor, column) for floor in range(lower + 1, upper)}
    return upper - lower == 1 or (column == other and not between & set(places.values()))


def _arrow(start: tuple[float, float], end: tuple[float, float], direct: bool) -> str:
    """From the bottom of one room to the top of another; past other rooms in the gutter beside the lower one."""
    x1, y1 = start[0] + WIDTH / 2, start[1] + HEIGHT
    x2, y2 = end[0] + WIDTH / 2, end[1]
    bend = (FLOOR - HEIGHT) * 0.9
    if direct:
        path = f"M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"
    else:
        lane = end[0] + WIDTH + GUTTER / 2
        upper, lower = start[1] + FLOOR, end[1] - (FLOOR - HEIGHT)
        path = (
            f"M{x1:g} {y1:g}C{x1:g} {y1 + bend:g} {lane:g} {upper - bend:g} {lane:g} {upper:g}V{lower:g}"
            f"C{lane:g} {lower + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"
        )
    return f'<path class="arrow" d="{path}" marker-end="url(#tip)"/>'


if __name__ == "__main__":
    main()
