"""The command line as people meet it: quick help, plain messages, exit codes, lists in three formats."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.studies.project import PARAMS, SmallProject, command, make_table, surroundings
from tracker import cli
from tracker.terminal.chosen_columns import fitting, usual_columns
from tracker.terminal.lists import Format, print_rows

COMMANDS = ("check", "prepare", "split", "tune", "compare", "runs", "show", "sync", "pull", "ui", "report")
HEAVY = ("torch", "optuna", "mlflow", "pandas", "numpy", "sklearn", "pyarrow", "scipy")
HELP = f"""
import sys
from tracker import cli
from tracker.terminal.lists import Format, print_rows
for words in [["--help"], *([name, "--help"] for name in {COMMANDS!r})]:
    sys.argv = ["tracker", *words]
    try:
        cli.main()
    except SystemExit as end:
        assert end.code == 0, words
print("HEAVY", sorted(set(sys.modules) & set({HEAVY!r})))
"""


@pytest.fixture(scope="module")
def tuned(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project with reports of two studies; nothing changes it."""
    project = small_project.copy(tmp_path_factory.mktemp("tuned") / "project")
    for name in ("manual", "random"):
        project.report(project.run(project.plan(name)))
    return project


@dataclass(frozen=True)
class Said:
    """How a command ended and what it wrote."""

    returncode: object
    stdout: str
    stderr: str


