"""The facts of a project in sentences and pairs: what was asked, what was chosen, how sure that is, how it was done."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tracker.config import Config
from tracker.evaluation.baselines_report import versus
from tracker.evaluation.final import SEEDS
from tracker.evaluation.fronts import front_lines
from tracker.evaluation.preference import preferred_lines
from tracker.evaluation.sureness import Sureness, percent, worse_words
from tracker.goals import constraint_text, goals_text
from tracker.hyperparameters import FAMILIES
from tracker.metrics import led_by, seeds_line, tested
from tracker.ordering import first_reason, why_unranked
from tracker.remedies import stage_command
from tracker.reporting.facts import Facts
from tracker.shown import agree, counted, written

LOOK_ANYWAY = "tracker compare --test --anyway"


def headline(facts: Facts) -> list[str]:
    """The answer in sentences: what was chosen, and what it scored."""
    chosen, final = facts.chosen, facts.final
    among = counted(len(facts.ranked), "trial")
    told = [f"{chosen.name} was chosen among {among}: {facts.metric} {_validated(facts)}.{_unchanged(facts)}"]
    if final is None and facts.withheld:
        return [*told, f"No look at the test rows was spent: {facts.withheld}. To look all the same: `{LOOK_ANYWAY}`."]
    if final is None:
        return [*told, "It was not scored on the test rows yet."]
    test, who = final["test"], f"{final['study']}/{final['trial']}"
    scores = f"{_tested(facts.metric, test)} on {counted(final['test_rows'], 'test row')}"
    looks = f"look {final['looks']} of {final['budget']} at these rows"
    if final["stale"]:
        return [*told, f"It was not scored on the test rows. Last scored was {who}: {scores}; {looks}."]
    return [*told, f"It scored {scores}; {looks}."]


def _unchanged(facts: Facts) -> str:
    """That the choice is the defaults, with a space before it; empty where it is not, or where nothing else was tried."""
    default = facts.defaults
    if default is None or default.name != facts.chosen.name or len(facts.ranked) < 2:
        return ""
    why = "" if facts.ranking.get("preferred") else ": tuning found no better configuration"
    return f" It has the defaults, unchanged{why}."


def _tested(metric: str, test: Mapping[str, Any]) -> str:
    """The test score of the objective, where there is one, and F1, each with its interval."""
    names = led_by(metric, ["f1"], tested(test))
    return ", ".join(f"{called(name)} {score(test[name])}{between(test['intervals'].get(name))}" for name in names)


def called(name: str) -> str:
    """What people call a metric in a sentence."""
    return "F1" if name == "f1" else name


def title(facts: Facts) -> str:
    """What was chosen, and its first score on the test rows, where that is of this choice."""
    if facts.final is None or facts.final["stale"]:
        return facts.chosen.name
    test = facts.final["test"]
    name = led_by(facts.metric, ["f1"], tested(test))[0]
    return f"{facts.chosen.name}: test {called(name)} {score(test[name])}"


def _validated(facts: Facts) -> str:
    """The validation score of what was chosen: the mean over further seeds where it was confirmed."""
    confirmed, found = facts.ranking.get("confirmation"), score(facts.chosen.value)
    if confirmed is None or confirmed["measured"]["choice"]["mean"] is None:
        return f"{found} on {facts.scored_on}"
    mean = score(confirmed["measured"]["choice"]["mean"])
    return f"{mean} (mean over {confirmed['seeds']} more seeds on validation; {found} as found on {facts.scored_on})"


def asked(facts: Facts) -> list[tuple[str, str]]:
    """What the project asked, as pairs of a heading and a text."""
    data, split = facts.config.data, facts.config.split
    pairs = [("Data", f"{data.source}, to predict {data.target}")]
    for name, told in facts.splits.items():
        classes = ", ".join(f"{label} {count}" for label, count in told["classes"].items())
        pairs.append((f"{name.capitalize()} rows", f"{told['rows']} ({classes})"))
    if facts.final is not None:
        pairs.append(("Test rows", f"{facts.final['test_rows']}, sealed until the look"))
    pairs.append(("Split", f"{split.method}, {split.validation:.0%} validation, {split.test:.0%} test"))
    bare = facts.metric.removeprefix("val_")
    meaning = "" if bare == facts.metric else f" ({called(bare)} on {facts.scored_on})"
    pairs.append(("Objective", f"{facts.direction} {facts.metric}{meaning}, at the kept epoch"))
    return pairs


def studies(facts: Facts) -> list[dict[str, Any]]:
    """A line per study."""
    return [
        {
            "name": name, "sampler": _searched_by(report), "trials": len(report["trials"]),
            "states": ", ".join(f"{count} {state}" for state, count in report["states"].items() if count)
            + (f"; limits: {', '.join(map(constraint_text, limits))}" if (limits := report.get("constraints")) else "")
            + (f"; stopped: {report['stopped']}" if report.get("stopped") else "")
            + (f"; cut off by its {report['cut_off']}" if report.get("cut_off") else ""),
            "best": None if report["best"] is None else f"{name}/{report['best']}", "value": report["best_value"],
        }
        for name, report in facts.studies.items()
    ]  # fmt: skip


def _searched_by(report: Mapping[str, Any]) -> str:
    """The sampler of a study, and what it refines."""
    refines = report.get("refines")
    return f"{report['sampler']}, refines {refines['study']}" if refines else str(report["sampler"])


def _also(report: Mapping[str, Any]) -> str:
    """The objectives of a study behind the first, for the text on methods."""
    further = report.get("further")
    return f", further objectives {goals_text(further)}" if further else ""


def certainty(facts: Facts) -> list[str]:
    """How sure the choice is, in sentences."""
    ranked, chosen, ties = facts.ranked, facts.chosen, facts.ties
    first = ranked[0]
    told = []
    if len(ranked) > 1 and first.value is not None and ranked[1].value is not None:
        who = "Its lead" if first is chosen else f"The lead of {first.name}, which scored best,"
        told.append(f"{who} over the second, {ranked[1].name}, is {Sureness.of(facts.ranking, None).lead}.")
    if ties is not None:
        low, high = facts.ranking["indistinguishable"]["interval"]
        told.append(
            f"The rows that score are few: the 95 % interval of its score is {score(low)} to {score(high)}, and "
            f"{_inside(len(ties), len(ranked) - 1)}."
        )
    if others := Sureness.of(facts.ranking, None).other_rows():
        told.append(f"{others[0].upper()}{others[1:]}.")
    if (default := facts.defaults) is not None and default.name != chosen.name:
        tie = " It is one of the ties." if ties and default.name in ties else ""
        told.append(f"The fixed hyperparameters as they are ({default.name}) score {score(default.value)}.{tie}")
    simple = None if facts.baselines is None else versus(facts.baselines, Sureness.of(facts.ranking, None))
    told += [f"Beside simple models: {simple}."] if simple else []
    told += [f"{line[0].upper()}{' '.join(line.split())[1:]}." for line in front_lines(facts.ranking)]
    if preferred := facts.ranking.get("preferred"):
        words = "; ".join(
            line.strip()
            for line in preferred_lines(preferred, facts.metric, confirmed=bool(facts.ranking.get("confirmation")))
        )
        told.append(f"{words[0].upper()}{words[1:]}.")
    if first is chosen:
        told.append(
            "Its validation score, as found, is the best of many, and therefore too good. The test score is not."
        )
    else:
        told.append(
            f"The best of many scores is too good. {chosen.name} is place {ranked.index(chosen) + 1} as found, and was chosen "
            f"{'by that rule' if preferred else 'for its mean over further seeds'}."
        )
    return (
        told
        if facts.ranking.get("confirmation") is None
        else [*told, *confirmed(facts.ranking["confirmation"], preferred)]
    )


def _inside(ties: int, others: int) -> str:
    """How many of the other trials lie inside the interval of the first."""
    if others == 1:
        return f"the only other trial {agree(ties, 'lies inside. It is a tie', 'lies outside')}"
    found = f"{ties} of the other {counted(others, 'trial')}"
    if not ties:
        return f"{found} lie inside"
    return f"{found} {agree(ties, 'lies inside. It is a tie', 'lie inside. These are ties')}"


def confirmed(told: Mapping[str, Any], preferred: Mapping[str, Any] | None = None) -> list[str]:
    """What further seeds said, in sentences."""
    measured, seeds = told["measured"], told["seeds"]
    choice, defaults = measured["choice"], measured["defaults"]
    best, among = told["contenders"][0], len(told["contenders"])
    rivals = f"{counted(among, 'configuration')} {agree(among, 'was', 'were')}"
    name = _who(best)
    is_choice = (best["study"], best["trial"]) == (choice["study"], choice["trial"])
    served = f"{score(told['served']['value'])} with seed {told['served']['seed']}"
    lines = [
        f"{rivals} trained with {counted(seeds, 'further seed')} each; {name} has the best mean.",
        f"With {seeds} more seeds, that chose nothing, {'it' if is_choice else 'the preferred one'} has {_over_seeds(choice)}.",
        f"The run whose score is their median, {served}, is what a look scores and serves: reports/confirm/model.",
    ]
    if defaults is not None and (defaults["study"], defaults["trial"]) != (choice["study"], choice["trial"]):
        lines.append(f"The defaults have {_over_seeds(defaults)}.")
    if measured["probability"] is not None:
        lines.append(
            f"The choice is better than the defaults with probability {percent(measured['probability'])}, over seeds, on the "
            f"same rows. What other rows may say: `tracker compare {_who(choice)} {_who(defaults)}`."
        )
    if worse := worse_words(told, preferred):
        lines.append(f"Warning: {worse}.")
    return lines


def _who(told: Mapping[str, Any]) -> str:
    return f"{told['study']}/{told['trial']}"


def _over_seeds(told: Mapping[str, Any]) -> str:
    if told["mean"] is None:
        return f"no mean: {counted(told['failed'], 'seed')} failed"
    return f"a mean of {score(told['mean'])} (standard deviation {score(told['sd'])})"


def test_rows(facts: Facts) -> list[tuple[str, str, str]]:
    """The test scores: name, value, interval; empty where nothing was scored."""
    if facts.final is None:
        return []
    test = facts.final["test"]
    names = led_by(facts.metric, tested(test), tested(test))
    return [(name, score(test[name]), between(test["intervals"].get(name)).strip(" ()")) for name in names]


def over_seeds(facts: Facts) -> str:
    """What the same configuration scored with other seeds in the same look; empty where none were trained."""
    if facts.final is None or SEEDS not in facts.final:
        return ""
    line = seeds_line(facts.final[SEEDS], facts.metric)
    return f"{line[0].upper()}{line[1:]}."


def commands(facts: Facts) -> list[tuple[str, str]]:
    """What derives each number again."""
    chosen = facts.chosen.name
    told = [(f"tracker reproduce {chosen}", "trains the chosen trial again in a fresh process and compares every bit")]
    if facts.final is not None:
        told.append(("tracker reproduce final", "the scored trial and its test scores again, without a new look"))
    told += [(f"tracker verify {name}", f"all trials of {name} again, proposals too") for name in facts.studies]
    told.append(("tracker verify --all", "store, studies, ranking, looks and final result"))
    told.append((stage_command().strip("`"), "runs what changed since"))
    return told


def methods(facts: Facts) -> str:
    """A paragraph for a paper's section on methods."""
    config, total = facts.config, len(facts.rows)
    folds = "" if facts.scored_on == "validation" else f" on {facts.scored_on}"
    samplers = "; ".join(
        f"{one['name']}: {one['sampler']}, {counted(one['trials'], 'trial')}{_also(facts.studies[one['name']])}"
        for one in studies(facts)
    )
    stopping = config.training.early_stopping
    ends = (
        f"early stopping on {stopping.monitor} with patience {stopping.patience}" if stopping else "no early stopping"
    )
    once = FAMILIES[config.model.family].fitted_once
    lengths = "fitted once" if once else f"trained for at most {counted(config.training.epochs, 'epoch')} with {ends}"
    rows = ", ".join(f"{told['rows']} {name}" for name, told in facts.splits.items())
    space = ", ".join(facts.searched())
    sentence = (
        f"We tuned a classifier of family {config.model.family} on {config.data.source} ({rows} rows, "
        f"{config.split.method} split; preprocessing fitted on training rows only). {counted(total, 'configuration')} "
        f"({samplers}) {agree(total, 'was', 'were')} {lengths}{folds}, each with a seed of its own derived from "
        f"the root seed {config.seed}. Searched: {space}. The chosen configuration has {facts.criterion}."
    )
    if (refit := facts.ranking.get("refit")) is not None:
        sentence += f" It was trained once more on train and validation, for {counted(refit['epochs'], 'epoch')}."
    if facts.final is None:
        return f"{sentence} The test rows were not opened."
    final, test = facts.final, facts.final["test"]
    average = "of the positive class" if test["positive"] is not None else "averaged over classes"
    names = led_by(facts.metric, ("precision", "recall", "f1"), tested(test))
    scores = ", ".join(f"{name} {score(test[name])}" for name in names)
    who = "It" if not final["stale"] else f"Of an earlier choice, {final['study']}/{final['trial']}, which"
    return (
        f"{sentence} {who} was scored on {counted(final['test_rows'], 'test row')} that took no part in tuning (look "
        f"{final['looks']} of {final['budget']}): {scores}, {average}; intervals are 95 % over test rows. All numbers "
        "were computed with tracker and can be derived again bit for bit."
    )


