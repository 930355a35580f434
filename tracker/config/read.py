"""From a file to a Config: YAML 1.2 within limits of size and depth, and without aliases."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from tracker.config.settings import Config, parse_config
from tracker.errors import ConfigError, InputError
from tracker.remedies import project_folder
from tracker.shown import one_line, there_are

MAX_BYTES = 100_000  # YAML takes ten seconds or more for each further one
WARM_START = "warm_start.yaml"  # beside params.yaml
MAX_DIGITS = 400
MAX_DEPTH = 20
LONGEST_SHOWN = 60  # characters of a line
CROWDED = (
    "several entries on one line need braces, as in model: {family: build, entry: model:build}; a text with a colon and a "
    "space needs quotes; entries of one level begin in one column, and the one before has its colon"
)
NOT_YAML = (  # words of YAML's reader, and what is meant in most cases
    ("mapping values are not allowed", CROWDED),
    ("cannot start any token", "quote a text that begins so; lines are indented by spaces, never by a tab"),
    ("could not find expected ':'", "an entry is a name, a colon and a space, then its value"),
    ("expected <block end>", "entries of one level begin in one column; a list has a - before each item"),
    ("but got", "a bracket or brace is not closed, or a comma is missing"),
    ("found duplicate key", "the entry stands twice; write what both say under one of them"),
)
_DIGITS = re.compile(r"[+-]?(0[xob])?[0-9a-fA-F_.]+")


def load_config(path: str | Path = "params.yaml") -> Config:
    """Reads and checks a params.yaml (YAML 1.2). Raises ConfigError with every fault and its place.

    A Config holds entries and no place: `load_config("../params.yaml")` reads the entries of another folder, while data,
    reports and the store stay those of the current one. To work on a project, start in its folder or go there
    (`os.chdir`), or tell the functions of `tracker.api` where with `project`.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}); `tracker init TABLE --target NAME` writes one"
        ) from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: {len(content)} bytes; a configuration has at most {MAX_BYTES}")
    tree = read_yaml(content, str(path))
    beside = path.with_name(WARM_START)
    if beside.is_file() and isinstance(tree, dict):
        tree = {**tree, **_warm_start(beside)}
    return parse_config(tree, str(path))


def not_declared(near: Path, study: str, others: Iterable[str] = ()) -> str:
    """That a project's params.yaml lacks a study, and what there is beside `others`; empty where it has it or cannot tell."""
    try:
        known = load_config(project_folder(near) / "params.yaml").studies
    except InputError:
        return ""
    there = there_are(study, list(dict.fromkeys([*known, *others])))
    return "" if study in known or "." in study else f"params.yaml has no study {study}; {there}"


def _warm_start(path: Path) -> dict[str, Any]:
    """What `tracker retune` lets studies try first. Raises ConfigError where the file holds something else."""
    content = path.read_bytes()
    told = read_yaml(content, str(path)) if len(content) <= MAX_BYTES else None
    if not isinstance(told, dict) or told.keys() - {"warm_start"}:
        raise ConfigError(
            f"{path}: expected the entry warm_start, as `tracker retune` writes it; delete the file otherwise"
        )
    return {"warm_start": told.get("warm_start") or {}}


def bare_dates(path: Path) -> list[tuple[str, str]]:
    """The entries of a params.yaml that YAML takes for dates, because they have no quotes: place and date."""

    def walk(value: Any, place: str) -> Iterator[tuple[str, str]]:
        if isinstance(value, date):
            yield place, value.isoformat()
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, entry in inner:
            yield from walk(entry, f"{place}.{name}" if place else str(name))

    return list(walk(read_yaml(path.read_bytes(), str(path)), ""))


def read_yaml(content: bytes, name: str) -> Any:
    """Plain values of a YAML 1.2 text; duplicate keys, aliases and deep nesting are refused with a ConfigError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = content.decode("utf-8")
        _refuse_bombs(text, name)
        return YAML(typ="safe", pure=True).load(text)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: byte {error.start}: not UTF-8") from None
    except MarkedYAMLError as error:
        mark, problem = error.problem_mark, _problem(error.problem)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{name}: {place}{problem}{_remedy(problem, text, mark.line if mark else None)}") from None
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"{name}: {_first_line(error)}") from None


def _problem(told: object) -> str:
    """What YAML's reader says is wrong; of a key that stands twice without its values, which it does not tell rightly."""
    problem = _first_line(told)
    return re.sub(r'^(found duplicate key ".*?") with value .*', r"\1", problem)


def _refuse_bombs(text: str, name: str) -> None:
    """Looks at the events alone: aliases can unfold into more than memory holds, nesting into more than the stack."""
    from ruamel.yaml import YAML
    from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, ScalarEvent

    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            raise ConfigError(f"{name}: line {line}: aliases (*{event.anchor}) are not allowed")
        if isinstance(event, ScalarEvent) and len(event.value) > MAX_DIGITS and _DIGITS.fullmatch(event.value):
            raise ConfigError(
                f"{name}: line {line}: a number of {len(event.value)} digits; at most {MAX_DIGITS} are read"
            )
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ConfigError(f"{name}: line {line}: nested deeper than {MAX_DEPTH} levels")


def _remedy(problem: str, text: str, line: int | None) -> str:
    """The line in which YAML is at a loss, and what to do; empty where its own words say enough."""
    what = next((remedy for words, remedy in NOT_YAML if words in problem), None)
    lines = text.splitlines()
    if what is None or line is None or line >= len(lines):
        return ""
    found = lines[line].partition(" #")[0].strip()
    return f"; found {one_line(found[:LONGEST_SHOWN])!r}{' ...' if len(found) > LONGEST_SHOWN else ''}: {what}"


def _first_line(message: object) -> str:
    return (str(message).splitlines() or ["not YAML"])[0]
