"""Derives a whole project again: its store, each study, the ranking, the looks, the final result; one fault hides no other."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tracker.canonical import canonical_json, digest_bytes, parse_canonical
from tracker.config import Config
from tracker.deriving.compare_outcomes import Difference
from tracker.deriving.find_study import find_study
from tracker.deriving.find_trial import reported_study
from tracker.deriving.judge_final import reproduce_final
from tracker.deriving.judge_nested import outer_studies, verify_nested
from tracker.deriving.judge_pinned import verify_pinned
from tracker.deriving.judge_study import FreshProcesses, OnStep, verify_recorded
from tracker.deriving.verdict import Verdict, cannot
from tracker.design_effects import VERSION, effects_version
from tracker.errors import NotFoundError, StoreCorrupt, TrackerError
from tracker.evaluation.compare import count_looks, known_looks, rank_again
from tracker.evaluation.confirm import confirming_studies, open_confirming
from tracker.evaluation.files import read_report
from tracker.evaluation.final import OPTIONAL, RESULT, SEEDS, name_candidate, read_results, was_scored
from tracker.evaluation.ledger import Ledger
from tracker.evaluation.metrics_file import metrics_json
from tracker.evaluation.nested import nested_name
from tracker.evaluation.ranking import write_ranking
from tracker.numerics import is_pinned
from tracker.paths import Paths
from tracker.shapes import NESTED
from tracker.store.store import Store
from tracker.trees import first_difference


def verify_store(paths: Paths) -> Verdict | None:
    """Reads every row of the store and every weights file in it against its digest; None where there is no store."""
    try:
        with Store.opened_if_there(paths.store) as store:
            if store is None:
                return None
            read = store.check()
    except StoreCorrupt as error:
        return Verdict("store", "store", "differs", Difference.told("store", str(error)))
    return Verdict("store", "store", "identical", counted=read, derived=read)


def verify_studies(
    names: Collection[str],
    paths: Paths,
    processes: FreshProcesses,
    sample: int | None = None,
    on_step: OnStep = lambda *_: None,
) -> Iterator[Verdict]:
    """The verdict on each study; one whose records are damaged or missing cannot be derived. Raises NotFoundError for one."""
    for name in dict.fromkeys(names):
        try:
            study = find_study(name, paths)
            if study.spec.training.get("numerics") == "portable" and not is_pinned(os.environ):
                yield verify_pinned(name, paths, processes.count, sample, on_step)
            else:
                yield verify_recorded(study, paths, processes, sample, on_step)
        except TrackerError as error:
            if len(names) == 1 and isinstance(error, NotFoundError):
                raise
            yield cannot("study", name, str(error))


def verify_named(
    paths: Paths,
    config: Config,
    names: Collection[str],
    processes: FreshProcesses,
    sample: int | None,
    on_step: OnStep,
) -> Iterator[Verdict]:
    """The verdict on each study; of `nested.STUDY` on the studies of its outer folds and then on its report."""
    scored = {name: study for name in names if (study := nested_name(paths, name))}
    studies = [name for name in names if name not in scored]
    unsound = []
    for found in verify_studies([*studies, *outer_studies(paths, scored.values())], paths, processes, sample, on_step):
        yield found
        unsound += [] if found.is_sound else [found.name]
    yield from verify_nested(paths, config, unsound, scored.values())


def verify_pipeline(
    paths: Paths,
    config: Config,
    names: Collection[str],
    processes: FreshProcesses,
    sample: int | None,
    on_step: OnStep,
) -> Iterator[Verdict]:
    """The verdict on each study, then on the ranking, on the looks, on the final result, where there are any.

    The studies that confirm a choice, and those of outer folds, are among the studies.
    """
    unsound = []
    names = [name for name in names if not _was_nested_alone(paths, name)]
    others = [*confirming_studies(config, paths), *outer_studies(paths)]
    for found in verify_studies([*names, *others], paths, processes, sample, on_step):
        yield found
        unsound += [] if found.is_sound else [found.name]
    yield from verify_nested(paths, config, unsound)
    if _tells_ranking(paths):
        yield _verify_ranking(paths, config, list(names), unsound)
    if looks := verify_looks(paths):
        yield looks
    if _tells_result(paths):
        try:
            yield reproduce_final(paths)
        except TrackerError as error:
            yield cannot("final", "final", str(error))


def _was_nested_alone(paths: Paths, name: str) -> bool:
    """Whether a study never ran but on the rows outside of outer folds, so that there is nothing else of it to derive."""
    if nested_name(paths, f"{NESTED}{name}") is None or reported_study(paths, name) or paths.records(name).is_file():
        return False
    with Store.opened_if_there(paths.store) as store:
        return store is not None and not store.studies(name)


def _tells_ranking(paths: Paths) -> bool:
    """Whether there is, or must be, a ranking: what scores, confirms or counts rests on one, tuning alone does not."""
    rests = [paths.reports / name for name in ("ranking.json", "final.json", "metrics.json")]
    return any(path.is_file() for path in rests) or any(paths.looks.glob("*.json"))


def _tells_result(paths: Paths) -> bool:
    """Whether there is, or must be, a report of a result: not where it says that no look was spent."""
    path = paths.reports / "final.json"
    if not path.is_file():
        return any(paths.looks.glob("*.json"))
    try:
        return was_scored(read_report(path, ""))
    except TrackerError:  # an unreadable report has a verdict
        return True


def _verify_ranking(paths: Paths, config: Config, studies: list[str], unsound: list[str]) -> Verdict:
    """Ranks again from the reports, which the studies have been compared with, and compares the report byte for byte."""
    path, remedy = paths.reports / "ranking.json", "`tracker compare` writes it again"
    if unsound:
        return cannot("ranking", "ranking", f"it rests on the reports of {', '.join(unsound)}, see above")
    if anew := _tuned_anew(paths, path):
        words = f"{path.name} is out of date: {', '.join(anew)} began anew since it was written"
        return cannot("ranking", "ranking", words, "`tracker compare` ranks again")
    try:
        confirm = open_confirming(config, paths)
        ranking = rank_again(paths, config.compare, studies, _left_out(path), confirm, _version(path))
    except TrackerError as error:
        return cannot("ranking", "ranking", str(error))
    with TemporaryDirectory(prefix="tracker-") as folder:
        derived = Path(folder) / "ranking.json"
        write_ranking(derived, ranking)
        content = derived.read_bytes()
    rows, found = len(ranking.rows), digest_bytes(content)
    if not path.is_file():
        return replace(cannot("ranking", "ranking", f"{path.name} is not there", remedy), counted=rows, digest=found)
    same = Verdict("ranking", "ranking", "identical", counted=rows, derived=rows, digest=found)
    if path.read_bytes() == content:
        return same
    leaf = None
    try:
        leaf = first_difference(parse_canonical(path.read_bytes()), parse_canonical(content))
        where = (
            f"{leaf[0]} is {leaf[1]} there, {leaf[2]} follows from the studies' reports"
            if leaf
            else "its form is another"
        )
    except (ValueError, TypeError):
        where = "it cannot be read"
    words = f"{path.name}: {where}: a report is newer, or the ranking was altered"
    what, *values = leaf or ("form", None, None)
    difference = Difference.told(f"{path.name}, {what}", words, *values)
    return replace(same, state="differs", first_difference=difference, remedy=remedy)


def _tuned_anew(paths: Paths, path: Path) -> list[str]:
    """The studies of which a ranking knows other trials alone than their reports, all of them in the store: so it is older."""
    ranked: dict[str, set[str]] = {}
    try:
        for row in parse_canonical(path.read_bytes())["rows"]:
            ranked.setdefault(str(row["study"]), set()).add(str(row["key"]))
        reports = {name: parse_canonical((paths.study_reports / f"{name}.json").read_bytes()) for name in ranked}
        present = {name: {str(trial["key"]) for trial in report["trials"]} for name, report in reports.items()}
    except (OSError, ValueError, TypeError, KeyError):
        return []  # what cannot be read is told by what derives it
    anew = {name: keys for name, keys in ranked.items() if not keys & present[name]}
    with Store.opened_if_there(paths.store) as store:
        return [name for name, keys in anew.items() if store and keys <= store.outcomes(sorted(keys)).keys()]


def _left_out(path: Path) -> dict[str, str]:
    """The studies that a ranking says it left out, because `params.yaml` had come to describe others."""
    try:
        told = parse_canonical(path.read_bytes())["superseded"]
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return dict(told) if isinstance(told, Mapping) else {}


def _version(path: Path) -> int:
    """By which version of design effects a ranking told its interval; the newest where it told none."""
    try:
        told = parse_canonical(path.read_bytes())["indistinguishable"]
    except (OSError, ValueError, TypeError, KeyError):
        return VERSION
    return effects_version(told) if isinstance(told, Mapping) else VERSION


def verify_looks(paths: Paths) -> Verdict | None:
    """Reads every look, in files and store, and every result against its digest and each other; None without any."""
    remedy = "`git checkout reports/looks` brings back what was committed, `tracker sync` what the store has"
    try:
        ledger, results = known_looks(paths), read_results(paths.looks)
    except TrackerError as error:
        return Verdict("looks", "looks", "differs", Difference.told("looks", str(error)))
    count = len(ledger.looks)
    taken = {(look.candidate, look.test_digest) for look in ledger.looks.values()}
    words = [f"look {name[:12]} is in the store and not in {paths.looks}" for name in _without_file(ledger, paths)]
    words += [
        f"look {name[:12]}, which a later one names, is neither in files nor in the store" for name in ledger.lost
    ]
    words += [
        f"the result of {result['study']}/{result['trial']} is of test rows at which no look is recorded"
        for result in results
        if (result["candidate"], result["test_digest"]) not in taken
    ]
    scored = Counter((result["key"], result["test_digest"], str(result.get(SEEDS))) for result in results)
    words += [
        f"trial {key[:12]} has {found} results on the same test rows"
        for (key, *_), found in scored.items()
        if found > 1
    ]
    words += [*_other_report(paths, ledger, results), *_other_metrics(paths)]
    if words:
        return Verdict("looks", "looks", "differs", Difference.told("looks", words[0]), remedy=remedy, counted=count)
    return Verdict("looks", "looks", "identical", counted=count) if count else None


def _without_file(ledger: Ledger, paths: Paths) -> list[str]:
    return [name for name in ledger.looks if not (paths.looks / f"{name}.json").is_file()]


def _other_report(paths: Paths, ledger: Ledger, results: Collection[Mapping[str, Any]]) -> Iterator[str]:
    """Where `final.json` tells another result than the file beside the looks, or fewer looks than are on record by now."""
    try:
        final = name_candidate(read_report(paths.reports / "final.json", ""))
        counted, looks = final.get("looks"), count_looks(paths, ledger)
    except TrackerError:
        return  # the final result has a verdict of its own
    for result in results:
        if all(result[name] == final.get(name) for name in ("key", "test_digest")):
            told = (*RESULT, *(one for one in OPTIONAL if one in {*final, *result}))
            leaf = first_difference({name: final.get(name) for name in told}, {name: result.get(name) for name in told})
            if leaf:
                yield f"final.json: {leaf[0]} is {leaf[1]} there, {leaf[2]} in the result of that look"
    if isinstance(counted, int) and counted < looks:
        yield f"final.json counts {counted} of the {looks} looks at these test rows; `tracker compare --test` counts again"


def _other_metrics(paths: Paths) -> Iterator[str]:
    """Where `metrics.json`, if it is there, is not what `final.json` and `ranking.json` give."""
    try:
        there, final, ranking = (
            read_report(paths.reports / name, "") for name in ("metrics.json", "final.json", "ranking.json")
        )
        leaf = first_difference(there, parse_canonical(canonical_json(metrics_json(final, ranking))))
    except (TrackerError, KeyError, TypeError):
        return  # of the others each has a verdict of its own
    if "best" in there:
        return  # as an earlier release wrote it, with an entry per study; `tracker compare` writes it again
    if leaf:
        yield f"metrics.json: {leaf[0]} is {leaf[1]} there, {leaf[2]} in final.json and ranking.json"
