"""The comparison module: ranks on validation, records the look, and then opens the test split for the chosen trial."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.canonical import digest_table
from tracker.config import Compare
from tracker.datasets.made_with import changed_table
from tracker.datasets.sealed import SealedIdentity, open_test, test_identity
from tracker.datasets.training_data import count_ranking, read_split
from tracker.design_effects import VERSION
from tracker.errors import (
    CodeNotTrusted,
    InputError,
    LookWithheld,
    SealError,
    TestLooksSpent,
    TrackerError,
)
from tracker.evaluation.certainty import fold_interval
from tracker.evaluation.chosen_model import ChosenModel, check_validation, load_chosen, validation_interval
from tracker.evaluation.confirm import MODEL, Confirming
from tracker.evaluation.confirm_scores import SeedModel, score_seeds
from tracker.evaluation.details import Called, detail
from tracker.evaluation.final import (
    DETAILS,
    Final,
    final_json,
    read_results,
    write_final,
    write_withheld,
)
from tracker.evaluation.ledger import Ledger, Look, count_words, join_looks, mark_rows, read_ledger, record_look, remedy
from tracker.evaluation.metrics_file import write_metrics
from tracker.evaluation.one_result import keep_once
from tracker.evaluation.ranked import RankedTrial
from tracker.evaluation.ranking import Ranking, rank_trials, write_ranking
from tracker.evaluation.restore import restore_files
from tracker.evaluation.scored_rows import chosen_where, read_labelled, read_scored
from tracker.evaluation.scoring import score_labels
from tracker.evaluation.stale import changes, last_result
from tracker.evaluation.unworthy import Unworthy
from tracker.evaluation.worth import find_unworthy
from tracker.metrics import asked_of
from tracker.paths import Paths
from tracker.records import THRESHOLD
from tracker.remedies import has_dvc, run_again
from tracker.store.store import Store
from tracker.studies.adopt import recorded_study
from tracker.studies.superseded import superseded_note

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ANYWAY = "`tracker compare --test --anyway`"


@dataclasses.dataclass(frozen=True, slots=True)
class _Case:
    """What taking a look needs besides the ranking."""

    paths: Paths
    budget: int
    studies: tuple[str, ...] | None
    clock: Callable[[], float]
    user: str | None
    superseded: Mapping[str, str] = dataclasses.field(default_factory=dict)
    trust: str | None = None
    confirm: Confirming | None = None
    version: int = VERSION  # of the design effects of rows in groups


def compare(
    paths: Paths,
    settings: Compare,
    *,
    clock: Callable[[], float],
    user: str | None = None,
    studies: Iterable[str] | None = None,
    superseded: Mapping[str, str] | None = None,
    trust: str | None = None,
    confirm: Confirming | None = None,
) -> Ranking:
    """Ranks all trials on validation and writes `reports/ranking.json`; `.test()` of what it returns takes the look.

    `studies` names those that count (None: every report there is); `clock` gives Unix seconds for the record of a look,
    which bears the name of `user`; reports of `superseded` studies are left out. `trust` is the digest of code that may run
    though it is not that of this folder; `confirm` trains the best few again and chooses among them. Raises as `rank_trials`
    does.
    """
    wanted = None if studies is None else tuple(studies)
    case = _Case(paths, settings.test_looks, wanted, clock, user, superseded or {}, trust, confirm)
    ranking = _rank(case)
    ranking = dataclasses.replace(ranking, opener=partial(_test, case, ranking.scored.key))
    write_ranking(paths.reports / "ranking.json", ranking)
    if (paths.reports / "metrics.json").is_file():
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            write_metrics(paths.reports)  # it tells of both, a damaged one is told elsewhere
    return ranking


def rank_again(
    paths: Paths,
    settings: Compare,
    studies: Iterable[str],
    superseded: Mapping[str, str],
    confirm: Confirming | None = None,
    version: int = VERSION,
) -> Ranking:
    """The ranking that `compare` makes, without writing it; it can take no look.

    `version` is that of the design effects of rows in groups.
    """
    return _rank(
        _Case(paths, settings.test_looks, tuple(studies), lambda: 0.0, None, superseded, None, confirm, version)
    )


def _rank(case: _Case) -> Ranking:
    """The ranking with its choice."""
    ranking = rank_trials(case.paths.study_reports, case.studies, case.paths.models, case.superseded)
    interval, version = _interval(case, ranking)
    ranking = dataclasses.replace(ranking, interval=interval, version=version)
    return ranking if case.confirm is None else case.confirm.complete(ranking)


def known_looks(paths: Paths) -> Ledger:
    """The looks of files and store, without writing what one of them lacks. Raises StoreCorrupt."""
    with Store.opened_if_there(paths.store) as store:
        return join_looks(paths.looks, store.looks() if store else {})


def present_rows(paths: Paths) -> frozenset[str]:
    """The marks of the present test rows, without opening any; equal rows share one. Raises TrackerError where none are."""
    return mark_rows(test_identity(paths.sealed).row_keys)


def present_words(paths: Paths) -> str:
    """How many test rows there are, and how many differ, where equal ones share a mark. Raises TrackerError as above."""
    return count_words(test_identity(paths.sealed).row_keys)


def count_looks(paths: Paths, ledger: Ledger) -> int:
    """How many looks of the ledger are at the present test rows. Raises TrackerError where those cannot be read."""
    return ledger.count(present_rows(paths))


def score_again(
    paths: Paths,
    scored: RankedTrial,
    model: ChosenModel,
    test_digest: str,
    others: Sequence[SeedModel] = (),
    version: int = VERSION,
) -> tuple[Mapping[str, Any], int]:
    """The result of a look that was taken, computed anew from the test rows, and how many looks at them are on record.

    It records nothing and takes no look. `version` is that of the design effects of rows in groups.

    Raises SealError unless this very candidate was looked at on all of these rows, and they still are the same.
    """
    identity, looks = _looked_at(paths, scored, test_digest)
    return _score(_Case(paths, 0, None, lambda: 0.0, None, version=version), model, scored, identity, others), looks


def predict_again(
    paths: Paths, scored: RankedTrial, model: ChosenModel, test_digest: str
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The labels of the test rows, and the class probabilities (rows, classes) that a model gives them which was scored.

    As `score_again` it takes no look, and raises SealError unless one was taken.
    """
    _looked_at(paths, scored, test_digest)
    test = open_test(paths.sealed)
    return test.labels, model.probabilities(test.frame)


