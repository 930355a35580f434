"""What studies try first on new data: the best configurations of the last studies, in a file that is committed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.canonical import canonical_json
from tracker.config import Config
from tracker.durable import sync_folder, write_whole
from tracker.errors import NotFoundError
from tracker.paths import Paths
from tracker.sampler_table import SAMPLERS
from tracker.store.store import Store

HEAD = "# Written by `tracker retune`: what each study tries first on the new data. Commit it.\n"


def best_configurations(config: Config, store: Store, studies: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Of each study that searches, the searched values of its best trials, best first; `studies` has keys by name.

    A study that lists its trials tries all of them anyway; one that the store has lost begins cold, and so do those of
    `left_cold`.
    """
    from tracker.tracking.run_models import best_numbers

    found: dict[str, list[dict[str, Any]]] = {}
    for name, key in studies.items():
        row = SAMPLERS[config.studies[name].sampler] if name in config.studies else None
        if row is None or not row.rebuilds or not row.needs_trials:
            continue
        try:
            numbers = best_numbers(store, key, config.retune.warm_start)
            found[name] = [dict(store.proposal(key, number).searched) for number in numbers]
        except NotFoundError:
            continue
    return {name: first for name, first in found.items() if first}


def left_cold(config: Config, studies: Mapping[str, str]) -> list[str]:
    """Which of these studies searched before and cannot begin with what they found, and why."""
    if not config.retune.warm_start:
        return []
    samplers = {name: SAMPLERS[config.studies[name].sampler] for name in studies if name in config.studies}
    return [
        f"study {name} begins without its earlier configurations: sampler {row.name} goes on from generations of its own alone"
        for name, row in samplers.items()
        if row.needs_trials and not row.rebuilds
    ]


def write_warm_start(paths: Paths, first: Mapping[str, list[dict[str, Any]]]) -> None:
    """Writes warm_start.yaml, whole; equal input gives equal bytes."""
    lines = ["warm_start:" if first else "warm_start: {}"]
    for name, configurations in first.items():
        lines += [f"  {name}:", *(f"    - {canonical_json(one).decode()}" for one in configurations)]
    content = HEAD + "\n".join(lines) + "\n"
    if paths.warm_start.is_file() and paths.warm_start.read_text(encoding="utf-8") == content:
        return
    write_whole(paths.warm_start, content.encode())
    sync_folder(paths.root)
