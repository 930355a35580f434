"""What notebooks, the command line and the DVC stages call: prepare, split, tune, compare, sync, each one function."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.config import Config, load_config
from tracker.errors import ConfigError
from tracker.execution.fork_server import start_early
from tracker.execution.opening import Cluster, cluster_wanted, needing, open_executor, workers_wanted
from tracker.loading import loading
from tracker.numerics import pin_numerics
from tracker.paths import Paths, project_paths
from tracker.store.store import Store
from tracker.surroundings.provenance import provenance, trained_with, user_name
from tracker.tracking.fetch_model import fetch_model
from tracker.tracking.meeting import meeting_of_stage
from tracker.tracking.outbox import Outbox, waiting
from tracker.tracking.project_files import ProjectFiles
from tracker.tracking.report import Delivered

if TYPE_CHECKING:
    import pandas as pd

    from tracker.bundling.collect import Bundled
    from tracker.datasets.prepare import DataReport
    from tracker.datasets.split import SplitReport
    from tracker.deriving.verdict import Verdict
    from tracker.evaluation.ranking import Ranking
    from tracker.execution.executor import Executor
    from tracker.families.own_code import OwnCode
    from tracker.standalone.load import StandaloneModel
    from tracker.studies.pull import Pulled
    from tracker.studies.runner import Progress
    from tracker.studies.study import Study, StudyTrial

DELIVERY_S = 600.0  # how long a command waits after tuning while MLflow takes nothing of what is left
STUDY_LOCK_S = 5.0

__all__ = [
    "Project",
    "bundle",
    "compare",
    "load_config",
    "load_model",
    "prepare",
    "pull",
    "read_table",
    "reproduce",
    "split",
    "sync",
    "tune",
    "verify",
    "verify_bundle",
]


@dataclass(frozen=True, slots=True)
class Project:
    """What is read from the world: paths, where MLflow records go, who runs what from where."""

    paths: Paths
    tracking_uri: str
    workers: int
    user: str
    cluster: Cluster | None = None

    @classmethod
    def now(
        cls,
        paths: Paths | None = None,
        workers: int | None = None,
        executor: str | None = None,
        address: str | None = None,
    ) -> Project:
        """The current folder (or `paths`), the variables MLFLOW_TRACKING_URI and TRACKER_WORKERS, and the user.

        With `executor="ray"`, or as TRACKER_EXECUTOR says, trials train on the Ray cluster at `address`.
        A project elsewhere: `Project.now(Paths.of(Path(".."), os.environ))`, given as `project` to the functions below.
        """
        paths = paths or project_paths()
        uri, wanted = paths.tracking_uri(os.environ), workers or workers_wanted(os.environ)
        return cls(paths, uri, wanted, user_name(), cluster_wanted(os.environ, executor, address))

    def with_workers(self, workers: int | None) -> Project:
        """The same with another number of workers; None leaves it. Raises ConfigError."""
        if workers is not None and workers < 1:
            raise ConfigError(f"workers: expected a whole number from 1 on, found {workers!r}")
        return self if workers is None else replace(self, workers=workers)


def read_table(path: str | Path, config: Config | None = None) -> pd.DataFrame:
    """A file of a table, of images or of sequences as `prepare` reads it: `NA` and `00123` stay texts, an empty cell is a gap.

    What a model is to predict should be read like what it was trained on; pandas reads such texts as gaps and numbers.
    `config` brings what params.yaml says of the file (separator, words for a gap, a column of images ...). Raises DataError.
    """
    from tracker.datasets.load import read_rows
    from tracker.datasets.load import read_table as read

    if config is None:
        return read(str(path), Path.cwd())
    return read_rows(config.data.model_copy(update={"source": str(path)}), Path.cwd())


def load_model(model: str | Path, *, trust: str | None = None, project: Project | None = None) -> StandaloneModel:
    """Opens a model folder, the model of STUDY/NUMBER, or `final`: raw rows in, labels and class probabilities out.

    A model that was not kept is derived again in a fresh process; ReplayError where other weights come out.
    Where the network is the user's own, its recorded code runs if it is that of the project's folder; other code raises
    CodeNotTrusted, unless `trust` is its digest. Raises ValueError for a folder that holds no model of ours.
    """
    from tracker.deriving.model_again import open_model

    return open_model(model, (project or Project.now()).paths, trust)


def prepare(config: Config, project: Project | None = None) -> DataReport:
    """Reads and checks the table; writes data/prepared. Raises DataError with every fault."""
    from tracker.datasets import prepare as stage

    paths = (project or Project.now()).paths
    return stage.prepare(config.data, config.preprocessing, paths.root, paths.prepared)


def tune(
    config: Config,
    study: str,
    *,
    workers: int | None = None,
    project: Project | None = None,
    deliver: bool = True,
    accept_environment: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    on_delivery: Callable[[Delivered], None] = lambda _: None,
) -> Study:
    """Runs, resumes, extends or replays a study, and writes its reports and its best model.

    `workers` comes before those of `project`. Trials reach MLflow while others train (with `deliver` False they wait for
    `sync`); `on_delivery` hears what is left in the end. Raises EnvironmentChanged where the study was run in another
    environment, unless `accept_environment` or the variable TRACKER_ACCEPT_ENVIRONMENT says to go on in this one.
    """
    project = (project or Project.now()).with_workers(workers)
    if project.paths.store.exists():
        Store.open(project.paths.store).close()  # a broken store is told before anything takes seconds
    pin_numerics(_asked(config, study)[0], os.environ, sys.modules)
    start_early(1 if project.cluster else project.workers)
    with _outbox(project, config, []) if deliver else nullcontext() as outbox:  # MLflow loads there, torch here
        accept = accept_environment or os.environ.get("TRACKER_ACCEPT_ENVIRONMENT") == "1"
        return _tune(config, study, project, outbox, accept, on_progress, on_delivery)


def _tune(
    config: Config,
    study: str,
    project: Project,
    outbox: Outbox | None,
    accept_environment: bool,
    on_progress: Callable[[Progress], None],
    on_delivery: Callable[[Delivered], None],
) -> Study:
    with loading():
        from tracker.datasets.made_with import load_present
        from tracker.execution.executor import DataSource, lanes_allowed
        from tracker.store.environments import refuse_other_environment
        from tracker.studies.fitting import plan_fitting, texts_of
        from tracker.studies.report import put_servings, serving_of, write_reports
        from tracker.studies.runner import run_study
        from tracker.studies.study import Study

        paths = project.paths
        data = load_present(config, paths)
    environment_digest, about = trained_with(sys.argv, paths.root, *_asked(config, study))
    code = _own_code(config, paths)
    identity, fetch = code.identity if code else None, partial(fetch_model, project.tracking_uri)
    plan = plan_fitting(config, study, data, environment_digest, identity, paths, fetch)
    about = {**about, **texts_of(paths.root, plan.spec), **({"code": code.texts} if code else {})}
    serving = serving_of(plan.spec.served_data, data)
    with Store.open(paths.store) as store, store.lock(f"study-{study}", STUDY_LOCK_S):
        if not accept_environment:
            refuse_other_environment(store, plan.spec, about)
        store.put_serving(plan.spec.served_data, serving)
        source = DataSource(paths.splits, config.preprocessing, paths.root)
        lanes = lanes_allowed(store, environment_digest, config.model.family)
        if outbox is not None:
            outbox.compare(plan.spec.key)
        cluster = needing(project.cluster, config.resources)
        with open_executor(project.workers, source, data, lanes, cluster) as executor:
            told, serve = _notifying(outbox, executor, on_progress), partial(put_servings, store, data)
            result = run_study(plan, store, executor, about, told, serve)
            write_reports(result, serving, store, paths.reports, paths.models)
        if outbox is not None:
            on_delivery(outbox.finish(DELIVERY_S))
    return Study(result, paths.store, serving, source)


def compare(
    config: Config,
    project: Project | None = None,
    *,
    trust: str | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Ranking:
    """Ranks the trials of all studies on validation, as often as you like; `.test()` of what it returns is the look.

    Code of the user's own runs where it is that of this folder. Other code raises CodeNotTrusted, unless its digest is
    `trust`, or the variable TRACKER_TRUST; the result then says so.
    With `compare.confirm` the best few are trained with further seeds first, of which `on_progress` hears, and their means
    choose; what the store has is not trained again.
    """
    from tracker.evaluation import compare as stage
    from tracker.evaluation.confirm import open_confirming
    from tracker.studies.superseded import superseded

    project = project or Project.now()
    confirm = open_confirming(config, project.paths, project.workers, on_progress, project.cluster)
    return stage.compare(
        project.paths,
        config.compare,
        clock=time.time,
        user=project.user,
        studies=config.studies,
        superseded=superseded(config, project.paths),
        trust=trust or os.environ.get("TRACKER_TRUST"),
        confirm=confirm,
    )


def split(config: Config, project: Project | None = None) -> SplitReport:
    """Splits the prepared table; writes data/splits and data/sealed. Raises DataError."""
    from tracker.datasets import split as stage

    paths = (project or Project.now()).paths
    return stage.split(config.split, config.seed, paths.prepared, paths.splits, paths.sealed, paths.salts)


def reproduce(target: str | StudyTrial, project: Project | None = None) -> Verdict:
    """Derives a recorded trial again in a fresh process and compares it bit for bit.

    `target` is a trial of a study, `STUDY/NUMBER`, `final`, an MLflow run id, or the path of a `record.json`. The look at
    the test split that `final` repeats was taken before; none is added.
    """
    from tracker.deriving.judge_target import reproduce_target

    project = project or Project.now()
    return reproduce_target(target, project.paths, project.tracking_uri)


def record_verdict(config: Config, found: Verdict, target: str, project: Project | None = None) -> int:
    """Writes a verdict to the tags `tracker.reproduced...` of its runs in MLflow; how many there are. Raises TrackingError."""
    from tracker.deriving.judge_target import record_verdict as record

    project = project or Project.now()
    experiment = config.tracking.experiment
    return record(found, target, project.tracking_uri, experiment, time.time(), socket.gethostname())


def verify(
    config: Config,
    names: str | Collection[str] = (),
    *,
    sample: int | None = None,
    pipeline: bool = False,
    workers: int | None = None,
    project: Project | None = None,
    on_step: Callable[[str, int, int], None] = lambda *_: None,
) -> Iterator[Verdict]:
    """Derives whole studies again, from their specs alone, and compares: a verdict per study, as soon as it is known.

    `names` is a study, or several; none: all of the configuration. Nothing runs before the verdicts are asked for:
    `for found in verify(config, "tpe")`, or `list(...)` of it. Each has a `state` (`identical`, `equivalent`, `differs`,
    `cannot`), a `first_difference` where something differs, and `causes`. `sample` trains so many trials of each study only;
    proposals are all derived. With `pipeline` the ranking, the looks and the final result follow, without a new look.
    `on_step` hears of a study how many trials were derived, of how many. Writes nothing.

    The store is read against its digests first, and has a verdict of its own, before the others, where `pipeline` is set or
    it is damaged. Raises NotFoundError where a single study is asked for and nothing is recorded of it.
    """
    from tracker.deriving.judge_project import verify_named, verify_pipeline, verify_store
    from tracker.deriving.judge_study import FreshProcesses

    if sample is not None and sample < 1:
        raise ConfigError(f"sample: expected a whole number from 1 on, found {sample!r}")
    project = (project or Project.now()).with_workers(workers)
    names = [names] if isinstance(names, str) else list(names) or list(config.studies)
    store = verify_store(project.paths)
    if store and (pipeline or store.state != "identical"):
        yield store
    with FreshProcesses(project.workers) as processes:
        if pipeline:
            yield from verify_pipeline(project.paths, config, names, processes, sample, on_step)
        else:
            yield from verify_named(project.paths, config, names, processes, sample, on_step)


def bundle(
    out: str | Path, *, labels: bool = False, trust: str | None = None, project: Project | None = None
) -> Bundled:
    """Writes one zip file with all that the scored result rests on; equal results give equal bytes. Takes no look.

    The labels of the test rows go along only with `labels`. Raises NotFoundError where nothing was scored.
    """
    from tracker.bundling.collect import write_bundle

    paths = (project or Project.now()).paths
    return write_bundle(paths, Path(out), labels=labels, trust=trust or os.environ.get("TRACKER_TRUST"))


def verify_bundle(path: str | Path, data: str | None = None, *, trust: str | None = None) -> Iterator[Verdict]:
    """Checks a bundle without a project: a verdict on its files, records, looks, scores and model, one after the other.

    With `data` (a table, or `sklearn:NAME`) the result is derived again from it. Raises InputError for what is no bundle.
    """
    with loading():
        from tracker.bundling.judge import check_bundle

    return check_bundle(Path(path), data, trust=trust or os.environ.get("TRACKER_TRUST"), root=Path.cwd())


def _asked(config: Config, study: str) -> tuple[str, str, str]:
    training = config.training_of(study) if study in config.studies else config.training
    return training.numerics, config.model.family, training.device


def _own_code(config: Config, paths: Paths) -> OwnCode | None:
    """The user's own code, read and tried, where the family has such."""
    from tracker.execution.trainer import load_own

    model = config.model
    return None if model.entry is None else load_own(paths.root, model.family, model.entry)[0]