def _looked_at(paths: Paths, scored: RankedTrial, test_digest: str) -> tuple[SealedIdentity, int]:
    """What the present test rows are, and how many looks at them are on record, one of which is this candidate's."""
    identity = test_identity(paths.sealed)
    if identity.digest != test_digest:
        again = ", then `dvc checkout`" if has_dvc(paths.root) else ", and split the data of then again"
        raise SealError(
            f"{paths.sealed}: holds other test rows ({identity.digest[:12]}) than were scored ({test_digest[:12]}); "
            f"check out the commit of the result{again}"
        )
    ledger, rows = known_looks(paths), mark_rows(identity.row_keys)
    sought = (scored.candidate, test_digest)
    if not any((look.candidate, look.test_digest) == sought for look in ledger.at(rows)):
        raise SealError(
            f"no look at these test rows by {scored.study}/{scored.trial} is recorded in {paths.looks}; bring the "
            "looks back from git, or from the store with `tracker sync`; nothing is scored again without"
        )
    return identity, ledger.count(rows)


def _interval(case: _Case, ranking: Ranking) -> tuple[tuple[float, float] | None, int | None]:
    """The interval, and by which version it counts groups, where rows come in such.

    None also where the model is not at hand: a ranking without a preference needs none, and `.test()` says what is wrong.
    """
    try:
        first = ranking.rows[0]
        if first.rows is not None and first.values:
            return fold_interval(first.values), None
        model = load_chosen(case.paths.models / first.study, first, case.paths, case.trust)
        scored = read_scored(case.paths.splits, first.rows)
        metric, version = ranking.objective["metric"], None if scored.clusters is None else case.version
        frame, clusters = scored.frame, scored.clusters
        return validation_interval(model, metric, frame, scored.actual, clusters, case.version), version
    except CodeNotTrusted:
        raise
    except TrackerError:
        if case.confirm is not None and case.confirm.preferring is not None and case.confirm.preferring.needs_ties:
            raise
        return None, None


