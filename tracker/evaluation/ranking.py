"""Ranks the complete trials of all study reports on the validation objective."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from tracker.design_effects import version_entry
from tracker.errors import InputError, NotFoundError, TrackerError
from tracker.evaluation.files import write_report
from tracker.evaluation.fronts import fronts_of
from tracker.evaluation.ranked import RankedTrial
from tracker.evaluation.reports import environments_of, read_study_report
from tracker.evaluation.scored_rows import scored_on
from tracker.metrics import SCORES, asked_of, in_order
from tracker.ordering import Standing, best_first, common_further, first_reason, has_place, reason_of, ties_of
from tracker.remedies import run_again
from tracker.shown import counted
from tracker.studies.begun import begun
from tracker.studies.superseded import superseded_note

if TYPE_CHECKING:
    import pandas as pd

    from tracker.evaluation.confirmation import Confirmation
    from tracker.evaluation.final import Final
    from tracker.evaluation.preference import Preference
    from tracker.evaluation.refit import Refit


class Opener(Protocol):
    """What scores the chosen trial of a ranking on the test split."""

    def __call__(self, *, or_stale: bool, anyway: bool) -> Final:
        """See `Ranking.test`."""
        ...


def _closed(*, or_stale: bool, anyway: bool) -> Final:
    del or_stale, anyway
    raise TrackerError("this ranking was not made by compare(); only that may open the test split")


@dataclass(frozen=True, slots=True)
class Ranking:
    """All complete trials of all studies, best on validation first.

    Ties go to the better further objective, to the lower val_loss, then to the study's name, then to the lower trial number.
    `indistinguishable` holds the trials whose validation score lies inside `interval`, the 95 % interval of the first one's
    score over validation rows (None where there is none to be had); where these come in groups, `version` says by which
    version of design effects. As all trials are scored on the same rows, their
    differences vary less than that interval, so it lists rather too many trials than too few.

    `environments` says which studies were computed in which (by digest), `mixed` of a study in how many others its name
    ran before: between environments last digits may differ. `superseded` names the studies whose reports are left out,
    because `params.yaml` describes another one of that name now, with what differs. `scored_on` says which studies were scored
    on which rows, where not all were on validation: values on other rows are not of one kind. A `confirmation` chooses among
    the first few by further seeds; a `preference` takes the simplest, the cheapest or the best by a further objective of what
    is as good as the best. `fronts` are those of studies with several objectives.
    """

    objective: Mapping[str, str]
    rows: tuple[RankedTrial, ...]
    unranked: Mapping[str, int]
    missing: tuple[str, ...] = ()
    environments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mixed: Mapping[str, int] = field(default_factory=dict)
    superseded: Mapping[str, str] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    version: int | None = None
    scored_on: Mapping[str, Sequence[str]] = field(default_factory=dict)
    confirmation: Confirmation | None = None
    refit: Refit | None = None
    preference: Preference | None = None
    fronts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    opener: Opener = field(default=_closed, repr=False, compare=False)

    @property
    def chosen(self) -> RankedTrial:
        """The first of the ranking, what its confirmation chose, or what is preferred: the only one that may be scored."""
        if self.confirmation is not None:
            return self.confirmation.choice.row
        return self.rows[0] if self.preference is None else self.preference.row

    @property
    def scored(self) -> RankedTrial:
        """The chosen trial as it is scored: with the model of its refit, or its confirmation's served run, if there is one."""
        if self.refit is not None:
            return self.refit.scored
        return self.chosen if self.confirmation is None else self.confirmation.scored

    @property
    def indistinguishable(self) -> tuple[RankedTrial, ...]:
        """The trials other than the first one whose score lies inside `interval`."""
        if self.interval is None:
            return ()
        low, high = self.interval
        return tuple(row for row in self.rows[1:] if low <= row.value <= high)

    @property
    def table(self) -> pd.DataFrame:
        """One line per trial: rank, study, trial, value, the validation metrics, params_*, key."""
        import pandas as pd

        names = list(dict.fromkeys(name for row in self.rows for name in row.params))
        told = {name for row in self.rows for name in asked_of(row.metrics)}
        metrics = [f"val_{name}" for name in in_order({"loss", *SCORES, *told})]
        return pd.DataFrame(
            {"rank": row.rank, "study": row.study, "trial": row.trial, "value": row.value}
            | {name: row.metrics.get(name) for name in metrics}
            | {f"params_{name}": row.params.get(name) for name in names}
            | {"key": row.key}
            for row in self.rows
        )

    def test(self, *, or_stale: bool = False, anyway: bool = False) -> Final:
        """Scores the chosen trial on the test split, once its look is recorded, and writes `reports/final.json`.

        Where the budget of looks is used up by other candidates the split stays closed: TestLooksSpent is raised,
        or, with `or_stale`, the last result is repeated and marked stale. Where the chosen trial is no better on validation
        than a majority vote (`tracker.evaluation.worth`) LookWithheld is raised, unless `anyway`; with `or_stale`,
        `reports/final.json` then says so. InputError where the table changed since it was split, unless `anyway` or DVC.
        """
        return self.opener(or_stale=or_stale, anyway=anyway)


