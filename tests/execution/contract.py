"""What every executor promises, as one suite that each of them inherits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tests.studies.project import SmallProject
from tracker.execution.executor import Executor, one_thread
from tracker.execution.row_sets import RowSets, arrays_of
from tracker.execution.trainer import Segment
from tracker.families.family import train
from tracker.records import TrialOutcome, TrialSpec
from tracker.surroundings.environment import environment
from tracker.training.loop import Result


def outcomes(batches: Iterable[list[Result]]) -> dict[str, TrialOutcome]:
    """The outcomes by key; every key must come once."""
    results = [result for batch in batches for result in batch]
    found = {result.spec.key: result.outcome for result in results}
    assert len(results) == len(found)
    return found


def segments(specs: Iterable[TrialSpec], until: int | None = None) -> list[Segment]:
    """The work of running them."""
    return [Segment(spec, until) for spec in specs]


def alone(project: SmallProject, specs: Iterable[TrialSpec]) -> dict[str, TrialOutcome]:
    """What the same trials give one by one in this process."""
    arrays = arrays_of(project.data)
    with one_thread():
        return {spec.key: train(spec, arrays).outcome for spec in specs}


def raising(spec: TrialSpec) -> TrialSpec:
    """A trial whose training raises: its learning rate is no number."""
    return replace(spec, params={**spec.params, "learning_rate": "fast"})


class ExecutorContract:
    """Inherit, and give a fixture `executor`."""

    def test_every_trial_comes_back_once_as_it_is_alone(self, executor: Executor, small_project: SmallProject) -> None:
        """Whoever runs them, trials give exactly the outcomes that they give one by one."""
        specs = small_project.specs("random", studies__random__trials=12)
        assert alone(small_project, specs) == outcomes(executor.run(segments(specs)))

    def test_runs_of_folds_come_back_as_each_is_alone(self, executor: Executor, small_project: SmallProject) -> None:
        """Runs on other rows, together and in one call, give what each gives alone on its own rows."""
        rows = [{"fold": fold, "folds": 3, "repeat": 1, "rule": 1} for fold in (1, 2, 3)]
        whole, sets = small_project.specs("manual"), RowSets(small_project.data)
        specs = [*whole, *(replace(one, data={**one.data, "rows": entry}) for one in whole for entry in rows)]
        with one_thread():
            expected = {spec.key: train(spec, sets.of(spec)).outcome for spec in specs}
        assert 12 == len({outcome.predictions for outcome in expected.values()})
        assert expected == outcomes(executor.run(segments(specs)))

    def test_weights_and_times_come_along(self, executor: Executor, small_project: SmallProject) -> None:
        """A complete trial brings the weights that its outcome names, and when each epoch ended."""
        for batch in executor.run(segments(small_project.specs("manual"))):
            for result in batch:
                assert result.weights is not None
                assert result.outcome.epochs == len(result.timing.epochs)
                assert result.timing.started <= result.timing.epochs[0] <= result.timing.ended

    def test_a_trial_that_raises_has_failed_with_the_reason(
        self, executor: Executor, small_project: SmallProject
    ) -> None:
        """One trial raises; its neighbours in the cohort complete as if it were not there."""
        specs = small_project.specs("manual")
        bad = raising(specs[1])
        found = outcomes(executor.run(segments([specs[0], bad, specs[2]])))
        failed = found.pop(bad.key)
        assert ("failed", 0, {}, None) == (failed.state, failed.epochs, failed.metrics, failed.weights)
        assert "Error: " in failed.reason
        assert alone(small_project, [specs[0], specs[2]]) == found

    def test_paused_trials_go_on_with_the_same_bits(self, executor: Executor, small_project: SmallProject) -> None:
        """Stopped at epochs, some let go, the others run to their end: each is as if it had run through."""
        specs = small_project.specs("random", studies__random__trials=12)
        whole = alone(small_project, specs)
        going = specs
        for epoch in (1, 2):
            found = outcomes(executor.run(segments(going, epoch)))
            for key, outcome in found.items():
                assert outcome.history == whole[key].history[: outcome.epochs]
                assert outcome.epochs == epoch or outcome == whole[key]
            going = [spec for spec in going[1:] if found[spec.key].state == "paused"]
        assert {spec.key: whole[spec.key] for spec in going} == outcomes(executor.run(segments(going)))

    def test_a_forgotten_pause_begins_again(self, executor: Executor, small_project: SmallProject) -> None:
        """What is let go at a pause and run all the same gives the same outcome."""
        specs = small_project.specs("manual")
        list(executor.run(segments(specs, 1)))
        executor.forget()
        assert alone(small_project, specs) == outcomes(executor.run(segments(specs)))

    def test_results_say_where_they_were_computed(self, executor: Executor, small_project: SmallProject) -> None:
        """Each result bears the environment of the process that computed it."""
        found = {
            result.environment for batch in executor.run(segments(small_project.specs("manual"))) for result in batch
        }
        assert {environment()[0]} == found

    def test_nothing_to_run(self, executor: Executor) -> None:
        """No trials, no results."""
        assert [] == list(executor.run([]))

    def test_a_run_that_is_left_early_leaves_nothing_behind(
        self, executor: Executor, small_project: SmallProject
    ) -> None:
        """After an interrupted run the next one gives its own trials and no others."""
        first = executor.run(segments(small_project.specs("random", studies__random__trials=12)))
        next(first)
        first.close()
        specs = small_project.specs("manual")
        assert alone(small_project, specs) == outcomes(executor.run(segments(specs)))

    def test_closing_twice_is_fine(self, executor: Executor) -> None:
        """close() may be called again, and a closed executor starts anew when it is used."""
        executor.close()
        executor.close()