def _test(case: _Case, key: str, *, or_stale: bool, anyway: bool) -> Final:
    """Scores the trial that is chosen now, and no other: the ranking is made again from the reports."""
    ranking = _rank(case)
    chosen = ranking.scored
    if chosen.key != key:
        raise InputError(f"{chosen.study}/{chosen.trial} is chosen by now; compare again before the test split opens")
    if ranking.missing:
        raise InputError(
            f"no look before every study has run; missing: {', '.join(ranking.missing)}; {run_again(case.paths.root)}"
        )
    if ranking.superseded:
        raise InputError(
            superseded_note(ranking.superseded, case.paths.root, "no look before each study is as it says")
        )
    identity = test_identity(case.paths.sealed)
    own = ranking.confirmation is None and ranking.refit is None and ranking.preference is None
    folder = case.paths.models / chosen.study if own else case.paths.confirmed / MODEL
    model = _checked_model(case, folder, chosen, identity)
    others = (
        ()
        if ranking.confirmation is None or case.confirm is None
        else case.confirm.models(ranking.confirmation, case.trust)
    )
    with Store.open(case.paths.store, case.clock) as store:
        if not anyway and (old := changed_table(case.paths)) and _spends(case, store, chosen, identity):
            raise InputError(f"no look was spent: {old}. {ANYWAY} scores on these rows all the same")
        if not anyway and (unworthy := _unworthy(case, store, ranking, model, identity)):
            if or_stale:
                write_withheld(case.paths.reports, unworthy)
                write_metrics(case.paths.reports)
            raise LookWithheld(f"no look was spent: {unworthy.words}. {ANYWAY} scores it all the same")
        try:
            ledger = _record(case, store, chosen, identity)
        except TestLooksSpent as spent:
            if not or_stale:
                raise
            restore_files(case.paths, store)
            final = _repeat_last(case, read_ledger(case.paths.looks, store), chosen, identity, str(spent))
        else:
            result = keep_once(case.paths.looks, store, _score(case, model, chosen, identity, others))
            final = Final(
                result,
                ledger.count(mark_rows(identity.row_keys)),
                case.budget,
                trusted=model.trusted,
                chosen_on=_chosen_on(case, chosen),
            )
            _queue_once(store, final)
    write_final(case.paths.reports, final)
    write_metrics(case.paths.reports)
    return final


def _spends(case: _Case, store: Store, chosen: RankedTrial, test: SealedIdentity) -> bool:
    ledger = join_looks(case.paths.looks, store.looks())
    return ledger.would_spend(chosen.candidate, mark_rows(test.row_keys), case.budget)


def _unworthy(case: _Case, store: Store, ranking: Ranking, model: ChosenModel, test: SealedIdentity) -> Unworthy | None:
    """Why the chosen trial is not worth a look, where one would be spent on it."""
    if not _spends(case, store, chosen := ranking.scored, test):
        return None
    _, train = read_labelled(case.paths.splits, "train")
    scored = read_scored(case.paths.splits, chosen.rows)
    balanced = validation_interval(model, "val_balanced_accuracy", scored.frame, scored.actual, scored.clusters)
    return find_unworthy(ranking, model.labels, model.positive, train, scored.actual, balanced)


def _checked_model(case: _Case, folder: Path, chosen: RankedTrial, test: SealedIdentity) -> ChosenModel:
    """The chosen trial's model, of the same split as the sealed rows, and with the validation scores it was chosen for."""
    model = load_chosen(folder, chosen, case.paths, case.trust)
    if test.beside["validation"] != digest_table(read_split(case.paths.splits, "validation")):
        raise SealError(
            f"{case.paths.sealed} and {case.paths.splits} are not of one split; {run_again(case.paths.root)}"
        )
    if (model.labels, model.positive) != (test.labels, test.positive):
        raise SealError(
            f"models/{chosen.study}: knows other classes than {case.paths.sealed}; {run_again(case.paths.root)}"
        )
    scored = read_scored(case.paths.splits, chosen.rows)
    check_validation(model, chosen, scored.frame, scored.actual)
    return model


