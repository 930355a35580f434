"""A study that is changed is another study; what changed is said, and nothing of the two is mixed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.studies.project import SmallProject, make_config
from tracker.store.store import Store
from tracker.studies.changed import list_changes
from tracker.studies.runner import Progress

SMALLER = {"units": [8, 12], "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}
SPACE = make_config().search_space | {"units": [8, 12]}


def news(project: SmallProject, study: str = "random", **changes: object) -> tuple[set[str | None], int]:
    """What is said of changes while a study runs, and how many of its trials come from the store."""
    heard: list[Progress] = []
    result = project.run(project.plan(study, **changes), on_progress=heard.append)
    return {progress.change for progress in heard}, result.replayed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"search_space": SPACE}, "search_space"),
        ({"hyperparameters__batch_size": 16, "search_space": SMALLER}, "search_space, hyperparameters"),
        ({"studies__random__sampler": "tpe"}, "studies.random.sampler"),
        ({"objective__metric": "val_loss"}, "objective"),
        ({"training__epochs": 3}, "training.epochs"),
        ({"preprocessing__numeric__scale": "minmax"}, "preprocessing"),
        ({"seed": 8}, "seed"),
    ],
)
def test_what_changed_is_said_and_the_study_begins_anew(
    fresh: SmallProject, changes: dict[str, object], words: str
) -> None:
    """Each part of a study that may change is named in the words of params.yaml; the old trials stay as they are."""
    assert ({None}, 0) == news(fresh)
    with Store.open(fresh.paths.store) as store:
        [(old, _)] = store.studies("random")
        before = store.proposals(old)
    if "preprocessing__numeric__scale" in changes:
        fresh.config = fresh.config.with_("preprocessing.numeric.scale", "minmax")
        changes = {}
    sentence = f"random: {words} changed since the last run: a new study of 6 trials begins, the old one is kept"
    said, _ = news(fresh, **changes)
    assert {sentence} == said
    with Store.open(fresh.paths.store) as store:
        assert 2 == len(store.studies("random"))
        assert before == store.proposals(old)
    assert {None} == news(fresh, **changes)[0]


def test_another_optuna_is_named_with_both_releases(fresh: SmallProject) -> None:
    """Proposals may differ from release to release, so the release is part of the study."""
    spec = fresh.plan("tpe").spec
    other = replace(spec, versions={"optuna": "4.9.0"})
    assert other.key != spec.key
    assert [f"Optuna (4.9.0 to {spec.versions['optuna']})"] == list_changes(other, spec)
    probed = replace(spec, versions={**spec.versions, "blas": "2f1cb64b24fd3a95"})
    assert ["what BLAS gives"] == list_changes(probed, spec)


def test_entries_are_named_as_params_yaml_has_them(fresh: SmallProject) -> None:
    """Parts of the table, of the study, and of a refinement; what follows from an entry that is told is not told as well."""
    spec = fresh.plan("tpe").spec
    assert ["columns, classes or data.positive"] == list_changes(replace(spec, data={**spec.data, "schema": "0"}), spec)
    costs = replace(spec, training={**spec.training, "costs": ["parameters"]})
    assert ["costs that are recorded"] == list_changes(costs, spec)
    limit = {"metric": "parameters", "most": 9.0}
    limited = replace(costs, constraints=(limit,), stop={"plateau": 3}, generation=2)
    assert ["studies.tpe.generation", "studies.tpe.stop", "studies.tpe.constraints"] == list_changes(limited, spec)
    fine = replace(spec, refines={"study": "random"})
    assert ["refinements.tpe.repeats"] == list_changes(replace(fine, runs={"repeats": 2}), fine)


def test_more_trials_are_no_change(fresh: SmallProject) -> None:
    """From 6 trials to 12: the first 6 come from the store, 6 run, and the study equals one that had 12 at once."""
    assert ({None}, 0) == news(fresh)
    said, replayed = news(fresh, studies__random__trials=12)
    assert ({None}, 6) == (said, replayed)
    plan = fresh.plan("random", studies__random__trials=12)
    at_once = fresh.run(plan, store=fresh.paths.root / "another")
    assert at_once.digest == fresh.run(plan).digest


def test_going_back_takes_the_old_study_from_the_store(fresh: SmallProject) -> None:
    """A change that is taken back costs nothing: the store still has the study."""
    news(fresh)
    news(fresh, search_space=SPACE)
    assert ({None}, 6) == news(fresh)
