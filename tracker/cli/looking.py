"""Looking at results: runs, show, looks, report, ui."""

from __future__ import annotations

import contextlib
import json
from typing import Annotated

import typer

from tracker.cli.app import LOOKING, OneFormat, Quiet, app, find_paths, read_config, tracking_uri
from tracker.errors import InputError
from tracker.shapes import CONFIRMS, NESTED
from tracker.terminal.lists import Format, note, print_rows, say

IN_TABLE = 20  # rows, where no limit is given


@app.command(rich_help_panel=LOOKING)
def runs(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One study; all if left out.")] = None,
    sort: Annotated[str, typer.Option(help="A metric or a hyperparameter; the best first for metrics.")] = "value",
    limit: Annotated[
        int | None, typer.Option(min=1, help="How many rows; a table has 20, csv and json have all.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="table, csv or json.")] = Format.table,
    columns: Annotated[
        str | None, typer.Option(help="Such as val_loss,learning_rate; all: every one.", metavar="NAME,NAME")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also trials of studies that params.yaml no longer describes, marked.")
    ] = False,
) -> None:
    """List the trials of finished studies that params.yaml describes, the best first."""
    from tracker.studies.begun import begun
    from tracker.studies.superseded import superseded, superseded_note
    from tracker.terminal.chosen_columns import asked_columns, usual_columns
    from tracker.terminal.leaderboard import leaderboard, notes_of, read_reports, shown_params

    paths, whole, old = find_paths(), output != Format.table or columns is not None, {}
    with contextlib.suppress(InputError):  # without a params.yaml that can be read nothing is superseded
        old = superseded(read_config(), paths)
    left_out = {} if everything or name else old
    trials = leaderboard(paths.study_reports, name, sort, whole=whole, superseded=old, everything=everything)
    told = {name: name for name in asked_columns(trials, columns)} if columns else None
    if told is None and not whole:  # programs get every column
        reports = read_reports(paths.study_reports, name)
        told = usual_columns(trials[: limit or IN_TABLE], reports, shown_params(reports, paths.root))
    print_rows(trials, output, limit, IN_TABLE, told)
    note(notes_of(paths, name, left_out))
    note(begun(paths.root, name))
    note(superseded_note(left_out, paths.root, "left out (`tracker runs --all` lists them)"))


@app.command(rich_help_panel=LOOKING)
def show(
    trial: Annotated[
        str,
        typer.Argument(
            metavar="STUDY[/NUMBER]|final",
            help="A trial, such as tpe/42, or tpe/42@KEY of an earlier study; a study, such as tpe, or nested.tpe; "
            "the run that was scored.",
        ),
    ],
    output: Annotated[OneFormat, typer.Option("--format", help="table or json.")] = OneFormat.table,
) -> None:
    """Show one trial, or what was scored: params, seed, metrics, its curve; or a study: its space and importances."""
    from tracker.deriving.find_trial import namesakes
    from tracker.studies.begun import begun
    from tracker.terminal.leaderboard import describe_trial, notes_of, read_trial
    from tracker.tracking.server import trial_line

    paths = find_paths()
    if trial.startswith(NESTED) and "/" not in trial:
        from tracker.evaluation.nested import Nested, read_nested, report_path

        told = Nested(read_nested(report_path(paths, trial.removeprefix(NESTED))))
        say(json.dumps(told.content, indent=1) if output == OneFormat.json else "\n".join(told.lines()))
        return
    if "/" not in trial and trial != "final":
        from tracker.terminal.show_study import describe_study, read_study_shown

        study = read_study_shown(paths, trial)
        say(json.dumps(study, indent=1) if output == OneFormat.json else "\n".join(describe_study(study)))
        note(begun(paths.root, trial))
        return
    if trial == "final":
        from tracker.terminal.show_final import describe_final, read_final

        found, describe = read_final(paths), describe_final
    elif "@" in trial:
        from tracker.terminal.show_earlier import read_earlier

        found, describe = read_earlier(paths, trial), describe_trial
    elif trial.startswith(CONFIRMS):
        from tracker.terminal.show_earlier import read_confirming

        found, describe = read_confirming(paths, trial), describe_trial
    else:
        found, describe = read_trial(paths, trial), describe_trial
    if output == OneFormat.json:
        say(json.dumps(found, indent=1))
    else:
        shown = trial_line(tracking_uri(), found["key"], trial if trial == "final" else "trial")
        say("\n".join([*describe(found), f"in MLflow {shown}"]))
    note(
        []
        if "@" in trial or trial.startswith(CONFIRMS)
        else [*namesakes(paths, trial), *notes_of(paths, found["study"])]
    )


@app.command(rich_help_panel=LOOKING)
def looks() -> None:
    """List who looked at the test split when; what is spent, what a next look would cost."""
    from tracker.terminal.looks import look_lines

    say("\n".join(look_lines(find_paths(), read_config().compare)))


@app.command(rich_help_panel=LOOKING)
def report(quiet: Quiet = False) -> None:
    """Write one page with pictures about everything: reports/index.html, and index.md for a pull request."""
    from tracker.reporting.page import write_page

    written = write_page(find_paths(), read_config())
    say("" if quiet else "\n".join(map(str, written)))


@app.command(rich_help_panel=LOOKING)
def ui(
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="A free one if left out.")] = None,
    browser: Annotated[bool | None, typer.Option(help="Open it, or not; by itself on a desktop.")] = None,
) -> None:
    """Open the studies in the MLflow UI on 127.0.0.1, best first, and print the address; Ctrl-C ends it."""
    from tracker.tracking.server import serve_ui

    raise typer.Exit(serve_ui(tracking_uri(), find_paths().params, port, say, browser))


@app.command(hidden=True)
def done() -> None:
    """Say where the results are and what to try next (the end of `make repro`)."""
    from tracker.terminal.leaderboard import closing_lines
    from tracker.tracking.server import closing_line

    for line in [*closing_lines(find_paths()), closing_line(tracking_uri(), find_paths().params)]:
        say(line)
