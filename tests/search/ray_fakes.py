"""A fake model that takes its time, for workers in processes of their own."""

from __future__ import annotations

import os
import time
from pathlib import Path

from search_fakes import FakeModel, searcher

from personsearch.search.searchers import SceneEncoder


def slow() -> SceneEncoder:
    return _before(lambda: time.sleep(0.3))


def fatal() -> SceneEncoder:
    """Ends its process at the first scene that it sees after the file of this name is there."""

    def end() -> None:
        if Path(os.environ["RAY_TEST_END"]).exists():
            os._exit(1)

    return _before(end)


def other() -> SceneEncoder:
    return searcher("fake-2")


def broken() -> SceneEncoder:
    raise ValueError("no weights here")


def _before(do: object) -> SceneEncoder:
    one = searcher()
    assert isinstance(one.model, FakeModel)
    one.model.before = do  # type: ignore[assignment]
    return one
