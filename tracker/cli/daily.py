"""From a table to a result: init, run, check, prepare, split, tune, compare."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from typing import Annotated

import typer

from tracker.cli.app import Address, Executor, OneFormat, Quiet, Trust, Verbose, Workers, app, find_paths, read_config
from tracker.errors import LookWithheld, NotFoundError, TestLooksSpent
from tracker.loading import loading
from tracker.shown import there_are
from tracker.terminal.lists import Format, note, say


@app.command()
def init(
    table: Annotated[
        str | None,
        typer.Argument(
            metavar="[TABLE]", help="A .csv, .parquet, .npz or .ts file, a folder of images, or sklearn:digits."
        ),
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
    preset: Annotated[
        str | None, typer.Option(help="strong: residual blocks and embeddings, for tables.", metavar="NAME")
    ] = None,
) -> None:
    """Begin a project: look at a table, write params.yaml and dvc.yaml. Overwrites nothing."""
    from tracker.project.begin import Wishes, begin

    wishes = Wishes(table, target, id_, group, positive, tuple(drop or ()), tuple(categorical or ()), preset)
    for line in begin(wishes, find_paths().root, typer.prompt if sys.stdin.isatty() else None):
        say(line or " ")


@app.command()
def run(
    workers: Workers = None,
    verbose: Verbose = False,
) -> None:
    """Do all stages without DVC: prepare, split, every study, compare with its look at the test split."""
    from tracker.project.stage import run_all
    from tracker.terminal.leaderboard import next_lines

    run_all(workers, verbose)
    say("\n".join(next_lines(find_paths())))


@app.command()
def check() -> None:
    """Say what would run: columns, studies, trials, time, disk, memory. Trains nothing; draws rows of images and sequences."""
    with loading():
        from tracker.project.watched import unwatched
        from tracker.remedies import has_dvc
        from tracker.terminal.forecast import forecast

        lines = list(forecast(read_config(), find_paths(), find_paths().pictures))
        lines += [f"warning: {line}" for line in unwatched(find_paths().root) if has_dvc(find_paths().root)]
    say("\n".join(line or " " for line in lines))


@app.command()
def prepare(quiet: Quiet = False) -> None:
    """Read and check the table; write data/prepared."""
    from tracker import api
    from tracker.terminal.split_foreseen import as_the_split_sees

    config = read_config()
    report = as_the_split_sees(api.prepare(config), config.split)
    say("" if quiet else "\n".join(report.lines()))


@app.command()
def split(quiet: Quiet = False) -> None:
    """Split the prepared table; write data/splits and the sealed data/sealed."""
    from tracker import api

    report = api.split(read_config())
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
    executor: Executor = None,
    address: Address = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run studies, or go on with them: what is in the store is taken, what is missing is computed."""
    from tracker import api
    from tracker.datasets.made_with import unrecorded
    from tracker.terminal.progress import study_progress
    from tracker.terminal.show import (
        Capped,
        capped_by_epochs,
        epochs_advice,
        refuse_failed,
        say_delivered,
        study_summary,
    )
    from tracker.tracking.meeting import stages_of_this_process

    config = read_config()
    unknown = [name for name in names if name not in config.studies]
    if unknown:
        raise NotFoundError(f"no study {', '.join(unknown)} in params.yaml; {there_are(unknown[0], config.studies)}")
    project = api.Project.now(executor=executor, address=address)
    note([line for line in [unrecorded(project.paths)] if line])
    capped: list[Capped] = []
    try:
        for place, name in enumerate(names, start=1):  # with one delivery process for all
            shared = stages_of_this_process(more=place < len(names)) if len(names) > 1 else nullcontext()
            with shared, study_progress(quiet, verbose) as on_progress:
                study = api.tune(
                    config,
                    name,
                    workers=workers,
                    project=project,
                    accept_environment=accept,
                    on_progress=on_progress,
                    on_delivery=say_delivered,
                )
            capped += capped_by_epochs(study.result)
            say("" if quiet else study_summary(study, advice=False))
            refuse_failed(study)
    finally:
        say("" if quiet else "\n".join(epochs_advice(capped)))


@app.command()
def compare(
    trials: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TRIAL TRIAL]", help="Two trials, such as tpe/4 manual/0, on the same rows."),
    ] = None,
    test: Annotated[
        bool, typer.Option("--test", help="Take the look: score the chosen trial on the test split.")
    ] = False,
    anyway: Annotated[
        bool,
        typer.Option("--anyway", help="With --test: also of a changed table, or where no better than a majority vote."),
    ] = False,
    fail_if_stale: Annotated[
        bool,
        typer.Option("--fail-if-stale", help="With --test: leave with 3 where looks are spent and it stays closed."),
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many rows; a table has 10, csv and json have all.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to print the ranking.")] = Format.table,
    trust: Trust = None,
) -> None:
    """Rank all trials on validation, or say which of two is better; with --test, score the chosen one on the test split."""
    from tracker import api
    from tracker.terminal.compared import say_ranking
    from tracker.terminal.progress import study_progress

    config = read_config()
    if trials:
        from tracker.evaluation.paired_trials import compare_trials

        say("\n".join(compare_trials(config, trials, trust=trust).lines()))
        return
    with study_progress() as on_progress:
        ranking = api.compare(config, trust=trust, on_progress=on_progress)
    say_ranking(ranking, config, find_paths(), output, limit)
    if test:
        from tracker.evaluation.final import summarize

        try:
            final = ranking.test(or_stale=True, anyway=anyway)
        except LookWithheld as withheld:
            say(str(withheld))
            return
        say("\n".join(summarize(final, ranking.objective["metric"])))
        if fail_if_stale and final.stale:
            raise typer.Exit(TestLooksSpent.exit_code)


@app.command()
def nested(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A study of params.yaml.")],
    outer: Annotated[int, typer.Option(min=2, max=100, help="How many outer folds; the study runs once for each.")] = 5,
    workers: Workers = None,
    output: Annotated[OneFormat, typer.Option("--format", help="table or json.")] = OneFormat.table,
    quiet: Quiet = False,
    verbose: Verbose = False,
    trust: Trust = None,
) -> None:
    """Score a study without a test split: it runs on the rows outside of each outer fold and is scored on the fold."""
    from functools import partial

    from tracker import api
    from tracker.evaluation.nested import nested as score
    from tracker.terminal.progress import study_progress
    from tracker.terminal.show import deliver_waiting
    from tracker.tracking.fetch_model import fetch_model

    config, project = read_config(), api.Project.now(workers=workers)
    fetch = partial(fetch_model, project.tracking_uri)
    with study_progress(quiet, verbose) as on_progress:
        found = score(
            config,
            name,
            outer,
            project.paths,
            fetch,
            workers=project.workers,
            trust=trust,
            on_progress=on_progress,
        )
    deliver_waiting(config)
    if output == OneFormat.json:
        say(json.dumps(found.content, indent=1))
    else:
        say("" if quiet else "\n".join(found.lines()))