def rank_trials(
    folder: Path,
    studies: Iterable[str] | None = None,
    models: Path | None = None,
    superseded: Mapping[str, str] = MappingProxyType({}),
) -> Ranking:
    """Ranks the trials of the study reports in a folder: all of them, or those of the named studies that are there.

    Those of `superseded` studies are left out.

    Reports are read against the records in the folder `models`, where it has them. Raises NotFoundError where there is
    no report or no complete trial, InputError where studies differ in objective or a report differs from its records.
    """
    found = {path.stem: path for path in sorted(folder.glob("*.json"))}
    wanted = list(found) if studies is None else list(studies)
    superseded = {name: why for name, why in superseded.items() if name in found and name in wanted}
    present = [name for name in sorted(wanted) if name in found and name not in superseded]
    reports = {name: read_study_report(found[name], models) for name in present}
    if not reports and superseded:
        raise NotFoundError(f"{folder}: {'; '.join(superseded_note(superseded, folder, 'nothing is left to rank'))}")
    if not reports:
        raise NotFoundError(f"{folder}: no report of a study; {'; '.join(begun(folder)) or run_again(folder)}")
    objective = _common_objective(reports)
    trials = [(name, trial) for name, report in reports.items() for trial in _trials(folder, name, report)]
    further = {name: report.get("further", ()) for name, report in reports.items()}
    common = common_further(further.values())
    ties = {id(trial): ties_of(trial, further[name], common) for name, trial in trials}
    ranked = best_first(
        [pair for pair in trials if has_place(pair[1])],
        lambda pair: _standing(*pair, ties[id(pair[1])]),
        objective["direction"],
    )
    if not ranked:
        metric = objective["metric"]
        why = first_reason(reason_of(t, metric) for _, t in trials)
        whole = counted(len(trials), "trial")
        limits = "; raise the limit in params.yaml, or search what keeps it" if why.startswith("breaks ") else ""
        raise NotFoundError(f"{folder}: none of {whole} can be chosen: {why}; see all with `tracker runs`{limits}")
    rows = tuple(_row(place, *pair, ties[id(pair[1])]) for place, pair in enumerate(ranked, start=1))
    left_out = Counter(_left_out(t) for _, t in trials if not has_place(t))
    missing = tuple(name for name in wanted if name not in found)
    environments, mixed = environments_of(reports.values())
    told = scored_on(reports.values())
    others = {} if list(told) == ["validation"] else told
    return Ranking(
        objective,
        rows,
        dict(sorted(left_out.items())),
        missing,
        environments,
        mixed,
        superseded,
        scored_on=others,
        fronts=fronts_of(reports),
    )


def write_ranking(path: Path, ranking: Ranking) -> None:
    """Writes `reports/ranking.json`; it holds no times, so equal rankings give equal bytes."""
    write_report(path, ranking_json(ranking))


