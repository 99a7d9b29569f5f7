"""Imports point one way; `import personsearch` and `--help` stay light; shipped files exist."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import personsearch

ROOT = Path(personsearch.__file__).parent

# what each part may import, beside itself; `errors`, `files`, `settings` and the package's version are everybody's
ALLOWED = {
    "errors": set(),
    "files": set(),
    "settings": set(),
    "progress": set(),
    "geometry": set(),
    "data": {"geometry"},
    "synthesis": {"geometry", "data"},
    "models": {"geometry", "data"},
    "losses": {"geometry", "data", "models"},
    "training": {"geometry", "data", "models", "losses"},
    "search": {"geometry", "data", "models"},
    "evaluation": {"geometry", "data"},
    "methods": {"data", "models", "losses", "training"},
    "found": {"data", "models"},
    "experiment": {"geometry", "data", "models", "training", "evaluation", "methods", "found"},
    "describe": {"models", "training"},
    "guided": {"data", "models", "search", "evaluation"},
    "judge": {"geometry", "data", "models", "evaluation", "experiment", "guided"},
    "report": {"geometry", "data", "search", "evaluation", "experiment"},
    "demo": {"geometry", "data", "models", "search", "evaluation", "console"},
    "console": {"search"},
    "options": {"models"},
    "cli_data": {"data", "synthesis", "console", "options"},
    "cli_models": {"data", "methods", "experiment", "judge", "report", "describe", "training", "console", "options"},
    "cli": {
        *("cli_data", "cli_models"),
        *("geometry", "data", "synthesis", "models", "losses", "training", "search", "evaluation"),
        *("methods", "experiment", "report", "describe", "demo", "console", "options"),
    },
}
EVERYBODYS = {"errors", "files", "progress", "settings", ""}


def _part(module: str) -> str:
    return module.removeprefix("personsearch").lstrip(".").split(".")[0]


def _imports(path: Path) -> set[str]:
    """Parts of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write whole names, not relative imports"
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {_part(n) for n in names if n.split(".")[0] == "personsearch"}
    return found


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    assert not _imports(path) - ALLOWED[own] - {own} - EVERYBODYS


def test_import_and_help_do_not_load_torch() -> None:
    code = (
        "import sys, personsearch, personsearch.cli.app\n"
        "from typer.testing import CliRunner\n"
        "result = CliRunner().invoke(personsearch.cli.app.app, ['--help'])\n"
        "assert result.exit_code == 0, result.output\n"
        "heavy = {'torch', 'torchvision', 'lancedb', 'av', 'anny', 'warp', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_public_names_are_listed_and_exist() -> None:
    assert personsearch.__all__ == sorted(personsearch.__all__)
    for name in personsearch.__all__:
        assert getattr(personsearch, name) is not None


def test_typed_marker_is_there() -> None:
    assert (ROOT / "py.typed").exists()
