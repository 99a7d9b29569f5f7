"""Does what a table needs in one folder: trains what is missing, reads it, and goes on after any stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from personsearch.errors import DataError, SettingError, WeightsError
from personsearch.experiment import CODES_GB, train
from personsearch.files import check_folder
from personsearch.models.networks import Network
from personsearch.models.search_network import SearchNetwork
from personsearch.progress import Progress, quiet
from personsearch.reproduce.annotated import AnnotatedJudge
from personsearch.reproduce.benchmarks import (
    RENDERED,
    Ground,
    check_data,
    check_home,
    check_protocols,
    find_ground,
    ground_to_render,
    is_rendered,
    render,
)
from personsearch.reproduce.claims import do_all
from personsearch.reproduce.folder import Figures, Folder
from personsearch.reproduce.measure import measure
from personsearch.reproduce.plan import Planner, Reading, Run, estimate, length_suffix, readings_of, runs_of
from personsearch.reproduce.scales import Scale
from personsearch.reproduce.speed import seconds_of, timed_runs
from personsearch.reproduce.tables import AnyTable, SpeedTable
from personsearch.runtime import checked_device
from personsearch.training.batches.codes import Keeping
from personsearch.training.batches.maps import MapBatches
from personsearch.training.methods import MAPS_OF, Whole, build_network, mark_of_backbone
from personsearch.training.recipes import IdentityRecipe, keeps_codes

Say = Callable[[str], None]
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
    longer: float = 1.0
    """How many times the scale's epochs runs have."""

    @property
    def stem(self) -> str:
        """Of the table's files."""
        return f"{self.table.name}{length_suffix(self.longer)}"


