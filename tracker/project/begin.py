"""`tracker init`: from a table to a project that runs, without guessing and without overwriting anything."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tracker.config import Config, Data, load_config, parse_config, read_yaml
from tracker.config.parts import Preprocessing
from tracker.errors import ConfigError, DataError, InputError
from tracker.paths import Paths
from tracker.project.files import (
    PRESETS,
    begin_dvc,
    code_files,
    dvc_text,
    fill,
    params_text,
    write_new,
    write_plot_files,
)
from tracker.project.table import (
    MOST_OFFERED,
    Seen,
    image_places,
    look,
    offer_targets,
    read_settings,
    require_target,
    source_of,
)
from tracker.remedies import find_dvc, has_dvc, has_git, stage_command
from tracker.terminal.split_foreseen import as_the_split_sees, foresee

ASK = (
    "name the table and the column to predict: tracker init TABLE --target NAME "
    "(TABLE: a .csv, .parquet, .npz or .ts file, a folder of images, or sklearn:breast_cancer)"
)
# what messages advise to write into params.yaml
NAME = r'"(?:[^"\\]|\\.)*"|[^"\[\]{},;]+'
OPTION = re.compile(
    rf"(?:say )?(?:data\.(drop|categorical): (\[(?:{NAME}|, )*\])|split\.method: group and split\.(group): ({NAME}))"
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user said on the command line."""

    table: str | None = None
    target: str | None = None
    id: str | None = None
    group: str | None = None
    positive: str | None = None
    drop: tuple[str, ...] = ()
    categorical: tuple[str, ...] = ()
    preset: str | None = None


def begin(wishes: Wishes, root: Path, ask: Callable[[str], str] | None) -> list[str]:
    """Looks at the table, writes what is missing of a project in `root`, and gives lines for people.

    `ask` puts a question in a terminal; without one a missing table or target is an InputError. Where params.yaml is there
    already it says what the table is, and only the other files are written. Raises DataError, ConfigError.
    """
    if wishes.preset is not None and wishes.preset not in PRESETS:
        raise InputError(f"--preset {wishes.preset}: there is no such preset; there is {', '.join(PRESETS)}")
    params = root / "params.yaml"
    if params.is_file():
        config = load_config(params)
        _refuse_others(wishes, config, root)
        seen, text = look(config.data, config.preprocessing, config.split.group, root), params.read_text("utf-8")
    else:
        wishes = complete(wishes, root, ask)
        seen, text = _from_table(wishes, root)
        config = parse_config(read_yaml(text.encode(), "params.yaml"), "params.yaml")
    texts = {
        "params.yaml": text,
        "dvc.yaml": dvc_text(config.data.source, code_files(config, root), image_places(config.data, root)),
        ".gitignore": fill("gitignore", {}) + (fill("gitignore-dvc", {}) if find_dvc() else ""),
        ".dvcignore": fill("dvcignore", {}),
    }
    written, left = write_new(root, texts)
    done = begin_dvc(root)
    write_plot_files(root)
    told = [f"written: {', '.join(written) or 'nothing'}", *(f"left as it is: {name}" for name in left)]
    _, faults = foresee(config, Paths.of(root, {}), seen.frame, seen.columns, seen.report)
    shown = replace(seen, report=as_the_split_sees(seen.report, config.split, faults))
    return [*shown.lines(), *_unsplit(faults), "", *told, *([done] if done else []), *_closing(root)]


def complete(wishes: Wishes, root: Path, ask: Callable[[str], str] | None) -> Wishes:
    """The wishes with table and target, asked for where somebody is there to answer. Raises InputError."""
    if wishes.table is None:
        if ask is None:
            raise InputError(ASK)
        wishes = replace(wishes, table=ask("Table (a .csv, .parquet, .npz or .ts file, or a folder of images)"))
    assert wishes.table is not None
    if wishes.target is None and (root / wishes.table).is_dir():  # its folders name the classes
        return replace(wishes, target=Data.model_fields["target"].default)
    if wishes.target is None:
        if ask is None:
            raise require_target(wishes.table, root)
        offered = "\n".join(f"  {name}  ({about})" for name, about in offer_targets(wishes.table, root)[:MOST_OFFERED])
        wishes = replace(wishes, target=ask(f"{offered}\nColumn to predict"))
    return wishes


