"""The environments that the studies of one name ran in; another one that is not accepted is refused.

No study ever holds outcomes of two environments, because the environment is part of its key. What may be mixed is what
people see under its name: such a study is marked with the environments that came before.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import dropwhile
from typing import Any

from tracker.errors import EnvironmentChanged
from tracker.hyperparameters import FAMILIES
from tracker.records import StudySpec
from tracker.remedies import stage_command
from tracker.store.store import Store
from tracker.surroundings.changes import changes

MOST_CHANGES = 5


def earlier_environments(store: Store, spec: StudySpec) -> tuple[str, ...]:
    """The other environments in which studies of the same name ran before this one, the latest first."""
    studies = store.studies(spec.name)
    before = list(dropwhile(lambda pair: pair[0] != spec.key, studies))[1:]
    older = before if any(key == spec.key for key, _ in studies) else studies
    return tuple(dict.fromkeys(other.environment for _, other in older if _is_other(other, spec)))


def refuse_other_environment(store: Store, spec: StudySpec, present: Mapping[str, Any]) -> None:
    """Raises EnvironmentChanged, which names what differs, where the name was run, and never in this environment.

    `present` is the provenance of this process. Numerics that were asked for are no surprise and are not compared.
    """
    studies = [(key, other) for key, other in store.studies(spec.name) if _chosen(other) == _chosen(spec)]
    if not studies or any(other.environment == spec.environment for _, other in studies):
        return
    key, last = studies[0]
    found = changes(store.provenance(key), present) if "environment" in store.provenance(key) else ()
    words = [cause.words for cause in found[:MOST_CHANGES]]
    words = words or [f"environment {last.environment[:12]} recorded, {spec.environment[:12]} here"]
    raise EnvironmentChanged(
        f"study {spec.name} was last run in another environment:\n  "
        + "\n  ".join(words)
        + "\nIts trials may come out with other last digits here, so all of them would be computed anew; what is stored "
        f"stays. To go on: `tracker tune {spec.name} --accept-environment`, or TRACKER_ACCEPT_ENVIRONMENT=1 before "
        f"{stage_command(store.folder)}; the study is then marked as mixed. To repeat the numbers, use what was recorded"
    )


def _is_other(other: StudySpec, spec: StudySpec) -> bool:
    return other.environment != spec.environment and _chosen(other) == _chosen(spec)


def _chosen(spec: StudySpec) -> Any:
    """What of an environment somebody chose: numerics, device, and a family that computes with further packages."""
    row = FAMILIES.get(spec.family)
    return spec.training.get("numerics"), spec.training.get("device"), row.packages if row else ()
