"""To Optuna's tools and from Optuna's studies: export, import."""

from __future__ import annotations

from typing import Annotated

import typer

from tracker.cli.app import KEEPING, Quiet, app, find_paths, read_config
from tracker.errors import InputError
from tracker.loading import loading
from tracker.terminal.lists import note, say

OTHERS = {
    "mlflow": "what MLflow has of this project's studies comes with `tracker pull`, and goes there with `tracker sync`",
    "dvc": "DVC's outputs come with `dvc pull`",
}  # what people try


def _require_optuna(kind: str) -> None:
    """Raises InputError for another form than the one there is, with the command that was meant."""
    if kind != "optuna":
        raise InputError(f"expected optuna, found {kind!r}; {OTHERS.get(kind.lower(), 'there is no other form')}")


@app.command(rich_help_panel=KEEPING)
def export(
    kind: Annotated[str, typer.Argument(metavar="optuna", help="Whose form.")],
    target: Annotated[str, typer.Argument(metavar="FILE|URL", help="For example optuna.db; a second export adds.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[STUDY]...", help="All if left out.")] = None,
    quiet: Quiet = False,
) -> None:
    """Copy finished studies into an Optuna storage, for Optuna Dashboard and optuna.visualization."""
    _require_optuna(kind)
    with loading():
        from tracker.project.exchange import export_optuna

    for line in export_optuna(read_config(), find_paths(), target, names or ()):
        say("" if quiet else line)


@app.command("import", rich_help_panel=KEEPING)
def import_(
    kind: Annotated[str, typer.Argument(metavar="optuna", help="Whose form.")],
    source: Annotated[str, typer.Argument(metavar="FILE|URL", help="An Optuna storage, for example optuna.db.")],
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="Of that storage; the only one.")] = None,
    wanted: Annotated[
        str | None, typer.Option("--for", metavar="NAME", help="A study of params.yaml: only what its space has.")
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option(metavar="THEIRS=OURS", help="A name that they call otherwise; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, the best first.")] = 10,
) -> None:
    """Print what an Optuna study tried as YAML for studies.NAME.enqueue; its scores are not believed."""
    _require_optuna(kind)
    with loading():
        from tracker.project.exchange import import_optuna

    lines, notes = import_optuna(read_config(), source, study, wanted, limit, rename or ())
    say("\n".join(lines))
    note(notes)
