"""Confirms a choice: the best few configurations and the defaults with further seeds, chosen by their means, then measured.

Two rounds, each a study of repeats with seeds of its own. The first chooses. The second trains the choice and the defaults
with seeds that chose nothing: its mean, spread and probability are not those of the luckiest of many.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol

from tracker.canonical import canonical_json
from tracker.config import Config, Confirm
from tracker.config.asked import next_objectives
from tracker.errors import InputError, NotFoundError, StoreCorrupt
from tracker.evaluation.certainty import mean
from tracker.evaluation.chosen_model import load_chosen
from tracker.evaluation.confirm_scores import SeedModel
from tracker.evaluation.confirm_training import ConfirmTraining
from tracker.evaluation.confirmation import Confirmation, Confirmed
from tracker.evaluation.contenders import Contender, StudyRecords
from tracker.evaluation.files import write_durably
from tracker.evaluation.prefer import Preferring, with_preference
from tracker.evaluation.preference import NEXT, Preference
from tracker.evaluation.ranked import RankedTrial, run_row
from tracker.evaluation.ranking import Ranking
from tracker.evaluation.refit import REFIT, Refit, plan_refit, refit_of
from tracker.evaluation.sureness import Defaults
from tracker.goals import broken
from tracker.ordering import Standing, best_first
from tracker.paths import Paths
from tracker.records import StudySpec, TrialOutcome, TrialSpec
from tracker.remedies import run_again
from tracker.search.samplers import versions
from tracker.seeds import derive_seed
from tracker.studies.adopt import read_study
from tracker.studies.plan import StudyPlan
from tracker.studies.report import records_text
from tracker.studies.result import StudyResult

if TYPE_CHECKING:
    from tracker.execution.opening import Cluster
    from tracker.studies.runner import Progress

CHOOSE, MEASURE = "confirm.choose", "confirm.measure"  # no study of params.yaml can have a dot in its name
MODEL = "model"


class Trains(Protocol):
    """What trains, or takes from the store, what a confirmation needs."""

    def study(self, plan: StudyPlan) -> StudyResult:
        """The finished study of a plan."""

    def write_model(self, folder: Path, study_key: str, spec: TrialSpec, outcome: TrialOutcome) -> None:
        """Writes the model of a run as those of studies are written."""


@dataclass(frozen=True, slots=True)
class Confirming:
    """Confirms rankings of one project; without `trains` it reads what was recorded, and trains nothing.

    Without `settings` it confirms none; the choice of a study that says `refit` is trained on all rows either way. With
    `preferring` what is as good as the best may be chosen in its place.
    """

    settings: Confirm | None
    seed: int
    defaults: Defaults
    paths: Paths
    trains: Trains | None = None
    preferring: Preferring | None = None

    def complete(self, ranking: Ranking) -> Ranking:
        """The ranking with its preference, confirmation and refit, where they are wanted. Raises as a call does."""
        ranking = with_preference(ranking, self.preferring)
        if self.settings is not None:
            confirmation = self(ranking)
            ranking = replace(ranking, confirmation=confirmation, preference=confirmation.preference)
        ranking = replace(ranking, refit=self._refit(ranking))
        if self.trains is not None and ranking.preference and not (ranking.confirmation or ranking.refit):
            self._serve(ranking.chosen)
        return ranking

    def _serve(self, row: RankedTrial) -> None:
        """Writes the model of a trial that is perhaps not the best of its study."""
        assert self.trains is not None
        result = StudyRecords(self.paths.models).study(row)
        trial = result.trials[row.trial]
        self._remove_others({MODEL})
        self.trains.write_model(self.paths.confirmed / MODEL, result.spec.key, trial.spec, trial.outcome)

    def _refit(self, ranking: Ranking) -> Refit | None:
        """The choice trained on all rows, where its study says so; its model takes the place of the others'."""
        result = StudyRecords(self.paths.models).study(ranking.chosen)
        folder = self.paths.records(REFIT).parent
        if not result.spec.runs.get("refit"):
            if self.trains is not None and folder.is_dir():
                shutil.rmtree(folder)
            return None
        trial = result.trials[ranking.chosen.trial]
        plan = plan_refit(result.spec, trial, self.seed)
        found = self._recorded(plan) or self._trained(plan)
        refit = refit_of(ranking.chosen, trial, found)
        if self.trains is not None and refit.scored.weights is not None:
            [run] = found.trials
            self.trains.write_model(self.paths.confirmed / MODEL, found.spec.key, run.spec, run.outcome)
        return refit

    def __call__(self, ranking: Ranking) -> Confirmation:
        """The confirmation of a ranking; what is recorded is taken. Raises InputError, NotFoundError, StoreCorrupt."""
        assert self.settings is not None
        rows, own = self._contenders(ranking)
        chosen, digests = self._round(CHOOSE, rows, ranking.objective)
        pairs = zip(chosen, rows, strict=True)
        holding = [one for one, member in pairs if not broken(member.constraints, one.trial.metrics)]
        ordered = best_first(holding, _standing, ranking.objective["direction"])
        if not ordered:
            raise InputError(
                "none of the configurations to confirm has a value with every seed, and keeps its constraints; their reasons "
                f"are in the records of {CHOOSE}; set compare.confirm: null to choose without"
            )
        preference = self._preferred(ranking, ordered)
        chosen_row = ordered[0].row if preference is None else preference.row
        best = next(contender for contender in rows if contender.row is chosen_row)
        pair = [best] if own is None or own is best else [best, own]
        measured, more = self._round(MEASURE, pair, ranking.objective)
        choice = measured[0]
        tail = [one for one in chosen if one not in ordered]
        found = Confirmation(
            seeds=self.settings.seeds,
            contenders=(*ordered, *tail),
            choice=choice,
            defaults=None if own is None else measured[-1],
            served=_median_run(choice, best.constraints),
            constraints=best.constraints,
            digests={**digests, **more},
            preference=preference,
        )
        if self.trains is not None:
            self._leave_only(found)
        return found

    def models(self, found: Confirmation, trust: str | None = None) -> list[SeedModel]:
        """The models of the choice, one per seed that ended with one."""
        assert self.trains is not None
        models = []
        runs = zip(found.choice.trial.proposal.runs, found.choice.trial.outcomes, strict=True)
        with TemporaryDirectory(prefix="tracker-") as scratch:
            for spec, outcome in runs:
                if outcome.weights is not None:
                    folder = Path(scratch) / spec.key
                    self.trains.write_model(folder, found.choice.study.key, spec, outcome)
                    row = run_row(found.choice.row, spec, outcome)
                    models.append(SeedModel(spec.key, load_chosen(folder, row, self.paths, trust)))
        return models

    def _preferred(self, ranking: Ranking, ordered: Sequence[Confirmed]) -> Preference | None:
        """What the rule takes of the contenders whose means are as good as the best."""
        if self.preferring is None:
            return None
        means = [(one.row, value) for one in ordered if (value := mean(one.values)) is not None]
        return self.preferring.among_means(ranking, means)

    def _contenders(self, ranking: Ranking) -> tuple[list[Contender], Contender | None]:
        """The best distinct configurations, the preferred one, and that of the defaults, which may be one of them."""
        records = StudyRecords(self.paths.models)
        assert self.settings is not None
        found: dict[str, Contender] = {}
        for row in ranking.rows:
            if len(found) == self.settings.top:
                break
            contender = records.contender(row)
            found.setdefault(contender.spec.configuration, contender)
        if ranking.preference is not None:
            contender = records.contender(ranking.preference.row)
            found.setdefault(contender.spec.configuration, contender)
        places = [{"study": row.study, "trial": row.trial, "params": dict(row.params)} for row in ranking.rows]
        default = self.defaults.find(places)
        if default is None:
            return list(found.values()), None
        row = next(row for row in ranking.rows if (row.study, row.trial) == (default["study"], default["trial"]))
        own = records.contender(row)
        own = found.setdefault(own.spec.configuration, own)
        return list(found.values()), own

    def _round(
        self, name: str, contenders: Sequence[Contender], objective: Mapping[str, str]
    ) -> tuple[list[Confirmed], dict[str, str]]:
        """What each contender gave, in their order, and the digests of the studies."""
        found: dict[int, Confirmed] = {}
        digests = {}
        for group, members in _by_training(contenders).items():
            plan = self._plan(name if group == 0 else f"{name}.{group + 1}", members, objective)
            result = self._recorded(plan) or self._trained(plan)
            digests[result.spec.name] = result.digest
            for member, trial in zip(members, result.trials, strict=True):
                assert trial.spec.configuration == member.spec.configuration
                found[id(member)] = Confirmed(member.row, result.spec, trial)
        return [found[id(contender)] for contender in contenders], digests

    def _plan(self, name: str, members: Sequence[Contender], objective: Mapping[str, str]) -> StudyPlan:
        assert self.settings is not None
        first = members[0].spec
        spec = StudySpec(
            name=name,
            family=first.family,
            sampler={"name": "manual", "configurations": [dict(member.spec.params) for member in members]},
            space={"entries": []},
            fixed={},
            training=first.training,
            objective=dict(objective),
            generation=None,
            seed=derive_seed(self.seed, *name.split(".")[:2]),
            data=first.data,
            environment=first.environment,
            numerics=max(member.spec.numerics for member in members),
            versions=versions("manual"),
            code=first.code,
            parent=first.parent,
            runs={"repeats": self.settings.seeds, "aggregate": "mean", "seeds": "common"},
        )
        return StudyPlan(spec, len(members))

    def _recorded(self, plan: StudyPlan) -> StudyResult | None:
        """The study beside the report, where it is the planned one, wherever it was computed."""
        path = self.paths.records(plan.spec.name)
        try:
            result = read_study(path) if path.is_file() else None
        except StoreCorrupt:
            if self.trains is None:
                raise
            return None
        if result is None or len(result.trials) != plan.trials:
            return None
        return result if result.spec == replace(plan.spec, environment=result.spec.environment) else None

    def _trained(self, plan: StudyPlan) -> StudyResult:
        path = self.paths.records(plan.spec.name)
        if self.trains is None:
            raise NotFoundError(f"{path}: is not the confirmation of these reports; {run_again(path, 'compare')}")
        result = self.trains.study(plan)
        write_durably(path, records_text(result).encode())
        return result

    def _leave_only(self, found: Confirmation) -> None:
        """Writes the served model, and takes away what another confirmation has left."""
        assert self.trains is not None
        folder = self.paths.confirmed / MODEL
        self._remove_others({MODEL, REFIT, *found.digests})
        spec, outcome = found.choice.trial.proposal.runs[found.served], found.choice.trial.outcomes[found.served]
        if outcome.weights is not None:
            self.trains.write_model(folder, found.choice.study.key, spec, outcome)

    def _remove_others(self, kept: Collection[str]) -> None:
        self.paths.confirmed.mkdir(parents=True, exist_ok=True)
        for path in self.paths.confirmed.iterdir():
            if path.is_dir() and path.name not in kept:
                shutil.rmtree(path)


