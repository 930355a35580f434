"""Stages for DVC, and keeping house: sync, pull, clean, doctor."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from tracker.cli.app import FOR_DVC, KEEPING, OneFormat, Quiet, app, find_paths, read_config, tracking_uri
from tracker.terminal.lists import note, say


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

    delivered = api.sync(read_config())
    say("" if quiet else sync_summary(delivered, shown_address(tracking_uri())))
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

    pulled = api.pull(read_config(), names or ())
    say("" if quiet else "\n".join(pull_summary(one) for one in pulled))


@app.command(rich_help_panel=KEEPING)
def clean(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and how much; remove nothing.")
    ] = False,
) -> None:
    """Remove models that nobody asks for, in store and MLflow: of superseded studies, and beyond tracking.models.

    Records stay, and so every number; a model that went is derived again, and checked, when it is asked for.
    """
    from tracker.project import clean as house

    for line in house.clean(read_config(), find_paths(), tracking_uri(), dry_run=dry_run):
        say(line)


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

    case = house.Case(find_paths(), tracking_uri(), time.time())
    note(house.repair(case) if repair else [])
    found = list(house.examine(case))
    told = [asdict(one) for one in found]
    say(json.dumps(told, indent=1) if output == OneFormat.json else "\n".join(house.lines_of(found)))
    raise typer.Exit(house.exit_code_of(found))
