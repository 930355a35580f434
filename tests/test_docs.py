"""What the README and docs/ say exists: files, folders, commands, targets, links, Python names, entries of params.yaml."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

import tracker
from tracker import config, errors
from tracker.cli import app
from tracker.hyperparameters import FAMILIES
from tracker.terminal.endings import SIGNALS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
REFERENCE = ROOT / "docs/reference"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
OUTPUTS = ("data/", "reports/", "models/", ".tracker/", "mlruns/", "mlflow.db")  # written by a run


def names_of(paths: list[Path]) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in paths]


def between(page: Path, name: str) -> str:
    """The part of a page between the comments NAME and /NAME."""
    found = re.search(rf"<!-- {name} -->(.*?)<!-- /{name} -->", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found, f"{page.name} has no part {name}"
    return found[1]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def folder_entries() -> list[tuple[str, str]]:
    """Path and description of each row of the table of folders."""
    table = between(ROOT / "docs/architecture.md", "folders")
    return re.findall(r"^\| `([^`]+)` \| (.*) \|$", table, re.MULTILINE)


def test_the_table_of_folders_equals_the_folders() -> None:
    """Every folder and every ground-floor module of tracker/ has one row, and every row has one of them."""
    packages = {f"{path.parent.name}/" for path in (ROOT / "tracker").glob("*/__init__.py")}
    modules = {path.name for path in (ROOT / "tracker").glob("*.py")} - {"__init__.py"}
    named = [name for name, _ in folder_entries()]
    assert len(set(named)) == len(named)
    assert {"pipelines/", *(f"tracker/{name}" for name in packages | modules)} == set(named)


def test_every_row_of_the_table_of_folders_says_something() -> None:
    """No folder is named without what it is for."""
    assert [] == [name for name, about in folder_entries() if len(about) < 10]


def test_commands_exist() -> None:
    """Every `tracker COMMAND` that a page names is a command that people can see, and all of those are in a page."""
    group: Any = typer.main.get_command(app)
    there = {name for name, command in group.commands.items() if not command.hidden}
    pattern = re.compile(r"(?:`|^|[|] )tracker ([a-z]+)", re.MULTILINE)
    named = {page: set(pattern.findall(page.read_text(encoding="utf-8"))) for page in PAGES}
    assert {} == {page.name: found - there for page, found in named.items() if found - there}
    everywhere = set().union(*named.values())
    assert there - {"prepare", "split"} <= everywhere


def test_options_exist() -> None:
    """Every option that a page gives to a `tracker` command is one of its options."""
    group: Any = typer.main.get_command(app)
    unknown = []
    for page in PAGES:
        for name, rest in re.findall(r"tracker ([a-z]+)((?: [^\s`#;|)]+)*)", page.read_text(encoding="utf-8")):
            options = {"--help"} | {o for p in getattr(group.commands.get(name), "params", ()) for o in p.opts}
            unknown += [f"{page.name}: {name} {word}" for word in re.findall(r"--?[a-z-]+", rest) if word.startswith("--")
                        and word not in options]  # fmt: skip
    assert [] == unknown


def test_make_targets_exist() -> None:
    """Every `make TARGET` that a page names is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    pattern = re.compile(r"(?:`|^)make ([a-z-]+)", re.MULTILINE)
    named = {name for page in PAGES for name in pattern.findall(page.read_text(encoding="utf-8"))}
    assert {"repro", "test"} <= named <= targets


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", names_of(PAGES))
def test_links_resolve(page: str) -> None:
    """Every relative link leads to a file or folder of the repository, and its anchor to a heading."""
    path = ROOT / page
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        place = (path.parent / target).resolve() if target else path
        assert place.is_relative_to(ROOT), link
        assert place.exists(), link
        assert not anchor or anchor in anchors(place), link


@pytest.mark.parametrize("page", names_of(PAGES))
def test_files_that_are_named_exist(page: str) -> None:
    """Every path in backticks exists, unless a run writes it or it stands for many."""
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"`((?:tracker|tests|pipelines|benchmarks|docs)/[a-z_][\w./-]*)`", text)
    assert [] == [name for name in named if not (ROOT / name).exists()]
    written = re.findall(r"`((?:data|reports|models|\.tracker)/[\w./-]*)`", text)
    assert all(name.startswith(OUTPUTS) for name in written)


def python_blocks() -> Iterator[tuple[str, ast.Module]]:
    for page in PAGES:
        for number, block in enumerate(blocks(page, "python")):
            yield f"{page.name} {number}", ast.parse(block)


def test_python_blocks_compile_and_name_what_exists() -> None:
    """Every python block compiles; names it imports from tracker, and attributes of tracker that it uses, exist."""
    missing = []
    for place, tree in python_blocks():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tracker"):
                module = importlib.import_module(node.module or "")
                missing += [f"{place}: {alias.name}" for alias in node.names if not hasattr(module, alias.name)]
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "tracker":
                missing += [] if node.attr in tracker.__all__ else [f"{place}: tracker.{node.attr}"]
    assert [] == missing


def test_attributes_of_values_in_the_reference_exist() -> None:
    """What the page on Python reads from a study, a trial, a ranking and a final result is there."""
    kinds: dict[str, type] = {
        "config": tracker.Config,
        "study": tracker.Study,
        "trial": tracker.StudyTrial,
        "ranking": tracker.Ranking,
        "final": tracker.Final,
    }
    used = {
        (node.value.id, node.attr)
        for block in blocks(REFERENCE / "python.md", "python")
        for node in ast.walk(ast.parse(block))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in kinds
    }
    assert set(kinds) == {name for name, _ in used}
    assert [] == [f"{name}.{attribute}" for name, attribute in used if not hasattr(kinds[name], attribute)]


