"""Does what a table needs in one folder: trains what is missing, reads it, and goes on after any stop.

FOLDER/reproduce.json      what the folder is of; another run must agree
FOLDER/data/               rendered people, where the data is these
FOLDER/runs/NAME/          weights of a run; finished.json once it has ended
FOLDER/readings/NAME.json  one evaluation's figures
FOLDER/maps/               conv4 maps of boxes, where nobody is detected
FOLDER/claims/             who works on what; several processes share a folder
FOLDER/TABLE.json, .md     and .svg of a figure
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

from personsearch.errors import DataError, SettingError
from personsearch.experiment import CODES_GB, train
from personsearch.files import check_folder, write_whole
from personsearch.models.networks import Network
from personsearch.models.search_network import SearchNetwork
from personsearch.progress import Progress, quiet
from personsearch.reproduce.annotated import AnnotatedJudge, figure_name, judged_at
from personsearch.reproduce.benchmarks import RENDERED, Ground, check_data, check_protocols, find_ground
from personsearch.reproduce.claims import do_all
from personsearch.reproduce.measure import measure
from personsearch.reproduce.plan import Planner, Reading, Run, estimate, readings_of, runs_of
from personsearch.reproduce.scales import Scale
from personsearch.reproduce.speed import seconds_of
from personsearch.reproduce.tables import AnyTable, SpeedTable, Table
from personsearch.runtime import checked_device
from personsearch.settings import flat, settings_from_dict, settings_to_dict
from personsearch.training.batches.codes import Keeping
from personsearch.training.batches.maps import MapBatches
from personsearch.training.logs import lines_up_to
from personsearch.training.loop import CHECKPOINT, LOG
from personsearch.training.methods import MAPS_OF, Whole, build_network
from personsearch.training.recipes import IdentityRecipe

Say = Callable[[str], None]
FINISHED = "finished.json"
MARK = "reproduce.json"
MAPS = "maps"
CHECKPOINT_EVERY = 200


@dataclass(frozen=True)
class Wanted:
    """What a user asks for."""

    table: AnyTable
    data: str
    """LAYOUT:DIR, or "rendered"."""
    out: Path
    scale: Scale
    seeds: tuple[int, ...]
    home: float | None = None
    changes: tuple[str, ...] = ()
    backbone: str | None = None
    """ImageNet weights; torchvision's when None."""
    device: str | None = None


