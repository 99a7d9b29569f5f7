"""What a table needs: runs, each with what it starts from, and readings of their weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from personsearch.errors import SettingError
from personsearch.reproduce.benchmarks import Ground
from personsearch.reproduce.scales import REID, Scale, Start
from personsearch.reproduce.tables import Column, Row, Table, Weights
from personsearch.settings import LARGEST_SEED, change_settings, has_setting
from personsearch.training.recipes import AnyRecipe, IdentityRecipe, IGPNRecipe, Recipe, ReidRecipe, get_recipe

_DETECTOR = Weights("detector")
_OIM_SCALAR = 10.0
"""Of the papers, to which their temperatures belong."""


def recipe_name(variant: str, suffix: str) -> str:
    """Of a row. On rendered people IGPN keeps its own backbone, as in its paper: VCCL exists in that form alone."""
    return f"{variant}_{suffix}" + ("_alone" if suffix == "rendered" and variant.startswith("igpn") else "")


@dataclass(frozen=True)
class Run:
    """One training: the name of its folder says what it is."""

    name: str
    recipe: str
    settings: tuple[str, ...]
    """Changes of the recipe, its seed among them"""
    start: str | None = None
    """The name of a run, or weights that ship, or "random"; None for what the user gives."""
    whole: bool = False
    """Whether all weights of `start` are taken"""
    detector: str | None = None
    """The name of a run whose boxes train a re-id network, too"""

    @property
    def made(self) -> AnyRecipe:
        """The recipe with its changes. Raises SettingError."""
        return change_settings(get_recipe(self.recipe), self.settings)


@dataclass(frozen=True)
class Reading:
    """One evaluation of a run's weights. Those that differ in gallery and keep alone share their work."""

    run: str
    boxes: str
    branch: str
    reid: str | None
    keep: int | None
    gallery: int | None

    @property
    def name(self) -> str:
        """Of its file."""
        parts = (self.run, self.boxes, self.branch, self.reid, self.keep and f"keep{self.keep}")
        size = "all" if self.gallery is None else f"g{self.gallery}"
        return ".".join(str(part) for part in (*parts, size) if part)


@dataclass(frozen=True)
class Planner:
    """Names runs and readings of one folder: the same weights have the same name in each table."""

    scale: Scale
    ground: Ground
    changes: tuple[str, ...] = ()
    """Further changes of every recipe that has such a setting"""
    longer: float = 1.0
    """How many times the scale's epochs runs have; what they start from keeps its own"""

    def run_name(self, weights: Weights, seed: int) -> str:
        """Of the weights of one seed."""
        return f"{weights.variant}{self._suffix(weights)}{length_suffix(self.longer)}-seed{seed}"

    def recipe(self, weights: Weights) -> AnyRecipe:
        """What is trained for a row, before the scale changes it. Raises SettingError."""
        return get_recipe(recipe_name(weights.variant, self.scale.recipes or self.ground.suffix))

    def runs(self, weights: Weights, seed: int) -> list[Run]:
        """The run and those before it, in the order of training. Raises SettingError for settings that it lacks."""
        recipe = self.recipe(weights)
        kind = type(recipe).__name__
        start = self._start(kind)
        before: list[Run] = []
        detector = None
        if kind == REID and self.scale.detected_boxes:
            before += self.runs(_DETECTOR, seed)
            detector = before[-1].name
        first = start.name
        if start.weights is not None:
            before.append(self._first(start, seed))
            first = before[-1].name
        settings = self._settings(recipe, weights, self.scale.epochs.get(kind), seed, self.longer)
        made = Run(self.run_name(weights, seed), recipe.name, settings, first, start.whole, detector)
        return [*before, made]

    def reading(self, row: Row, column: Column, seed: int) -> Reading:
        """How a row's weights of one seed are read for a column."""
        assert row.weights is not None
        kept = row.keep if column.keep is None else column.keep
        keep = kept if kept is None or isinstance(kept, int) else kept[column.gallery or 0]
        return Reading(
            self.run_name(row.weights, seed),
            row.boxes,
            column.branch,
            None if row.reid is None else self.run_name(row.reid, seed),
            self.ground.keep(keep, column.gallery),
            self.ground.gallery(column.gallery),
        )

    def _start(self, kind: str) -> Start:
        return Start() if self.ground.published and self.scale.name == "paper" else self.scale.starts[kind]

    def _first(self, start: Start, seed: int) -> Run:
        """The run that others of its seed start from."""
        assert start.weights is not None
        recipe = self.recipe(start.weights)
        settings = self._settings(recipe, start.weights, start.epochs, seed)
        return Run(f"start-{start.weights.variant}-seed{seed}", recipe.name, settings)

    def _settings(
        self, recipe: AnyRecipe, weights: Weights, epochs: float | None, seed: int, longer: float = 1.0
    ) -> tuple[str, ...]:
        changes = [*self.scale.settings.get(type(recipe).__name__, ()), *self._temperature(recipe, weights)]
        changed = change_settings(recipe, changes)
        if epochs is not None:
            changes.append(f"optimizer.steps={steps_of(changed, self.ground, epochs * longer)}")
        elif longer != 1:
            drops = [round(drop * longer) for drop in changed.optimizer.drops]
            steps = max(1, round(changed.optimizer.steps * longer))
            changes += [f"optimizer.steps={steps}", f"optimizer.drops={drops}"]
        own = [change for change in self.changes if has_setting(recipe, change.partition("=")[0])]
        settings = (*changes, *own, f"seed={seed}")
        change_settings(recipe, settings)
        return settings

    def _suffix(self, weights: Weights) -> str:
        recipe = self.recipe(weights)
        return f"-t{weights.temperature:g}" if self._temperature(recipe, weights) else ""

    @staticmethod
    def _temperature(recipe: AnyRecipe, weights: Weights) -> list[str]:
        """T for the recipe's scalar, unless the recipe has it already."""
        if weights.temperature is None or not isinstance(recipe, Recipe | IdentityRecipe):
            return []
        wanted = weights.temperature * recipe.loss.oim.scalar / _OIM_SCALAR
        return [] if math.isclose(wanted, recipe.loss.temperature) else [f"loss.temperature={wanted:g}"]


