"""What is said of a study that was killed in its midst, before it has a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.studies.project import PARAMS, SmallProject, make_table
from tracker.deriving.find_study import find_study
from tracker.errors import NotFoundError
from tracker.evaluation.ranking import rank_trials
from tracker.store.store import Store
from tracker.studies.begun import begun
from tracker.studies.runner import Progress
from tracker.terminal.leaderboard import leaderboard

TOLD = "tpe has not ended: 8 of 16 trials are stored; unless it runs now, `tracker tune tpe` goes on"


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    """Of 16 trials of a study eight are stored when it is stopped."""
    project = SmallProject.made(tmp_path / "project", make_table())
    with pytest.raises(KeyboardInterrupt):
        project.run(project.plan("tpe"), on_progress=stop_at(8))
    return project


def stop_at(count: int) -> Callable[[Progress], None]:
    def stop(progress: Progress) -> None:
        if progress.finished >= count:
            raise KeyboardInterrupt

    return stop


def test_a_list_says_how_many_trials_are_stored_and_what_goes_on(project: SmallProject) -> None:
    """`runs`, `show` and `compare` name the count and the command, not that there is nothing."""
    folder = project.paths.study_reports
    for look in (
        lambda: leaderboard(folder, None, "value"),
        lambda: leaderboard(folder, "tpe", "value"),
        lambda: rank_trials(folder, None, project.paths.models),
    ):
        with pytest.raises(NotFoundError) as caught:
            look()
        assert str(caught.value).endswith(TOLD)
    assert [TOLD] == begun(folder) == begun(folder, "tpe")
    assert 8 == len(find_study("tpe", project.paths).proposals)
    assert [] == begun(folder, "random")


def test_a_study_that_ended_is_not_said_to_go_on(project: SmallProject) -> None:
    """Neither whole, nor with fewer trials than before; one that is extended and stopped again is."""
    project.report(project.run(project.plan("tpe")))
    assert [] == begun(project.paths.root)
    params = project.paths.params
    params.write_text(PARAMS.replace("trials: 16", "trials: 4"))
    assert [] == begun(project.paths.root)
    params.write_text(PARAMS.replace("trials: 16", "trials: 24"))
    assert [] == begun(project.paths.root)
    with pytest.raises(KeyboardInterrupt):
        project.run(project.plan("tpe", studies__tpe__trials=24), on_progress=stop_at(20))
    assert [TOLD.replace("8 of 16", "20 of 24")] == begun(project.paths.root)


def test_a_study_of_other_settings_is_not_said_to_go_on(project: SmallProject) -> None:
    """Where params.yaml changed since, the command would begin anew."""
    params = project.paths.params
    params.write_text(PARAMS.replace("epochs: 4", "epochs: 5"))
    assert [] == begun(project.paths.root)


def test_a_grid_knows_how_many_it_has(tmp_path: Path) -> None:
    """A sampler that needs no number of trials says how many there are; what was begun within a generation counts."""
    project = SmallProject.made(tmp_path / "project", make_table())
    with pytest.raises(KeyboardInterrupt):
        project.run(project.plan("grid"), on_progress=stop_at(1))
    (line,) = begun(project.paths.root)
    with Store.open(project.paths.store) as store:
        ended = len(store.outcomes([one.spec.key for one in store.proposals(project.plan("grid").spec.key)]))
    assert ended in {1, 2, 3}
    assert line.startswith(f"grid has not ended: {ended} of 4 trials {'is' if ended == 1 else 'are'} stored;")
    with pytest.raises(NotFoundError, match=f"^{line}$"):
        find_study("grid", project.paths)
