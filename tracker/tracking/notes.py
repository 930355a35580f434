"""The notes (Markdown) that MLflow shows with an experiment, a study and a final result: what was asked, what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tracker.goals import constraint_text, front_words, goals_text
from tracker.metrics import group_lines, led_by, seeds_line, tested
from tracker.records import StudySpec
from tracker.shown import agree, counted
from tracker.tracking.project_files import Ties
from tracker.tracking.run_contents import Dataset, searched

NOTE = "mlflow.note.content"
GAP = "&emsp;"
MOST_TOLD = 40  # studies in the note of an experiment, the best ones: more do not fit into its tag


@dataclass(frozen=True, slots=True)
class Ended:
    """A study that ended: its spec, its summary, where its best trial and its trials are shown (None: not known).

    `best_run` is the id of the run of that trial.
    """

    spec: StudySpec
    summary: Mapping[str, Any]
    states: Mapping[str, int]
    best_link: str | None = None
    trials_link: str | None = None
    best_run: str | None = None

    @property
    def best(self) -> str | None:
        """The best trial, `STUDY/NUMBER`; None where none has a value."""
        number = self.summary.get("number")
        return None if number is None else f"{self.spec.name}/{number}"


def best_runs(studies: Sequence[Ended]) -> list[str]:
    """The runs of the best trials of studies, without those that confirm or nest one; none where that is one alone."""
    found = [one.best_run for one in studies if one.best_run is not None and "." not in one.spec.name]
    return found if len(found) > 1 else []


def study_note(ended: Ended, seen: Sequence[Dataset]) -> str:
    """What a study was asked, what it found, and how to derive it again."""
    spec, metric = ended.spec, ended.spec.objective["metric"]
    told = searched(spec)["search_space"]
    entries = told.get("entries", []) if isinstance(told, Mapping) else []
    best = "No trial has a value."
    if ended.best is not None:
        place = _link(ended.best, ended.best_link)
        best = f"**Best: {place}, {metric} {number(ended.summary.get('value'))}** on the validation rows."
    states = ", ".join(f"{count} {state}" for state, count in ended.states.items() if count)
    asked = f"{spec.objective['direction']} `{metric}` with sampler `{spec.sampler.get('name')}`"
    lines = [
        f"{best} {states}. {_link('All trials, best first, with charts', ended.trials_link)}",
        "",
        f"Asked: {asked}, {len(entries)} hyperparameters searched, up to {spec.training.get('epochs')} epochs.",
        *_goal_lines(ended),
        *([f"Stopped: {ended.summary['stopped']}."] if "stopped" in ended.summary else []),
        *_refined_lines(spec.refines),
        *_data_lines(seen),
        *([""] if entries else []),
        *_table(("searched", "values"), [(entry["name"], _values(entry)) for entry in entries]),
        *_forbidden_lines(told),
        "",
        f"Derive it again: `tracker verify {spec.name}`"
        + (f"; its best trial alone: `tracker reproduce {ended.best}`" if ended.best else ""),
    ]
    return "\n".join(lines) + "\n"


def _goal_lines(ended: Ended) -> list[str]:
    """Several objectives with the size of their front, and constraints."""
    spec, lines = ended.spec, list[str]()
    if spec.further:
        front = f"its front has {front_words(int(ended.summary.get('front', 0)))}"
        first, second = spec.objectives[0]["metric"], spec.further[0]["metric"]
        lines.append(f"Objectives: {goals_text(spec.objectives)}; {front}. Best by {first}, ties by {second}.")
    if spec.constraints:
        limits = ", ".join(f"`{constraint_text(one)}`" for one in spec.constraints)
        lines.append(f"Constraints: {limits}. A trial that breaks one is never best (`tracker.breaks`).")
    return lines


def _forbidden_lines(space: Mapping[str, Any]) -> list[str]:
    """The combinations that no trial has."""
    clauses = space.get("forbid", [])
    return ["", *(f"Forbidden: `{json.dumps(clause, ensure_ascii=False)}`" for clause in clauses)] if clauses else []


def _refined_lines(refines: Mapping[str, Any]) -> list[str]:
    """What the study refines; the table of what is searched has the space that is left."""
    if not refines:
        return []
    first = f"its first {counted(int(refines.get('trials', 0)), 'trial')}"
    return [f"Refines `{refines.get('study')}`: its space, shrunk around the best {refines.get('keep')} of {first}."]


def final_note(
    final: Mapping[str, Any],
    seen: Sequence[Dataset],
    ties: Ties | None,
    link: str | None,
    metric: str | None = None,
) -> str:
    """The chosen trial, its scores on the test rows with intervals, how sure the choice is, and how to derive it again.

    The score of the objective's `metric` comes first.
    """
    chosen, seeds = f"{final.get('study')}/{final.get('trial')}", final.get("seeds")
    rows = counted(int(final.get("test_rows", 0)), "test row")
    lines = [
        f"**{_link(chosen, link)} was chosen on validation and scored on the {rows}.**",
        *_ties_lines(ties),
        "",
        *_score_table(final.get("test") or {}, metric),
        *(part for line in group_lines(final.get("test") or {}) for part in ("", f"{line[0].upper()}{line[1:]}.")),
        *(["", f"The same configuration {seeds_line(seeds, metric)}."] if seeds else []),
        "",
        f"Looks at these test rows: {final.get('looks')} of {final.get('budget')}.",
        *_data_lines(seen),
        "",
        "Derive it again, without a new look: `tracker reproduce final`",
    ]
    return "\n".join(lines) + "\n"


def experiment_note(
    studies: Sequence[Ended], final: Mapping[str, Any] | None, ties: Ties | None, link: str | None
) -> str:
    """What was chosen and scored, and the studies that it was chosen from, the best first."""
    lines: list[str] = []
    if final is not None:
        test, chosen = final.get("test") or {}, f"{final.get('study')}/{final.get('trial')}"
        metric = studies[0].spec.objective["metric"] if studies else None
        scored = ", ".join(
            [_link(chosen, link), *(_with_interval(test, name) for name in led_by(metric, ["f1"], test))]
        )
        looks, rows = f"Looks: {final.get('looks')} of {final.get('budget')}.", int(final.get("test_rows", 0))
        lines += [
            f"**Scored on {counted(rows, 'test row')}: {scored}.** {looks}",
            "",
        ]  # at first MLflow shows a paragraph
        lines += [*sure, ""] if (sure := _ties_lines(ties)) else []
    table, others = list[tuple[str, ...]](), len(studies[MOST_TOLD:])
    best = "`best trials`, " if best_runs(studies) else ""
    for one in studies[:MOST_TOLD]:
        value = f"{one.spec.objective['metric']} {number(one.summary.get('value'))}"
        cells = [
            _link(one.spec.name, one.trials_link),
            str(one.spec.sampler.get("name")),
            str(one.summary.get("trials")),
        ]
        table.append((*cells, _link(one.best or "none", one.best_link), value))
    lines += [
        *_table(("study", "sampler", "trials", "best", "objective"), table),
        *(["", f"{others} more {agree(others, 'study', 'studies')}: view `studies`."] if others else []),
        "",
        f"Saved views (button *Views*): `studies`, {best}`final`, one per study. Derive all again: `tracker verify --all`",
    ]
    return "\n".join(lines) + "\n"


def number(value: Any) -> str:
    """A number as people read it: four digits; a word where there is none."""
    return f"{value:.4g}" if isinstance(value, int | float) and not isinstance(value, bool) else "undefined"


def _ties_lines(ties: Ties | None) -> list[str]:
    if ties is None or ties.ranked < 2:
        return []
    others = ties.ranked - 1
    told = f"{ties.tied} of the other {counted(others, 'trial')} cannot"
    if others == 1:
        told = f"the only other trial {agree(ties.tied, 'cannot', 'can')}"
    first = "it" if ties.first is None else f"{ties.first}, the best as found,"
    confirmed = f" Confirmed: {ties.confirmed}." if ties.confirmed else ""
    return [f"How sure: {told} be told from {first} on the validation rows.{confirmed}"]


def _with_interval(test: Mapping[str, Any], name: str) -> str:
    ends = (test.get("intervals") or {}).get(name)
    return f"{name} {number(test.get(name))}" + (f" (95 % {number(ends[0])} to {number(ends[1])})" if ends else "")


def _score_table(test: Mapping[str, Any], metric: str | None) -> list[str]:
    names = led_by(metric, led_by("f1", tested(test), test), test)
    intervals = test.get("intervals") or {}
    rows = []
    for name in names:
        between = intervals.get(name)
        shown = f"{number(between[0])} to {number(between[1])}" if between else ""
        rows.append((name, number(test[name]), shown))
    return _table(("test score", "value", "95 % interval"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown, none without rows. MLflow sets cells side by side without a gap, so each ends in a space."""
    if not rows:
        return []
    first, *others = [f"| {' | '.join(f'{cell}{GAP}' for cell in row)} |" for row in (head, *rows)]
    return [first, f"|{' --- |' * len(head)}", *others]


def _data_lines(seen: Sequence[Dataset]) -> list[str]:
    told = [f"{part.profile['rows']} {part.context}" for part in seen if part.profile.get("rows")]
    source = next((part.name for part in seen if part.source), None)
    return [] if source is None else ["", f"Data: `{source}`, rows: {', '.join(told)}."]


def _values(entry: Mapping[str, Any]) -> str:
    if "choices" in entry:
        return ", ".join(str(choice) for choice in entry["choices"])
    scale = " (log)" if entry.get("log") else f" (step {entry['step']})" if entry.get("step") else ""
    return f"{number(entry.get('low'))} to {number(entry.get('high'))}{scale}"


def _link(text: str, address: str | None) -> str:
    return text if address is None else f"[{text}]({address})"
