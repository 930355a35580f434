"""What `runs`, `show` and the end of `make repro` print, from the reports on disk."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tracker.canonical import canonical_json, parse_canonical
from tracker.config.read import load_config, not_declared
from tracker.errors import InputError, NotFoundError, TrackerError
from tracker.evaluation.baselines_report import baseline_lines
from tracker.evaluation.files import read_report
from tracker.evaluation.final import SEEDS, was_scored
from tracker.evaluation.reports import check_study_report, environments_of, named_params
from tracker.evaluation.sureness import place, read_sureness
from tracker.fields import final_report
from tracker.fields import report as report_shape
from tracker.goals import COSTS
from tracker.hyperparameters import with_unsaid
from tracker.metrics import direction_of, led_by, seeds_line, tested
from tracker.ordering import Standing, best_first, common_further, has_place, reason_of, ties_of
from tracker.paths import Paths
from tracker.records import TrialOutcome, record_from
from tracker.remedies import fetch_again, has_git, project_folder, run_again, stage_command
from tracker.shapes import NESTED
from tracker.shown import counted, one_line
from tracker.studies.begun import begun
from tracker.studies.superseded import superseded_note

BARS = "▁▂▃▄▅▆▇█"
SHORT = 60  # characters of a reason in a table


def read_reports(folder: Path, name: str | None = None) -> list[dict[str, Any]]:
    """The study reports of a folder, or the one of that name. Raises NotFoundError, InputError."""
    paths = sorted(folder.glob("*.json"))
    wanted = [path for path in paths if name in {None, path.stem}]
    if not wanted:
        raise NotFoundError(_no_report(folder, name, [path.stem for path in paths]))
    return [_read_report(path) for path in wanted]


def _no_report(folder: Path, name: str | None, there: list[str]) -> str:
    """What is not there, and what to do: a run brings no study that params.yaml does not have."""
    told = f"no report of {name or 'any study'} in {folder} (there: {', '.join(there) or 'none yet'})"
    absent = not_declared(folder, name, there) if name is not None else ""
    stored = "; ".join(begun(folder, name))
    return f"{told}; {absent or stored or f'{run_again(folder)} first'}"


def _read_report(path: Path) -> dict[str, Any]:
    return read_report(path, f"{run_again(path)} to write it again", report_shape)


def leaderboard(
    folder: Path,
    name: str | None,
    sort: str,
    *,
    whole: bool = False,
    superseded: Mapping[str, str] = MappingProxyType({}),
    everything: bool = False,
) -> list[dict[str, Any]]:
    """One row per trial, sorted: by `value` or a metric the best first, by a hyperparameter ascending.

    The trials of `superseded` studies are left out, unless one is asked for by name or `everything` is; then they say why.
    `whole` rows also have what tells trials apart: seed, epochs, key, digest of the weights, environment.
    """
    reports = read_reports(folder, name)
    if name is None and not everything:
        present = [report for report in reports if report["study"] not in superseded]
        if not present:
            raise NotFoundError("; ".join(superseded_note(superseded, folder, "list them with `tracker runs --all`")))
        reports = present
    names = shown_params(reports, folder)
    told = [(report, trial) for report in reports for trial in report["trials"]]
    rows = [_row(report, trial, names, whole) for report, trial in told]
    for row in rows:
        if row["study"] in superseded:
            row["superseded"] = superseded[row["study"]]
    if rows and all(sort not in row for row in rows):
        raise InputError(
            f"nothing is called {sort!r}; there are {', '.join(dict.fromkeys(n for row in rows for n in row))}"
        )
    metrics = {metric for report in reports for trial in report["trials"] for metric in trial["metrics"]}
    if sort == "value" or sort in metrics:  # as `compare` ranks
        common = common_further(report.get("further", ()) for report in reports)
        places = [_standing(*one, row, sort, common) for one, row in zip(told, rows, strict=True)]
        standing = dict(zip(map(id, rows), places, strict=True))
        known = best_first(rows, lambda row: standing[id(row)], _direction(reports[0], sort))
    else:
        known = sorted((row for row in rows if row.get(sort) is not None), key=lambda row: _place(row[sort]))
    listed = set(map(id, known))
    return known + [row for row in rows if id(row) not in listed]


def shown_params(reports: Sequence[Mapping[str, Any]], near: Path) -> list[str]:
    """The hyperparameters that any trial of these reports names, and those that params.yaml writes for their studies.

    What is written at its neutral value, such as `augment_shift: 0`, goes unsaid in records, and was used all the same.
    `near` is any path of the project.
    """
    try:
        config = load_config(project_folder(near) / "params.yaml")
    except InputError:  # whoever needs it says what is wrong
        return named_params(reports)
    studies = [report["study"] for report in reports if report["study"] in config.studies]
    written = [name for study in studies for name in (*config.hyperparameters, *config.space_of(study))]
    return list(dict.fromkeys([*named_params(reports), *written]))


def environment_notes(environments: Mapping[str, Sequence[str]], mixed: Mapping[str, int]) -> list[str]:
    """What to say below trials of several environments, or of studies whose name ran in another one before."""
    notes = [f"{name}: mixed, before in {counted(count, 'other environment')}" for name, count in mixed.items()]
    if len(environments) > 1:
        groups = "; ".join(f"{digest[:12]}: {', '.join(names)}" for digest, names in environments.items())
        notes.append(
            f"these studies were computed in {len(environments)} environments ({groups}); last digits may differ"
        )
    return notes


def notes_of(paths: Paths, name: str | None, without: Collection[str] = ()) -> list[str]:
    """What to say below the trials of all reports (`without` some) or of one: environments, and what was altered."""
    reports = [report for report in read_reports(paths.study_reports, name) if report["study"] not in without]
    notes = []
    for report in reports:
        try:
            check_study_report(report, paths.study_reports / f"{report['study']}.json", paths.models)
        except TrackerError as error:
            notes.append(str(error))
    sure = read_sureness(paths, reports)
    notes += [f"{one['study']} was cut off by its {one['cut_off']}" for one in reports if one.get("cut_off")]
    return [
        *notes,
        *environment_notes(*environments_of(reports)),
        *([sure.line(), *baseline_lines(paths, sure)] if sure else []),
    ]


def mixed_notes(paths: Paths, names: Collection[str]) -> list[str]:
    """Which of these studies ran in another environment before; of those that have a report."""
    there = [name for name in names if (paths.study_reports / f"{name}.json").is_file()]
    reports = [report for name in there for report in read_reports(paths.study_reports, name)]
    return environment_notes({}, environments_of(reports)[1])


def read_trial(paths: Paths, place: str) -> dict[str, Any]:
    """One trial's row of its report, with `study`, `history`, `objective`, `environment`, `mixed` where the study is, `place`.

    Raises NotFoundError.
    """
    study, _, number = place.rpartition("/")
    if study.startswith(NESTED):
        raise NotFoundError(
            f"{place} is of an outer fold, and in no report; `tracker reproduce {place}` derives it again"
        )
    if not study or not number.isdecimal():
        raise InputError(f"expected STUDY/NUMBER, for example tpe/42, or final; found {place!r}")
    report = read_reports(paths.study_reports, study)[0]
    trials = {trial["number"]: trial for trial in report["trials"]}
    if int(number) not in trials:
        raise NotFoundError(f"{study} has no trial {number}; it has 0 to {len(trials) - 1}")
    trial = trials[int(number)]
    told = {name: report[name] for name in ("objective", "environment", "mixed") if name in report}
    sure = read_sureness(paths, [report])
    about = sure.about(study, int(number)) if sure else None
    own = {} if about is None else {"place": about}
    params = with_unsaid(trial["params"], shown_params([report], paths.root))
    return {"study": study, **trial, **told, **own, "params": params, "history": _history(paths, study, trial["key"])}


def describe_trial(found: Mapping[str, Any]) -> list[str]:
    """A trial as lines: what it was told, what it gave, its validation loss, or else its objective, epoch by epoch."""
    lines = [
        f"{found['study']}/{found['number']}  {found['state']}  {found['objective']['metric']} {_text(found['value'])}"
    ]
    why = reason_of(found, found["objective"]["metric"])
    if why is not None:
        lines.append(f"reason    {one_line(str(found.get('reason') or why))}")
    if "place" in found:
        lines.append(f"place     {found['place']}")
    lines.append("params    " + ", ".join(f"{name} {_text(value)}" for name, value in found["params"].items()))
    lines.append(f"seed      {found['seed']}")
    lines.append(f"epochs    {found['epochs']}, kept {found['best_epoch'] or 'none'}")
    width = max((len(name) for name in found["metrics"]), default=0) + 2
    lines += [f"{name:<{width}}{_text(value)}" for name, value in found["metrics"].items()]
    lines += _runs_lines(found)
    lines += _curve_lines(found)
    lines.append(f"key       {found['key']}")
    return lines


def _curve_lines(found: Mapping[str, Any]) -> list[str]:
    """The curves of the objective and of `val_loss`; none of a metric that is finite in no epoch."""
    lines = []
    for metric in dict.fromkeys((found["objective"]["metric"], "val_loss")):
        values = [entry.get(metric) for entry in found["history"]]
        known = [value for value in values if value is not None and math.isfinite(value)]
        if known:
            best, word = (max(known), "highest") if direction_of(metric) == "maximize" else (min(known), "lowest")
            told = f"first {known[0]:.4g}, last {known[-1]:.4g}, {word} {best:.4g}"
            lines.append(f"{metric:<8}  {sparkline(values)}  {told}")
    return lines


def _runs_lines(found: Mapping[str, Any]) -> list[str]:
    """The score of each seed, where a trial has several runs; its metrics above are their means."""
    runs = found.get("runs") or []
    if not runs:
        return []
    texts = ["stopped" if run.get("state") == "paused" else _text(run["value"]) for run in runs]
    told = ", ".join(f"{text} ({_which(run)})" for text, run in zip(texts, runs, strict=True))
    return [f"runs      {len(runs)}: {told}", f"spread    {_text(found.get('spread'))} (standard deviation)"]


def _which(run: Mapping[str, Any]) -> str:
    """What tells a run of a trial from the others: its fold, or its seed."""
    rows = run.get("rows")
    if rows is None:
        return f"seed {run['seed']}"
    return f"fold {rows['fold']}" + (f" of repeat {rows['repeat']}" if rows["repeat"] > 1 else "")


def closing_lines(paths: Paths) -> list[str]:
    """What `make repro` says at its end: the result, and what to do next."""
    _, final = _final(paths)
    if not was_scored(final):
        return ["", f"nothing was scored on the test split: {final['because']}", *next_lines(paths)]
    return ["", *_result_lines(paths, final), *next_lines(paths)]


def next_lines(paths: Paths) -> list[str]:
    """What to do once there is a result. Raises NotFoundError."""
    path, final = _final(paths)
    edit = f"      edit params.yaml, then {stage_command(path).strip('`')}"
    if not was_scored(final):
        return [f"next: tracker show {place(final)} | tracker compare --test --anyway", edit]
    shown = place(final["stale_because"]["chosen"]) if final["stale"] else "final"
    return [
        f"next: open reports/index.html (all of it, with pictures) | tracker ui (MLflow) | tracker show {shown}",
        f"{edit}{_to_commit(paths)}",
        "check: tracker reproduce final (derives it again, bit for bit, without a new look) | tracker verify --all",
        "numbers: reports/final.json, ranking.json and studies/",
    ]


def _final(paths: Paths) -> tuple[Path, Mapping[str, Any]]:
    """`final.json`, read."""
    path = paths.reports / "final.json"
    if not path.is_file():
        raise NotFoundError(f"{path}: there is no result yet; {run_again(path)} first")
    return path, read_report(path, f"{run_again(path)} to write it again", final_report)


def _result_lines(paths: Paths, final: Mapping[str, Any]) -> list[str]:
    test = final["test"]
    about = f" of {test['positive']}" if test["positive"] is not None else ""
    scored = chosen = f"{final['study']}/{final['trial']}"
    sure = read_sureness(paths)
    metric = None if sure is None else sure.metric
    names = led_by(metric, tested(test), tested(test))
    scores = ", ".join(f"{name} {_text(test[name])}" for name in names)
    lines = [f"test {scores} ({test['average']}{about}, {counted(sum(map(sum, test['confusion_matrix'])), 'row')})"]
    lines += [seeds_line(final[SEEDS], metric)] if SEEDS in final else []
    if final["stale"]:
        now = final["stale_because"]["chosen"]
        chosen = f"{now['study']}/{now['trial']}"
        why = "the budget of looks is spent (`tracker looks`)"
        lines = [f"not scored: {chosen}: {why}", f"last scored: {scored}, another model; {lines[0]}"]
    return [
        f"chosen on validation: {chosen}",
        *([*sure.lines(), *baseline_lines(paths, sure)] if sure else []),
        *lines,
    ]


def _to_commit(paths: Paths) -> str:
    """What belongs into git beside params.yaml, where there is git."""
    lock = "dvc.lock, " if (paths.root / "dvc.lock").is_file() else ""
    return f"; commit {lock}data/salts.json and reports/looks/ with it" if has_git(paths.root) else ""


def _direction(report: Mapping[str, Any], sort: str) -> str:
    if sort == "value":
        return str(report["objective"]["direction"])
    return "minimize" if sort in COSTS else direction_of(sort)


def _standing(
    report: Mapping[str, Any], trial: Mapping[str, Any], row: Mapping[str, Any], sort: str, common: Sequence[Any]
) -> Standing:
    """By a metric as it is; by the value only what has a place, with further objectives behind it."""
    value = row.get(sort)
    if sort != "value":
        return Standing(value, row.get("val_loss"), row["study"], row["trial"])
    ties = ties_of(trial, report.get("further", ()), common)
    return Standing(value if has_place(trial) else None, row.get("val_loss"), row["study"], row["trial"], ties)


def _place(value: Any) -> tuple[bool, Any]:
    """Where a hyperparameter's value stands: texts (widths per layer among them) behind numbers."""
    return isinstance(value, str), value


