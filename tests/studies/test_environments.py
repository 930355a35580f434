"""A study that was run in another environment says what differs, and goes on here only when told to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.studies.project import SmallProject, command
from tracker import api
from tracker.api import Project
from tracker.errors import EnvironmentChanged
from tracker.records import StudySpec
from tracker.store.environments import earlier_environments, refuse_other_environment
from tracker.store.store import Store
from tracker.studies.plan import Basis, plan_study
from tracker.terminal.looks import look_lines
from tracker.terminal.show import study_summary
from tracker.terminal.show_final import describe_final, read_final
from tracker.tracking.run_contents import study_run

HERE = {"environment": {"torch": "2.13.0"}, "variables": {}}
THERE = {"environment": {"torch": "2.12.0"}, "variables": {"MKL_CBWR": "AVX2"}}


def spec_in(project: SmallProject, environment: str, **changes: object) -> StudySpec:
    config = project.config
    for path, value in changes.items():
        config = config.with_(path.replace("__", "."), value)
    return plan_study(config, "random", Basis(project.data.digests, environment)).spec


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


def test_a_first_run_and_the_same_environment_need_no_word(small_project: SmallProject, store: Store) -> None:
    """A name that is new, or was run here, is not refused; nothing is mixed."""
    spec = spec_in(small_project, "a")
    refuse_other_environment(store, spec, HERE)
    store.put_study(spec, HERE)
    refuse_other_environment(store, spec, HERE)
    longer = spec_in(small_project, "a", training__epochs=9)
    refuse_other_environment(store, longer, HERE)
    assert () == earlier_environments(store, spec) == earlier_environments(store, longer)


def test_another_environment_is_refused_with_what_differs(small_project: SmallProject, store: Store) -> None:
    """Both values of everything that differs, and how to go on."""
    store.put_study(spec_in(small_project, "there"), THERE)
    with pytest.raises(EnvironmentChanged) as caught:
        refuse_other_environment(store, spec_in(small_project, "here"), HERE)
    message = str(caught.value)
    assert "torch: 2.12.0 recorded, 2.13.0 here" in message
    assert "MKL_CBWR: AVX2 recorded, unset here" in message
    assert "--accept-environment" in message
    assert 5 == caught.value.exit_code


def test_unknown_parts_are_told_by_their_digests(small_project: SmallProject, store: Store) -> None:
    """A study that came with a pulled cache has no parts of its environment; its digest is named."""
    store.put_study(spec_in(small_project, "e" * 64), {"who": "a clone"})
    with pytest.raises(EnvironmentChanged, match=r"environment e{12} recorded, f{12} here"):
        refuse_other_environment(store, spec_in(small_project, "f" * 64), HERE)


def test_what_came_before_marks_a_study_as_mixed(small_project: SmallProject, store: Store) -> None:
    """The later study names the environments before it, in MLflow too; the earlier one never changes."""
    there, here = spec_in(small_project, "there"), spec_in(small_project, "here")
    store.put_study(there, THERE)
    store.put_study(here, HERE)
    assert ((), ("there",)) == (earlier_environments(store, there), earlier_environments(store, here))
    refuse_other_environment(store, there, THERE)
    assert "there" == study_run(store, here.key).tags["tracker.mixed"]
    assert "tracker.mixed" not in study_run(store, there.key).tags


def test_numerics_that_were_asked_for_are_no_surprise(small_project: SmallProject, store: Store) -> None:
    """Portable numerics are another environment on purpose: nothing to accept, nothing mixed."""
    store.put_study(spec_in(small_project, "native"), HERE)
    portable = spec_in(small_project, "portable", training__numerics="portable")
    refuse_other_environment(store, portable, HERE)
    assert () == earlier_environments(store, portable)


def test_another_cpu_level_needs_acceptance_and_is_marked(small_project: SmallProject, tmp_path: Path) -> None:
    """The command leaves with 5 and names the variable; accepted it computes, and whatever shows it says mixed."""
    project = small_project.copy(tmp_path / "project")
    config = project.config.with_("studies.random.trials", 2)
    here = Project(project.paths, "unused", 1, "ada")
    first = api.tune(config, "random", project=here, deliver=False)
    report = project.paths.study_reports / "random.json"
    content = report.read_bytes()
    assert "mixed" not in json.loads(content)
    alone = config.with_("studies", {"random": config.studies["random"]})
    final = api.compare(alone, here).test()
    script = (
        "from tracker import api; from pathlib import Path; from tracker.paths import Paths; "
        "from tracker.terminal.endings import run_command; "
        "config = api.load_config('params.yaml').with_('studies.random.trials', 2); "
        "here = api.Project(Paths.of(Path('.'), {}), 'unused', 1, 'ada'); "
        "run_command(lambda: api.tune(config, 'random', project=here, deliver=False))"
    )
    refused = command(project.paths.root, "-c", script, ATEN_CPU_CAPABILITY="default")
    assert 5 == refused.returncode, refused.stderr
    assert "ATEN_CPU_CAPABILITY: unset recorded, default here" in refused.stderr
    assert content == report.read_bytes()
    accepted = command(project.paths.root, "-c", script, ATEN_CPU_CAPABILITY="default", TRACKER_ACCEPT_ENVIRONMENT="1")
    assert 0 == accepted.returncode, accepted.stderr
    told = json.loads(report.read_text())
    assert [first.result.spec.environment] == told["mixed"]
    assert first.result.spec.key != told["key"]
    api.compare(alone, here)
    shown = read_final(project.paths)
    assert (final.result["key"], first.result.spec.environment, False) == (
        shown["key"], shown["environment"], shown["stale"],
    )  # fmt: skip
    assert told["trials"][final.trial]["key"] == shown["again"]["key"] != shown["key"]
    value = f"val_f1 {told['trials'][final.trial]['value']:.4f}: tracker show random/{final.trial}"
    assert f"again     the same candidate was computed here in another environment, {value}" in describe_final(shown)
    assert (
        f"next: random/{final.trial} is chosen and was scored on these rows; scoring it again costs nothing"
        == (list(look_lines(project.paths, config.compare))[-1])
    )
    manual = api.tune(config, "manual", project=here, deliver=False)
    api.compare(config.with_("studies", {name: config.studies[name] for name in ("manual", "random")}), here)
    ranking = json.loads((project.paths.reports / "ranking.json").read_text())
    assert {manual.result.spec.environment: ["manual"], told["environment"]: ["random"]} == ranking["environments"]
    assert {"random": 1} == ranking["mixed_studies"]
    for words in (["runs"], ["compare"], ["runs", "--format", "csv"]):
        shown = command(project.paths.root, "-m", "tracker.cli", *words)
        mixed, several = [line for line in shown.stderr.splitlines() if "environment" in line]
        assert "random: mixed, before in 1 other environment" == mixed
        assert several.startswith("these studies were computed in 2 environments (")
    verified = command(project.paths.root, "-m", "tracker.cli", "verify", "random", "--sample", "1")
    assert "random: mixed, before in 1 other environment\n" == verified.stderr
    shown = command(project.paths.root, "-m", "tracker.cli", "show", "random/1")
    assert "random: mixed, before in 1 other environment" in shown.stderr.splitlines()
    again = api.tune(config, "random", project=here, deliver=False)
    assert (2, content) == (again.result.replayed, report.read_bytes())
    assert "mixed" not in study_summary(again)