@pytest.fixture
def tracker(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """`tracker(folder, "runs", "--limit", "3")`: a command in this process; only what main() lets through is an error."""

    def run(root: Path, *words: str, **environ: str) -> Said:
        monkeypatch.chdir(root)
        for name in ("DVC_ROOT", "MLFLOW_TRACKING_URI", "TRACKER_WORKERS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["tracker", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        return Said(end.value.code, *capsys.readouterr())

    return run


def test_help_is_there_for_every_command_and_loads_no_heavy_library(tmp_path: Path) -> None:
    """--help of the program and of each command works, and imports nothing that takes its time."""
    done = command(tmp_path, "-c", HELP)
    assert (0, "") == (done.returncode, done.stderr)
    assert "HEAVY []" == done.stdout.splitlines()[-1]
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert all(f"Usage: tracker {name} " in done.stdout for name in COMMANDS)
    assert "Traceback" not in done.stdout


def test_the_version_is_that_of_the_package(tracker, tmp_path: Path) -> None:
    """`tracker --version` says which release is installed, in any folder."""
    done = tracker(tmp_path, "--version")
    assert (0, f"repro-tracker {version('repro-tracker')}\n", "") == (done.returncode, done.stdout, done.stderr)


def test_help_lists_commands_in_groups(tracker, tmp_path: Path) -> None:
    """What makes results comes first, then what looks at them, then what keeps house; a hidden command is in none."""
    shown = tracker(tmp_path, "--help").stdout
    titles = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith((" ", "Usage"))]
    assert ["Options:", "Commands:", "Looking at results:"] == titles[:3]
    assert "Keeping house:" == titles[-1]
    first, _, rest = shown.partition("Looking at results:")
    assert all(f"  {name} " in first for name in ("check", "prepare", "split", "tune", "compare"))
    assert all(f"  {name} " in rest for name in ("runs", "show", "ui", "sync"))
    assert "done" not in shown.replace("done:", "")


def test_importing_the_package_is_quick(tmp_path: Path) -> None:
    """`import tracker` alone loads no heavy library."""
    done = command(tmp_path, "-c", f"import sys, tracker; print(sorted(set(sys.modules) & set({HEAVY!r})))")
    assert ("[]\n", "") == (done.stdout, done.stderr)


@pytest.mark.parametrize(
    ("words", "environ", "messages"),
    [
        (
            ["tune", "rnd"],
            {},
            ["no study rnd in params.yaml; there are manual, grid, random, tpe; did you mean random?"],
        ),
        (["runs", "bayes"], {}, ["no report of bayes in "]),
        (["runs", "--sort", "speed"], {}, ["nothing is called 'speed'; there are study, trial, state, value"]),
        (["show", "bayes/1"], {}, ["no report of bayes in "]),
        (["show", "random/99"], {}, ["random has no trial 99; it has 0 to 5"]),
        (["show", "bayes"], {}, ["no study bayes in the store, nor models/bayes/trials.jsonl; there are "]),
        (["show", "random/one"], {}, ["expected STUDY/NUMBER, for example tpe/42, or final; found 'random/one'"]),
        (
            ["tune", "manual"],
            {"TRACKER_WORKERS": "abc"},
            ["TRACKER_WORKERS: expected a whole number from 1 on, found 'abc'"],
        ),
        (
            ["tune", "manual"],
            {"TRACKER_WORKERS": "0"},
            ["TRACKER_WORKERS: expected a whole number from 1 on, found '0'"],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_words_are_a_message_and_code_2(
    tracker, tuned: SmallProject, words: list[str], environ: dict[str, str], messages: list[str]
) -> None:
    """One line for each fault on stderr, nothing on stdout, no traceback, exit code 2."""
    done = tracker(tuned.paths.root, *words, **environ)
    assert (2, "") == (done.returncode, done.stdout)
    lines = done.stderr.splitlines()
    assert len(messages) == len(lines)
    assert all(line.startswith(message) for line, message in zip(lines, messages, strict=True))


@pytest.mark.parametrize("words", [["check"], ["prepare"], ["split"], ["tune", "manual"], ["compare"], ["sync"]])
@pytest.mark.parametrize(
    ("content", "messages"),
    [
        (None, ["cannot be read (No such file or directory)"]),
        ("seed: [", ["line 1, column 8: "]),
        (
            "seed: one\nstudys: {}\n",
            ["seed: expected a whole number, found 'one'", "studies: missing", "studys: unknown"],
        ),
    ],
    ids=["missing", "broken", "faulty"],
)
def test_a_bad_params_yaml_is_a_message_and_code_2(
    tracker, tmp_path: Path, words: list[str], content: str | None, messages: list[str]
) -> None:
    """Every command that needs params.yaml says each fault in a line of its own, and leaves nothing behind."""
    if content is not None:
        (tmp_path / "params.yaml").write_text(content)
    before = sorted(tmp_path.rglob("*"))
    done = tracker(tmp_path, *words)
    assert (2, "") == (done.returncode, done.stdout)
    lines = done.stderr.splitlines()
    assert all(line.startswith(f"{tmp_path / 'params.yaml'}: ") for line in lines)
    assert all(any(message in line for line in lines) for message in messages)
    assert len(messages) == len(lines)
    assert before == sorted(tmp_path.rglob("*"))


def test_words_that_do_not_exist_are_refused(tracker, tmp_path: Path) -> None:
    """Unknown commands and options leave with 2 and no traceback."""
    for words in (
        ["fly"],
        ["runs", "--speed"],
        ["tune"],
        ["tune", "manual", "--workers", "0"],
        ["runs", "--format", "xml"],
    ):
        done = tracker(tmp_path, *words)
        assert (2, "") == (done.returncode, done.stdout)
        assert "Traceback" not in done.stderr


def test_runs_as_json_csv_and_table(tracker, tuned: SmallProject) -> None:
    """The three formats list the same trials in the same order; JSON and CSV keep numbers exact."""
    root = tuned.paths.root
    rows = json.loads(tracker(root, "runs", "--format", "json").stdout)
    assert 9 == len(rows)
    assert sorted((row["value"] for row in rows), reverse=True) == [row["value"] for row in rows]
    report = json.loads((tuned.paths.study_reports / "random.json").read_text())
    exact = {trial["number"]: trial["value"] for trial in report["trials"]}
    assert exact == {row["trial"]: row["value"] for row in rows if row["study"] == "random"}
    places = [f"{row['study']}/{row['trial']}" for row in rows]
    cells = list(csv.DictReader(io.StringIO(tracker(root, "runs", "--format", "csv").stdout)))
    assert places == [f"{row['study']}/{row['trial']}" for row in cells]
    assert [row["val_loss"] for row in rows] == [float(row["val_loss"]) for row in cells]
    header, *lines = tracker(root, "runs").stdout.splitlines()
    assert ["study", "trial", "val_f1"] == header.split()[:3]  # once, under its name; states only where they differ
    assert 1 == header.split().count("val_f1")
    assert places == ["/".join(line.split()[:2]) for line in lines]


def test_columns_are_chosen_by_name(tracker, tuned: SmallProject) -> None:
    """Study, trial and what is asked for, in every format; `all` has keys and seeds; an unknown name is told with the known."""
    root = tuned.paths.root
    words = ["runs", "--columns", "val_loss,epochs", "--limit", "2"]
    assert ["study", "trial", "val_loss", "epochs"] == tracker(root, *words).stdout.splitlines()[0].split()
    assert "study,trial,val_loss,epochs" == tracker(root, *words, "--format", "csv").stdout.splitlines()[0]
    rows = json.loads(tracker(root, *words, "--format", "json").stdout)
    assert [["study", "trial", "val_loss", "epochs"]] * 2 == [list(row) for row in rows]
    assert {"key", "seed", "state", "value"} <= set(tracker(root, "runs", "--columns", "all").stdout.split())
    done = tracker(root, "runs", "--columns", "val_loss,speed")
    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("--columns: nothing is called 'speed'; there are study, trial, ")


def test_a_table_ends_where_the_terminal_does() -> None:
    """As many columns as fit, at least three, all where nobody watches; what is alike in all rows or told twice is left out."""
    cells = [("study", "trial", "val_f1", "units"), ("tpe", "3", "0.7", "32")]
    assert [3, 3, 4, 4] == [fitting(cells, width) for width in (10, 24, 27, None)]
    trials = [{"params": {"units": 8, "lr": 0.1}, "metrics": {"val_f1": 0.5, "val_loss": 1.0}}]
    report = {"objective": {"metric": "val_f1"}, "trials": trials}
    row = {
        "study": "a",
        "trial": 0,
        "state": "complete",
        "value": 0.5,
        "val_f1": 0.5,
        "val_loss": 1.0,
        "units": 8,
        "lr": 0.1,
    }
    usual = usual_columns([row, row | {"trial": 1, "lr": 0.2}], [report])
    assert {"study": "study", "trial": "trial", "value": "val_f1", "lr": "lr", "val_loss": "val_loss"} == usual
    failed = row | {"state": "failed", "reason": "diverged"}
    two = usual_columns([row, failed], [report, report | {"objective": {"metric": "val_loss"}}])
    assert ["study", "trial", "state", "value", "reason", "val_f1"] == list(two)[:6]
    assert "value" == two["value"]


def test_runs_of_one_study_sorted_and_limited(tracker, tuned: SmallProject) -> None:
    """NAME, --sort and --limit."""
    done = tracker(tuned.paths.root, "runs", "random", "--sort", "val_loss", "--limit", "2", "--format", "json")
    rows = json.loads(done.stdout)
    assert ["random", "random"] == [row["study"] for row in rows]
    assert rows[0]["val_loss"] <= rows[1]["val_loss"]


def test_only_a_table_is_cut_off_without_a_limit(capsys: pytest.CaptureFixture[str]) -> None:
    """Thirty trials are ten and a line of a table, all of a CSV."""
    trials = [{"trial": number} for number in range(30)]
    lines = {}
    for output in (Format.table, Format.csv):
        print_rows(trials, output, None, 10)
        lines[output] = capsys.readouterr().out.splitlines()
    assert "10 of 30 trials; all with --limit 30" == lines[Format.table][-1]
    assert (12, 31) == (len(lines[Format.table]), len(lines[Format.csv]))


def test_what_is_cut_off_is_said_below_the_table(tracker, tuned: SmallProject, tmp_path: Path) -> None:
    """`runs` and `compare` say how many trials there are and how to see all; csv and json leave nothing out by themselves.

    Below its table, after a blank line, `compare` says how sure the choice is.
    """
    root = tuned.copy(tmp_path / "project").paths.root
    for name in ("runs", "compare"):
        listed, _, sure = tracker(root, name, "--limit", "2").stdout.partition("\n\n")
        *table, last = listed.splitlines()
        assert (3, "2 of 9 trials; all with --limit 9") == (len(table), last)
        assert (name == "compare") == sure.startswith("how sure: ")
        assert 10 == len(tracker(root, name, "--limit", "9").stdout.partition("\n\n")[0].splitlines())
        assert 3 == len(tracker(root, name, "--limit", "2", "--format", "csv").stdout.splitlines())
        assert 2 == len(json.loads(tracker(root, name, "--limit", "2", "--format", "json").stdout))


@pytest.mark.parametrize("words", [["show", "random/2"], ["reproduce", "random/2"], ["verify", "random"]], ids=" ".join)
def test_only_lists_are_printed_as_csv(tracker, tuned: SmallProject, words: list[str]) -> None:
    """A trial and a verdict are a table or JSON: CSV is not offered and is refused."""
    assert "csv" not in tracker(tuned.paths.root, words[0], "--help").stdout
    done = tracker(tuned.paths.root, *words, "--format", "csv")
    assert (2, "") == (done.returncode, done.stdout)
    assert "'csv' is not one of 'table', 'json'" in done.stderr


def test_a_sync_before_anything_ran_says_what_to_run(tracker, tmp_path: Path) -> None:
    """Where nothing is recorded, no database is said to have every record."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    done = tracker(tmp_path, "sync")
    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.startswith("nothing is recorded here yet: `tracker run`")
    assert not (tmp_path / "mlflow.db").exists()


def test_a_sync_that_cannot_look_does_not_claim_that_all_is_there(tuned: SmallProject, tmp_path: Path) -> None:
    """Everything was delivered, then the experiment was deleted: the reason, no word of "every record", exit code 6."""
    project = tuned.copy(tmp_path / "project")
    said = command(project.paths.root, "-m", "tracker.cli", "show", "random/2").stdout
    assert "in MLflow search runs for: tags.`tracker.key` = '" in said  # not delivered yet
    assert 0 == command(project.paths.root, "-m", "tracker.cli", "sync").returncode
    link = command(project.paths.root, "-m", "tracker.cli", "show", "random/2").stdout.splitlines()[-1]
    address = r"http://127.0.0.1:5000/#/experiments/1/runs/([0-9a-f]{32})\?workflowType=machine_learning"
    run = re.fullmatch(f"in MLflow `tracker ui`, then {address}", link)
    assert run is not None
    with contextlib.closing(sqlite3.connect(project.paths.root / "mlflow.db")) as database:
        named = database.execute("SELECT name FROM runs WHERE run_uuid = ?", (run[1],)).fetchone()
    assert ("random/2",) == named
    with contextlib.closing(sqlite3.connect(project.paths.root / "mlflow.db")) as link, link:
        link.execute("UPDATE experiments SET lifecycle_stage = 'deleted'")
    done = command(project.paths.root, "-m", "tracker.cli", "sync")
    assert (6, "") == (done.returncode, done.stdout)
    assert "was deleted; restore it" in done.stderr
    assert done.stderr.endswith("nothing is lost: `tracker sync` compares again\n")


def test_show_as_text_and_json(tracker, tuned: SmallProject) -> None:
    """`show` says the same as the report, for people and for programs."""
    root = tuned.paths.root
    found = json.loads(tracker(root, "show", "random/2", "--format", "json").stdout)
    report = json.loads((tuned.paths.study_reports / "random.json").read_text())["trials"][2]
    assert report.items() <= found.items()
    assert report["epochs"] == len(found["history"])
    text = tracker(root, "show", "random/2").stdout
    assert report["key"] in text
    assert f"seed      {report['seed']}" in text


def test_show_goes_on_where_the_terminal_lacks_signs(tuned: SmallProject) -> None:
    """A terminal that knows Latin letters alone gets marks in place of bars, not a traceback."""
    done = command(tuned.paths.root, "-m", "tracker.cli", "show", "random/0", PYTHONIOENCODING="latin1")
    assert (0, "") == (done.returncode, done.stderr)
    [curve] = [line for line in done.stdout.splitlines() if line.startswith("val_loss  ?")]
    assert curve.split()[1] == "?" * len(curve.split()[1])


def test_check_runs_nothing(tracker, tuned: SmallProject) -> None:
    """`check` says columns, studies and trials, and leaves the folder as it is."""
    root = tuned.paths.root
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    done = tracker(root, "check")
    assert (0, "") == (done.returncode, done.stderr)
    assert "29 trials: about " in done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_a_table_that_is_not_there(tracker, tmp_path: Path) -> None:
    """`check` and `prepare` name the file."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    for words in (["check"], ["prepare"]):
        done = tracker(tmp_path, *words)
        assert (2, "") == (done.returncode, done.stdout)
        assert "table.csv" in done.stderr
        assert 1 == len(done.stderr.splitlines())


def test_tune_needs_splits(tracker, tmp_path: Path) -> None:
    """Before `split` ran, `tune` says what to run; its store holds nothing."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    done = tracker(tmp_path, "tune", "manual")
    assert (2, "") == (done.returncode, done.stdout)
    assert "the table is not split yet; run `tracker prepare`, then `tracker split`" in done.stderr
    assert 1 == len(done.stderr.splitlines())


def test_the_whole_line_by_hand(tracker, tmp_path: Path) -> None:
    """prepare, split, tune, compare --test: each says what it did; -q says nothing."""
    (tmp_path / "params.yaml").write_text(make_text(["manual"]))
    make_table().to_csv(tmp_path / "table.csv", index=False)
    said = {words: tracker(tmp_path, *words.split()) for words in ("prepare -q", "prepare", "split")}
    said["tune"] = command(tmp_path, "-m", "tracker.cli", "tune", "manual")
    said["compare"] = tracker(tmp_path, "compare", "--test")
    assert dict.fromkeys(said, (0, "")) == {words: (done.returncode, done.stderr) for words, done in said.items()}
    assert "" == said["prepare -q"].stdout
    assert "predicted" in said["prepare"].stdout
    assert "validation" in said["split"].stdout
    assert said["tune"].stdout.startswith("manual: 3 trials, best val_f1 ")
    assert "precision" in said["compare"].stdout
    assert (tmp_path / "reports" / "final.json").is_file()


def make_text(studies: list[str]) -> str:
    """The configuration of these tests with some of its studies."""
    head, tail = PARAMS.split("studies:\n")
    return (
        head
        + "studies:\n"
        + "".join(f"{line}\n" for line in tail.splitlines() if line.split(":")[0].strip() in studies)
    )


def test_the_program_itself_leaves_with_2(tmp_path: Path) -> None:
    """`python -m tracker.cli` in a folder without a project: a message, code 2, no traceback."""
    done = command(tmp_path, "-m", "tracker.cli", "tune", "manual")
    assert (2, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines()))


def test_ctrl_c_says_that_the_same_command_goes_on(small_project: SmallProject, tmp_path: Path) -> None:
    """An interrupted study leaves with 130 and a sentence, no traceback, and no worker."""
    project = small_project.copy(tmp_path / "project")
    text = PARAMS.replace("training: {epochs: 4,", "training: {epochs: 1000000,").replace(
        "patience: 2", "patience: 1000000"
    )
    (project.paths.root / "params.yaml").write_text(text)
    arguments = [sys.executable, "-m", "tracker.cli", "tune", "random", "--workers", "2"]
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # where it is ignored, a child would ignore it too
    try:
        process = subprocess.Popen(
            arguments,
            cwd=project.paths.root,
            env=surroundings(tmp_path, {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, heard)
    try:
        while not (project.paths.store / "locks" / "study-random").exists():
            assert process.poll() is None
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (130, "") == (process.returncode, out)
    assert "stopped; what is finished is kept: the same command goes on\n" == errors