class Workshop:
    """What a table needs of a folder, and the work there."""

    def __init__(self, wanted: Wanted, *, progress: Progress = quiet, say: Say = lambda _line: None) -> None:
        """Finds out what there is to do; writes and renders nothing. Raises SettingError and DataError."""
        self._wanted, self._progress, self._say = wanted, progress, say
        self.folder = Folder(wanted.out)
        self._judge: AnnotatedJudge | None = None
        check_folder(wanted.out)
        check_data(wanted.table, wanted.data, wanted.scale)
        check_home(wanted.home, wanted.data)
        if wanted.longer != 1 and isinstance(wanted.table, SpeedTable):
            raise SettingError(f"{wanted.table.name} trains nothing: leave --longer out")
        checked_device(wanted.device)
        if not wanted.scale.detects and wanted.backbone == "random":
            raise SettingError(
                f"--scale {wanted.scale.name} keeps what one backbone says: give ImageNet weights or a run, not random"
            )
        self._weights = mark_of_backbone(wanted.backbone)
        self.folder.refuse_other(self._mark())
        self._lay_out()

    def _mark(self, ground: Ground | None = None) -> dict[str, Any]:
        """What a folder is of: all that its runs have in common, as far as it is known."""
        wanted = self._wanted
        return {
            "data": _short(wanted.data),
            "scale": wanted.scale.name,
            "home": wanted.home,
            "set": list(wanted.changes),
            "backbone": wanted.backbone,
            "annotations": None if ground is None else ground.annotations,
            "weights": self._weights,
        }

    def _lay_out(self) -> None:
        """Names all runs and readings. People who are not rendered yet are counted as they are going to be."""
        wanted, table = self._wanted, self._wanted.table
        if self._lacks_people:
            self.ground = ground_to_render(self.folder.data, wanted.scale)
        else:
            self.ground = find_ground(f"coco:{self.folder.data}" if wanted.data == RENDERED else wanted.data)
        self.folder.refuse_other(self._mark(self.ground))
        self.planner = Planner(wanted.scale, self.ground, wanted.changes, wanted.longer)
        self.runs: list[Run] = []
        self.readings: list[Reading] = []
        if isinstance(table, SpeedTable):
            timed_runs(table, self.planner)  # raises
            return
        self.runs = runs_of(table, self.planner, wanted.seeds)
        self.readings = readings_of(table, self.planner, wanted.seeds)
        check_protocols(self.ground, {reading.gallery for reading in self.readings})
        self.missing_runs()

    @property
    def _lacks_people(self) -> bool:
        """Whether they are still to be rendered."""
        return self._wanted.data == RENDERED and not is_rendered(self.folder.data)

    def _once(self, name: str, work: Callable[[], None], is_done: Callable[[], bool]) -> None:
        do_all([name], self.folder.claims, lambda _name: is_done(), lambda _name: work())

    # ------------------------------------------------------------------------------------------- what is left

    def missing_runs(self) -> list[Run]:
        """The runs that have not ended. Raises SettingError where one has, with other settings; DataError."""
        return [run for run in self.runs if not self.folder.has_ended(run)]

    def run_of(self, reading: Reading) -> Run:
        """The run whose weights are read."""
        return next(run for run in self.runs if run.name == reading.run)

    def plan(self) -> str:
        """One line: how many runs are to be trained, and roughly how long that takes."""
        if isinstance(self._wanted.table, SpeedTable):
            return f"{self._wanted.table.name}: nothing to train, a few rounds to time"
        missing = self.missing_runs()
        steps = sum(run.made.optimizer.steps for run in missing)
        readings = sum(not self.folder.is_read(reading) for reading in self.readings)
        line = f"{self._wanted.stem}: {len(missing)} of {len(self.runs)} runs to train"
        line += f" ({steps:,} steps, {self._how_long(missing)})" if missing else ""
        return f"{line}, {readings} of {len(self.readings)} evaluations to make"

    def _how_long(self, missing: Sequence[Run]) -> str:
        """By the steps of runs that ended here, or else by the scale's guess."""
        known = self.folder.seconds_a_step()
        if known:
            usual = median(known.values())
            seconds = sum(known.get(run.made.method, usual) * run.made.optimizer.steps for run in missing)
            return f"about {_span(seconds)} by the steps done here"
        guess = estimate(missing, self._wanted.scale)
        if guess is None:
            return "how long is not known before the first run has ended here"
        return f"about {_span(guess)} on two CPU cores"

    def check_finished(self) -> None:
        """Raises SettingError where something of the table is missing, and says of which seed; DataError."""
        out, table = self._wanted.out, self._wanted.table
        if not self.folder.is_begun():
            raise SettingError(f"{out} has no runs yet: leave --only-report out to make them, or give their folder")
        if self._lacks_people:
            raise DataError(f"{self.folder.data}: people are missing: leave --only-report out to render them again")
        for run in (missing := self.missing_runs()):
            lacking = {other.made.seed for other in missing}
            whole = ",".join(str(seed) for seed in self._wanted.seeds if seed not in lacking)
            raise SettingError(
                f"{out} has no finished run {run.name} of {run.recipe}: leave --only-report out to train it"
                + (f", or give --seeds {whole}" if whole else "")
            )
        unread = [reading.name for reading in self.readings if not self.folder.is_read(reading)]
        if isinstance(table, SpeedTable) and not self.folder.is_timed(table):
            unread.append(table.name)
        if unread:
            raise SettingError(f"{out} lacks the evaluation {unread[0]}: leave --only-report out to make it")

    # ------------------------------------------------------------------------------------------- the work

    def work(self) -> None:
        """Trains and reads what is missing, as far as no other process does it. Raises whatever goes wrong."""
        self._begin()
        runs = {run.name: run for run in self.runs}
        if not self._wanted.scale.detects and self.missing_runs():
            self._judge = self._annotated_judge()
        do_all(
            list(runs),
            self.folder.claims,
            lambda name: self.folder.has_ended(runs[name]),
            lambda name: self._train(runs[name]),
        )
        groups: dict[str, list[Reading]] = {}
        for reading in self.readings:
            parts = (reading.run, reading.boxes, reading.branch, reading.reid or "alone")
            groups.setdefault(f"read.{'.'.join(parts)}", []).append(reading)
        do_all(
            list(groups),
            self.folder.claims,
            lambda name: all(self.folder.is_read(reading) for reading in groups[name]),
            lambda name: self._read(groups[name]),
        )
        if isinstance(table := self._wanted.table, SpeedTable):
            self._once(f"time.{table.name}", lambda: self._time(table), lambda: self.folder.is_timed(table))

    def _begin(self) -> None:
        """Renders people, and binds the folder to what is asked, once it is known that runs can start."""
        wanted = self._wanted
        first = next((run for run in self.missing_runs() if run.start is None), None)
        if first is not None:
            build_network(first.made, wanted.backbone)  # raises where the backbone cannot be used
        if self._lacks_people:
            self._say(f"{self.folder.data}: rendering people, as far as they are not there")
            self._once(
                "data",
                lambda: render(self.folder.data, wanted.scale, wanted.home),
                lambda: not self._lacks_people,
            )
            self._lay_out()
        mark = self._mark(self.ground)
        self._once("begin", lambda: self.folder.begin(mark), lambda: self.folder.is_marked(mark))
        self.folder.refuse_other(mark)  # another process may have begun it meanwhile

    def write(self, write: Callable[[], None]) -> None:
        """Calls what writes the table, while no other process does."""
        done: list[bool] = []

        def work() -> None:
            write()
            done.append(True)

        self._once(f"write.{self._wanted.stem}", work, lambda: bool(done))

    def _train(self, run: Run) -> None:
        wanted, runs = self._wanted, self.folder.runs
        self._say(f"{run.name}: training {run.recipe}, {run.made.optimizer.steps:,} steps")
        with self._advised():
            train(
                run.recipe,
                self.ground.spec,
                runs / run.name,
                settings=run.settings,
                backbone=self._start(run),
                resume=True,
                device=wanted.device,
                checkpoint_every=wanted.scale.marks or CHECKPOINT_EVERY,
                fit=False,  # the papers' protocol reads embeddings
                codes=self.folder.maps if keeps_codes(run.made) else None,
                judge=self._judging(runs / run.name),
                detector=None if run.detector is None else str(runs / run.detector),
                progress=self._progress,
                on_step=lambda step, total: self._progress.tell(step, total, f"{run.name}, step {step}"),
            )
        self.folder.note_end(run)

    @contextmanager
    def _advised(self) -> Iterator[None]:
        """Says of damaged weights of a run how they are made again."""
        try:
            yield
        except WeightsError as error:
            if str(self.folder.runs) not in str(error):
                raise
            raise WeightsError(f"{error}; a run whose folder is deleted is trained again") from None

    def _judging(self, run: Path) -> Callable[[int, Network], None]:
        """What a run is shown to at each mark."""
        judge = self._judge
        return (lambda _step, _network: None) if judge is None else partial(judge.note, run)

    def _annotated_judge(self) -> AnnotatedJudge:
        """Makes the maps of all boxes, once, while no other process does it, and what judges by them."""
        wanted, benchmark, maps = self._wanted, self.ground.load(), self.folder.maps
        first = self.runs[0].made
        assert isinstance(first, IdentityRecipe)
        network = build_network(first, wanted.backbone).to(checked_device(wanted.device))
        assert isinstance(network, SearchNetwork)
        judge = AnnotatedJudge(maps, self.ground, network, self._progress)
        kinds = list(dict.fromkeys(kind for run in self.runs for kind in MAPS_OF[run.made.method]))
        keeping = Keeping(maps, int(CODES_GB * 1e9), progress=self._progress)
        people = MapBatches(benchmark.train, first.views, first.seed, network, kinds, keeping)

        def keep() -> None:
            self._say(f"{maps}: reading people, as far as they are not there")
            judge.keep_all()
            people.keep_all()

        self._once("maps", keep, lambda: judge.is_kept() and people.is_kept())
        return judge

    def _start(self, run: Run) -> str | Whole | None:
        if run.start is None:
            return self._wanted.backbone
        folder = self.folder.runs / run.start
        start = str(folder) if folder.is_dir() else run.start
        return Whole(start) if run.whole else start

    def _read(self, readings: list[Reading]) -> None:
        self._say(f"{readings[0].run}: evaluating")
        left = [reading for reading in readings if not self.folder.is_read(reading)]
        with self._advised():
            for reading, figures in self._measured(left):
                self.folder.keep_figures(reading, figures)

    def _measured(self, readings: list[Reading]) -> Iterable[tuple[Reading, Figures]]:
        if not self._wanted.scale.detects:  # each run was judged after its last step
            last = {reading: self.run_of(reading).made.optimizer.steps for reading in readings}
            return [(reading, self.folder.figures_at(reading, step)) for reading, step in last.items()]
        return measure(readings, self.folder.runs, self.ground.load, self._wanted.device, self._progress)

    def _time(self, table: SpeedTable) -> None:
        self.folder.keep_seconds(table, seconds_of(table, self.planner, self._wanted.device, self._progress))


def _short(spec: str) -> str:
    """The data without where it lies, which may differ between machines that share a folder."""
    layout, colon, folder = spec.partition(":")
    return f"{layout}:{Path(folder).resolve().name}" if colon else spec


def _span(seconds: float) -> str:
    """
    >>> _span(100), _span(5400), _span(400000)
    ('2 minutes', '1.5 hours', '4.6 days')
    """
    if seconds < 5400:
        return "a minute or less" if seconds < 90 else f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours" if seconds < 86400 else f"{seconds / 86400:.1f} days"
