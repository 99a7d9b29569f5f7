"""Half an hour on a machine with a GPU: renders people, trains on them, judges, and leaves weights in small parts.

Run: python tools/half_hour.py OUT [--wardrobe DIR] [--start WEIGHTS] [--judge LAYOUT:DIR ...]

The defaults are reckoned to take 25 minutes on one H200 with 16 cores, from speeds measured there: 22 scenes a second
in a wardrobe, 18 steps a second of 256 patches. A stage that is done is not done again, and a stopped one goes on:
start the same command once more. OUT/parts holds the weights in parts of at most 16 MB; `cat` joins them.

OUT/people    the rendered benchmark
OUT/patches   cropped people: backbone and embedding
OUT/binet     the search network, with its projections
OUT/judged    what `evaluate` says, by the papers' protocol and as `search` answers
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from personsearch.settings import change_settings, settings_to_dict
from personsearch.training.recipes import get_recipe

PART = 16_000_000
"""Bytes of a part of the weights at most."""
_KEPT = ("config.json", "model.safetensors", "projections.safetensors")
_PATCHES = ("patches.identities=64", "optimizer.rate=0.00015", "optimizer.frozen_stages=1")
_SCENES = ("batches.scenes=4", "optimizer.rate=0.00005")
"""Larger steps than on two cores, at higher rates."""
_BEGAN = time.monotonic()


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("out", type=Path)
    options.add_argument("--wardrobe", type=Path, help="folder of garments, fabrics and light probes")
    options.add_argument("--start", default="binet-rendered", help="weights to train further")
    options.add_argument("--judge", nargs="*", default=[], metavar="LAYOUT:DIR", help="real people to judge on")
    options.add_argument("--identities", type=int, default=6000)
    options.add_argument("--scenes", type=int, default=10_000)
    options.add_argument("--patch-steps", type=int, default=6000)
    options.add_argument("--steps", type=int, default=3000, help="of BINet on scenes")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--device", default="cuda")
    options.add_argument("--patch-set", nargs="*", default=[], metavar="A.B=VALUE", help="settings of the patches")
    options.add_argument("--set", nargs="*", default=[], metavar="A.B=VALUE", help="settings of BINet")
    given = options.parse_args()
    people, patches, binet = (given.out / name for name in ("people", "patches", "binet"))
    render(people, given)
    train(
        "patches_rendered", people, patches, given.start, given.patch_steps, (*_PATCHES, *given.patch_set), given.device
    )
    train("binet_rendered", people, binet, str(patches), given.steps, (*_SCENES, *given.set), given.device)
    for spec in (f"coco:{people}", *given.judge):
        judge(binet, spec, given.out / "judged", given.device)
    split([binet / name for name in _KEPT], given.out / "parts")
    say("done")


def render(people: Path, given: argparse.Namespace) -> None:
    """Renders the benchmark. 250 scenes of it, and a hundred people, are for testing."""
    numbers = {"--identities": given.identities, "--scenes": given.scenes, "--seed": given.seed}
    numbers |= {"--test-identities": 100, "--test-scenes": 250, "--device": given.device}
    if given.wardrobe is not None:
        numbers["--wardrobe"] = given.wardrobe
    run("synthesize", people, *(word for pair in numbers.items() for word in pair))


def train(recipe: str, people: Path, out: Path, start: str, steps: int, settings: Sequence[str], device: str) -> None:
    """Trains a recipe on the benchmark, or goes on with it."""
    changes = [f"optimizer.steps={steps}", *settings]
    asked = {"recipe": settings_to_dict(change_settings(get_recipe(recipe), changes)), "steps_done": steps}
    done = out / "config.json"
    if done.exists() and asked.items() <= json.loads(done.read_text()).items():
        return
    words = [word for setting in changes for word in ("--set", setting)]
    where = ("--data", f"coco:{people}", "--out", out, "--start", start, "--device", device)
    again = ("--resume",) if out.exists() else ()
    run("train", recipe, *where, *words, *again, "--checkpoint-every", 500)


def judge(model: Path, spec: str, folder: Path, device: str) -> None:
    """Evaluates by the papers' protocol and as `search` answers. Cropped people are whole pictures: labelled boxes."""
    folder.mkdir(exist_ok=True)
    for answers in (False, True):
        path = folder / f"{spec.split(':')[0]}-{Path(spec).name}{'-answers' * answers}.json"
        if not path.exists():
            words = ["--data", spec, "--json", "--device", device, *(["--answers"] if answers else [])]
            words += ["--boxes", "labeled"] if spec.startswith("crops:") else []
            said = run("evaluate", model, *words, keep=True)
            path.write_text(said)
            say(f"{spec}{' --answers' * answers}: {said.strip()}")


def split(files: Sequence[Path], parts: Path) -> None:
    """Cuts files into parts, and writes their SHA-256 beside them."""
    parts.mkdir(exist_ok=True)
    sums = []
    for file in files:
        content = file.read_bytes()
        sums.append(f"{hashlib.sha256(content).hexdigest()}  {file.name}")
        for number, start in enumerate(range(0, len(content), PART)):
            (parts / f"{file.name}.{number:02}").write_bytes(content[start : start + PART])
    (parts / "SHA256SUMS").write_text("\n".join(sums) + "\n")


def run(*words: object, keep: bool = False) -> str:
    """Runs a command of personsearch; ends this script with it where it fails."""
    command = [sys.executable, "-m", "personsearch", *map(str, words)]
    say(" ".join(command[3:]))
    done = subprocess.run(command, stdout=subprocess.PIPE if keep else None, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout or ""


def say(text: str) -> None:
    print(f"{(time.monotonic() - _BEGAN) / 60:5.1f} min  {text}", flush=True)


if __name__ == "__main__":
    main()
