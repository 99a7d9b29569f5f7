"""The documentation is executed: every command and every Python example of the README, and its picture of the tree."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import personsearch

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PACKAGE = Path(personsearch.__file__).parent
SAMPLE = PACKAGE / "sample" / "images"

# what the README does at full size, small enough to be run here
SMALLER = {
    "--identities 1000 --scenes 2300": "--identities 10 --scenes 30 --width 500 --height 300",
    "--out runs/warm": "--out runs/warm --backbone random --set optimizer.steps=1 --set patches.identities=3",
    "--out runs/binet": (
        "--out runs/binet --set optimizer.steps=1 --set network.rois=8 --set batches.short_sides=[96]"
    ),
    "--out runs/igpn": (
        "--out runs/igpn --set optimizer.steps=1 --set pairs.scenes=1 --set pairs.short_sides=[96] "
        "--set network.channels=8 --set network.test_size.short=96"
    ),
    "--out runs/pcb": ("--out runs/pcb --set optimizer.steps=1 --set batches.patches=2 --set network.size=[96,32]"),
}


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def _commands() -> list[str]:
    lines = [line[2:] for block in _blocks("console") for line in block.splitlines() if line.startswith("$ ")]
    return [line for line in lines if line.startswith("personsearch ")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README supposes it: photos, a clip and a picture of a street."""
    folder = tmp_path_factory.mktemp("readme")
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


@pytest.mark.docs
def test_every_command_of_the_readme_runs(place: Path) -> None:
    commands = _commands()
    assert len(commands) >= 7, "the README lost its commands"
    for command in commands:
        for full, small in SMALLER.items():
            command = command.replace(full, small)
        words = shlex.split(command)
        run = subprocess.run(
            [sys.executable, "-m", "personsearch", *words[1:]], cwd=place, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, f"{command}\n{run.stdout[-2000:]}\n{run.stderr[-2000:]}"
    assert (place / "answer" / "sheet.jpg").exists()


@pytest.mark.docs
def test_every_python_example_of_the_readme_runs(place: Path) -> None:
    gallery = place / "people"
    if not gallery.exists():
        pytest.skip("made by the commands' test")
    for block in _blocks("python"):
        run = subprocess.run([sys.executable, "-c", block], cwd=place, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr[-2000:]


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


def test_the_tree_in_the_readme_is_the_package() -> None:
    (tree,) = (block for block in re.findall(r"```\n(src/personsearch.*?)```", README, re.DOTALL))
    named = set(re.findall(r"\w+\.py", tree)) | set(re.findall(r"(\w+)/", tree))
    files = {p.name for p in PACKAGE.rglob("*.py") if p.name != "__init__.py"}
    folders = {p.parent.name for p in PACKAGE.rglob("__init__.py")}
    assert not (files | folders) - named, "in the package, not in the README"
    assert not {n for n in named if n.endswith(".py")} - files, "in the README, not in the package"


def test_links_and_pictures_exist() -> None:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} points to {target}, which is not there"
