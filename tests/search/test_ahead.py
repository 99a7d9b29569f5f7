"""Steps are made ready beside the work on the one before."""

import threading
from collections.abc import Iterator

import pytest

from personsearch.search.ahead import ahead


def test_the_same_steps_in_order() -> None:
    assert list(ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
    assert list(ahead(iter([None, None]))) == [None, None]
    assert list(ahead(iter(()))) == []


def test_the_next_step_is_made_while_this_one_is_worked_on() -> None:
    made = threading.Event()

    def steps() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    for step in ahead(steps()):
        assert made.wait(timeout=20), step  # without the caller asking for another


def test_an_error_comes_in_its_place() -> None:
    def steps() -> Iterator[int]:
        yield 1
        raise ValueError("no 2")

    seen: list[int] = []
    with pytest.raises(ValueError, match="no 2"):
        seen.extend(ahead(steps()))
    assert seen == [1]


def test_who_stops_early_leaves_no_thread() -> None:
    steps = ahead(iter(range(1000)))
    assert next(steps) == 0
    steps.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]