def test_public_names_are_sorted_and_importable() -> None:
    """`tracker.__all__` is sorted, each name is there, and an unknown one is an AttributeError."""
    assert sorted(tracker.__all__) == tracker.__all__
    assert all(hasattr(tracker, name) for name in tracker.__all__)
    assert set(tracker.__all__) <= set(dir(tracker))
    assert not hasattr(tracker, "no_such_name")


def entries(model: type[BaseModel], place: str = "") -> Iterator[str]:
    for declared, field in model.model_fields.items():
        name = field.alias or declared
        kind = field.annotation
        inner = isinstance(kind, type) and issubclass(kind, BaseModel)
        wide = name in {"numeric", "categorical"} and place == "preprocessing."
        yield from entries(kind, f"{place}{name}.") if inner and not wide else [f"{place}{name}"]  # type: ignore[arg-type]


def test_every_entry_of_params_yaml_is_in_the_reference() -> None:
    """The table of entries has each entry that the configuration knows, and no other; hyperparameters are all named."""
    table = (REFERENCE / "params.md").read_text(encoding="utf-8")
    named = {
        name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    }
    known = {name for name in entries(config.Config) if name not in {"studies", "refinements"}}
    known |= {f"studies.NAME.{name}" for name in config.Study.model_fields}
    own = config.Refinement.model_fields.keys() - config.Study.model_fields.keys()
    known |= {f"refinements.NAME.{name}" for name in own}
    assert known == named
    assert all(f"`{name}`" in table for row in FAMILIES.values() for name in row.knobs)


def test_yaml_blocks_are_configurations() -> None:
    """Every yaml block of the README and of the reference is accepted, alone or beside a study."""
    study = "\nstudies: {one: {sampler: manual, configurations: [{}]}}\n"
    for block in [*blocks(README, "yaml"), *blocks(REFERENCE / "params.md", "yaml")]:
        text = block if "studies:" in block else f"seed: 1\n{block}{study}"
        config.parse_config(config.read_yaml(text.encode(), "README"), "README")


def snippets() -> list[str]:
    """Each piece of a params.yaml that a page shows: its yaml blocks, and entries in the text such as `split: {...}`."""
    found = []
    sections = "|".join(field.alias or name for name, field in config.Config.model_fields.items())
    for page in (path for path in PAGES if "decisions" not in path.parts):
        text = page.read_text(encoding="utf-8")
        found += blocks(page, "yaml")
        found += re.findall(r"`((?:" + sections + r"): \{[^`]*\})`", text)
    return found


def test_dvc_reads_every_piece_of_params_yaml_that_is_shown() -> None:
    """DVC's own reader takes each of them and resolves its values; it refuses a bare date, as `check` says."""
    from dvc.parsing.context import Context
    from dvc.utils.serialize import parse_yaml

    shown = snippets()
    assert any("method: time" in piece for piece in shown)
    assert 5 < len(shown)
    for piece in [*shown, (ROOT / "params.yaml").read_text(encoding="utf-8")]:
        Context(parse_yaml(piece, "params.yaml"))
    with pytest.raises(TypeError, match="Unsupported value of type 'date'"):
        Context(parse_yaml("split: {validation_from: 2024-03-01}", "params.yaml"))


def test_exit_codes_are_those_of_the_errors() -> None:
    """Each error is in the table of exit codes, in the row of its code; so is each signal that ends a command."""
    page = (ROOT / "docs/howto/exit-codes.md").read_text(encoding="utf-8")
    rows = {int(code): rest for code, rest in re.findall(r"^\| (\d+) \|(.*)$", page, re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.TrackerError)]
    misplaced = [
        kind.__name__
        for kind in kinds
        if kind is not errors.TrainingError and f"`{kind.__name__}`" not in rows.get(kind.exit_code, "")
    ]
    assert [] == misplaced
    assert {128 + number for number in SIGNALS} <= set(rows)


def test_layers_of_the_architecture_are_those_that_are_checked() -> None:
    """docs/architecture.md draws the layers of the import-linter contract."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    drawn = between(ROOT / "docs/architecture.md", "layers").strip().strip("`").strip().splitlines()
    assert layers == drawn


def test_decisions_are_numbered() -> None:
    """Decisions are called NNNN-title.md, numbered without a gap or a double, and begin with their number."""
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    numbers = [int(page.name[:4]) for page in pages]
    assert len(set(numbers)) == len(numbers)
    assert [] == [page.name for page in pages if not page.read_text(encoding="utf-8").startswith(f"# {page.name[:4]} ")]


def test_the_changelog_says_whether_numbers_change() -> None:
    """Each release has a line `Numbers:`, and the version of pyproject.toml has an entry."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    releases = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert any(release.startswith(f"[{version}]") for release in releases)
    assert all(re.search(r"^Numbers: ", release, re.MULTILINE) for release in releases)


def test_pages_name_no_place_of_one_machine() -> None:
    """No page names an absolute path, or an address other than examples and this machine."""
    path = re.compile(r"(?<![\w.~:/*)\]}])/\w+/")
    address = re.compile(r"https?://(?!127\.0\.0\.1|mlflow\.example)\S+")
    texts = {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    assert {} == {name: found for name, text in texts.items() if (found := path.findall(text) + address.findall(text))}


def test_make_says_that_dvc_wants_git(tmp_path: Path) -> None:
    """In a copy that is no git repository, `make repro` stops before dvc does, and says what to do."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt", ".venv/.installed"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    environ = {**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    done = subprocess.run(
        ["make", "--no-print-directory", "repro"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 2 == done.returncode
    assert (
        "dvc wants a git repository, and this folder is in none: run git init, then make repro again\n" == done.stdout
    )