def sync(config: Config, project: Project | None = None) -> Delivered:
    """Delivers to MLflow what waits, what MLflow has lost and what a pulled cache brought."""
    project = project or Project.now()
    with Store.open(project.paths.store) as store:  # a broken store is told before what takes seconds to import
        from tracker.evaluation.restore import restore
        from tracker.studies.adopt import adopt_studies, retell_fewer

        for folder in (project.paths.models, project.paths.confirmed):
            adopt_studies(folder, store, provenance(sys.argv, project.paths.root), time.time)
        retell_fewer(config, project.paths.models, store, time.time())
        restore(project.paths, store)
    with _outbox(project, config, None) as outbox:
        return outbox.finish(DELIVERY_S)


@contextmanager
def delivering(config: Config, project: Project | None = None) -> Iterator[Callable[[], Delivered]]:
    """For a block that records something: MLflow loads meanwhile; what is yielded delivers it, or finds nothing to deliver."""
    project = project or Project.now()
    with _outbox(project, config, []) as outbox:

        def finish() -> Delivered:
            waits = waiting(project.paths.store, project.tracking_uri, config.tracking.experiment)
            return outbox.finish(DELIVERY_S) if waits else Delivered(0, 0)

        yield finish


def pull(config: Config, names: Collection[str] = (), project: Project | None = None) -> list[Pulled]:
    """Fills the store from MLflow with the studies of these names (none: all): records, weights, final results.

    Every digest is checked first. Raises NotFoundError, TrackingError where a run or artifact is damaged, ReplayError where
    the store has another outcome.
    """
    project = project or Project.now()
    with Store.open(project.paths.store) as store:  # a broken store is told before what takes seconds to import
        from tracker.studies.pull import pull_studies

        return pull_studies(store, project.tracking_uri, config.tracking.experiment, names)


def _outbox(project: Project, config: Config, compare: list[str] | None) -> Outbox:
    tracking, paths = config.tracking, project.paths
    files, meeting = ProjectFiles(config.data.source, paths.splits, paths.reports).words, meeting_of_stage(paths.store)
    to = (project.tracking_uri, tracking.experiment)
    return Outbox(paths.store, *to, tracking.models, compare, files=files, meeting=meeting)


def _notifying(
    outbox: Outbox | None, executor: Executor, on_progress: Callable[[Progress], None]
) -> Callable[[Progress], None]:
    def tell(progress: Progress) -> None:
        if outbox is not None:
            outbox.notify()
        on_progress(replace(progress, where=executor.whereabouts()))

    return tell