def length_suffix(longer: float) -> str:
    """What names of runs and tables of other lengths end in.

    >>> length_suffix(1), length_suffix(2), length_suffix(0.5)
    ('', '-x2', '-x0.5')
    """
    return "" if longer == 1 else f"-x{longer:g}"


def steps_of(recipe: AnyRecipe, ground: Ground, epochs: float) -> int:
    """How many steps so many epochs are: of scenes, of as many pairs as scenes, or of people with an identity."""
    if isinstance(recipe, Recipe):
        total, each = ground.train_scenes, recipe.batches.scenes
    elif isinstance(recipe, IdentityRecipe):
        total, each = ground.train_scenes, recipe.views.scenes
    elif isinstance(recipe, IGPNRecipe):
        total, each = ground.train_scenes, recipe.pairs.scenes * recipe.pairs.per_scene
    else:
        assert isinstance(recipe, ReidRecipe)
        total, each = ground.train_sights, recipe.batches.patches
    return max(1, math.ceil(epochs * total / each))


def runs_of(table: Table, planner: Planner, seeds: Iterable[int]) -> list[Run]:
    """All runs of a table, each once: those of the first seed first, and what a run starts from before it.

    Raises SettingError for changes of the planner that make no sense for them.
    """
    runs: dict[str, Run] = {}
    for seed in seeds:
        for row in table.rows:
            for weights in (row.weights, row.reid):
                if weights is not None:
                    runs |= {run.name: run for run in planner.runs(weights, seed)}
    check_changes(planner.changes, list(runs.values()))
    return list(runs.values())


def check_changes(changes: Sequence[str], runs: Sequence[Run]) -> None:
    """Raises SettingError for changes that no run knows, that others make, or that leave no difference between two."""
    for change in changes:
        name = change.partition("=")[0].strip()
        if name in ("seed", "name", "method"):
            raise SettingError(f"--set {change}: rows and --seeds say this; leave it out")
        if not any(has_setting(run.made, name) for run in runs):
            change_settings(runs[0].made, [change])  # raises
    told: dict[str, Run] = {}
    for run in runs if changes else ():
        other = told.setdefault(repr((replace(run.made, name=""), run.start, run.detector)), run)
        if other is not run:
            raise SettingError(
                f"--set {' --set '.join(changes)} makes {other.name} and {run.name} the same: leave it out"
            )


def readings_of(table: Table, planner: Planner, seeds: Iterable[int]) -> list[Reading]:
    """All readings of a table, each once."""
    columns = planner.ground.columns(table)
    found = [
        planner.reading(row, column, seed)
        for seed in seeds
        for row in table.rows
        for column in columns
        if row.weights is not None
    ]
    return list(dict.fromkeys(found))


def estimate(runs: Sequence[Run], scale: Scale) -> float | None:
    """Roughly how many seconds the runs take on two CPU cores; None where nobody has measured a step."""
    kinds = [(type(run.made).__name__, run.made.optimizer.steps) for run in runs]
    if any(kind not in scale.seconds for kind, _ in kinds):
        return None
    return sum(scale.seconds[kind] * steps for kind, steps in kinds)


def read_seeds(text: str) -> tuple[int, ...]:
    """Seeds such as "0,1,2", each once. Raises SettingError."""
    try:
        seeds = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        seeds = ()
    if not seeds or not all(0 <= seed <= LARGEST_SEED for seed in seeds):
        raise SettingError(
            f"--seeds {text or 'without a number'}: give whole numbers from 0 to {LARGEST_SEED}, such as 0,1,2"
        )
    return seeds
