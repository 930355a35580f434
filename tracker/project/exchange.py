"""Copies of studies for Optuna's dashboard and figures, and what an Optuna study tried as configurations for ours."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.canonical import canonical_json
from tracker.deriving.find_study import find_study
from tracker.errors import InputError, NotFoundError, SpaceError
from tracker.paths import Paths
from tracker.shown import counted, there_are

if TYPE_CHECKING:
    from tracker.config import Config


def export_optuna(config: Config, paths: Paths, target: str, names: Collection[str]) -> Iterator[str]:
    """Writes finished studies (all of params.yaml without names) into an Optuna storage; a line for each.

    `target` is a file, made where it is not there, or the address of a database. A second export adds what is new. Raises
    NotFoundError for a study of which nothing is recorded, InputError where the storage cannot be opened.
    """
    from tracker.search.export import to_optuna

    address = _address(target)
    if address != target:
        _require_place(Path(target))
    for name in names or config.studies:
        result = find_study(name, paths).result
        study = to_optuna(result.spec, result.trials, result.spec.objective["direction"], address)
        yield f"{name}: {counted(len(result.trials), 'trial')} in {target}, as study {study.study_name}"
    yield f"to look at them: optuna-dashboard {address}   (pip install optuna-dashboard)"


def import_optuna(
    config: Config,
    source: str,
    study: str | None,
    wanted: str | None,
    limit: int,
    renamed: Sequence[str] = (),
) -> tuple[list[str], list[str]]:
    """YAML for `studies.NAME.enqueue` of what an Optuna study tried, best first, and notes on what was left out.

    With `wanted`, a study of params.yaml, only what lies in its space is taken. Scores stay where they are: each
    configuration is run again here. `renamed` are pairs `theirs=ours` of names. Raises NotFoundError, InputError.
    """
    from tracker.search.enqueued import searched_from
    from tracker.search.foreign import foreign_configurations
    from tracker.search.space import compile_space

    if wanted is not None and wanted not in config.studies:
        raise NotFoundError(f"no study {wanted} in params.yaml; {there_are(wanted, config.studies)}")
    names = _pairs(renamed)
    name, found = foreign_configurations(_address(source), study)
    if unknown := [one for one in names if not any(one in given for given in found)]:
        there = ", ".join(dict.fromkeys(one for given in found for one in given))
        raise NotFoundError(f"--rename: {name} has no {', '.join(unknown)}; it has {there}")
    if both := sorted({ours for ours in names.values() if any(ours in given for given in found)}):
        raise InputError(f"--rename: {name} has {', '.join(both)} already; another value would be lost")
    found = [{names.get(one, one): value for one, value in given.items()} for given in found]
    taken, notes = [], []
    space = None
    if wanted is not None:
        space = compile_space(config.space_of(wanted), config.hyperparameters, config.model.family)
    for given in found:
        try:
            taken.append(given if space is None else searched_from(space, given))
        except SpaceError as error:
            notes.append(f"left out {canonical_json(given).decode()}: {error}")
    if not taken:
        why = f"; {notes[0]}" if notes else ": it has no completed trial"
        raise NotFoundError(f"{source}: nothing of {name} can be taken over{why}")
    called = canonical_json(name[:100]).decode()  # a newline in it would end the comment
    lines = [f"# what {called} tried, best first by its own scores; put it under studies.{wanted or 'NAME'}"]
    return [*lines, "enqueue:", *(f"  - {canonical_json(one).decode()}" for one in taken[:limit])], notes


def _pairs(renamed: Sequence[str]) -> dict[str, str]:
    pairs = dict(one.partition("=")[::2] for one in renamed)
    if any(not theirs or not ours or set(ours) & set("=, ") for theirs, ours in pairs.items()):
        raise InputError(f"--rename: expected theirs=ours, for example lr=learning_rate; found {' '.join(renamed)}")
    return pairs


def _require_place(path: Path) -> None:
    """Raises InputError where no file can be written, which the database would say in words of its own."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file, such as {path / 'optuna.db'}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first, or name another file")


def _address(target: str) -> str:
    """The address of a storage: as it is, or that of a SQLite file."""
    return target if "://" in target else f"sqlite:///{target}"
