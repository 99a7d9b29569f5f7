"""`serve` from the command line: what it refuses before it starts."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from search_fakes import searcher
from typer.testing import CliRunner

from personsearch.cli.app import app
from personsearch.search.gallery import Gallery

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What uvicorn is told, instead of running."""
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(uvicorn, "run", lambda _app, **options: told.append(options))
    return told


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    one = searcher()
    Gallery.create(tmp_path / "g", model="fake", fingerprint=one.fingerprint, dim=one.dim).close()
    return tmp_path / "g"


def serve(*options: object) -> tuple[int, str]:
    told = CliRunner().invoke(app, ["serve", *map(str, options)])
    assert told.exit_code == 0 or len(told.stderr.strip().splitlines()) == 1, told.stderr
    return told.exit_code, told.stderr


def test_it_says_where_it_is(gallery: Path, started: list[dict[str, Any]]) -> None:
    code, line = serve(gallery)
    assert (code, "http://127.0.0.1:8765" in line) == (0, True)
    assert "ssl_certfile" not in started[0]


def test_an_address_that_cannot_be_had_is_one_line_with_what_to_do(
    gallery: Path, started: list[dict[str, Any]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert "give another --port" in serve(gallery, "--port", other.getsockname()[1])[1]
    token = ("--token", "letmein0123456789", "--proxy")
    assert "no such address" in serve(gallery, "--host", "nohost.invalid", *token)[1]
    assert "of this machine" in serve(gallery, "--host", "192.0.2.1", *token)[1]
    assert not started


def test_others_need_a_token_and_tls(gallery: Path, started: list[dict[str, Any]]) -> None:
    token = ("--token", "letmein0123456789")
    assert "--token" in serve(gallery, "--host", "0.0.0.0")[1]
    assert "--certificate" in serve(gallery, "--host", "0.0.0.0", *token)[1]
    assert not started
    assert serve(gallery, "--host", "0.0.0.0", *token, "--proxy")[0] == 0


def test_certificates_are_looked_at_first(gallery: Path, tmp_path: Path, started: list[dict[str, Any]]) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    text = tmp_path / "text.pem"
    assert "go together" in serve(gallery, "--certificate", text)[1]
    assert "PEM" in serve(gallery, "--certificate", text, "--key", text)[1]
    assert "PEM" in serve(gallery, "--certificate", tmp_path / "nowhere", "--key", text)[1]
    assert not started
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    try:
        subprocess.run([*made, "-keyout", tmp_path / "k", "-out", tmp_path / "c"], check=True, capture_output=True)
    except OSError:
        pytest.skip("no openssl is here to make a certificate with")
    code, line = serve(gallery, "--certificate", tmp_path / "c", "--key", tmp_path / "k")
    assert (code, "https://127.0.0.1" in line) == (0, True)
    assert started[0]["ssl_certfile"] == str(tmp_path / "c")
