"""The plan of a study that fits its data: classes, shapes of rows and a parent's weights are looked at before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.config import Config
from tracker.config.asked import own_metrics
from tracker.datasets.training_data import identify_data
from tracker.errors import ConfigError, TrackerError
from tracker.execution.trainer import load_own
from tracker.families.own_metrics import check_metrics, metrics_of
from tracker.paths import Paths
from tracker.records import StudySpec
from tracker.store.store import Store
from tracker.studies.finished import finished_in
from tracker.studies.parent import Fetch, Parent, find_parent, keep_parent
from tracker.studies.parent_fits import parent_fault
from tracker.studies.plan import Basis, StudyPlan, plan_study, refuse_labels, refuse_shape
from tracker.studies.rehearsal import Read
from tracker.surroundings.environment import asked_of, environment
from tracker.training.device import require_device

if TYPE_CHECKING:
    from tracker.datasets.training_data import TrainingData


def plan_fitting(
    config: Config,
    study: str,
    data: TrainingData,
    environment: str,
    code: Mapping[str, str] | None,
    paths: Paths,
    fetch: Fetch,
) -> StudyPlan:
    """The study of that name, ready to run; a parent's weights lie where it is trained from. Raises InputError."""
    require_device(config.training_of(study).device)
    parent, transfer = find_parent(config, paths, fetch), config.model.transfer
    identity = {} if parent is None or transfer is None else parent.identity(transfer.head, data.labels)
    metrics = check_metrics(paths.root, own_metrics(config, study))
    basis = Basis(data.digests, environment, code, identity, metrics)
    plan = plan_study(config, study, basis, finished_in(paths))
    refuse_labels([plan], data.labels)
    refuse_shape([plan], data.shape)
    if parent is not None and transfer is not None and not _begun(plan, paths):
        entry = config.model.entry
        own = None if entry is None else load_own(paths.root, config.model.family, entry)[1]
        if fault := parent_fault(plan.spec, parent, transfer.head, Read(data.labels, data.preprocessing), own):
            raise ConfigError(f"{config.place(study)}: {fault}")
    if parent is not None:
        keep_parent(parent, paths)
    return plan


def has_begun(config: Config, study: str, parent: Parent, code: Mapping[str, str] | None, paths: Paths) -> bool:
    """Whether the study that would run here now has trials already, so that `plan_fitting` refuses no misfit of its parent."""
    asked, transfer = asked_of(config.training_of(study).model_dump(), config.model.family), config.model.transfer
    assert transfer is not None
    try:
        data = identify_data(paths.splits, config.preprocessing)
        identity = parent.identity(transfer.head, data.labels)
        metrics = check_metrics(paths.root, own_metrics(config, study))
        basis = Basis(data.digests, environment(*asked)[0], code, identity, metrics)
        return _begun(plan_study(config, study, basis, finished_in(paths)), paths)
    except TrackerError:  # what cannot be planned has no key to look for
        return False


def _begun(plan: StudyPlan, paths: Paths) -> bool:
    """Whether the study has trials already: those that could not begin are recorded, and the others can be had."""
    with Store.opened_if_there(paths.store) as store:
        return store is not None and any(store.proposals(plan.spec.key))


def texts_of(root: Path, spec: StudySpec) -> dict[str, Any]:
    """What is recorded beside the runs of a study: each file of its metrics by its place; nothing where it has none."""
    found = metrics_of(root, spec)
    texts = {place: text for one in found.values() for place, text in one.code.texts.items()}
    return {"metrics": texts} if texts else {}
