"""What `tracker show final` prints: the run that was scored on the test rows, which after a confirmation is none of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracker.deriving.find_trial import find_final
from tracker.evaluation.files import read_report
from tracker.evaluation.final import SEEDS, is_of_another, name_candidate
from tracker.evaluation.sureness import ELSEWHERE, place
from tracker.hyperparameters import with_unsaid
from tracker.metrics import group_lines, led_by, seeds_line, tested
from tracker.paths import Paths
from tracker.records import record_json
from tracker.remedies import run_again
from tracker.shown import counted, score_text
from tracker.store.model_folder import model_key
from tracker.terminal.leaderboard import describe_trial, read_trial

MODEL = "model"  # below reports/confirm


def read_final(paths: Paths) -> dict[str, Any]:
    """The scored run as `read_trial` gives a trial, with `test` scores, its `model` folder, and whether it is `stale`.

    `found` is the trial that was chosen, where a confirmation trained it again and another run than the one found is scored;
    `again` is it where the scored one is the same candidate as another environment computed it.
    Raises NotFoundError where nothing is scored, InputError and StoreCorrupt where a report or record is damaged.
    """
    final, recorded = find_final(paths)
    other = _is_of_another(paths, final)
    own = found = read_trial(paths, place(final))
    told = record_json(recorded.outcome)
    scored = {name: told[name] for name in ("key", "epochs", "best_epoch", "metrics", "history", "weights")}
    scored |= {
        "environment": recorded.spec.environment,
        "seed": recorded.spec.seed,
        "value": told["metrics"].get(found["objective"]["metric"]),
    }
    if with_unsaid(final["params"], found["params"]) != found["params"]:  # of a former study; a later one has that name
        own = {name: found[name] for name in ("study", "number", "objective")} | scored
        own |= {"state": "complete", "params": final["params"]}
        other = True
    elif found["key"] != final["key"]:
        again = found.get("candidate") == name_candidate(final)["candidate"]
        own = found | scored | {"again" if again else "found": found}
        if (recorded.spec.data.get("rows") or {}).get("all"):  # it has seen validation: its folds tell its score
            own |= {"value": found["value"], "metrics": found["metrics"], "refit": True, "history": []}
        if "place" in own:
            own["place"] = own["place"].removesuffix(ELSEWHERE)
    folders = (paths.confirmed / MODEL, paths.models / final["study"])  # that of another trial may lie there now
    model = next((str(one.relative_to(paths.root)) for one in folders if model_key(one) == final["key"]), None)
    scores = {name: final[name] for name in ("test", "test_rows", SEEDS) if name in final}
    return {**own, **scores, "stale": other, "model": model}


def _is_of_another(paths: Paths, final: Mapping[str, Any]) -> bool:
    """Whether another run is chosen by now, as far as the ranking is here."""
    path = paths.reports / "ranking.json"
    if not path.is_file():
        return bool(final["stale"])
    return is_of_another(final, read_report(path, run_again(path, "compare")), paths)


def describe_final(found: Mapping[str, Any]) -> list[str]:
    """The scored run as lines: where it comes from, what it scored, where its model lies, then as `describe_trial`."""
    test, name, value = found["test"], found["objective"]["metric"], found["value"]
    where = "over folds" if found.get("refit") else "on validation"
    scores = ", ".join(f"{one} {score_text(test[one])}" for one in led_by(name, ["f1"], tested(test)))
    head = [f"{place_of(found)}  {name} {value:.4g} {where}, {scores} on {counted(found['test_rows'], 'test row')}"]
    if found["stale"]:
        head.append(
            "stale     another trial is chosen now and is not scored: `tracker looks` says what a look would cost"
        )
    if (first := found.get("found")) is not None:
        who = place_of(first)
        head.append(
            f"found as  {who} with {name} {score_text(first['value'])}, seed {first['seed']}: tracker show {who}"
        )
    if (same := found.get("again")) is not None:
        told = f"{name} {score_text(same['value'])}: tracker show {place_of(same)}"
        head.append(f"again     the same candidate was computed here in another environment, {told}")
    if SEEDS in found:
        head.append(seeds_line(found[SEEDS], name))
    head += [f"groups    {line}" for line in group_lines(test)]
    if found["model"]:
        head.append(f"model     {found['model']}")
    return [*head, *describe_trial(found)[1:]]


def place_of(found: Mapping[str, Any]) -> str:
    """What people call it."""
    return f"{found['study']}/{found['number']}"