def checklist(facts: Facts) -> list[tuple[str, str]]:
    """Questions of the ACL reproducibility checklist and of REFORMS that the records can answer."""
    config, second = facts.config, "next objective, " if facts.ranking.get("fronts") else ""
    duplicates = (
        "rows with equal features share a split" if config.split.duplicates == "together" else "not kept together"
    )
    told = [
        ("Sample size, and classes", "; ".join(f"{a}: {b}" for a, b in asked(facts) if "rows" in a)),
        ("How was the data split", f"{config.split.method}, by a hash of each row and a kept salt; {duplicates}"),
        ("Leakage: preprocessing", "imputation, scaling and encoding are fitted on training rows only"),
        ("Leakage: test rows", "sealed; opened by the last stage alone, after the look was recorded"),
        (
            "Search methods and number of trials",
            "; ".join(f"{one['name']}: {one['sampler']}, {one['trials']}" for one in studies(facts)),
        ),
        ("Bounds of each hyperparameter", bounds(config)),
        (
            "Values of the chosen configuration",
            ", ".join(f"{name} {written(value)}" for name, value in facts.chosen.params.items()),
        ),
        (
            "Criterion of selection",
            f"{facts.criterion}; ties: {second}lower val_loss, study, number",
        ),
        ("Seeds", f"root seed {config.seed}; each trial's seed is derived from it, its study and its number"),
        ("Uncertainty", "95 % intervals over rows; trials that cannot be told apart are named"),
    ]
    failed = [row for row in facts.rows if row.state == "failed"]
    reasons = first_reason(why_unranked(row.state, row.value, facts.metric, row.reason) for row in failed)
    return [*told, ("Failed trials", f"{len(failed)} of {len(facts.rows)}{': ' + reasons if failed else ''}")]


