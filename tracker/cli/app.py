"""The program `tracker`: its groups of commands, options that several of them take, and the project that they work on."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tracker.errors import InputError
from tracker.terminal.help import GroupedCommands, say_version

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
Executor = Annotated[
    str | None,
    typer.Option(metavar="KIND", help="processes, or ray: a cluster; changes no number. [env: TRACKER_EXECUTOR]"),
]
Address = Annotated[
    str | None,
    typer.Option(metavar="HOST:PORT", help="Of the Ray cluster; else that of this machine. [env: TRACKER_ADDRESS]"),
]
Trust = Annotated[
    str | None,
    typer.Option(
        metavar="DIGEST", help="Run code of this digest though it is not that of this folder. [env: TRACKER_TRUST]"
    ),
]
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


def read_config() -> Config:
    """The configuration of the project in the current folder."""
    from tracker.config import load_config

    return load_config(find_paths().params)


def find_paths() -> Any:
    """Where everything of the project in the current folder lies."""
    from tracker.paths import project_paths

    return project_paths()


def tracking_uri() -> str:
    """Where its records go."""
    import os

    uri: str = find_paths().tracking_uri(os.environ)
    return uri
