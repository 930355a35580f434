"""The command line: one function per command, each thin over `tracker.api`."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker.errors import InputError, NotFoundError
from tracker.loading import loading
from tracker.terminal.endings import NOTHING_KEPT, STOPPED, run_command
from tracker.terminal.help import GroupedCommands, say_version
from tracker.terminal.lists import Format, note, print_rows, say

if TYPE_CHECKING:
    from tracker.config import Config

app = typer.Typer(
    cls=GroupedCommands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say each step on a line, also without a terminal.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; changes no number. [env: TRACKER_WORKERS]")]
LOOKING, CHECKING, FOR_DVC, KEEPING = "Looking at results", "Checking", "For DVC", "Keeping house"


class OneFormat(StrEnum):
    """How a trial or a verdict is printed."""

    table = "table"
    json = "json"


@app.callback()
def start_in(
    folder: Annotated[
        str | None, typer.Option("-C", metavar="FOLDER", help="Work as if started in this folder.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=say_version, is_eager=True, help="Say the version of this release.")
    ] = False,
) -> None:
    """Hyperparameter tuning in which every number can be derived again, and is checked."""
    import os

    del version
    if folder is not None:
        try:
            os.chdir(folder)
        except (OSError, ValueError) as error:
            raise InputError(f"-C {folder}: cannot work there ({getattr(error, 'strerror', None) or error})") from None


@app.command()
def init(
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="A .csv or .parquet file, or sklearn:breast_cancer.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="The column to predict.", metavar="COLUMN")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="The column that names a row.", metavar="COLUMN")] = None,
    group: Annotated[
        str | None, typer.Option(help="Rows with the same value stay in one split.", metavar="COLUMN")
    ] = None,
    positive: Annotated[str | None, typer.Option(help="The class that F1 speaks about.", metavar="LABEL")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Leave it out; may be repeated.", metavar="COLUMN")] = None,
    categorical: Annotated[
        list[str] | None, typer.Option(help="Its numbers are codes; may be repeated.", metavar="COLUMN")
    ] = None,
) -> None:
    """Begin a project: look at a table, write params.yaml and dvc.yaml. Overwrites nothing."""
    from tracker.project.begin import Wishes, begin

    wishes = Wishes(table, target, id_, group, positive, tuple(drop or ()), tuple(categorical or ()))
    for line in begin(wishes, _paths().root, typer.prompt if sys.stdin.isatty() else None):
        say(line or " ")


@app.command()
def run(
    workers: Workers = None,
    verbose: Verbose = False,
) -> None:
    """Do all stages without DVC: prepare, split, every study, compare with its look at the test split."""
    from tracker.project.stage import run_all
    from tracker.terminal.leaderboard import closing_lines

    run_all(workers, verbose)
    for line in closing_lines(_paths()):
        say(line)


@app.command()
def check() -> None:
    """Say what would run: columns, studies, trials, time, disk. Runs nothing."""
    with loading():
        from tracker.terminal.forecast import forecast

        lines = list(forecast(_config(), _paths()))
    say("\n".join(line or " " for line in lines))


@app.command()
def prepare(quiet: Quiet = False) -> None:
    """Read and check the table; write data/prepared."""
    from tracker import api

    report = api.prepare(_config())
    say("" if quiet else "\n".join(report.lines()))


@app.command()
def split(quiet: Quiet = False) -> None:
    """Split the prepared table; write data/splits and the sealed data/sealed."""
    from tracker import api

    report = api.split(_config())
    say("" if quiet else "\n".join(report.lines()))


@app.command()
def tune(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Studies of params.yaml.")],
    workers: Workers = None,
    accept: Annotated[
        bool,
        typer.Option(
            "--accept-environment",
            help="Go on though the study was run in another environment. [env: TRACKER_ACCEPT_ENVIRONMENT=1]",
        ),
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run studies, or go on with them: what is in the store is taken, what is missing is computed."""
    from tracker import api
    from tracker.terminal.show import refuse_failed, say_delivered, study_progress, study_summary

    config = _config()
    unknown = [name for name in names if name not in config.studies]
    if unknown:
        raise NotFoundError(f"no study {', '.join(unknown)} in params.yaml; there are {', '.join(config.studies)}")
    for name in names:
        with study_progress(quiet, verbose) as on_progress:
            study = api.tune(
                config,
                name,
                workers=workers,
                accept_environment=accept,
                on_progress=on_progress,
                on_delivery=say_delivered,
            )
        say("" if quiet else study_summary(study))
        refuse_failed(study)