def _queue_once(store: Store, final: Final) -> None:
    """One `final` run in MLflow per result, whatever the budget says when it is made again."""
    same = ("key", "test_digest")
    if not any(all(other.get(n) == final.result[n] for n in same) for other in store.finals()):
        store.put_final(final_json(final))


def _record(case: _Case, store: Store, chosen: RankedTrial, test: SealedIdentity) -> Ledger:
    rows = mark_rows(test.row_keys)
    look = Look(chosen.candidate, chosen.key, chosen.study, chosen.trial, test.digest, rows, "", case.user)
    return record_look(case.paths.looks, store, look, case.budget, case.clock)


def _score(
    case: _Case, model: ChosenModel, chosen: RankedTrial, recorded: SealedIdentity, others: Sequence[SeedModel] = ()
) -> Mapping[str, Any]:
    """Opens the test split. Only for a trial whose look is recorded; `others` are its configuration with other seeds."""
    test = open_test(case.paths.sealed)
    if test.identity != recorded:
        raise SealError(f"{case.paths.sealed}: was written anew while a look was recorded; run this again")
    probabilities = model.probabilities(test.frame)
    called = model.decided(probabilities)
    asked = asked_of(chosen.metrics)
    seeds = {} if not others else {"seeds": score_seeds(others, test.frame, test.labels, asked)}
    return {
        "study": chosen.study,
        "trial": chosen.trial,
        "key": chosen.key,
        "candidate": chosen.candidate,
        "params": dict(chosen.params),
        "validation": chosen.validation,
        "test": score_labels(
            test.labels,
            called,
            model.labels,
            model.positive,
            test.identity.clusters,
            probabilities,
            asked,
            case.version,
        ),
        "test_digest": test.identity.digest,
        "test_rows": len(test.labels),
        DETAILS: detail(
            Called.of(model.labels, test.labels, called, probabilities, test.identity.clusters, case.version),
            _validation_called(case, model, chosen),
            model.labels,
            model.positive,
        ),
        **seeds,
    }


def _chosen_on(case: _Case, chosen: RankedTrial) -> dict[str, str | None]:
    """Which rows chose what: the configuration, the kept epoch, the threshold; None where the records are not here."""
    study = recorded_study(case.paths.models / chosen.study / "trials.jsonl")
    where, ranked = chosen_where(chosen.rows, count_ranking(case.paths.splits))
    stopped = None if study is None else where if study.training.get("early_stopping") else "none: the last epoch"
    found = where if THRESHOLD in chosen.metrics else "none: it is fixed"
    return {"configuration": ranked, "epoch": stopped, "threshold": found}


def _validation_called(case: _Case, model: ChosenModel, chosen: RankedTrial) -> Called | None:
    """Rows that the model has not seen, as it calls them; None where it was trained on all."""
    if chosen.rows is not None and chosen.rows.get("all"):
        return None
    scored = read_scored(case.paths.splits, chosen.rows)
    probabilities = model.probabilities(scored.frame)
    called = model.decided(probabilities)
    return Called.of(model.labels, scored.actual, called, probabilities, scored.clusters, case.version)


def _repeat_last(case: _Case, ledger: Ledger, chosen: RankedTrial, test: SealedIdentity, spent: str) -> Final:
    """The last result on any of the present test rows, marked stale. Raises TestLooksSpent where there is none."""
    rows = mark_rows(test.row_keys)
    seen = ledger.at(rows)
    last = last_result(seen, read_results(case.paths.looks))
    if last is None:
        raise TestLooksSpent(f"{spent}. No result of them was kept; choosing such a trial again takes no further look")
    because = {
        "chosen": chosen.place,
        "changed": changes(last, chosen, test.digest),
        "looks_taken": [{"study": look.study, "trial": look.trial, "candidate": look.candidate} for look in seen],
        "remedy": remedy(ledger, rows),
    }
    message = f"not scored: {chosen.study}/{chosen.trial} (validation {chosen.value:.4f}), which is chosen now: {spent}"
    return Final(last, ledger.count(rows), case.budget, because, message)
