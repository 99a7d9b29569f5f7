"""Whether a folder may become a run's: nothing there is overwritten, or mixed with new weights."""

from __future__ import annotations

import json
from pathlib import Path

from personsearch.errors import SettingError
from personsearch.files import check_folder
from personsearch.settings import settings_to_dict
from personsearch.training.logs import lines_up_to
from personsearch.training.loop import CHECKPOINT, LOG, has_begun
from personsearch.training.recipes import AnyRecipe

EVALUATIONS = "evaluations.jsonl"
LOSSES = "losses.png"
_FROM_A_CHECKPOINT = ("model.safetensors", "config.json", EVALUATIONS, "judged.jsonl")
"""What is written just before a checkpoint: all that is there where the first one could not be written."""
_FROM_THE_END = ("*.safetensors", "*.onnx", "*.xml", "graphs.json", LOSSES)


def check_run_folder(out: Path, recipe: AnyRecipe, *, resume: bool, every: int) -> None:
    """Raises SettingError where a run cannot begin in a folder, or go on there. It checkpoints each `every` steps.

    A run that ended before its first checkpoint begins again there.
    """
    check_folder(out)
    if has_begun(out):
        if not resume:
            raise SettingError(f"{out} holds a run already: go on with --resume, or give another --out")
        return
    begun = _FROM_A_CHECKPOINT if _is_begun(out, recipe) else ()
    left = (file.name for pattern in (*_FROM_A_CHECKPOINT, *_FROM_THE_END) for file in sorted(out.glob(pattern)))
    found = next((name for name in left if name not in begun), None)
    if found is None and any(line["step"] > every for line in lines_up_to(out / LOG)):
        found = LOG
    if found is not None:
        raise SettingError(f"{out} holds {found}, and no {CHECKPOINT} to go on from: give another --out")


def _is_begun(out: Path, recipe: AnyRecipe) -> bool:
    """Whether the weights in a folder are of this very run."""
    try:
        config = json.loads((out / "config.json").read_text(encoding="utf-8"))
        return bool(config["recipe"] == settings_to_dict(recipe))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