@app.command()
def compare(
    test: Annotated[
        bool, typer.Option("--test", help="Take the look: score the chosen trial on the test split.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many rows; a table has 10, csv and json have all.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print the ranking.")] = Format.table,
    trust: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST", help="Run code of this digest though it is not that of this folder. [env: TRACKER_TRUST]"
        ),
    ] = None,
) -> None:
    """Rank all trials on validation; with --test, score the chosen one on the sealed test split."""
    from tracker import api
    from tracker.studies.superseded import superseded_note
    from tracker.terminal.leaderboard import environment_notes

    ranking = api.compare(_config(), trust=trust)
    columns = ("rank", "study", "trial", "value")
    print_rows([{name: getattr(row, name) for name in columns} for row in ranking.rows], output, limit, 10)
    note(environment_notes(ranking.environments, ranking.mixed))
    note(superseded_note(ranking.superseded, _paths().root, "left out of the ranking"))
    if test:
        from tracker.evaluation.final import summarize

        say("\n".join(summarize(ranking.test(or_stale=True))))


@app.command(rich_help_panel=LOOKING)
def runs(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One study; all if left out.")] = None,
    sort: Annotated[str, typer.Option(help="A metric or a hyperparameter; the best first for metrics.")] = "value",
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many rows; a table has 20, csv and json have all.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="table, csv or json.")] = Format.table,
    everything: Annotated[
        bool, typer.Option("--all", help="Also trials of studies that params.yaml no longer describes, marked.")
    ] = False,
) -> None:
    """List the trials of finished studies that params.yaml describes, the best first."""
    from tracker.studies.superseded import superseded, superseded_note
    from tracker.terminal.leaderboard import leaderboard, notes_of

    paths, whole, old = _paths(), output != Format.table, {}
    with contextlib.suppress(InputError):  # without a params.yaml that can be read nothing is superseded
        old = superseded(_config(), paths)
    left_out = {} if everything or name else old
    trials = leaderboard(paths.study_reports, name, sort, whole=whole, superseded=old, everything=everything)
    print_rows(trials, output, limit, 20)
    note(notes_of(paths, name, left_out))
    note(superseded_note(left_out, paths.root, "left out (`tracker runs --all` lists them)"))


@app.command(rich_help_panel=LOOKING)
def show(
    trial: Annotated[str, typer.Argument(metavar="STUDY/NUMBER", help="For example tpe/42.")],
    output: Annotated[OneFormat, typer.Option("--format", help="table or json.")] = OneFormat.table,
) -> None:
    """Show one trial: params, seed, metrics, its curve, how to find it in MLflow."""
    from tracker.terminal.leaderboard import describe_trial, notes_of, read_trial

    found = read_trial(_paths(), trial)
    say(json.dumps(found, indent=1) if output == OneFormat.json else "\n".join(describe_trial(found)))
    note(notes_of(_paths(), found["study"]))


@app.command(rich_help_panel=CHECKING)
def reproduce(
    target: Annotated[
        str,
        typer.Argument(metavar="RUN", help="STUDY/NUMBER, `final`, an MLflow run id, or the path of a record.json."),
    ],
    record: Annotated[
        bool, typer.Option("--record", help="Write the verdict to the tags of the run in MLflow.")
    ] = False,
    output: Annotated[OneFormat, typer.Option("--format", help="table or json.")] = OneFormat.table,
) -> None:
    """Derive a trial again in a fresh process, compare every bit.

    0 identical, 12 equivalent (in another environment), 10 differs, 11 cannot be derived.
    """
    from tracker import api
    from tracker.deriving.verdict import verdict_json
    from tracker.terminal.verdicts import verdict_lines

    found = api.reproduce(target)
    say(json.dumps(verdict_json(found), indent=1) if output == OneFormat.json else "\n".join(verdict_lines(found)))
    if record:
        api.record_verdict(_config(), found, target)
    raise typer.Exit(found.exit_code)


@app.command(rich_help_panel=CHECKING)
def verify(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME...]", help="Studies of params.yaml.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Store, studies, ranking, looks, final result.")] = False,
    sample: Annotated[int | None, typer.Option(min=1, help="Train only so many trials of each study again.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that train. [env: TRACKER_WORKERS]")] = None,
    output: Annotated[OneFormat, typer.Option("--format", help="table or json.")] = OneFormat.table,
    quiet: Quiet = False,
) -> None:
    """Derive whole studies again, proposals and trials, and compare.

    0 identical, 12 equivalent (in another environment), 10 differs, 11 cannot be derived.
    """
    from tracker import api
    from tracker.deriving.verdict import joint_exit_code, verdict_json
    from tracker.terminal.leaderboard import mixed_notes
    from tracker.terminal.verdicts import verdict_lines, verify_progress

    config = _config()
    if everything == bool(names):
        raise InputError("name the studies to verify, or give --all; not both")
    found = []
    with verify_progress(quiet) as on_step:
        for verdict in api.verify(
            config, names or list(config.studies), sample=sample, pipeline=everything, workers=workers, on_step=on_step
        ):
            found.append(verdict)
            say("" if quiet or output == OneFormat.json else "\n".join(verdict_lines(verdict)))
    say(json.dumps([verdict_json(verdict) for verdict in found], indent=1) if output == OneFormat.json else "")
    with contextlib.suppress(InputError):  # an unreadable report has a verdict
        note(mixed_notes(_paths(), names or list(config.studies)))
    raise typer.Exit(joint_exit_code(found))