class Workshop:
    """The folder of an experiment, and what is done in it."""

    def __init__(self, wanted: Wanted, *, progress: Progress = quiet, say: Say = lambda _line: None) -> None:
        """Opens the folder, or begins it once all is well, and renders its people.

        Raises SettingError and DataError before anything is written.
        """
        self._wanted, self._progress, self._say = wanted, progress, say
        self.out = wanted.out
        check_folder(self.out)
        check_data(wanted.table, wanted.data, wanted.scale)
        if not wanted.scale.detects and wanted.backbone == "random":
            raise SettingError(
                f"--scale {wanted.scale.name} keeps what one backbone says: give ImageNet weights or a run, not random"
            )
        self._refuse_other()
        self.ground = self._ground()
        self.planner = Planner(wanted.scale, self.ground, wanted.changes)
        self._judge: AnnotatedJudge | None = None
        self.runs: list[Run] = []
        self.readings: list[Reading] = []
        if isinstance(wanted.table, Table):
            self.runs = runs_of(wanted.table, self.planner, wanted.seeds)
            self.readings = readings_of(wanted.table, self.planner, wanted.seeds)
            check_protocols(self.ground, {reading.gallery for reading in self.readings})
        self.missing_runs()
        self._begin()

    # ------------------------------------------------------------------------------------------- the folder

    def _mark(self) -> dict[str, Any]:
        """What a folder is of: all that its runs have in common."""
        wanted = self._wanted
        return {
            "data": _short(wanted.data),
            "scale": wanted.scale.name,
            "home": wanted.home,
            "set": list(wanted.changes),
            "backbone": wanted.backbone,
        }

    def _begin(self) -> None:
        mark = self.out / MARK
        self._once("begin", lambda: write_whole(mark, json.dumps(self._mark(), indent=1) + "\n"), mark.exists)
        self._refuse_other()  # another process may have begun it meanwhile

    def _refuse_other(self) -> None:
        """Raises SettingError for a folder of something else."""
        begun = _read_object(self.out / MARK) if (self.out / MARK).exists() else self._mark()
        for key, value in self._mark().items():
            if begun.get(key) != value:
                raise SettingError(
                    f"{self.out} was begun with --{key} {_told(begun.get(key))}, not {_told(value)}: give the same, or "
                    "another --out"
                )

    def _ground(self) -> Ground:
        wanted = self._wanted
        found: list[Ground] = []

        def find() -> None:
            found.append(find_ground(wanted.data, wanted.scale, self.out, wanted.home))

        if wanted.data == RENDERED:
            self._say(f"{self.out / 'data'}: rendering people, as far as they are not there")
            self._once("data", find, lambda: bool(found))
        else:
            find()
        return found[0]

    def _once(self, name: str, work: Callable[[], None], is_done: Callable[[], bool]) -> None:
        do_all([name], self.out / "claims", lambda _name: is_done(), lambda _name: work())

    # ------------------------------------------------------------------------------------------- what is left

    def missing_runs(self) -> list[Run]:
        """The runs that have not ended. Raises SettingError where one has, with other settings."""
        return [run for run in self.runs if not self._is_trained(run)]

    def plan(self) -> str:
        """One line: how many runs are to be trained, and roughly how long that takes."""
        if isinstance(self._wanted.table, SpeedTable):
            return f"{self._wanted.table.name}: nothing to train, a few rounds to time"
        missing = self.missing_runs()
        steps = sum(run.made.optimizer.steps for run in missing)
        readings = sum(not self._reading_file(reading).exists() for reading in self.readings)
        line = f"{self._wanted.table.name}: {len(missing)} of {len(self.runs)} runs to train"
        line += f" ({steps:,} steps, {self._how_long(missing)})" if missing else ""
        return f"{line}, {readings} of {len(self.readings)} evaluations to make"

    def _how_long(self, missing: Sequence[Run]) -> str:
        """By the steps of runs that ended here, or else by the scale's guess."""
        known: dict[str, float] = {}
        for file in sorted((self.out / "runs").glob(f"*/{FINISHED}")):
            ended = _read_object(file)
            if ended["seconds_a_step"] is not None:
                known[ended["recipe"]["method"]] = ended["seconds_a_step"]
        if known:
            usual = median(known.values())
            seconds = sum(known.get(run.made.method, usual) * run.made.optimizer.steps for run in missing)
            return f"about {_span(seconds)} by the steps done here"
        guess = estimate(missing, self._wanted.scale)
        if guess is None:
            return "how long is not known before the first run has ended here"
        return f"about {_span(guess)} on two CPU cores"

    def check_finished(self) -> None:
        """Raises SettingError where a run or an evaluation of the table is missing, and says of which seed."""
        for run in self.missing_runs():
            seed = run.made.seed
            others = ",".join(str(other) for other in self._wanted.seeds if other != seed) or "those that are there"
            raise SettingError(
                f"{self.out} has no finished run of seed {seed} of {run.recipe}: leave --only-report out to train it, "
                f"or give --seeds {others}"
            )
        for reading in self.readings:
            if not self._reading_file(reading).exists():
                raise SettingError(
                    f"{self.out} lacks the evaluation {reading.name}: leave --only-report out to make it"
                )

    # ------------------------------------------------------------------------------------------- the work

    def work(self) -> None:
        """Trains and reads what is missing, as far as no other process does it. Raises whatever goes wrong."""
        claims = self.out / "claims"
        runs = {run.name: run for run in self.runs}
        if not self._wanted.scale.detects and self.missing_runs():
            self._judge = self._annotated_judge()
        do_all(list(runs), claims, lambda name: self._is_trained(runs[name]), lambda name: self._train(runs[name]))
        groups: dict[str, list[Reading]] = {}
        for reading in self.readings:
            parts = (reading.run, reading.boxes, reading.branch, reading.reid or "alone")
            groups.setdefault(f"read.{'.'.join(parts)}", []).append(reading)
        do_all(
            list(groups),
            claims,
            lambda name: all(self._reading_file(reading).exists() for reading in groups[name]),
            lambda name: self._read(groups[name]),
        )
        if isinstance(table := self._wanted.table, SpeedTable):
            file = self.out / "readings" / f"{table.name}.json"
            self._once(f"time.{table.name}", lambda: self._time(table, file), file.exists)

    def write(self, write: Callable[[], None]) -> None:
        """Calls what writes the table, while no other process does."""
        done: list[bool] = []

        def work() -> None:
            write()
            done.append(True)

        self._once(f"write.{self._wanted.table.name}", work, lambda: bool(done))

    def figures(self, reading: Reading) -> dict[str, float | None]:
        """What was measured. Raises DataError for a damaged file."""
        return _read_object(self._reading_file(reading))

    def steps_of(self, reading: Reading) -> int:
        """How many steps its run has."""
        return next(run for run in self.runs if run.name == reading.run).made.optimizer.steps

    def figures_at(self, reading: Reading, step: int) -> dict[str, float | None]:
        """What a reading was after a step at which its run was judged. Raises DataError."""
        folder = self.out / "runs" / reading.run
        try:
            return judged_at(folder, step)[figure_name(reading.branch, reading.gallery)]
        except KeyError:
            raise DataError(f"{folder}: of another version; delete it, and it is trained again") from None

    def memory_loss(self, reading: Reading, step: int) -> float | None:
        """The OIM loss of the search branch in the fifty steps before one, without its weight; None for no log."""
        made = next(run for run in self.runs if run.name == reading.run).made
        assert isinstance(made, IdentityRecipe)
        weight = 1.0 if made.method == "oim_on_maps" else made.loss.oim_weight
        lines = lines_up_to(self.out / "runs" / reading.run / LOG, step)
        told = [line["oim_search"] for line in lines if line["step"] > step - 50]
        return mean(told) / weight if told and weight else None

    def seconds(self) -> dict[str, list[float]]:
        """Of a table of seconds, by row."""
        return _read_object(self.out / "readings" / f"{self._wanted.table.name}.json")

    def _reading_file(self, reading: Reading) -> Path:
        return self.out / "readings" / f"{reading.name}.json"

    def _is_trained(self, run: Run) -> bool:
        """Raises SettingError where the run has ended with other settings."""
        file = self.out / "runs" / run.name / FINISHED
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

    def _train(self, run: Run) -> None:
        wanted, runs = self._wanted, self.out / "runs"
        folder = runs / run.name
        self._say(f"{run.name}: training {run.recipe}, {run.made.optimizer.steps:,} steps")
        train(
            run.recipe,
            self.ground.spec,
            folder,
            settings=run.settings,
            backbone=self._start(run),
            resume=True,
            device=wanted.device,
            checkpoint_every=wanted.scale.marks or CHECKPOINT_EVERY,
            fit=False,  # the papers' protocol reads embeddings
            codes=self.out / MAPS,
            judge=self._judging(folder),
            detector=None if run.detector is None else str(runs / run.detector),
            progress=self._progress,
            on_step=lambda step, total: self._progress.tell(step, total, f"{run.name}, step {step}"),
        )
        ended = {**_asked(run), "seconds_a_step": _seconds_a_step(folder / LOG), "ended": round(time.time())}
        write_whole(folder / FINISHED, json.dumps(ended, indent=1) + "\n")
        (folder / CHECKPOINT).unlink(missing_ok=True)  # three times as large as the weights

    def _judging(self, run: Path) -> Callable[[int, Network], None]:
        """What a run is shown to at each mark."""
        judge = self._judge
        return (lambda _step, _network: None) if judge is None else partial(judge.note, run)

    def _annotated_judge(self) -> AnnotatedJudge:
        """Makes the maps of all boxes, once, while no other process does it, and what judges by them."""
        wanted, benchmark = self._wanted, self.ground.load()
        first = self.runs[0].made
        assert isinstance(first, IdentityRecipe)
        network = build_network(first, wanted.backbone).to(checked_device(wanted.device))
        assert isinstance(network, SearchNetwork)
        judge = AnnotatedJudge(self.out / MAPS, self.ground, network, self._progress)
        kinds = list(dict.fromkeys(kind for run in self.runs for kind in MAPS_OF[run.made.method]))
        keeping = Keeping(self.out / MAPS, int(CODES_GB * 1e9), progress=self._progress)
        people = MapBatches(benchmark.train, first.views, first.seed, network, kinds, keeping)

        def keep() -> None:
            self._say(f"{self.out / MAPS}: reading people, as far as they are not there")
            judge.keep_all()
            people.keep_all()

        self._once("maps", keep, lambda: judge.is_kept() and people.is_kept())
        return judge

    def _start(self, run: Run) -> str | Whole | None:
        if run.start is None:
            return self._wanted.backbone
        folder = self.out / "runs" / run.start
        start = str(folder) if folder.is_dir() else run.start
        return Whole(start) if run.whole else start

    def _read(self, readings: list[Reading]) -> None:
        self._say(f"{readings[0].run}: evaluating")
        left = [reading for reading in readings if not self._reading_file(reading).exists()]
        (self.out / "readings").mkdir(exist_ok=True)
        for reading, figures in self._measured(left):
            write_whole(self._reading_file(reading), json.dumps(figures) + "\n")

    def _measured(self, readings: list[Reading]) -> Iterable[tuple[Reading, dict[str, float | None]]]:
        if not self._wanted.scale.detects:  # each run was judged after its last step
            return [(reading, self.figures_at(reading, self.steps_of(reading))) for reading in readings]
        return measure(readings, self.out / "runs", self.ground.load, self._wanted.device, self._progress)

    def _time(self, table: SpeedTable, file: Path) -> None:
        seconds = seconds_of(table, self.planner, self._wanted.device, self._progress)
        file.parent.mkdir(exist_ok=True)
        write_whole(file, json.dumps(seconds) + "\n")


