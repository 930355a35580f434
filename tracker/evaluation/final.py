"""The result of the one look: test scores with intervals, as a value, a report, and a file kept beside the looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracker.canonical import canonical_json, digest_bytes, parse_canonical
from tracker.errors import StoreCorrupt
from tracker.evaluation.files import ENTRIES, write_durably, write_report
from tracker.fields import RESULT as SHAPES
from tracker.metrics import group_lines, led_by, seeds_line, tested
from tracker.paths import Paths
from tracker.shapes import entries
from tracker.shown import counted, csv_cell

if TYPE_CHECKING:
    import pandas as pd

    from tracker.evaluation.unworthy import Unworthy

SEEDS = "seeds"  # where the choice was confirmed: its scores over further seeds, taken in the same look
DETAILS = "details"  # each class, curves and more (`tracker.evaluation.details`); results of earlier releases have none
OPTIONAL = (SEEDS, DETAILS)
RESULT = ("study", "trial", "key", "candidate", "params", "validation", "test", "test_digest", "test_rows")

_MEND = "bring it back from git, or delete it (`tracker sync` writes the store's copy, where there is one)"


@dataclass(frozen=True, slots=True)
class Final:
    """Test scores of the chosen trial.

    `result` is what the candidate, the environment and the test rows decide: study, trial, key, candidate, params,
    validation, test, test_digest, test_rows. `looks` counts distinct candidates (a configuration with its seed) that
    were scored on any of the present test rows, out of `budget`. A `stale` final repeats the last result, because another
    trial is chosen now and looks are spent; `stale_because` says what changed and `message` also when looks were taken.
    `trusted` is the digest of code that ran though it is not the project's. `chosen_on` says which rows chose configuration,
    epoch and threshold.
    """

    result: Mapping[str, Any]
    looks: int
    budget: int
    stale_because: Mapping[str, Any] | None = None
    message: str = ""
    trusted: str | None = None
    chosen_on: Mapping[str, str | None] | None = None

    @property
    def stale(self) -> bool:
        """Whether this repeats an earlier result for a trial that is no longer the chosen one."""
        return self.stale_because is not None

    @property
    def study(self) -> str:
        """The study of the trial that was scored."""
        return str(self.result["study"])

    @property
    def trial(self) -> int:
        """The number of the trial that was scored."""
        return int(self.result["trial"])

    @property
    def params(self) -> Mapping[str, Any]:
        """Its hyperparameters."""
        return dict(self.result["params"])

    @property
    def accuracy(self) -> float | None:
        """Share of test rows whose label was predicted."""
        return self.score("accuracy")

    @property
    def precision(self) -> float | None:
        """Of the positive class, or the mean over classes; None where undefined."""
        return self.score("precision")

    @property
    def recall(self) -> float | None:
        """Of the positive class, or the mean over classes; None where undefined."""
        return self.score("recall")

    @property
    def f1(self) -> float | None:
        """Of the positive class, or the mean over classes; None where undefined."""
        return self.score("f1")

    def score(self, name: str) -> float | None:
        """A metric of the test result by name, `f1` for one; None where undefined. Raises KeyError for one it lacks."""
        value: float | None = self.result["test"][name]
        return value

    def interval(self, name: str) -> tuple[float, float] | None:
        """The 95 % interval of a metric over test rows (`tracker.metrics`); None where there is none."""
        ends = self.result["test"]["intervals"][name]
        return None if ends is None else (ends[0], ends[1])

    @property
    def confusion_matrix(self) -> pd.DataFrame:
        """Counts of test rows, by true label (index) and predicted label (columns)."""
        import pandas as pd

        test = self.result["test"]
        labels = test["labels"]
        frame = pd.DataFrame(test["confusion_matrix"], index=labels, columns=labels)
        return frame.rename_axis(index="actual", columns="predicted")


def final_json(final: Final) -> dict[str, Any]:
    """The content of `reports/final.json`: no times, so that equal results give equal bytes.

    A stale one is headed by what is not scored; the old scores follow under the names that they always have.
    """
    content = {**result_of(final.result), "looks": final.looks, "budget": final.budget, "stale": final.stale}
    content |= {"trusted": final.trusted} if final.trusted else {}
    content |= {"chosen_on": dict(final.chosen_on)} if final.chosen_on else {}
    if final.stale_because is None:
        return content
    return {"not_scored": dict(final.stale_because["chosen"]), **content, "stale_because": dict(final.stale_because)}


def result_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a report that are the result: what candidate, environment and test rows decide."""
    return {name: content[name] for name in (*RESULT, *(one for one in OPTIONAL if one in content))}


def write_final(reports: Path, final: Final) -> None:
    """Writes `final.json`, and `confusion.csv` for `dvc plots`."""
    write_durably(reports / "confusion.csv", confusion_text(final.result).encode())
    write_report(reports / "final.json", final_json(final), on_one_line=(DETAILS,))


def write_withheld(reports: Path, unworthy: Unworthy) -> None:
    """Writes a `final.json` that says that nothing was scored and why, and a `confusion.csv` without rows."""
    ends = None if unworthy.interval is None else list(unworthy.interval)
    told = {"metric": unworthy.metric, "interval": ends, "majority_vote": unworthy.vote}
    write_durably(reports / "confusion.csv", b"actual,predicted\n")
    write_report(reports / "final.json", {"scored": False, "because": unworthy.words, **unworthy.chosen.place, **told})