@app.command(rich_help_panel=FOR_DVC)
def stage(
    name: Annotated[str, typer.Argument(metavar="STAGE", help="prepare, split, tune or compare.")],
    study: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The study of tune.")] = None,
) -> None:
    """Run one stage as dvc.yaml does: alone, and ended with the dvc that started it."""
    from tracker.project.stage import run_stage

    run_stage(name, () if study is None else (study,))


@app.command(rich_help_panel=KEEPING)
def sync(quiet: Quiet = False) -> None:
    """Deliver to MLflow what waits, and fill it from the store where something is missing."""
    from tracker import api
    from tracker.terminal.show import say_delivered, sync_summary
    from tracker.tracking.addresses import shown_address

    delivered = api.sync(_config())
    say("" if quiet else sync_summary(delivered, shown_address(_paths_uri())))
    say_delivered(delivered)
    if delivered.waiting or delivered.problem:
        raise typer.Exit(6)


@app.command(rich_help_panel=KEEPING)
def pull(
    names: Annotated[list[str] | None, typer.Argument(metavar="[STUDY]...", help="All if left out.")] = None,
    quiet: Quiet = False,
) -> None:
    """Fill the store from MLflow: records and weights, each checked; then `tune` replays without training."""
    from tracker import api
    from tracker.terminal.show import pull_summary

    pulled = api.pull(_config(), names or ())
    say("" if quiet else "\n".join(pull_summary(one) for one in pulled))


@app.command(rich_help_panel=KEEPING)
def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Move rows of the store that cannot be used aside.")] = False,
    output: Annotated[OneFormat, typer.Option("--format", help="table or json.")] = OneFormat.table,
) -> None:
    """Look over the project: store, queue, data, environment, MLflow, DVC, disk, clock; say what is wrong and what to do.

    Runs nothing that was read. Leaves with 0 where nothing is wrong, else with the code that other commands would.
    """
    import time

    from tracker.project import doctor as house

    case = house.Case(_paths(), _paths_uri(), time.time())
    note(house.repair(case) if repair else [])
    found = list(house.examine(case))
    told = [asdict(one) for one in found]
    say(json.dumps(told, indent=1) if output == OneFormat.json else "\n".join(house.lines_of(found)))
    raise typer.Exit(house.exit_code_of(found))


@app.command(rich_help_panel=LOOKING)
def report(quiet: Quiet = False) -> None:
    """Write one page with pictures about everything: reports/index.html, and index.md for a pull request."""
    from tracker.reporting.page import write_page

    written = write_page(_paths(), _config())
    _say("" if quiet else "\n".join(map(str, written)))


@app.command(rich_help_panel=LOOKING)
def ui(port: Annotated[int | None, typer.Option(help="A free one if left out.")] = None) -> None:
    """Open the MLflow UI on 127.0.0.1 and print its link; Ctrl-C ends it."""
    from tracker.tracking.server import serve_ui

    raise typer.Exit(serve_ui(_paths_uri(), port, say))


@app.command(hidden=True)
def done() -> None:
    """Say where the results are and what to try next (the end of `make repro`)."""
    from tracker.terminal.leaderboard import closing_lines

    for line in closing_lines(_paths()):
        say(line)


def main() -> None:
    """Runs a command; what was raised on purpose becomes a message on stderr and its exit code."""
    words = sys.argv[3:] if sys.argv[1:2] == ["-C"] else sys.argv[1:]
    run_command(app, NOTHING_KEPT if words[:1] in (["reproduce"], ["verify"]) else STOPPED)


def _config() -> Config:
    from tracker.config import load_config

    return load_config(_paths().params)


def _paths() -> Any:
    from tracker.paths import project_paths

    return project_paths()


def _paths_uri() -> str:
    import os

    uri: str = _paths().tracking_uri(os.environ)
    return uri


if __name__ == "__main__":
    main()
