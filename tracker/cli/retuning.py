"""When data changes: retune, rollback, retunes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from tracker.cli.app import OneFormat, Trust, Workers, app, find_paths, read_config
from tracker.terminal.lists import say

if TYPE_CHECKING:
    from tracker.retuning.retune import Outcome

RETUNING = "When data changes"


@app.command(rich_help_panel=RETUNING)
def retune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen and why; write nothing.")] = False,
    timeout: Annotated[
        float | None, typer.Option(min=0, metavar="SECONDS", help="End after so long, with 13; the next run goes on.")
    ] = None,
    workers: Workers = None,
    trust: Trust = None,
) -> None:
    """Tune again where the data changed, and promote the new model where it is better. For schedulers.

    Leaves with 0 (done, or nothing to do), 8 (the new data looks broken), 9 (another one is at work), 13 (out of time).
    """
    import os
    import time

    from tracker import api
    from tracker.retuning.retune import Job
    from tracker.retuning.retune import retune as work
    from tracker.terminal.show import deliver_waiting

    config, project = read_config(), api.Project.now(workers=workers)
    if workers is not None:
        os.environ["TRACKER_WORKERS"] = str(workers)  # stages are processes of their own
    trusted = trust or os.environ.get("TRACKER_TRUST")
    job = Job(config, project.paths, project.user, time.time, timeout, project.workers, trusted)
    try:
        found = work(job, dry_run=dry_run)
    finally:
        if not dry_run:
            deliver_waiting(config)
    _tell(found)


@app.command(rich_help_panel=RETUNING)
def rollback(
    to: Annotated[
        int | None, typer.Option(min=1, metavar="NUMBER", help="Serve what this decision of `tracker retunes` served.")
    ] = None,
) -> None:
    """Serve the former champion again: the alias goes back to it, and the decision is recorded.

    Run again it changes nothing, until a retuning has promoted another model.
    """
    from tracker.retuning.retune import Job
    from tracker.retuning.retune import rollback as work
    from tracker.surroundings.provenance import user_name
    from tracker.terminal.show import deliver_waiting

    config = read_config()
    found = work(Job(config, find_paths(), user_name()), to)
    deliver_waiting(config)
    _tell(found)


@app.command(rich_help_panel=RETUNING)
def retunes(
    output: Annotated[OneFormat, typer.Option("--format", help="table or json.")] = OneFormat.table,
) -> None:
    """List the decisions of retunings: when, what, which model is served since, and why."""
    from tracker.columns import align
    from tracker.retuning.history import peek
    from tracker.shown import one_line
    from tracker.tracking.retuned import named

    told = list(peek(find_paths().retunes).told.values())
    if output == OneFormat.json:
        say(json.dumps(told, indent=1))
        return
    if not told:
        say("no decision yet; `tracker retune` takes the first")
        return
    rows: list[tuple[str, ...]] = [("number", "time", "decision", "served", "because")]
    for one in told:
        served = "-" if one["champion"] is None else named(one["champion"])
        rows.append((str(one["number"]), one["time"], one["decision"], served, one_line("; ".join(one["reasons"]))))
    say("\n".join(align(rows)))


def _tell(found: Outcome) -> None:
    say("\n".join(found.lines()))
