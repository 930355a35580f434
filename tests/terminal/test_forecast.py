"""What `check` says would run, before anything does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.studies.project import REPOSITORY, SmallProject, make_config
from tracker.config import load_config
from tracker.datasets.prepare import DataReport
from tracker.errors import InputError
from tracker.paths import Paths
from tracker.terminal.forecast import class_warnings, forecast


@pytest.fixture
def lines(small_project: SmallProject):
    """`lines(studies__tpe__trials=3)`: the forecast of the small project with changed entries."""

    def make(**changes: Any) -> list[str]:
        return list(forecast(make_config(**changes), small_project.paths))

    return make


def minutes(line: str) -> float:
    """The time at the end of a line, in minutes."""
    number, unit = re.findall(r"([\d.]+) (s|min|h)\b", line)[-1]
    return float(number) * {"s": 1 / 60, "min": 1, "h": 60}[unit]


def test_the_default_configuration_is_forecast() -> None:
    """Columns, rows, each study with its trials and generations, the whole, the objective; nothing is written."""
    config = load_config(REPOSITORY / "params.yaml")
    text = "\n".join(forecast(config, Paths.of(Path("/nowhere"), {})))
    assert "mean radius              feature  numeric" in text
    assert "569 rows; labels: benign 357, malignant 212; metrics speak about 'malignant'" in text
    for study in (r"manual +manual +4 +1 ", r"grid +grid +24 +1 ", r"random +random +48 +1 ", r"tpe +tpe +48 +6 "):
        assert re.search(study, text)
    time, disk = (
        r"about \d+ (s|min) on one core \(about \d+ (s|min) if no training stops early and the largest are confirmed\)",
        r"about \d+ MB on disk",
    )
    memory = r"about 0\.5 GB of memory, 0\.3 GB more for each further worker"
    assert re.search(f"124 trials: {time}, {disk}, {memory}\nthese are estimates, .*, and no limits", text)
    assert "chosen by val_f1 (maximize); looks allowed: 3" in text
    assert minutes(text.split("on one core")[0]) < 2


def test_a_limit_that_no_network_keeps_is_told(lines) -> None:
    """By the smallest network of the space: one hidden layer of 8 units behind 6 features; at its size the limit can hold."""
    size = 6 * 8 + 8 + 8 * 2 + 2
    for most, never in ((size - 1, True), (size, False)):
        study = {"sampler": "random", "trials": 3, "constraints": [f"parameters <= {most}"]}
        told = (
            f"warning: studies.a.constraints: parameters <= {most} holds for no network of the space as far as its ends"
        )
        assert never == any(line.startswith(told) and f"has {size};" in line for line in lines(studies={"a": study}))


def test_no_limit_is_said_to_hold_for_no_network_where_ends_are_forbidden(lines) -> None:
    """The ends of a space whose combinations are restricted may be no networks of it: nothing is claimed, nothing breaks."""
    space = {"units": {"low": 4, "high": 64}, "forbid": [{"units": {"below": 8}}, {"units": {"above": 60}}]}
    study = {"sampler": "random", "trials": 3, "search_space": space, "constraints": ["parameters <= 60"]}
    assert not [line for line in lines(studies={"a": study}) if "holds for no network" in line]


def test_a_plateau_that_cannot_come_is_told(lines) -> None:
    """The first generation begins the count: as many behind it must be without a better value."""
    for plateau, never in ((3, False), (4, True)):
        found = lines(studies={"a": {"sampler": "tpe", "trials": 16, "generation": 4, "stop": {"plateau": plateau}}})
        told = (
            "warning: a: stop.plateau never ends it: 4 generations without a better value do not come in 4; take fewer"
        )
        assert never == any(line.startswith(told) for line in found)


def test_several_objectives_and_limits_are_named(lines) -> None:
    """A line each, of the studies that have such."""
    goals = {"objectives": ["val_f1", "parameters"], "constraints": ["val_recall >= 0.9"]}
    told = lines(
        studies={"small": {"sampler": "nsga2", "trials": 8, **goals}, "plain": {"sampler": "random", "trials": 2}}
    )
    assert [
        "small: maximize val_f1, minimize parameters",
        "small: only a trial with val_recall >= 0.9 can be chosen",
    ] == [line for line in told if line.startswith(("small:", "plain:"))]


def test_more_work_takes_more_time(lines) -> None:
    """Epochs, trials and width all count."""
    base = {"training__early_stopping": None, "training__epochs": 2000, "studies__random__trials": 60}

    def total(**changes: Any) -> float:
        return minutes(next(line for line in lines(**base | changes) if "on one core" in line).split(" on one core")[0])

    once = total()
    assert once * 1.5 < total(training={"epochs": 4000, "early_stopping": None})
    assert once < total(studies__random__trials=600)
    assert once < total(search_space={"units": [2048]})


def test_a_confirmation_is_in_the_estimate(lines) -> None:
    """Two, the defaults, then the choice and the defaults again, each with 40 seeds: 200 runs, each the dearest."""

    def whole(found: list[str]) -> tuple[float, int]:
        line = next(line for line in found if "on one core" in line)
        return minutes(line.split(" if ")[0]), int(re.findall(r"about (\d+) MB", line)[0])

    one = {"training__early_stopping": None, "training__epochs": 4000}
    confirmed = lines(**one, compare__confirm={"top": 2, "seeds": 40})
    [row] = [line for line in confirmed if line.startswith("compare.confirm")]
    assert "compare.confirm manual 5 x 40 2" == " ".join(row.split()[:6])
    (with_s, with_mb), (without_s, without_mb) = whole(confirmed), whole(lines(**one))
    assert with_s == pytest.approx(without_s + minutes(row), abs=1.1)
    assert 32 <= with_mb - without_mb <= 40
    wide = lines(**one, search_space={"units": [16, 512]}, compare__confirm={"top": 2, "seeds": 40})
    assert minutes(next(line for line in wide if line.startswith("compare.confirm"))) > 2 * minutes(row)


def test_nothing_is_run_or_written(fresh: SmallProject, lines) -> None:
    """The folder is as it was."""
    before = sorted(fresh.paths.root.rglob("*"))
    list(forecast(fresh.config, fresh.paths))
    assert before == sorted(fresh.paths.root.rglob("*"))


def test_all_faults_of_all_studies(lines) -> None:
    """Spaces that cannot be searched are faults, reported together."""
    endless = {"sampler": "grid", "search_space": {"dropout": {"low": 0.0, "high": 0.5}}}
    with pytest.raises(InputError) as caught:
        lines(studies__one=endless, studies__two=endless)
    assert 2 == len(caught.value.faults)


@pytest.mark.parametrize(
    ("labels", "changes", "words"),
    [
        ({"no": 50, "yes": 50}, {}, None),
        ({"no": 30, "yes": 70}, {}, "the positive class 'yes' is 70% of the rows: always saying so has F1 0.82; "),
        ({"no": 30, "yes": 70}, {"data__positive": "yes"}, None),
        (
            {"no": 96, "yes": 4},
            {},
            "the positive class 'yes' is 4.0% of the rows; consider search_space.class_weights: [none, balanced]",
        ),
        (
            {"no": 96, "yes": 4},
            {"decision__threshold": 0.2, "hyperparameters__class_weights": "balanced"},
            "the positive class 'yes' is 4.0% of the rows; consider objective.metric: val_average_precision",
        ),
    ],
)
def test_rare_and_frequent_positive_classes_are_warned_of(labels, changes, words) -> None:
    """What to set where F1 would say little, and nothing where it is set, or where classes are alike."""
    report = DataReport(sum(labels.values()), (), labels, "yes", ())
    found = "\n".join(class_warnings(make_config(**changes), report))
    assert found.startswith(words) if words else found == ""


def test_values_that_nobody_tries_are_named(lines) -> None:
    """Fixed, searched or listed: what lies outside of the usual range is warned of, with the range and its source."""
    found = lines(
        hyperparameters={"learning_rate": 2.0, "units": 8},
        search_space={"dropout": {"low": 0.0, "high": 0.95}, "units": [8, 12]},
        studies={
            "manual": {"sampler": "manual", "configurations": [{}, {"optimizer": "sgd", "momentum": 0.9995}]},
            "random": {"sampler": "random", "trials": 3},
        },
    )
    assert [
        "hyperparameters.learning_rate: 2: usual is 1e-06 to 1 (Bengio 2012, arXiv 1206.5533, 3.1.1)",
        "search_space.dropout: 0.95: usual is 0 to 0.5 (Srivastava et al. 2014, JMLR 15",
        "studies.manual.configurations[1].momentum: 0.9995: usual is 0 to 0.999 (Sutskever et al. 2013, ICML)",
    ] == [line.removeprefix("warning: ").split(": hidden")[0] for line in found if "usual is" in line]
    assert not [line for line in lines() if "usual is" in line]
