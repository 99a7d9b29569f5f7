"""The script for a borrowed GPU: its parts join to what they were cut from."""

import hashlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import half_hour


def test_parts_join_to_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(half_hour, "PART", 10)
    contents = {"model.safetensors": bytes(range(25)), "config.json": b"{}", "projections.safetensors": bytes(10)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    parts = tmp_path / "parts"
    half_hour.split([tmp_path / name for name in contents], parts)
    assert max(part.stat().st_size for part in parts.glob("*.[0-9][0-9]")) <= 10
    sums = dict(reversed(line.split("  ")) for line in (parts / "SHA256SUMS").read_text().splitlines())
    for name, content in contents.items():
        joined = b"".join(part.read_bytes() for part in sorted(parts.glob(f"{name}.[0-9][0-9]")))
        assert joined == content
        assert sums[name] == hashlib.sha256(content).hexdigest()