def was_scored(final: Mapping[str, Any]) -> bool:
    """Whether a report of a final result tells one; else it says why no look was spent."""
    return final.get("scored") is not False


def confusion_text(result: Mapping[str, Any]) -> str:
    """The content of `confusion.csv`: actual, predicted; one line per test row, sorted."""
    test = result["test"]
    pairs = zip(test["labels"], test["confusion_matrix"], strict=True)
    cells = [
        (actual, predicted) for actual, row in pairs for predicted, n in zip(test["labels"], row, strict=True)
        for _ in range(n)
    ]  # fmt: skip
    lines = [",".join(_quoted(csv_cell(text)) for text in cell) for cell in [("actual", "predicted"), *cells]]
    return "\n".join(lines) + "\n"


def keep_result(folder: Path, result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keeps a result beside the looks, `results/DIGEST.json`, named by its content; gives it as it reads back."""
    content = canonical_json(result) + b"\n"
    path = folder / "results" / f"{digest_bytes(content)}.json"
    if not path.is_file() or path.read_bytes() != content:
        write_durably(path, content)
    value: Mapping[str, Any] = parse_canonical(content)
    return value


def read_results(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """The results beside the looks, in the order of their digests.

    Raises StoreCorrupt, naming the file, where one differs from its name, or its scores from its confusion matrix.
    """
    from tracker.evaluation.scoring import other_scores

    results = []
    for path in sorted((folder / "results").glob("*.json")):
        content = path.read_bytes()
        if digest_bytes(content) != path.stem:
            raise StoreCorrupt(f"{path}: its content differs from its name; {_MEND}")
        results.append(result := _read_result(path, content))
        if leaf := other_scores(result["test"]):
            place, told, follows = leaf
            raise StoreCorrupt(f"{path}: {place} is {told}, but {follows} follows from its confusion matrix; {_MEND}")
    return tuple(results)


def _read_result(path: Path, content: bytes) -> Mapping[str, Any]:
    try:
        result = parse_canonical(content)
        ENTRIES(result)
        named = name_candidate(result)
        entries({name: SHAPES[name] for name in RESULT})(named)
    except ValueError as error:
        raise StoreCorrupt(f"{path}: not a result ({error}); {_MEND}") from None
    return named


def name_candidate(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """A result as it is read: what looks of format 1 called `configuration` is its `candidate`."""
    if "candidate" in result:
        return result
    return {"candidate" if name == "configuration" else name: value for name, value in result.items()}


def _quoted(label: str) -> str:
    return '"' + label.replace('"', '""') + '"' if set(label) & set(',"\r\n') else label


def chosen_run(ranking: Mapping[str, Any]) -> dict[str, Any]:
    """The chosen trial of `ranking.json`, with the key of the run of it that a look scores: served, refitted, or its own."""
    served = (ranking.get("confirmation") or {}).get("served", {})
    refit = {"key": ranking["refit"]["key"]} if ranking.get("refit") else {}
    return {**ranking["chosen"], **served, **refit}


def is_of_another(final: Mapping[str, Any], ranking: Mapping[str, Any], paths: Paths) -> bool:
    """Whether `final.json` tells of another run than the one that is chosen now, said by itself or not yet.

    The same configuration and seed is the same run in whatever environment: of that the keys alone differ.
    """
    if final["stale"] or final["key"] == chosen_run(ranking)["key"]:
        return bool(final["stale"])
    return chosen_candidate(ranking, paths) != str(name_candidate(final)["candidate"])


def chosen_candidate(ranking: Mapping[str, Any], paths: Paths) -> str | None:
    """The candidate (configuration and seed) of the run that `chosen_run` names; None where its record is not here."""
    from tracker.studies.adopt import recorded_runs

    key = chosen_run(ranking)["key"]
    return next((spec.candidate for _, spec, _ in recorded_runs(paths) if spec.key == key), None)


def summarize(final: Final, objective: str) -> list[str]:
    """The result in lines of plain text: whose scores, each with its interval, looks, and what is stale."""
    test = final.result["test"]
    what = "mean over classes" if test["positive"] is None else f"of {test['positive']!r}"
    head = [final.message, "", "last scored, before that:"] if final.stale else []
    lines = [*head, f"{final.study}/{final.trial} on {counted(final.result['test_rows'], 'test row')} ({what}):"]
    names = led_by(objective, tested(test), tested(test))
    width = max(map(len, names)) + 1
    lines += [f"  {name:<{width}}{_shown(test[name], final.interval(name))}" for name in names]
    lines += [f"  {line}" for line in group_lines(test)]
    if seeds := final.result.get(SEEDS):
        lines.append(seeds_line(seeds, objective))
    more = "; more than the budget is: it was raised for a while, or looks were taken elsewhere"
    lines.append(
        f"looks at these test rows: {final.looks} of {final.budget}{more if final.looks > final.budget else ''}"
    )
    return lines


def _shown(score: float | None, ends: tuple[float, float] | None) -> str:
    if score is None:
        return "undefined (0/0)"
    return f"{score:.4f}" if ends is None else f"{score:.4f}   95 % {ends[0]:.4f} to {ends[1]:.4f}"
