"""The documentation is executed: every command, every Python example, every name of a file, a recipe or an option.

Pages for users are run, on small data and with small settings (SMALLER). The commands of docs/results and the scripts
of research/ took hours: they are parsed by their own option parsers instead (parse_commands.py).
"""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from PIL import Image

import personsearch
from personsearch.cli.app import app
from personsearch.training.recipes import RECIPES

ROOT = Path(__file__).parents[2]
PACKAGE = Path(personsearch.__file__).parent
SAMPLE = PACKAGE / "sample" / "images"
DOCS = ROOT / "docs"
LANES = (
    (ROOT / "README.md", DOCS / "search.md", DOCS / "care.md", DOCS / "train.md", DOCS / "runtimes.md"),
    (DOCS / "data.md", DOCS / "papers.md"),
)
"""Pages whose commands are run, all in one folder: those of a lane one after the other, the lanes side by side."""
RUN = [page for lane in LANES for page in lane]
PARSED = [DOCS / "results" / "README.md", DOCS / "house.md", DOCS / "reproduce.md", DOCS / "afar.md"]
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.rglob("*.md")})
SENTENCES = 3
WIDE = 100

TINY_SCENES = "--set optimizer.steps=1 --set network.rois=8 --set batches.short_sides=[96]"
TINY_PAIRS = (
    "--set optimizer.steps=1 --set pairs.scenes=1 --set pairs.short_sides=[96] "
    "--set network.channels=8 --set network.test_size.short=96"
)
TINY_TRUNK = (
    "--set optimizer.steps=1 --set pairs.scenes=1 --set pairs.per_scene=2 --set network.proposals.after_nms=8 "
    "--set network.test_size.short=96"
)
TINY_PATCHES = "--set optimizer.steps=1 --set batches.patches=2 --set network.size=[96,32]"
SMALLER = {
    "rendered --identities 1000 --scenes 2300": "rendered --identities 10 --scenes 30 --width 500 --height 300",
    "--identities 1000 --scenes 2300": "--identities 6 --scenes 12 --width 300 --height 200",
    "cuhk-sysu:CUHK-SYSU": "cuhk-sysu:sysu",
    "--nproc-per-node 2": "--nproc-per-node 2 --master-port 29611",
    "export binet-rendered": "export binet-rendered --data coco:rendered --force",
    "export runs/pcb": "export runs/pcb --data coco:rendered --force",
    "evaluate fast": "evaluate fast --size 300 500",
    "evaluate binet-rendered": "evaluate binet-rendered --size 300 500",
    "evaluate runs/binet": "evaluate runs/binet --size 300 500",
    "--out runs/warm": "--out runs/warm --backbone random --set optimizer.steps=1 --set patches.identities=3",
    "--out runs/binet-sysu": f"--out runs/binet-sysu --backbone random {TINY_SCENES} --set network.test_size.short=96",
    "--out runs/binet": f"--out runs/binet {TINY_SCENES}",
    "--out runs/oim": f"--out runs/oim --device cpu {TINY_SCENES}",
    "--out runs/further": f"--out runs/further {TINY_SCENES.replace('--set network.rois=8 ', '')}",
    "--out runs/igpn-sysu": f"--out runs/igpn-sysu --backbone random {TINY_PAIRS} --set pairs.per_scene=3",
    "--out runs/igpn": f"--out runs/igpn {TINY_TRUNK}",
    "--out runs/pcb-sysu": f"--out runs/pcb-sysu --backbone random {TINY_PATCHES}",
    "--out runs/pcb": f"--out runs/pcb {TINY_PATCHES}",
}
"""What a page does at full size, small enough to be run here; where one begins with another, the longer one first."""


def _text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def _blocks(page: Path, language: str) -> list[str]:
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", _text(page), re.DOTALL | re.MULTILINE)
    return [block for name, block in blocks if name == language]


def _commands(page: Path) -> list[list[str]]:
    """Words of each command in the page's console blocks; a line that ends with a backslash goes on."""
    lines = "".join(_blocks(page, "console")).replace("\\\n", " ").splitlines()
    assert all(line.startswith("$ ") for line in lines), f"{page.name}: a console block shows commands alone"
    return [shlex.split(line[2:], comments=True) for line in lines]


def _inline(page: Path) -> list[str]:
    """What a page says in code of its own, outside blocks."""
    prose = re.sub(r"^```.*?^```", "", _text(page), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]


def _smaller(words: list[str]) -> list[str]:
    command = shlex.join(words)
    done: list[str] = []
    for full, small in SMALLER.items():
        if re.search(rf"{re.escape(full)}(?![\w-])", command) and not any(full in other for other in done):
            command = command.replace(full, small)
            done.append(full)
    return shlex.split(command)


# ------------------------------------------------------------------------------------------------- what is run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the pages suppose it: photos, a clip and a picture of a street."""
    folder = tmp_path_factory.mktemp("docs")
    photos = sorted(SAMPLE.glob("*.jpg"))
    (folder / "photos").mkdir()
    for photo in photos[:3]:
        shutil.copy(photo, folder / "photos")
    shutil.copy(photos[3], folder / "street.jpg")
    _write_clip(folder / "clip.mp4", photos[4:6])
    return folder


