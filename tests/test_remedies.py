"""Messages name commands that exist where they are read."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tracker import remedies
from tracker.remedies import NO_SCM, fetch_again, has_git, lacking_for_dvc, run_again, stage_command


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project without dvc.yaml."""
    (tmp_path / "params.yaml").touch()
    return tmp_path


def begin_dvc(folder: Path) -> None:
    """A dvc.yaml, and what `dvc init --no-scm` leaves."""
    (folder / "dvc.yaml").touch()
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text(f"[core]\n    {NO_SCM}\n")


def test_without_dvc_yaml_our_own_commands_are_named(project: Path) -> None:
    """From any path of the project: one command per stage, one for all, and no word of DVC."""
    near = project / "data" / "splits" / "manifest.json"
    assert "`tracker split`" == stage_command(near, "split")
    assert "`tracker tune tpe`" == stage_command(near, "tune", "tpe")
    assert "`tracker compare --test`" == stage_command(near, "compare")
    assert "run `tracker run`" == run_again(near) == fetch_again(near)


def test_with_dvc_yaml_its_stages_are_named(project: Path) -> None:
    """Where the project has a dvc.yaml that dvc can run, DVC's commands are the ones to run."""
    begin_dvc(project)
    near = project / "reports" / "studies" / "tpe.json"
    assert "`dvc repro split`" == stage_command(near, "split")
    assert "`dvc repro tune@tpe`" == stage_command(near, "tune", "tpe")
    assert "run `dvc repro`" == run_again(near)
    assert "fetch it again with `dvc pull`, or run `dvc repro`" == fetch_again(near)


def test_a_dvc_yaml_without_dvc_installed_is_not_spoken_of(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone on a machine without DVC names our own commands."""
    begin_dvc(project)
    monkeypatch.setattr(remedies.shutil, "which", lambda *_, **__: None)
    assert "`tracker run`" == stage_command(project)


@pytest.mark.parametrize(
    ("taken", "lacking"),
    [(".dvc/config", "dvc wants a git repository: run `git init`"), (".dvc", "run `dvc init` once")],
)
def test_a_dvc_yaml_that_dvc_cannot_run_is_not_spoken_of(project: Path, taken: str, lacking: str) -> None:
    """Without git, unless DVC was told so, and without `dvc init`, `dvc repro` fails: our own commands are named."""
    begin_dvc(project)
    (project / ".dvc" / "config").unlink()
    if taken == ".dvc":
        (project / ".git").mkdir()
        (project / ".dvc").rmdir()
    assert ("`tracker run`", lacking) == (stage_command(project), lacking_for_dvc(project))
    refused = subprocess.run(["dvc", "status"], cwd=project, capture_output=True, check=False)
    assert refused.returncode != 0


@pytest.mark.parametrize("begun", [True, False])
def test_a_copy_without_git_is_told_what_makes_dvc_run_there(project: Path, begun: bool) -> None:
    """The commands that the message names, in their order, are all that it takes; so is what `dvc config` would write."""
    begin_dvc(project)
    (project / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    if not begun:
        shutil.rmtree(project / ".dvc")
    for command in re.findall("`(.*?)`", lacking_for_dvc(project)):
        subprocess.run(command.split(), cwd=project, capture_output=True, check=True)
    subprocess.run(["dvc", "status"], cwd=project, capture_output=True, check=True)
    assert "`dvc repro`" == stage_command(project)
    shutil.rmtree(project / ".git")
    assert "`tracker run`" == stage_command(project)
    subprocess.run(["dvc", "config", "core.no_scm", "true"], cwd=project, capture_output=True, check=True)
    assert "`dvc repro`" == stage_command(project)


@pytest.mark.parametrize(
    ("name", "line", "runs"),
    [
        ("config", "no_scm=true", True),
        ("config.local", "no_scm = True", True),
        ("config", "# no_scm = True", False),
        ("config", "no_scm = False", False),
    ],
)
def test_what_dvc_is_told_of_git_is_read_as_dvc_reads_it(project: Path, name: str, line: str, runs: bool) -> None:
    """With any spaces, in either file, and not in a comment: as `dvc status` itself then goes or fails."""
    begin_dvc(project)
    (project / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    with (project / ".dvc" / name).open("a") as config:
        config.write(f"{'' if name == 'config' else '[core]'}\n    {line}\n")
    done = subprocess.run(["dvc", "status"], cwd=project, capture_output=True, check=False)
    assert (done.returncode == 0) is runs
    assert stage_command(project) == ("`dvc repro`" if runs else "`tracker run`")


def test_a_project_that_was_run_without_dvc_is_told_the_same_commands(project: Path) -> None:
    """Whoever split by `tracker run` beside a dvc.yaml goes on so; what `dvc repro` made has a dvc.lock."""
    begin_dvc(project)
    splits = project / "data" / "splits"
    splits.mkdir(parents=True)
    (splits / "manifest.json").touch()
    assert "`tracker tune tpe`" == stage_command(splits, "tune", "tpe")
    (project / "dvc.lock").touch()
    assert "`dvc repro tune@tpe`" == stage_command(splits, "tune", "tpe")


def test_the_nearest_project_counts(project: Path) -> None:
    """A project inside another one's folder is a project of its own."""
    inner = project / "inner"
    inner.mkdir()
    begin_dvc(project)
    (inner / "params.yaml").touch()
    assert "`tracker run`" == stage_command(inner / "data")
    assert "`dvc repro`" == stage_command(project / "data")


def test_git_is_seen_from_inside_a_checkout(project: Path) -> None:
    """A folder below one with `.git` is in a checkout, another is not."""
    assert not has_git(project / "reports")
    (project / ".git").mkdir()
    assert has_git(project / "reports")


def told_texts() -> list[tuple[str, str]]:
    """Every text of the package with the file it is in, docstrings left out; what an f-string fills in is `NAME`."""
    found = []
    for path in sorted(Path(remedies.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                found.append((path.name, "".join(str(getattr(part, "value", "")) if isinstance(part, ast.Constant) else "NAME"
                                                 for part in node.values)))  # fmt: skip
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docs | inner):
                found.append((path.name, node.value))
    return found


def test_messages_name_commands_and_options_that_exist() -> None:
    """Each `tracker COMMAND --option` in backquotes in a text of the program is one that the command line has."""
    import typer.main

    from tracker.cli import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    said = [
        (file, words.split()) for file, text in told_texts() for words in re.findall(r"`tracker ([a-z][^`]*)`", text)
    ]
    assert len(said) > 50
    for file, (name, *words) in said:
        assert name in commands, f"{file}: tracker {name}"
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word.partition("=")[0] for word in words if word.startswith("-")} <= options, f"{file}: {name} {words}"


def test_messages_name_entries_that_exist() -> None:
    """Each `say SECTION.ENTRY` in a text of the program is an entry of params.yaml."""
    from tracker.config import Config

    said = [
        (file, *entry)
        for file, text in told_texts()
        for entry in re.findall(r"\b(?:say|write|set) ([a-z]+)\.([a-z_]+):", text)
    ]
    assert len(said) > 15
    for file, section, entry in said:
        part = Config.model_fields[section].annotation
        assert section == "studies" or entry in getattr(part, "model_fields", {}), f"{file}: {section}.{entry}"
