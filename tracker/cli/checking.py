"""Deriving results again: reproduce, verify, bundle."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from tracker.cli.app import CHECKING, OneFormat, Quiet, Trust, app, find_paths, read_config
from tracker.errors import InputError
from tracker.terminal.lists import note, say


@app.command(rich_help_panel=CHECKING)
def reproduce(
    target: Annotated[
        str,
        typer.Argument(
            metavar="STUDY/NUMBER|final|RUN",
            help="For example tpe/42; or an MLflow run id, or the path of a record.json.",
        ),
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
    from tracker.deriving.find_trial import namesakes
    from tracker.deriving.verdict import verdict_json
    from tracker.terminal.verdicts import verdict_lines

    note(namesakes(find_paths(), target))
    found = api.reproduce(target)
    say(json.dumps(verdict_json(found), indent=1) if output == OneFormat.json else "\n".join(verdict_lines(found)))
    if record:
        api.record_verdict(read_config(), found, target)
    raise typer.Exit(found.exit_code)


@app.command(rich_help_panel=CHECKING)
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Studies of params.yaml, or one bundle (.zip).")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Store, studies, ranking, looks, final result.")] = False,
    sample: Annotated[int | None, typer.Option(min=1, help="Train only so many trials of each study again.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that train. [env: TRACKER_WORKERS]")] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="Of a bundle: the table, or sklearn:NAME; its result is derived from it."),
    ] = None,
    trust: Annotated[
        str | None,
        typer.Option(metavar="DIGEST", help="Of a bundle: run code of this digest. [env: TRACKER_TRUST]"),
    ] = None,
    output: Annotated[OneFormat, typer.Option("--format", help="table or json.")] = OneFormat.table,
    quiet: Quiet = False,
) -> None:
    """Derive whole studies again, proposals and trials, and compare; or check a bundle, where there is no project.

    0 identical, 12 equivalent (in another environment), 10 differs, 11 cannot be derived.
    """
    from tracker import api
    from tracker.deriving.verdict import joint_exit_code, verdict_json
    from tracker.terminal.leaderboard import mixed_notes
    from tracker.terminal.progress import verify_progress
    from tracker.terminal.verdicts import verdict_lines

    if any(name.endswith(".zip") for name in names or ()):
        _verify_bundle(names or [], data, trust, output)
    if data is not None or trust is not None:
        raise InputError("--data and --trust belong to a bundle: tracker verify final.zip --data TABLE")
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


def _verify_bundle(names: list[str], data: str | None, trust: str | None, output: OneFormat) -> NoReturn:
    from tracker import api
    from tracker.deriving.verdict import joint_exit_code, verdict_json
    from tracker.terminal.verdicts import verdict_lines

    if len(names) > 1:
        raise InputError(f"one bundle at a time, found {' '.join(names)}")
    found = []
    for verdict in api.verify_bundle(names[0], data, trust=trust):
        found.append(verdict)
        say("" if output == OneFormat.json else "\n".join(verdict_lines(verdict)))
    say(json.dumps([verdict_json(verdict) for verdict in found], indent=1) if output == OneFormat.json else "")
    if data is None:
        note(
            [
                "its parts agree with one another, if nothing differs above; --data TABLE derives the result from the table"
            ]
        )
    raise typer.Exit(joint_exit_code(found))


@app.command(rich_help_panel=CHECKING)
def bundle(
    target: Annotated[str, typer.Argument(metavar="[final]", help="What goes into it: the scored result.")] = "final",
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The zip file.")] = Path("final.zip"),
    labels: Annotated[
        bool,
        typer.Option("--labels", help="With the labels of the test rows, so that scores are computed again from rows."),
    ] = False,
    trust: Trust = None,
) -> None:
    """Write one file with all that the final result rests on; `tracker verify FILE` checks it anywhere.

    No row of the table is in it, no user, host or folder but the names in looks.
    """
    from tracker import api

    if target != "final":
        raise InputError(f"expected final, found {target!r}: a bundle is of the scored result")
    if out.suffix != ".zip":
        raise InputError(f"-o {out}: expected a name that ends in .zip, by which `tracker verify` knows a bundle")
    made = api.bundle(out, labels=labels, trust=trust)
    say(f"{made.path}: {made.name}, {made.files} files, {made.size / 2**20:.1f} MiB")
    told = "in it" if made.labels else "not in it (--labels adds them)"
    note([f"rows of the table are not in it; predictions of the test rows are; their labels are {told}"])
    say(f"check it anywhere: tracker verify {made.path}")