def sparkline(values: Sequence[float | None]) -> str:
    """Values as a row of bars, one per value; a space where there is none, or one that is not finite."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(
        " " if value is None or not math.isfinite(value) else BARS[round((value - low) * scale)] for value in values
    )


def _row(report: Mapping[str, Any], trial: Mapping[str, Any], names: Collection[str], whole: bool) -> dict[str, Any]:
    row = {"study": report["study"], "trial": trial["number"], "state": trial["state"], "value": trial["value"]}
    if "front" in report:
        row["front"] = trial["number"] in report["front"]
    row |= dict(trial["metrics"])
    params = with_unsaid(trial["params"], names)
    row |= {name: canonical_json(v).decode() if isinstance(v, list | dict) else v for name, v in params.items()}
    why = reason_of(trial, report["objective"]["metric"])
    if why is not None:
        row.setdefault("reason", why if whole or len(why) <= SHORT else f"{why[: SHORT - 1]}…")
    if whole:
        row |= {name: trial.get(name) for name in ("seed", "best_epoch", "epochs", "key", "weights")}
        row["environment"] = report.get("environment")
    return row


def _history(paths: Paths, study: str, key: str) -> list[dict[str, Any]]:
    path = paths.models / study / "trials.jsonl"
    if not path.is_file():
        return []
    for line in path.read_bytes().split(b"\n")[1:]:
        if key.encode() in line:
            try:
                outcome = record_from(TrialOutcome, parse_canonical(line)["outcomes"][0])
            except (ValueError, TypeError, LookupError) as error:
                raise InputError(f"{path}: not a readable study ({error}); {fetch_again(path)}") from None
            if outcome.key == key:
                return list(map(dict, outcome.history))
    return []


def _text(value: Any) -> str:
    return "undefined" if value is None else f"{value:.4g}" if isinstance(value, float) else one_line(str(value))
