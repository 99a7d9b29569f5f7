"""A mark changes with what is annotated, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from layout_fixtures import make_benchmark

from personsearch.data.marks import mark_of_benchmark
from personsearch.data.records import Benchmark, Person


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    return make_benchmark(tmp_path_factory.mktemp("marks") / "one")


def test_it_does_not_depend_on_where_pictures_lie(made: Benchmark, tmp_path: Path) -> None:
    assert mark_of_benchmark(make_benchmark(tmp_path / "other")) == mark_of_benchmark(made)
    assert mark_of_benchmark(replace(made, name="other", notes=("one",))) == mark_of_benchmark(made)


def test_it_changes_with_everything_that_is_annotated(made: Benchmark) -> None:
    scene = next(scene for scene in made.train if scene.persons)
    person = scene.persons[0]
    x1, y1, x2, y2 = person.box
    people: tuple[Person, ...] = (
        replace(person, box=(x1, y1, x2, y2 + 1)),
        replace(person, identity=person.identity + 1),
        replace(person, visible=0.5),
    )
    scenes = [replace(scene, persons=(other, *scene.persons[1:])) for other in people]
    scenes += [replace(scene, name="other"), replace(scene, width=9), replace(scene, camera=9)]
    train = [tuple(other if one is scene else one for one in made.train) for other in scenes]
    others = [replace(made, train=some) for some in (*train, made.train[1:])]
    others += [replace(made, test=made.test[::-1]), replace(made, queries=made.queries[1:])]
    others += [replace(made, train=made.test, test=made.train)]
    others += [replace(made, queries=tuple(replace(query, gallery=()) for query in made.queries))]
    assert len({mark_of_benchmark(one) for one in (made, *others)}) == len(others) + 1
