"""The API against its own schema: whatever may be asked is answered as it says, and no request is a fault.

Schemathesis makes the requests; its plugin for pytest is left out, for it would slow every run of the tests.
"""

from __future__ import annotations

import socket
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from search_fakes import save_pictures, save_video, searcher

from personsearch.search.gallery import Gallery
from personsearch.search.indexing import index_sources

app_of = pytest.importorskip("personsearch.serve.app", exc_type=ImportError)
pace = pytest.importorskip("personsearch.serve.pace")
uvicorn = pytest.importorskip("uvicorn")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own dependencies
    schemathesis = pytest.importorskip("schemathesis")
hypothesis = pytest.importorskip("hypothesis")

UNTOLD = pytest.importorskip("schemathesis.specs.openapi.checks").positive_data_acceptance
"""No schema can say what is a picture, or which box lies in it: what fits the schema may be refused."""
pytestmark = pytest.mark.slow
EXAMPLES = 10


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("schema")
    save_pictures(place / "photos", 2)
    save_video(place / "walk.avi", seconds=1)
    one = searcher()
    with Gallery.create(place / "g", model="fake", fingerprint=one.fingerprint, dim=one.dim) as gallery:
        index_sources(gallery, one, [place / "photos", place / "walk.avi"], every=0.2)
    return app_of.make_app(Path(place / "g"), searcher, pace=pace.Pace(10**6, 0.0))


@pytest.fixture(scope="module")
def home(app: Any) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True


def test_it_answers_as_its_schema_says(app: Any, home: str) -> None:
    schema = schemathesis.openapi.from_dict(app.openapi())
    operations = [one.ok() for one in schema.get_all_operations()]
    assert len(operations) >= 12
    for operation in operations:
        for mode in schemathesis.GenerationMode:
            _try_all(operation, mode, home)


def _try_all(operation: Any, mode: Any, home: str) -> None:
    """Requests that fit the schema, or, in the negative mode, that break it."""
    quiet = list(hypothesis.HealthCheck)
    given = hypothesis.settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=quiet
    )

    @given
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case.validate_response(case.call(base_url=home), excluded_checks=[UNTOLD])

    with suppress(hypothesis.errors.Unsatisfiable):  # nothing that is asked without words can be asked wrongly
        one()
