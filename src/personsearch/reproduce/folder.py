"""What lies in the folder of an experiment. What is damaged is refused, with a line that says what to delete.

reproduce.json      what the folder is of; another command must agree
data/               rendered people, where the data is these
runs/NAME/          weights of a run; finished.json once it has ended
readings/NAME.json  one evaluation's figures
maps/               conv4 maps of boxes, where nobody is detected
claims/             who works on what; several processes share a folder
TABLE.json, .md     and .svg of a figure
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any, TypeGuard

from personsearch.errors import DataError, SettingError
from personsearch.files import write_whole
from personsearch.reproduce.annotated import figure_name, judged_at
from personsearch.reproduce.plan import Reading, Run
from personsearch.reproduce.tables import METRICS, SpeedTable
from personsearch.settings import flat, settings_from_dict, settings_to_dict
from personsearch.training.logs import lines_up_to
from personsearch.training.loop import CHECKPOINT, LOG
from personsearch.training.recipes import IdentityRecipe

FINISHED = "finished.json"
MARK = "reproduce.json"
CONTENTS = {
    "annotations": "other scenes or other people in them than --data has now: give the same data",
    "weights": "other weights than --backbone holds now: give the same weights",
}
"""Of a mark, what other files of the same names would change; earlier versions did not note it."""
Figures = Mapping[str, float | None]


@dataclass(frozen=True)
class Folder:
    """The folder, which need not be there yet."""

    path: Path

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def maps(self) -> Path:
        return self.path / "maps"

    @property
    def claims(self) -> Path:
        return self.path / "claims"

    # ------------------------------------------------------------------------------------------ what it is of

    def is_begun(self) -> bool:
        """Whether it is known what its runs are of."""
        return (self.path / MARK).exists()

    def begin(self, mark: Mapping[str, Any]) -> None:
        """Notes what its runs have in common. Raises OSError."""
        write_whole(self.path / MARK, json.dumps(mark, indent=1) + "\n")

    def is_marked(self, mark: Mapping[str, Any]) -> bool:
        """Whether all that `mark` knows is noted."""
        return self.is_begun() and all(mark.get(key) is None or self._mark().get(key) is not None for key in CONTENTS)

    def refuse_other(self, mark: Mapping[str, Any]) -> None:
        """Raises SettingError for a folder that was begun with something else; DataError where nobody can tell, as
        what is there may be of other data."""
        if not self.is_begun():
            self._refuse_unmarked()
            return
        begun = self._mark()
        told_by_contents = {*CONTENTS, *(["backbone"] if begun.get("weights") and mark.get("weights") else [])}
        for key, value in mark.items():
            if key not in told_by_contents and begun.get(key) != value:
                raise SettingError(
                    f"{self.path} was begun with --{key} {_told(begun.get(key))}, not {_told(value)}: give the same, "
                    "or another --out"
                )
        for key, told in CONTENTS.items():
            if begun.get(key) != mark.get(key) and None not in (begun.get(key), mark.get(key)):
                raise SettingError(f"{self.path} was begun with {told}, or another --out")

    def _mark(self) -> dict[str, Any]:
        mark = _read_object(self.path / MARK, _PUT_BACK)
        if "data" not in mark:
            raise DataError(f"{self.path / MARK}: damaged; {_PUT_BACK}")
        return mark

    def _refuse_unmarked(self) -> None:
        for place in (self.runs, self.path / "readings"):
            if place.is_dir() and any(place.iterdir()):
                raise DataError(f"{place} is not empty, and {self.path / MARK} is missing; {_PUT_BACK}")

    # --------------------------------------------------------------------------------------------------- runs

    def has_ended(self, run: Run) -> bool:
        """Whether a run needs no training. Raises SettingError where it has ended with other settings, DataError."""
        file = self.runs / run.name / FINISHED
        if not file.exists():
            return False
        ended, asked = _ended(file, run), _asked(run)
        changed = next((key for key in asked if asked[key] != ended.get(key)), None)
        if changed is not None:
            raise SettingError(
                f"{file.parent} was trained with other settings "
                f"({_first_difference(ended.get(changed), asked[changed])}): give another --out"
            )
        return True

    def note_end(self, run: Run) -> None:
        """Marks a run as one that needs no training. Raises OSError."""
        folder = self.runs / run.name
        ended = {**_asked(run), "seconds_a_step": _seconds_a_step(folder / LOG), "ended": round(time.time())}
        write_whole(folder / FINISHED, json.dumps(ended, indent=1) + "\n")
        (folder / CHECKPOINT).unlink(missing_ok=True)  # three times as large as the weights

    def seconds_a_step(self) -> dict[str, float]:
        """Of the runs that ended here, by method. Raises DataError."""
        known: dict[str, float] = {}
        for file in sorted(self.runs.glob(f"*/{FINISHED}")):
            ended = _read_object(file, _TRAINED_AGAIN.format(file.parent))
            seconds, recipe = ended.get("seconds_a_step"), ended.get("recipe")
            if _is_number(seconds) and isinstance(recipe, dict) and isinstance(recipe.get("method"), str):
                known[recipe["method"]] = seconds
        return known

    # ------------------------------------------------------------------------------------------------ figures

    def is_read(self, reading: Reading) -> bool:
        """Whether an evaluation needs no work."""
        return self._reading(reading.name).exists()

    def keep_figures(self, reading: Reading, figures: Figures) -> None:
        """Raises OSError."""
        self._keep(reading.name, figures)

    def figures(self, reading: Reading) -> Figures:
        """What was measured. Raises DataError."""
        file = self._reading(reading.name)
        found = _read_object(file)
        if not _are_figures(found):
            raise DataError(f"{file}: damaged; {_MADE_AGAIN}")
        return found

    def figures_at(self, reading: Reading, step: int) -> Figures:
        """What a reading was after a step at which its run was judged. Raises DataError."""
        run = self.runs / reading.run
        found = judged_at(run, step).get(figure_name(reading.branch, reading.gallery), {})
        if not _are_figures(found):
            raise DataError(f"{run}: its figures of step {step} are damaged; {_TRAINED_AGAIN.format(run)}")
        return found

    def memory_loss(self, run: Run, step: int) -> float | None:
        """The OIM loss of the search branch in the fifty steps before one, without its weight; None for no log."""
        made = run.made
        assert isinstance(made, IdentityRecipe)
        weight = 1.0 if made.method == "oim_on_maps" else made.loss.oim_weight
        lines = lines_up_to(self.runs / run.name / LOG, step)
        told = [line.get("oim_search") for line in lines if line["step"] > step - 50]
        numbers = [loss for loss in told if _is_number(loss)]
        return mean(numbers) / weight if numbers and weight else None

    def is_timed(self, table: SpeedTable) -> bool:
        """Whether a table of seconds needs no work."""
        return self._reading(table.name).exists()

    def keep_seconds(self, table: SpeedTable, seconds: Mapping[str, list[float]]) -> None:
        """Raises OSError."""
        self._keep(table.name, seconds)

    def seconds(self, table: SpeedTable) -> dict[str, list[float]]:
        """Of a table of seconds, by row. Raises DataError."""
        file = self._reading(table.name)
        found = _read_object(file)
        rows = [found.get(row.name) for row in table.rows if row.task is not None]
        if not all(row and isinstance(row, list) and all(_is_number(one) and one > 0 for one in row) for row in rows):
            raise DataError(f"{file}: damaged; {_MADE_AGAIN}")
        return found

    def _reading(self, name: str) -> Path:
        return self.path / "readings" / f"{name}.json"

    def _keep(self, name: str, figures: Mapping[str, Any]) -> None:
        self._reading(name).parent.mkdir(exist_ok=True)
        write_whole(self._reading(name), json.dumps(figures) + "\n")


_MADE_AGAIN = "delete it, and the same command makes it again"
_PUT_BACK = "it says what the runs there are of: put a copy of it back, or give another --out"
_TRAINED_AGAIN = "delete the folder {}, and the same command trains it again"


def _asked(run: Run) -> dict[str, Any]:
    return {
        "recipe": settings_to_dict(run.made),
        "start": run.start,
        "whole": run.whole,
        "detector": run.detector,
    }


def _ended(file: Path, run: Run) -> dict[str, Any]:
    """What a run ended with; a setting that it does not know yet counts as its default."""
    again = _TRAINED_AGAIN.format(file.parent)
    ended = _read_object(file, again)
    try:
        return {**ended, "recipe": settings_to_dict(settings_from_dict(type(run.made), ended["recipe"]))}
    except (SettingError, KeyError, TypeError, AttributeError):
        raise DataError(f"{file}: damaged, or of another version; give another --out, or {again}") from None


def _first_difference(old: Any, new: Any) -> str:
    """Of two nested settings, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        one, other = flat(old), flat(new)
        name = next(key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key))
        return f"{name}={one.get(name)}, not {other.get(name)}"
    return f"{old}, not {new}"


def _seconds_a_step(log: Path) -> float | None:
    """The median of a run's logged tens of steps; None for a shorter run."""
    tens = [line["seconds"] for line in lines_up_to(log) if _is_number(line.get("seconds"))]
    return median(tens) / 10 if tens else None


def _read_object(path: Path, advice: str = _MADE_AGAIN) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DataError(f"{path}: damaged; {advice}")
    return value


def _are_figures(found: Figures) -> bool:
    return all(name in found and (found[name] is None or _is_number(found[name])) for name in METRICS)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _told(value: Any) -> str:
    return "left out" if value in (None, []) else str(value)