def open_confirming(
    config: Config,
    paths: Paths,
    workers: int = 1,
    on_progress: Callable[[Progress], None] | None = None,
    cluster: Cluster | None = None,
) -> Confirming | None:
    """What completes the rankings of a configuration, training what lacks; None where the first is chosen as it is.

    Without `on_progress` it reads what was recorded, and trains nothing.
    """
    if not _completes(config):
        return None
    trains = None
    if on_progress is not None:
        trains = ConfirmTraining(config, paths, workers, on_progress, cluster)
        trains.pin()
    rule, preferring = config.compare.prefer, None
    if not isinstance(rule, str):
        within, following = rule.within, next_objectives(config)
        preferring = Preferring(NEXT, paths.models, StudyRecords(paths.models), within, following)
    elif rule != "best":
        preferring = Preferring(rule, paths.models, StudyRecords(paths.models))
    return Confirming(config.compare.confirm, config.seed, Defaults.of(config), paths, trains, preferring)


def confirming_studies(config: Config, paths: Paths) -> list[str]:
    """The studies whose records lie beside the report, where something completes the ranking."""
    if not _completes(config):
        return []
    return sorted(path.parent.name for path in paths.confirmed.glob("*/trials.jsonl"))


def _completes(config: Config) -> bool:
    refit = any(study.refit for study in config.studies.values())
    return refit or config.compare.confirm is not None or config.compare.prefer != "best"