def bounds(config: Config) -> str:
    """The common space in words, then that of each study that has its own."""
    told = json.loads(config.model_dump_json(include={"search_space", "declared"}, exclude_unset=True, by_alias=True))
    own = {name: study["search_space"] for name, study in told.get("studies", {}).items() if "search_space" in study}
    common = [_ranges(told["search_space"])] if told.get("search_space") else []
    return ". ".join([*common, *(f"Study {name}: {_ranges(space or {})}" for name, space in own.items())])


def _ranges(space: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {_range(entry)}" for name, entry in space.items())


def _range(entry: Any) -> str:
    """One entry of a search space: choices, a range with its scale or step, and when it counts; else as it is written."""
    if not isinstance(entry, Mapping) or not ({"choices"} <= set(entry) or {"low", "high"} <= set(entry)):
        return short(entry)
    ends = [short(entry[end]) for end in ("low", "high") if end in entry]
    told = " to ".join(ends) or ", ".join(map(short, entry["choices"]))
    told += " (log)" if entry.get("log") else ""
    told += f" in steps of {short(entry['step'])}" if entry.get("step") is not None else ""
    told += f" per {entry['per']}" if entry.get("per") else ""
    when = [f"{name} is {_or(value)}" for name, value in (entry.get("when") or {}).items()]
    return f"{told} where {' and '.join(when)}" if when else told


def _or(value: Any) -> str:
    return " or ".join(map(short, value)) if isinstance(value, list) else short(value)


def is_number(value: Any) -> bool:
    """Whether a value can stand in a chart: a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def between(ends: Sequence[float] | None) -> str:
    """An interval behind a score; nothing where there is none."""
    return "" if ends is None else f" (95 %: {ends[0]:.3f} to {ends[1]:.3f})"


def score(value: Any) -> str:
    """A score as people read it: three decimals, more for what would be 0; `undefined` for none."""
    if not is_number(value):
        return "undefined"
    return f"{value:.3f}" if abs(value) >= 0.0005 or value == 0 else f"{value:.1g}"


def short(value: Any) -> str:
    """A hyperparameter as people read it."""
    return f"{value:.4g}" if isinstance(value, float) else written(value)
