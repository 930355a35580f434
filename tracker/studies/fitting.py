"""The plan of a study that fits its data: classes, shapes of rows and a parent's weights are looked at before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.config import Config
from tracker.config.metrics import own_metrics
from tracker.errors import ConfigError, TrainingError
from tracker.execution.row_sets import arrays_of
from tracker.families.family import open_family
from tracker.families.own_metrics import check_metrics, metrics_of
from tracker.hyperparameters import FAMILIES
from tracker.paths import Paths
from tracker.records import StudySpec
from tracker.studies.finished import finished_in
from tracker.studies.parent import Fetch, keep_parent
from tracker.studies.plan import Planner, StudyPlan, corners, plan_study, refuse_labels, refuse_shape
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
    parent = keep_parent(config, paths, data.labels, fetch)
    metrics = check_metrics(paths.root, own_metrics(config, study))
    plan = plan_study(config, study, data.digests, environment, code, finished_in(paths), parent, metrics)
    refuse_labels([plan], data.labels)
    refuse_shape([plan], data.shape)
    if parent and FAMILIES[plan.spec.family].entry is None:
        _refuse_parent(plan, data)
    return plan


def texts_of(root: Path, spec: StudySpec) -> dict[str, Any]:
    """What is recorded beside the runs of a study: each file of its metrics by its place; nothing where it has none."""
    found = metrics_of(root, spec)
    texts = {place: text for one in found.values() for place, text in one.code.texts.items()}
    return {"metrics": texts} if texts else {}


def _refuse_parent(plan: StudyPlan, data: TrainingData) -> None:
    """Raises ConfigError, which names the layer, where a network at the ends of the space could not begin with the parent."""
    family, planner, arrays = open_family(plan.spec.family), Planner(plan.spec), arrays_of(data)
    for params in corners(plan.spec):
        try:
            family.start([planner.run(params, plan.spec.seed)], arrays, None).prepare()
        except TrainingError as error:
            raise ConfigError(f"studies.{plan.spec.name}: {error}") from None