def _write_clip(path: Path, photos: list[Path]) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=2)
        stream.width, stream.height, stream.pix_fmt = 500, 300, "yuv420p"
        for photo in photos:
            with Image.open(photo) as picture:
                frame = av.VideoFrame.from_image(picture.resize((500, 300)))
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _run(words: list[str], place: Path) -> None:
    programs = {"personsearch": ["-m", "personsearch"], "torchrun": ["-m", "torch.distributed.run"]}
    command = [sys.executable, *programs[words[0]], *words[1:]]
    run = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{shlex.join(words)}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"


def _run_pages(pages: Sequence[Path], place: Path) -> int:
    """Runs commands and examples of our own programs, in the order of the pages. Returns how many there were."""
    count = 0
    for page in pages:
        for words in _commands(page):
            if words[0] in ("personsearch", "torchrun"):
                _run(_smaller(words), place)
                count += 1
        for block in _blocks(page, "python"):
            run = subprocess.run([sys.executable, "-c", block], cwd=place, capture_output=True, text=True, check=False)
            assert run.returncode == 0, f"{page.name}: {run.stderr[-2000:]}"
            count += 1
    return count


@pytest.mark.docs
def test_every_command_and_example_runs(place: Path) -> None:
    """What is left out here is looked at by other tests: `pip`, and scripts of hours."""
    with ThreadPoolExecutor(len(LANES)) as pool:
        counts = list(pool.map(lambda pages: _run_pages(pages, place), LANES))
    assert sum(counts) >= 30, "the documentation lost its commands"
    assert (place / "answer" / "sheet.jpg").exists()
    assert (place / "queries.json").exists()


@pytest.mark.docs
def test_help_of_every_command_has_an_example() -> None:
    help_text = subprocess.run(
        [sys.executable, "-m", "personsearch", "--help"], capture_output=True, text=True, check=True
    ).stdout
    names = re.findall(r"^│ (\w+)\s", help_text, re.MULTILINE)
    assert {"demo", "index", "search", "train", "evaluate", "synthesize", "describe"} <= set(names)
    for name in names:
        shown = subprocess.run(
            [sys.executable, "-m", "personsearch", name, "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert f"Example: personsearch {name}" in " ".join(shown.split())


# ---------------------------------------------------------------------------------------------- what is parsed


def _refused(commands: list[list[str]]) -> str:
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("parse_commands.py"))],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout


@pytest.mark.docs
def test_commands_of_hours_are_parsed_by_their_own_parsers() -> None:
    written = [words for page in PARSED for words in _commands(page)]
    scripts = [words for page in RUN for words in _commands(page) if words[0] == "python"]
    inline = [
        shlex.split(code) for page in PAGES for code in _inline(page) if re.match(r"python |personsearch \w+ .", code)
    ]
    assert len(written) >= 20, "the results lost their commands"
    assert not _refused([*written, *scripts, *inline])


@pytest.mark.docs
def test_the_parsers_refuse_what_is_wrong() -> None:
    wrong = [
        "personsearch train binet_nowhere --data coco:small --out a",
        "personsearch train binet_rendered --data coco:small --out a --set optimizer.speed=2",
        "personsearch evaluate IGPN --data small",
        "personsearch evaluate IGPN --data coco:small --proposal 8",
        "python research/misses.py binet-rendered",
        "python research/compare_variants.py a coco:b coco:c d --recipes binet_nowhere",
        "python research/two_stages.py ts.json coco:few --reids reid",
        "python research/nowhere.py a",
        "curl a",
    ]
    assert len(_refused([command.split() for command in wrong]).splitlines()) >= len(wrong)
    assert not _refused([["python", "research/misses.py", "binet-rendered", "coco:test"]])


def test_every_command_is_of_a_known_program() -> None:
    for page in PAGES:
        commands = _commands(page)
        assert not commands or page in [*RUN, *PARSED], f"{page.name} has commands: add it to RUN or PARSED"
        known = {"personsearch", "python"} | ({"torchrun", "pip"} if page in RUN else set())
        assert {words[0] for words in commands} <= known, page.name


def test_extras_and_targets_exist() -> None:
    extras = tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    targets = re.findall(r"^([a-z]+):", _text(ROOT / "Makefile"), re.MULTILINE)
    for page in PAGES:
        for words in _commands(page):
            if words[0] == "pip":
                assert set(re.findall(r"\w+", words[-1].partition("[")[2])) <= set(extras), page.name
        code = "\n".join([*_blocks(page, ""), *_inline(page), *re.findall(r"^    .*$", _text(page), re.MULTILINE)])
        assert set(re.findall(r"^ *make ([a-z]+)", code, re.MULTILINE)) <= set(targets), page.name


