"""Studies and deliveries as lines for people."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tracker.errors import StudyFailed
from tracker.ordering import first_reason
from tracker.remedies import stage_command
from tracker.shown import agree, counted

if TYPE_CHECKING:
    from tracker.config import Config
    from tracker.records import Trial
    from tracker.studies.pull import Pulled
    from tracker.studies.result import StudyResult
    from tracker.studies.study import Study
    from tracker.tracking.report import Delivered


def study_summary(study: Study, *, advice: bool = True) -> str:
    """A line: how many trials, how many from the store, how many failed or are undefined, the best, other environments.

    Where trials have no place, a second line says why the first of them has none, and how many share the reason. A last line
    says where the number of epochs, not early stopping, ended many trials; without `advice` somebody else says that of
    several studies at once (`epochs_advice`).
    """
    from tracker.search.stopping import stopped
    from tracker.studies.plan import StudyPlan

    trials, best = study.result.trials, study.result.best
    parts = [f"{study.name}: {counted(len(trials), 'trial')}"]
    distinct = len({trial.spec.on_validation.configuration for trial in trials})  # whatever rows each is tried on
    if StudyPlan(study.result.spec, len(trials)).distinct:
        parts.append(counted(distinct, "distinct configuration"))
    if study.result.replayed:
        parts.append(f"{study.result.replayed} of them from the store")
    counts = {state: sum(trial.state == state for trial in trials) for state in ("pruned", "failed")}
    parts += [f"{count} {state}" for state, count in counts.items() if count]
    if end := stopped(study.result.spec, trials):
        parts.append(f"stopped: {end[1]}")
    if study.result.cut_off:
        parts.append(f"cut off by its {study.result.cut_off}; the same command goes on")
    metric = study.result.spec.objective["metric"]
    undefined = sum(trial.state == "complete" and trial.value is None for trial in trials)
    if undefined:
        parts.append(f"{undefined} without {metric}")
    parts.append(
        f"best {metric} {best.value:.4f} (trial {best.number})" if best and best.value is not None else "none best"
    )
    if broke := sum(bool(trial.breaks) for trial in trials):
        parts.append(f"{broke} {'breaks' if broke == 1 else 'break'} a constraint")
    if study.result.spec.further:
        parts.append(f"front of {counted(len(study.result.front), 'trial')}")
    if study.mixed:
        parts.append(f"mixed: before in {counted(len(study.mixed), 'other environment')}")
    why = first_reason(trial.why_unranked(metric) for trial in trials)
    more = [*([f"why: {why}"] if why else []), *(epochs_note(study.result) if advice else [])]
    return "\n  ".join([", ".join(parts), *more])


@dataclass(frozen=True, slots=True)
class Capped:
    """How many of a study's complete trials were ended by the number of epochs, where that is worth saying."""

    study: str
    capped: int
    complete: int


def capped_by_epochs(result: StudyResult) -> list[Capped]:
    """That epochs, not early stopping, ended training, where that holds for over a quarter of the trials or the best."""
    capped = [trial for trial in result.trials if _is_capped(trial)]
    complete = sum(trial.state == "complete" for trial in result.trials)
    if 4 * len(capped) <= complete and result.best not in capped:
        return []
    return [Capped(result.spec.name, len(capped), complete)]


def epochs_note(result: StudyResult) -> list[str]:
    """What is advised after one study."""
    return epochs_advice(capped_by_epochs(result))


def epochs_advice(found: Sequence[Capped]) -> list[str]:
    """To raise the number of epochs, in one line for all studies that it ended."""
    if len(found) > 1:
        each = ", ".join(f"{one.study} {one.capped} of {one.complete}" for one in found)
        return [f"raise training.epochs: in {len(found)} studies many trials were best at their last epoch: {each}"]
    return [
        f"{one.study}: {one.capped} of {counted(one.complete, 'trial')} "
        f"{agree(one.capped, 'was best at its', 'were best at their')} last epoch; raise training.epochs"
        for one in found
    ]


def _is_capped(trial: Trial) -> bool:
    """Whether early stopping would have let a run go on."""
    training, outcome = trial.spec.training, trial.outcome
    stops = training.get("early_stopping") is not None and trial.state == "complete"
    return stops and outcome.best_epoch == outcome.epochs >= training["epochs"]


def refuse_failed(study: Study) -> None:
    """Raises StudyFailed where no trial of a study that has ended has a value; its report says why.

    Trials that break a limit have one, and other studies may keep it.
    """
    result, metric = study.result, study.result.spec.objective["metric"]
    if not result.trials or result.cut_off or result.best or any(trial.breaks for trial in result.trials):
        return
    why = first_reason(trial.why_unranked(metric) for trial in result.trials)
    count, failed = len(result.trials), all(trial.state == "failed" for trial in result.trials)
    what = "its trial failed" if count == 1 else f"all {count:,} trials failed"
    what = what if failed else f"none of {counted(count, 'trial')} has a value"
    raise StudyFailed(f"study {study.name}: {what}{why and ': ' + why}")


def say_delivered(delivered: Delivered) -> None:
    """Says what MLflow did not take, or that nobody could look there; quiet when it has all."""
    if delivered.waiting:
        why = f": {delivered.problem}" if delivered.problem else ""
        sys.stderr.write(
            f"{_records(delivered.waiting)} for MLflow{why}\nnothing is lost: `tracker sync` delivers later\n"
        )
    elif delivered.problem:
        sys.stderr.write(
            f"nobody knows whether MLflow has every record: {delivered.problem}\n"
            "nothing is lost: `tracker sync` compares again\n"
        )


def deliver_waiting(config: Config) -> None:
    """Brings what was recorded to MLflow; what it does not take waits, and what was decided stands all the same."""
    from tracker import api
    from tracker.tracking.outbox import waiting

    project = api.Project.now()
    paths = project.paths
    if paths.store.is_dir() and waiting(paths.store, project.tracking_uri, config.tracking.experiment):
        with api.delivering(config, project) as finish:
            say_delivered(finish())


def sync_summary(delivered: Delivered, address: str) -> str:
    """What a sync came to, in a line; nothing where it came to nothing and `say_delivered` says why."""
    if delivered.delivered:
        return f"{delivered.delivered} {_plural(delivered.delivered)} delivered to {address}"
    if delivered.empty:
        return (
            f"nothing is recorded here yet: {stage_command()} runs the studies, `tracker pull` fetches them from MLflow"
        )
    return "" if delivered.waiting or delivered.problem else f"nothing to deliver: {address} has every record"


def pull_summary(pulled: Pulled) -> str:
    """What came of one study, in a line."""
    missing = (pulled.wanted or 0) - pulled.trials
    parts = [f"{pulled.study}: {counted(pulled.trials, 'trial')}, {pulled.weights} new weights"]
    if pulled.wanted is None:
        parts.append("not ended yet")
    elif missing > 0:
        parts.append(f"{missing} are not in MLflow and run again")
    return f"{', '.join(parts)} (study {pulled.key[:12]})"


def _records(count: int) -> str:
    return f"{count} {_plural(count)} {'waits' if count == 1 else 'wait'}"


def _plural(count: int) -> str:
    return "record" if count == 1 else "records"