def _asked(run: Run) -> dict[str, Any]:
    return {
        "recipe": settings_to_dict(run.made),
        "start": run.start,
        "whole": run.whole,
        "detector": run.detector,
    }


def _ended(file: Path, run: Run) -> dict[str, Any]:
    """What a run ended with; a setting that it does not know yet counts as its default."""
    ended = _read_object(file)
    try:
        return {**ended, "recipe": settings_to_dict(settings_from_dict(type(run.made), ended["recipe"]))}
    except (SettingError, KeyError, TypeError, AttributeError):
        raise DataError(f"{file}: damaged, or of another version; give another --out") from None


def _first_difference(old: Any, new: Any) -> str:
    """Of two nested settings, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        one, other = flat(old), flat(new)
        name = next(key for key in sorted(one.keys() | other.keys()) if one.get(key) != other.get(key))
        return f"{name}={one.get(name)}, not {other.get(name)}"
    return f"{old}, not {new}"


def _seconds_a_step(log: Path) -> float | None:
    """The median of a run's logged tens of steps; None for a shorter run."""
    tens = [line["seconds"] for line in lines_up_to(log) if isinstance(line.get("seconds"), int | float)]
    return median(tens) / 10 if tens else None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise DataError(f"{path}: damaged; delete it, and the same command makes it again")
    return value


def _short(spec: str) -> str:
    """The data without where it lies, which may differ between machines that share a folder."""
    layout, colon, folder = spec.partition(":")
    return f"{layout}:{Path(folder).resolve().name}" if colon else spec


def _told(value: Any) -> str:
    return "left out" if value in (None, []) else str(value)


def _span(seconds: float) -> str:
    """
    >>> _span(100), _span(5400), _span(400000)
    ('2 minutes', '1.5 hours', '4.6 days')
    """
    if seconds < 5400:
        return "a minute or less" if seconds < 90 else f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 86400 else f"{seconds / 86400:.1f} days"