def _by_training(contenders: Sequence[Contender]) -> dict[int, list[Contender]]:
    """The contenders that can be one study: all, unless a study has a training of its own."""
    groups: dict[bytes, list[Contender]] = {}
    for contender in contenders:
        spec = contender.spec
        common = canonical_json([dict(spec.training), dict(spec.data), dict(spec.code), spec.environment])
        groups.setdefault(common, []).append(contender)
    return dict(enumerate(groups.values()))


def _standing(one: Confirmed) -> Standing:
    """By the mean; then by the mean loss, then as they were ranked."""
    value = mean(one.values)
    return Standing(value, one.trial.metrics.get("val_loss"), f"{one.row.rank:09d}", one.row.rank)


def _median_run(one: Confirmed, constraints: Sequence[Mapping[str, Any]]) -> int:
    """The run whose score is the lower median: neither lucky nor unlucky. Raises InputError.

    Of all seeds, or, where some of them keep the constraints and others do not, of those that do.
    """
    known = [(value, place) for place, value in enumerate(one.values) if value is not None]
    known = [pair for pair in known if not broken(constraints, one.trial.outcomes[pair[1]].metrics)] or known
    if not known:
        raise InputError(
            f"{one.row.study}/{one.row.trial} failed with every further seed: {one.trial.reason}; set compare.confirm: null "
            "to choose without them"
        )
    return sorted(known)[(len(known) - 1) // 2][1]