def ranking_json(ranking: Ranking) -> dict[str, Any]:
    """The content of `reports/ranking.json`."""
    over = "validation rows" if ranking.rows[0].rows is None else "folds (corrected resampled t)"
    whose = "chosen" if ranking.confirmation is None and ranking.preference is None else "first"
    confirmed = {} if ranking.confirmation is None else {"confirmation": ranking.confirmation.json}
    return {
        "objective": dict(ranking.objective),
        "chosen": ranking.chosen.place,
        **confirmed,
        **({} if ranking.refit is None else {"refit": ranking.refit.json}),
        **({} if ranking.preference is None else {"preferred": ranking.preference.json}),
        "indistinguishable": None
        if ranking.interval is None
        else {
            "method": f"validation score inside the {whose} trial's 95 % interval over {over}",
            "interval": list(ranking.interval),
            "trials": [row.place for row in ranking.indistinguishable],
            **({} if ranking.version is None else version_entry(ranking.version)),
        },
        **({"fronts": dict(ranking.fronts)} if ranking.fronts else {}),
        "unranked": dict(ranking.unranked),
        "missing_studies": list(ranking.missing),
        **({"superseded": dict(ranking.superseded)} if ranking.superseded else {}),
        **(
            {"scored_on": {rows: list(names) for rows, names in ranking.scored_on.items()}} if ranking.scored_on else {}
        ),
        "environments": {environment: list(names) for environment, names in ranking.environments.items()},
        "mixed_studies": dict(ranking.mixed),
        "rows": [row.json for row in ranking.rows],
    }


def _common_objective(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    objectives = {name: report.get("objective") for name, report in reports.items()}
    first = next(iter(objectives.values()))
    if any(objective != first for objective in objectives.values()):
        listed = "; ".join(f"{name}: {_words(objective)}" for name, objective in objectives.items())
        raise InputError(f"studies with different objectives cannot be ranked together: {listed}; {run_again()}")
    directed = isinstance(first, dict) and first.get("direction") in {"maximize", "minimize"}
    if isinstance(first, dict) and directed and isinstance(first.get("metric"), str):
        return first
    raise InputError(f"study {next(iter(objectives))}: no objective in its report; {run_again()}")


def _words(objective: Any) -> str:
    if isinstance(objective, dict):
        return f"{objective.get('direction')} {objective.get('metric')}"
    return "none"


def _trials(folder: Path, name: str, report: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    trials = report.get("trials")
    needed = {"number", "key", "state", "params", "value", "metrics", "weights", "candidate"}
    if not isinstance(trials, list):
        raise InputError(f"{folder / f'{name}.json'}: holds no trials; {run_again(folder)}")
    for trial in trials:
        if not isinstance(trial, dict) or (absent := sorted(needed - set(trial))):
            lacks = (
                f"trial {trial.get('number', '?')} lacks {', '.join(absent)}"
                if isinstance(trial, dict)
                else repr(trial)
            )
            raise InputError(f"{folder / f'{name}.json'}: {lacks}; {run_again(folder)}")
    return trials


def _left_out(trial: Mapping[str, Any]) -> str:
    """The word for a trial that has no place."""
    broke = "infeasible" if trial.get("breaks") else "undefined"
    return broke if trial["state"] == "complete" else str(trial["state"])


def _standing(study: str, trial: Mapping[str, Any], ties: tuple[float | None, ...]) -> Standing:
    return Standing(trial["value"], trial["metrics"].get("val_loss"), study, trial["number"], ties)


def _row(rank: int, study: str, trial: Mapping[str, Any], ties: tuple[float | None, ...]) -> RankedTrial:
    runs = trial.get("runs") or []
    return RankedTrial(
        rank=rank,
        study=study,
        trial=trial["number"],
        key=trial["key"],
        candidate=trial["candidate"],
        weights=trial["weights"],
        value=trial["value"],
        best_epoch=trial.get("best_epoch"),
        metrics=trial["metrics"],
        first_run=runs[0]["metrics"] if runs else None,
        rows=runs[0].get("rows") if runs else trial.get("rows"),
        values=tuple(run.get("value") for run in runs),
        ties=ties,
        params=trial["params"],
    )
