"""compare.prefer: the simplest or the cheapest of what validation rows cannot tell from the best."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from tests.studies.project import SmallProject
from tracker.deriving.judge_final import reproduce_final
from tracker.deriving.judge_project import verify_pipeline
from tracker.deriving.judge_study import FreshProcesses
from tracker.errors import ConfigError, SealError
from tracker.evaluation.compare import compare
from tracker.evaluation.confirm import open_confirming
from tracker.evaluation.ranking import Ranking
from tracker.evaluation.sureness import sureness
from tracker.hyperparameters import active
from tracker.reporting.facts import collect
from tracker.reporting.words import certainty, methods
from tracker.terminal.show_final import read_final
from tracker.training.size import network_size


@pytest.fixture(scope="module")
def tuned(small_project: SmallProject, tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """Two finished studies; never touched."""
    project = small_project.copy(tmp_path_factory.mktemp("preferred") / "project")
    given = project.config.model_dump(exclude_unset=True)["studies"]
    return project.tuned(manual=given["manual"], random=given["random"])


@pytest.fixture
def project(tuned: SmallProject, tmp_path: Path) -> SmallProject:
    """A copy for one test."""
    return tuned.copy(tmp_path / "project")


def ranked(project: SmallProject, rule: str, trains: bool = True, **changes: object) -> Ranking:
    """The ranking of a project under a rule."""
    config = project.config.with_("compare.prefer", rule)
    project.config = config.with_("compare.confirm", changes) if changes else config
    confirm = open_confirming(project.config, project.paths, 1, (lambda _: None) if trains else None)
    return compare(project.paths, project.config.compare, clock=lambda: 0.0, studies=config.studies, confirm=confirm)


def parameters(project: SmallProject, row: object) -> int:
    """Numbers in a trial's weights, counted in the file that training wrote."""
    from safetensors.torch import load

    from tracker.store.store import Store

    with Store.open(project.paths.store) as store:
        tensors = load(store.weights(row.weights))
    return sum(tensor.numel() for name, tensor in tensors.items() if "running" not in name and "tracked" not in name)


def test_the_simplest_of_the_ties_is_chosen_scored_and_served(project: SmallProject) -> None:
    """It has the fewest parameters of the best and its ties, as their weights say; its model is written and derived again."""
    ranking = ranked(project, "simplest")
    alike = [ranking.rows[0], *ranking.indistinguishable]
    counts = {row.key: parameters(project, row) for row in alike}
    assert 1 < len(set(counts.values()))
    assert min(counts.values()) == counts[ranking.chosen.key] < counts[ranking.rows[0].key]
    told = json.loads((project.paths.reports / "ranking.json").read_bytes())
    assert ranking.chosen.place == told["chosen"]
    assert {"rule": "simplest", "least": "parameters", "alike": len(alike)}.items() <= told["preferred"].items()
    assert counts[ranking.chosen.key] == told["preferred"]["row"]["parameters"]
    final = ranking.test()
    assert ranking.chosen.key == final.result["key"] == read_final(project.paths)["key"]
    assert "reports/confirm/model" == read_final(project.paths)["model"]
    assert "identical" == reproduce_final(project.paths).state
    lines = sureness(ranking, project.config).lines()
    name = f"{ranking.chosen.study}/{ranking.chosen.trial}"
    assert any(line.startswith(f"preferred: {name}, the simplest of {len(alike)} that") for line in lines)
    facts = collect(project.paths, project.config)
    assert any(f"Preferred: {name}, the simplest of {len(alike)}" in line for line in certainty(facts))
    assert "the fewest parameters of those that these rows cannot tell from the one with" in methods(facts)


def test_the_cheapest_took_the_fewest_multiplications(project: SmallProject) -> None:
    """Multiplications of a row times the epochs that were trained; and all of it follows from what is on disk."""
    ranking = ranked(project, "cheapest")
    weights = ranking.preference.weights
    assert min(one.multiplications for one in weights.values()) == weights[ranking.chosen.key].multiplications
    records = {(t["study"], t["number"]): t for name in ("manual", "random")
               for t in [{**t, "study": name} for t in json.loads(
                   (project.paths.study_reports / f"{name}.json").read_bytes())["trials"]]}  # fmt: skip
    for row in [ranking.rows[0], *ranking.indistinguishable]:
        params, epochs = row.params, records[row.study, row.trial]["epochs"]
        features, units, layers = 6, params["units"], params["hidden_layers"]
        once = features * units + units * units * (layers - 1) + units * 2
        assert once * epochs == weights[row.key].multiplications
    ranking.test()
    with FreshProcesses() as processes:
        found = list(
            verify_pipeline(project.paths, project.config, list(project.config.studies), processes, 1, lambda *_: None)
        )
    assert {"identical"} == {one.state for one in found}, [one for one in found if one.state != "identical"]


