"""The plan of a study that fits its data: classes, shapes of rows and a parent's weights are looked at before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tracker.config import Config
from tracker.errors import ConfigError, TrainingError
from tracker.execution.row_sets import arrays_of
from tracker.families.family import open_family
from tracker.hyperparameters import FAMILIES
from tracker.paths import Paths
from tracker.studies.finished import finished_in
from tracker.studies.parent import Fetch, keep_parent
from tracker.studies.plan import Planner, StudyPlan, corners, plan_study, refuse_labels, refuse_shape

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
    parent = keep_parent(config, paths, data.labels, fetch)
    plan = plan_study(config, study, data.digests, environment, code, finished_in(paths), parent)
    refuse_labels([plan], data.labels)
    refuse_shape([plan], data.shape)
    if parent and FAMILIES[plan.spec.family].entry is None:
        _refuse_parent(plan, data)
    return plan


def _refuse_parent(plan: StudyPlan, data: TrainingData) -> None:
    """Raises ConfigError, which names the layer, where a network at the ends of the space could not begin with the parent."""
    family, planner, arrays = open_family(plan.spec.family), Planner(plan.spec), arrays_of(data)
    for params in corners(plan.spec):
        try:
            family.start([planner.run(params, plan.spec.seed)], arrays, None).prepare()
        except TrainingError as error:
            raise ConfigError(f"studies.{plan.spec.name}: {error}") from None
