"""The shape of the house: who imports whom, how long a chapter is, what may never stand in it."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).parents[1]
SOURCES = sorted(file for folder in ("tracker", "pipelines") for file in (ROOT / folder).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LONGEST_FILE, LONGEST_FUNCTION, LONGEST_STAGE = 400, 60, 50
Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def trees(paths: list[Path]) -> Iterator[tuple[str, ast.Module]]:
    for path in paths:
        yield name_of(path), parsed(path)


def functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def dotted(node: ast.AST) -> str:
    """`a.b.c` of such an expression, or nothing."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}".lstrip(".")
    return node.id if isinstance(node, ast.Name) else ""


def imported(path: Path, package: Path) -> Iterator[str]:
    """What a file of a package imports, wherever in it the import stands, by dotted names; of `from a import b` a.b."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inside = path.relative_to(package.parent).parts[: -node.level] if node.level else ()
            module = ".".join([*inside, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def circle(package: Path) -> list[str]:
    """Files of a package that import one another in a circle, the first named again at the end; none where none do."""
    names = {path: ".".join(path.relative_to(package.parent).with_suffix("").parts) for path in package.rglob("*.py")}
    files = {name.removesuffix(".__init__"): path for path, name in names.items()}
    graph = {
        path: {files.get(one) or files.get(one.rpartition(".")[0]) for one in imported(path, package)} for path in names
    }
    try:
        TopologicalSorter({path: found - {path, None} for path, found in graph.items()}).prepare()
    except CycleError as error:
        return [str(path.relative_to(package)) for path in reversed(error.args[1])]
    return []


def test_no_files_import_one_another() -> None:
    """The files of tracker form a graph without a circle, imports for types and inside of functions counted, too."""
    files = circle(ROOT / "tracker")
    assert not files, f"a circle of imports; give what both sides need a file of its own: {' -> '.join(files)}"


def test_a_circle_is_named_by_its_files(tmp_path: Path) -> None:
    """An import for types one way and one inside of a function the other way are a circle of these two files alone."""
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "__init__.py").write_text("")
    (tmp_path / "room" / "one.py").write_text("if TYPE_CHECKING:\n    from room.two import Two\n")
    (tmp_path / "room" / "two.py").write_text("def two():\n    from . import one, three\n")
    (tmp_path / "room" / "three.py").write_text("import room.four\n")
    (tmp_path / "room" / "four.py").write_text("")
    assert {"one.py", "two.py"} == set(circle(tmp_path / "room"))


def test_imports_run_downward() -> None:
    """import-linter keeps every contract of pyproject.toml, and the list of layers is exhaustive."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert all(contract["exhaustive"] for contract in contracts if contract["type"] == "layers")


def test_the_test_split_has_one_door() -> None:
    """`datasets.sealed` is imported by the comparison module alone, wherever in a file the import stands."""
    importers = [
        name
        for name, tree in trees(SOURCES)
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.ImportFrom)
            and (node.module == "tracker.datasets.sealed" or any(alias.name == "sealed" for alias in node.names))
        )
        or (isinstance(node, ast.Import) and any(alias.name == "tracker.datasets.sealed" for alias in node.names))
    ]
    assert ["tracker/evaluation/compare.py"] == importers


def test_every_file_opens_with_a_sentence() -> None:
    """The first line of a file says what it is, and ends there."""
    for name, tree in trees(SOURCES):
        text = ast.get_docstring(tree)
        assert text, name
        first = text.splitlines()[0]
        assert first.endswith((".", ";", ":", "?", "`")), name
        assert len(first) >= 20, name


def test_every_test_states_its_promise() -> None:
    """Every test function has a docstring."""
    missing = [
        f"{name}: {function.name}"
        for name, tree in trees(TESTS)
        for function in functions(tree)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert [] == missing


def test_chapters_are_short() -> None:
    """No file of tracker over 400 lines, no stage over 50, no function over 60."""
    for path in SOURCES:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        most = LONGEST_STAGE if path.parent.name == "pipelines" else LONGEST_FILE
        assert lines <= most, name_of(path)
    for name, tree in trees(SOURCES):
        for function in functions(tree):
            assert function.end_lineno is not None
            assert function.end_lineno - function.lineno < LONGEST_FUNCTION, f"{name}: {function.name}"


def test_nothing_read_back_may_execute() -> None:
    """No pickle, eval, exec, torch.load or torch.save, and no shell, in tracker and pipelines."""
    modules = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    calls = {
        "eval",
        "exec",
        "compile",
        "torch.load",
        "torch.save",
        "os.system",
        "os.popen",
        "yaml.load",
        "np.load",
        "numpy.load",
    }
    for name, tree in trees(SOURCES):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert not modules & {alias.name.split(".")[0] for alias in node.names}, f"{name}:{node.lineno}"
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] not in modules, f"{name}:{node.lineno}"
            elif isinstance(node, ast.Call):
                assert dotted(node.func) not in calls, f"{name}:{node.lineno}"
                words = {word.arg: word.value for word in node.keywords}
                assert "shell" not in words, f"{name}:{node.lineno}"


def test_nothing_is_left_to_be_written() -> None:
    """No stubs: no NotImplementedError, no TODO, no function that is only `pass`."""
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert not any(word in text for word in ("NotImplementedError", "TODO", "FIXME", "XXX")), name_of(path)
    for name, tree in trees(SOURCES):
        for function in functions(tree):
            assert not isinstance(function.body[-1], ast.Pass), f"{name}: {function.name}"


def test_no_machine_is_named() -> None:
    """No absolute path of somebody's machine stands in what is shipped."""
    files = [*SOURCES, *TESTS, *(ROOT / name for name in ("dvc.yaml", "params.yaml", "Makefile", "pyproject.toml"))]
    roots = tuple(f"/{name}/" for name in ("home", "root", "work", "Users", "mnt"))
    for path in files:
        assert not any(root in path.read_text(encoding="utf-8") for root in roots), name_of(path)


@pytest.mark.parametrize("path", sorted((ROOT / "pipelines").glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_stages_are_thin(path: Path) -> None:
    """A stage has no logic: no class, no loop over anything, and one function, main."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ["main"] == [function.name for function in functions(tree)]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.For | ast.While)]


def test_the_wheel_holds_tracker_only() -> None:
    """What setuptools would pack is the package `tracker`, all of it, and neither tests nor pipelines nor benchmarks."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = find_packages(str(ROOT), include=settings["tool"]["setuptools"]["packages"]["find"]["include"])
    folders = {str(path.parent.relative_to(ROOT)).replace("/", ".") for path in (ROOT / "tracker").rglob("*.py")}
    assert folders == set(found)
    assert {"tracker": "tracker.cli.__main__:program"} == settings["project"]["scripts"]
    assert ("repro-tracker", "Apache-2.0") == (settings["project"]["name"], settings["project"]["license"])