def test_options_that_are_named_exist() -> None:
    known = {"--help", "--nproc-per-node"} | set(_options(typer.main.get_command(app)))
    for folder in ("research", "tools", "benchmarks"):
        known |= {name for path in (ROOT / folder).glob("*.py") for name in re.findall(r'"(--[a-z-]+)"', _text(path))}
    for page in PAGES:
        named = {name for code in _inline(page) for name in re.findall(r"(?<![\w-])--[a-z][a-z-]*", code)}
        assert not named - known, page.name


def _options(command: Any) -> list[str]:
    below = getattr(command, "commands", {}).values()
    own = [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
    return [*own, *(name for other in below for name in _options(other))]


def test_recipes_that_are_named_exist() -> None:
    for page in PAGES:
        named = {name for code in _inline(page) for name in re.findall(r"\b\w+_(?:cuhk_sysu|prw|rendered)\b", code)}
        assert not named - RECIPES.keys(), page.name


# ------------------------------------------------------------------------------------------------ how it reads


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_and_paragraphs_are_short(page: Path) -> None:
    prose = re.sub(r"^```.*?^```", "", _text(page), flags=re.DOTALL | re.MULTILINE)
    lines = [line for line in prose.splitlines() if not line.startswith("|")]
    assert not [line for line in lines if len(line) > WIDE]
    paragraphs = re.split(r"\n\s*\n|\n(?=\s*(?:- |\d+\. ))", "\n".join(lines))
    assert not [text for text in paragraphs if _sentences(text) > SENTENCES]


def _sentences(text: str) -> int:
    """How many sentences end in a paragraph; its bold heading, code, abbreviations and numbers of a list end none."""
    plain = re.sub(r"^(?:- )?\*\*.*?\*\*|`[^`]*`|^\s*\d+\. |\bet al\.|\bEq\. ", "x ", " ".join(text.split()))
    return len(re.findall(r"[.!?][)*\"]*(?= |$)", plain))


def test_the_readme_has_two_screens() -> None:
    assert len(_text(ROOT / "README.md").splitlines()) <= 90


def test_links_and_pictures_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", _text(page)):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} points to {target}, which is not there"


# --------------------------------------------------------------------------------------------------- the house


def test_the_rooms_in_the_documentation_are_the_package() -> None:
    (tree,) = (block for block in _blocks(DOCS / "house.md", "") if block.startswith("src/personsearch"))
    named = set(re.findall(r"\w+\.py", tree)) | set(re.findall(r"(\w+)/", tree))
    files = {p.name for p in PACKAGE.rglob("*.py") if not p.name.startswith("__")}
    folders = {p.parent.name for p in PACKAGE.rglob("__init__.py")}
    assert not (files | folders) - named, "in the package, not in docs/house.md"
    assert not {n for n in named if n.endswith(".py")} - files, "in docs/house.md, not in the package"


def test_files_of_the_documentation_exist() -> None:
    for page in PAGES:
        for code in _inline(page):
            if re.fullmatch(r"[\w/]+\.py", code) and "/" in code:
                assert (ROOT / code).exists() or (PACKAGE / code).exists(), f"{page.name} names {code}"


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_of_the_house_is_the_package() -> None:
    drawn = _tool("draw_house").draw()
    assert drawn == _text(DOCS / "images" / "house.svg"), "draw it again: python tools/draw_house.py"


def test_rooms_stand_above_what_they_import() -> None:
    house = _tool("draw_house")
    graph = {"roof": {"hall", "cellar"}, "hall": {"cellar"}, "shed": {"cellar"}, "cellar": set()}
    assert house.floors_of(graph) == {"cellar": 0, "hall": 1, "shed": 1, "roof": 2}
    assert house.needed_arrows(graph) == {("roof", "hall"), ("hall", "cellar"), ("shed", "cellar")}
    with pytest.raises(ValueError, match="hall, roof"):
        house.floors_of({"roof": {"hall"}, "hall": {"roof"}, "shed": set()})
    package = house.imports(PACKAGE)
    floors = house.floors_of(package)
    assert all(floors[room] > floors[below] for room in package for below in package[room])


def test_a_site_that_loads_from_elsewhere_is_found(tmp_path: Path) -> None:
    site = _tool("check_site")
    (tmp_path / "index.html").write_text(
        '<link href="style.css" rel="stylesheet"><script src="a/b.js"></script><img src="x.svg">'
        '<a href="https://example.org">may be followed</a>'
    )
    (tmp_path / "style.css").write_text("a { background: url(data:image/png;base64,AA) }")
    assert not list(site.loaded_from_elsewhere(tmp_path))
    for bad in (
        '<script src="https://example.org/a.js"></script>',
        '<link rel="stylesheet" href="//example.org/a.css">',
        '<img src="HTTP://example.org/a.png"/>',
    ):
        (tmp_path / "bad.html").write_text(bad)
        assert len(list(site.loaded_from_elsewhere(tmp_path))) == 1, bad
    (tmp_path / "bad.html").unlink()
    (tmp_path / "style.css").write_text(
        '@import "https://example.org/font.css"; a { src: url("https://example.org/f") }'
    )
    assert len(list(site.loaded_from_elsewhere(tmp_path))) == 2