def test_the_best_is_as_if_there_were_no_rule(project: SmallProject) -> None:
    """Without a rule nothing is opened, no byte of a report changes, and the first is chosen."""
    project.config = project.config.with_("compare.prefer", "best")
    assert open_confirming(project.config, project.paths) is None
    ranking = compare(project.paths, project.config.compare, clock=lambda: 0.0, studies=project.config.studies)
    assert ranking.rows[0] is ranking.chosen
    assert "preferred" not in json.loads((project.paths.reports / "ranking.json").read_bytes())


def test_with_a_confirmation_the_rule_takes_among_means(project: SmallProject) -> None:
    """The preferred tie is trained again beside the first few, and the rule decides where its mean is as good."""
    ranking = ranked(project, "simplest", top=1, seeds=3)
    found = ranking.confirmation
    before = ranked(project, "simplest", trains=False, top=1, seeds=3)
    assert before.chosen == ranking.chosen
    assert found.choice.row is ranking.chosen is ranking.preference.row
    best, reach = found.contenders[0].json["mean"], ranking.rows[0].value - ranking.interval[0]
    alike = [one for one in found.contenders if best - one.json["mean"] <= reach]
    assert len(alike) == ranking.preference.alike
    fewest = min(parameters(project, one.row) for one in alike)
    assert fewest == parameters(project, ranking.chosen)
    assert ranking.test().result["key"] == ranking.scored.key


def test_without_a_model_no_rule_can_say_what_is_as_good(project: SmallProject) -> None:
    """Ties follow from the model of the best: where it is missing the command stops, and does not silently take the best."""
    first = ranked(project, "simplest").rows[0]
    (project.paths.models / first.study / "weights.safetensors").unlink()
    with pytest.raises(SealError, match=r"weights\.safetensors: expected weights"):
        ranked(project, "simplest")


def test_a_family_of_ones_own_cannot_be_counted(project: SmallProject) -> None:
    """params.yaml is refused where the rule would need what only the user's code knows; a network's size may be a goal."""
    config = project.config.with_("compare.prefer", "simplest")
    told = "compare.prefer: simplest counts the parameters of mlp, cnn, rnn, tabular, not those of build; say {within: ties}, "
    with pytest.raises(ConfigError, match=re.escape(f"{told}and objectives: [val_f1, parameters] of a study")):
        config.with_("model", {"family": "build", "entry": "net:build"})
    with pytest.raises(ConfigError, match="not those of function; take it out"):
        config.with_("model", {"family": "function", "entry": "loop:fit"})


@pytest.mark.parametrize(
    ("family", "params", "shape", "expected"),
    [
        ("mlp", {"hidden_layers": 0}, (30,), (93, 90)),
        ("mlp", {"units": [8, 4], "batch_norm": True}, (30,), (30 * 8 + 16 + 32 + 8 + 15, 240 + 32 + 12)),
        ("cnn", {"blocks": 1, "filters": 2, "head_units": 0}, (1, 8, 8), (20 + 32 * 3 + 3, 18 * 64 + 96)),
        ("rnn", {"cell": "gru", "units": 4, "head_units": 0}, (10, 5), (3 * 4 * 9 + 24 + 15, 10 * 108 + 12)),
    ],
)  # fmt: skip
def test_sizes_are_those_of_the_formulas(family: str, params: dict, shape: tuple, expected: tuple[int, int]) -> None:
    """Parameters and multiplications of small networks, counted by hand; nothing is drawn from torch's generator."""
    state = torch.random.get_rng_state()
    size = network_size(family, active(family, params), shape, 3)
    assert expected == (size.parameters, size.multiplications)
    assert torch.equal(state, torch.random.get_rng_state())
