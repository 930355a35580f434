"""Deriving results again: reproduce, verify."""

from __future__ import annotations

import contextlib
import json
from typing import Annotated

import typer

from tracker.cli.app import CHECKING, OneFormat, Quiet, app, find_paths, read_config
from tracker.errors import InputError
from tracker.terminal.lists import note, say


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
        api.record_verdict(read_config(), found, target)
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

    config = read_config()
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
        note(mixed_notes(find_paths(), names or list(config.studies)))
    raise typer.Exit(joint_exit_code(found))
