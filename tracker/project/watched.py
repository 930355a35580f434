"""What this release reads and writes in each stage, beside what a dvc.yaml, perhaps of an earlier release, says of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tracker.config import Config, load_config, read_yaml
from tracker.config.written import listed
from tracker.errors import ConfigError, InputError
from tracker.project.files import code_files, fill
from tracker.project.table import image_places

PARAMS = "params.yaml"
MOST_NAMED = 5  # folders of images


def unwatched(root: Path) -> list[str]:
    """A line for each thing in which dvc.yaml and this release differ; none where no dvc.yaml can be read.

    An entry of params.yaml that a stage reads and DVC does not watch changes nothing when it is changed; a result that is no
    output is lost when DVC goes back to another version; an entry that DVC watches and params.yaml lacks stops `dvc repro`;
    an image that the table names, or code of the user's own, that DVC does not watch may change unseen.
    """
    there, ours = _stages(root / "dvc.yaml"), _parse(fill("dvc.yaml", {"table": "", "code": ""}))
    written = _written(root / PARAMS)
    found = [*_lacking(there, ours), *_absent(there, written), *_unread(there, written)]
    try:
        config = load_config(root / PARAMS)
        return [*found, *_images(there, config, root), *_code(there, config, root)]
    except InputError:
        return found  # whoever reads them says what is wrong


def _lacking(there: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[str]:
    for name in [name for name in ours if name in there]:
        for section, does in (("params", "reads"), ("outs", "writes")):
            names = _names(there[name], section)
            if missing := [one for one in _names(ours[name], section) if not _covered(one, names)]:
                yield (
                    f"dvc.yaml: stage {name} {does} {', '.join(missing)}, which its {section} do not name; "
                    f"add to {section}: {listed(missing)}, "
                    f"or `dvc repro` does not see {'it' if len(missing) == 1 else 'them'} change"
                )


def _written(params: Path) -> Mapping[str, Any] | None:
    try:
        written = read_yaml(params.read_bytes(), PARAMS)
    except (OSError, ConfigError):
        return None
    return written if isinstance(written, Mapping) else None


def _unread(there: Mapping[str, Any], written: Mapping[str, Any] | None) -> Iterator[str]:
    """Refinements that no stage runs, as in a dvc.yaml of a release before there were any."""
    if there and "refine" not in there and (written or {}).get("refinements"):
        yield (
            "dvc.yaml: no stage runs the refinements of params.yaml; take the stage refine over from the dvc.yaml that "
            "`tracker init` writes in an empty folder, or run them with `tracker tune NAME`"
        )


def _absent(there: Mapping[str, Any], written: Mapping[str, Any] | None) -> Iterator[str]:
    """Entries that DVC watches and params.yaml does not have; DVC then refuses the stages that do."""
    lacking: dict[str, list[str]] = {}
    for name, stage in there.items():
        watched = [one.split(".")[0] for one in _names(stage, "params") if "$" not in one and one != "*"]
        each = re.fullmatch(r"\$\{(\w+)\}", str(stage.get("foreach", "")))
        for one in dict.fromkeys([*([each[1]] if each else []), *watched]):
            if written is not None and one not in written:
                lacking.setdefault(one, []).append(name)
    for one, stages in lacking.items():
        who = f"stage {stages[0]} watches" if len(stages) == 1 else f"stages {', '.join(stages)} watch"
        yield f"dvc.yaml: {who} {one}, which params.yaml has not: DVC refuses that; write {one}: {{}}"


def _code(there: Mapping[str, Any], config: Config, root: Path) -> Iterator[str]:
    """The files of the user's own code, where the stage that runs studies does not depend on them."""
    if "tune" in there and (missing := _undepended(there["tune"], code_files(config, root))):
        yield (
            f"dvc.yaml: stage tune runs code that its deps do not name; add to deps: {listed(missing)}, "
            "or `dvc repro` does not see it change"
        )


def _undepended(stage: Mapping[str, Any], places: Iterable[str]) -> list[str]:
    """The places that are neither a dependency of a stage nor below one."""
    deps = [str(one).rstrip("/") for one in stage.get("deps") or []]
    return [place for place in places if not _covered(place, deps)]


def _images(there: Mapping[str, Any], config: Config, root: Path) -> Iterator[str]:
    """The folders of the images that the table names, where the first stage does not depend on them."""
    if "prepare" in there and (missing := _undepended(there["prepare"], image_places(config.data, root))):
        yield (
            f"dvc.yaml: stage prepare reads images that its deps do not name; add to deps: "
            f"{listed(missing, MOST_NAMED)}, or `dvc repro` does not see them change"
        )


def _stages(path: Path) -> dict[str, Any]:
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, ConfigError):
        return {}  # DVC says what is wrong with it


def _parse(text: str) -> dict[str, Any]:
    """The stages by name; of a stage for each of several studies what is done for one, and for each of what."""
    found = read_yaml(text.encode(), "dvc.yaml")
    stages = found.get("stages") if isinstance(found, Mapping) else None
    parts = stages if isinstance(stages, Mapping) else {}
    each = {name: stage for name, stage in parts.items() if isinstance(stage, Mapping)}
    return {name: {**stage, **(stage.get("do") or {})} for name, stage in each.items()}


def _names(stage: Any, section: str) -> list[str]:
    """The names of a section; where it lists entries of params.yaml, or all of it, by file, those."""
    sections = [section] if section == "params" else ["outs", "metrics", "plots"]
    entries = [one for part in sections for one in (stage.get(part) or [] if isinstance(stage, Mapping) else [])]
    names: list[str] = []
    for entry in entries:
        if not isinstance(entry, Mapping):
            names.append(str(entry))
        elif section != "params":
            names += map(str, entry)
        elif PARAMS in entry:
            names += map(str, entry[PARAMS] or ["*"])
    return names


def _covered(name: str, names: list[str]) -> bool:
    """Whether an entry or one around it is among the names."""
    return "*" in names or any(name == one or name.startswith((f"{one}.", f"{one}/")) for one in names)
