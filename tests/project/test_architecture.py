"""Imports point down, functions are short, `import personsearch` and `--help` stay light, shipped files exist."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import personsearch

ROOT = Path(personsearch.__file__).parent

FLOORS = (
    ("errors", "progress"),
    ("files", "geometry", "runtime", "settings"),
    ("data",),
    ("models", "synthesis"),
    ("losses", "search"),
    ("training", "evaluation"),
    ("experiment", "export", "serve"),
    ("reproduce",),
    ("cli",),
)
"""Each room imports from the floors below its own, and nothing beside it."""
PURE = ("evaluation/metrics.py", "evaluation/protocols.py", "evaluation/cbgm.py")
"""The rules of evaluation: they know boxes and benchmarks, and no network."""
MOST_LINES = 50
"""Of a function, its signature and docstring included."""
FILES = sorted(ROOT.rglob("*.py"))
_names = {"ids": lambda path: str(path.relative_to(ROOT))}


def _room(module: str) -> str:
    return module.removeprefix("personsearch").lstrip(".").split(".")[0]


def _imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write whole names, not relative imports"
            modules = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        found |= {m for m in modules if m.split(".")[0] == "personsearch"}
    return found


def _is_module(name: str) -> bool:
    path = ROOT.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("path", FILES, **_names)
def test_imports_point_down(path: Path) -> None:
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if own in ("__init__", "__main__"):
        return
    floor = next(number for number, rooms in enumerate(FLOORS) if own in rooms)
    below = {room for rooms in FLOORS[:floor] for room in rooms}
    rooms = {_room(module) for module in _imports(path) if _is_module(module)}
    assert not rooms - below - {own, ""}


@pytest.mark.parametrize("name", PURE)
def test_the_rules_of_evaluation_know_no_network(name: str) -> None:
    rooms = {_room(module) for module in _imports(ROOT / name) if _is_module(module)}
    assert rooms <= {"", "errors", "geometry", "data", "evaluation"}
    own = {module for module in _imports(ROOT / name) if _room(module) == "evaluation" and _is_module(module)}
    assert own - {"personsearch.evaluation"} <= {f"personsearch.{other[:-3].replace('/', '.')}" for other in PURE}


def test_no_modules_import_each_other() -> None:
    graph = {}
    for path in FILES:
        name = ".".join(["personsearch", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
        graph[name] = {m for m in _imports(path) if (ROOT.parent / Path(*m.split("."))).with_suffix(".py").is_file()}
    TopologicalSorter(graph).prepare()  # raises CycleError


def test_the_root_of_the_package_is_no_store_room() -> None:
    loose = {path.stem for path in ROOT.glob("*.py")} - {"__init__", "__main__"}
    assert len(loose) <= 6, loose


@pytest.mark.parametrize("path", FILES, **_names)
def test_functions_are_short(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= MOST_LINES, f"{node.name} has {lines} lines"


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
    assert list(personsearch._HOMES) == personsearch.__all__


def test_former_names_are_the_same_things() -> None:
    from personsearch.search.searchers import SceneSearcher

    assert personsearch.SceneSearcher is SceneSearcher is personsearch.SceneEncoder


def test_public_names_are_where_they_were() -> None:
    from personsearch.experiment import evaluate_model, train
    from personsearch.search.gallery import Gallery

    assert personsearch.evaluate_model is evaluate_model
    assert personsearch.train is train
    assert personsearch.Gallery is Gallery


def test_typed_marker_is_there() -> None:
    assert (ROOT / "py.typed").exists()