def _from_table(wishes: Wishes, root: Path) -> tuple[Seen, str]:
    assert wishes.table is not None
    given = {
        "source": source_of(wishes.table, root),
        **{name: getattr(wishes, name) for name in ("target", "id", "positive", "drop", "categorical")},
    }
    from tracker.datasets.proposals import propose

    data, proposed = propose(read_settings(given), root)
    try:
        seen = look(data, Preprocessing(), wishes.group, root)
    except DataError as error:  # there is no params.yaml yet: the option is what can be given
        raise DataError(OPTION.sub(_as_option, fault) for fault in error.faults) from None
    seen = replace(seen, hints=(*proposed, *seen.hints))
    run = "dvc repro" if find_dvc() else "tracker run"
    found = seen.report
    if wishes.preset is not None and found.shape is not None:
        raise InputError(
            f"--preset {wishes.preset} is for tables, and {data.source} holds images or sequences; leave it out"
        )
    about = found.labels, found.shape, wishes.preset
    return seen, params_text(data, wishes.group, found.rows, found.positive, run, *about)


def _as_option(advice: re.Match[str]) -> str:
    option, value = filter(None, advice.groups())
    names = read_yaml(value.encode(), "") if value.startswith("[") else [read_yaml(value.encode(), "")]
    return f"tracker init ... {' '.join(f'--{option} {shlex.quote(name)}' for name in names)}"


def _refuse_others(wishes: Wishes, config: Config, root: Path) -> None:
    """Arguments that contradict a params.yaml: nothing is overwritten, and nothing silently ignored."""
    data: Data = config.data
    table = None if wishes.table is None else source_of(wishes.table, root)
    named = {"data.source": (table, data.source), "split.group": (wishes.group, config.split.group)}
    named |= {f"data.{name}": (getattr(wishes, name), getattr(data, name)) for name in
              ("target", "id", "positive", "drop", "categorical")}  # fmt: skip
    others = [f"{name} is {there!r} there, {asked!r} was asked for" for name, (asked, there) in named.items()
              if asked and asked != there]  # fmt: skip
    others += [f"--preset {wishes.preset} writes a new one"] * (wishes.preset is not None)
    if others:
        raise ConfigError(
            f"{root / 'params.yaml'} is there already: {'; '.join(others)}. Edit it, or take it away first"
        )


def _unsplit(faults: Sequence[str]) -> Iterator[str]:
    """That the table cannot be divided as it is, which `check` and `split` refuse, in a line."""
    if faults:
        more = f" (and {len(faults) - 1} more, which `tracker check` lists)" if len(faults) > 1 else ""
        yield f"warning: this table cannot be split yet: {faults[0].removeprefix('split: ')}{more}"


def _closing(root: Path) -> Iterator[str]:
    if not has_git(root):
        yield "no git here: runs are recorded without a commit, and nothing keeps former versions of params.yaml"
    if find_dvc() is None:
        yield (
            "DVC is not installed: all stages run each time (finished trials are taken from the store), and data and models "
            "have no versions. To have it: pip install 'repro-tracker[dvc]', then tracker init again"
        )
    run = stage_command(root).strip("`")
    width = max(len(run), len("tracker check"))
    yield ""
    yield f"next: {'tracker check'.ljust(width)}   what would run, and about how long; runs nothing"
    yield f"      {run.ljust(width)}   everything: prepares, splits, tunes, and scores the best trial once on the test rows"
    if has_dvc(root):
        yield f"      {'tracker run'.ljust(width)}   the same without DVC"
