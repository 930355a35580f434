"""The stages of a project, from prepare to report, as `dvc.yaml`, `tracker stage` and `tracker run` start them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType

from tracker.config import Config, load_config
from tracker.durable import lock_file
from tracker.errors import InputError, LookWithheld, StoreBusy
from tracker.lifelines import is_orphaned
from tracker.numerics import pin_numerics
from tracker.paths import project_paths
from tracker.shown import shown
from tracker.terminal.endings import end_with_parent
from tracker.terminal.show import Capped, capped_by_epochs, epochs_advice, study_summary
from tracker.tracking.meeting import stages_of_this_process

WAIT_S = 5.0  # for the same stage of another command


def run_stage(stage: str, words: Sequence[str] = ()) -> None:
    """Runs one stage of the project in the current folder; `words` is the study's name for `tune`, else nothing.

    A stage whose `dvc` was killed must not write into the outputs of a newer run. It holds the stage's lock from before
    it reads anything until it has written, so no newer run works meanwhile; and it ends as soon as its parent is gone.
    Raises InputError for other words, StoreBusy, and whatever the stage raises.
    """
    parent = os.getppid()
    end_with_parent(parent)
    if stage not in STAGES:
        raise InputError(f"expected a stage, {', '.join(STAGES)}; found {stage!r}")
    if len(words) != (stage == "tune"):
        wanted = "one study: tune NAME" if stage == "tune" else f"{stage} alone"
        raise InputError(f"stage {stage}: expected {wanted}; found {' '.join([stage, *words])}")
    with _locked(stage, *words):
        if is_orphaned(parent):  # a newer run may be through by now
            raise StoreBusy("what started this stage has ended while it waited; run the stage again")
        STAGES[stage](load_config(project_paths().params), *words)


def run_all(workers: int | None = None, verbose: bool = False) -> None:
    """All stages one after the other, without DVC: prepare, split, baselines, every study, compare with its look, report.

    Nothing is skipped: what is in the store is replayed, so a second run trains nothing. Each stage holds its lock.
    """
    config = load_config(project_paths().params)
    if any(config.training_of(name).numerics == "portable" for name in config.studies):
        pin_numerics("portable", os.environ, sys.modules)  # preparing loads NumPy
    with stages_of_this_process():
        _run_each(config, workers, verbose)


def _run_each(config: Config, workers: int | None, verbose: bool) -> None:
    for stage in ("prepare", "split", "baselines"):
        with _locked(stage):
            STAGES[stage](config)
    capped: list[Capped] = []
    try:
        for place, study in enumerate(config.studies, start=1):
            with stages_of_this_process(more=place < len(config.studies)), _locked("tune", study):
                tune(config, study, workers, verbose, capped)
    finally:
        _say(epochs_advice(capped))
    with _locked("compare"):
        compare(config, workers, verbose)
    with _locked("report"):
        report(config, last=False)


def prepare(config: Config) -> None:
    """From data.source to data/prepared/; prints what will be done with each column."""
    from tracker.datasets.prepare import prepare
    from tracker.terminal.split_foreseen import as_the_split_sees

    paths = project_paths()
    report = prepare(config.data, config.preprocessing, paths.root, paths.prepared)
    _say(as_the_split_sees(report, config.split).lines())


def split(config: Config) -> None:
    """From data/prepared/ to data/splits/ and the sealed test split; prints rows per split and class."""
    from tracker.datasets.split import split

    paths = project_paths()
    _say(split(config.split, config.seed, paths.prepared, paths.splits, paths.sealed, paths.salts).lines())


def baselines(config: Config) -> None:
    """From data/splits to reports/baselines.json: what simple models give on the validation rows; prints a line."""
    from tracker.evaluation.baselines import write_baselines
    from tracker.evaluation.baselines_report import baseline_line

    _say([baseline_line(write_baselines(project_paths(), config)) or ""])


def tune(
    config: Config, study: str, workers: int | None = None, verbose: bool = False, capped: list[Capped] | None = None
) -> None:
    """Runs, resumes or replays a study; writes its report and its best model, and prints a line.

    Into `capped` goes what is to be advised of its epochs; without it the line says that.
    """
    from tracker import api
    from tracker.terminal.progress import study_progress
    from tracker.terminal.show import refuse_failed, say_delivered

    with study_progress(verbose=verbose) as on_progress:
        done = api.tune(config, study, workers=workers, on_progress=on_progress, on_delivery=say_delivered)
    if capped is not None:
        capped += capped_by_epochs(done.result)
    _say([study_summary(done, advice=capped is None)])
    refuse_failed(done)


def compare(config: Config, workers: int | None = None, verbose: bool = False) -> None:
    """From study reports to reports/ranking.json, and by one look at the test split to reports/final.json.

    Where looks are spent the last result is repeated, marked stale; where the best trial is worth none, the report says so.
    Prints the outcome.
    """
    import time

    from tracker import api
    from tracker.evaluation.final import summarize
    from tracker.store.store import Store
    from tracker.studies.adopt import retell_fewer
    from tracker.terminal.compared import choice_lines
    from tracker.terminal.leaderboard import environment_notes
    from tracker.terminal.progress import study_progress
    from tracker.terminal.show import say_delivered

    project = api.Project.now().with_workers(workers)
    project.paths.confirmed.mkdir(parents=True, exist_ok=True)  # of dvc.yaml's outputs none may be missing
    with Store.opened_if_there(project.paths.store) as store:  # DVC may have brought back shorter studies
        if store is not None:
            retell_fewer(config, project.paths.models, store, time.time())
    with api.delivering(config) as finish:
        with study_progress(verbose=verbose) as on_progress:
            ranking = api.compare(config, project, on_progress=on_progress)
        _say(choice_lines(ranking, config, project.paths))
        try:
            told = summarize(ranking.test(or_stale=True), ranking.objective["metric"])
        except LookWithheld as withheld:  # no fault of the pipeline: the report says it
            told = [str(withheld)]
        _say([*told, *environment_notes(ranking.environments, ranking.mixed)])
        say_delivered(finish())


def report(config: Config, last: bool = True) -> None:
    """From reports and records to reports/index.html and reports/index.md; prints where they are, and what is next."""
    from tracker.reporting.page import write_page
    from tracker.terminal.leaderboard import next_lines

    paths = project_paths()
    _say(str(path.relative_to(paths.root)) for path in write_page(paths, config))
    _say(next_lines(paths)[:1] if last else [])


STAGES: Mapping[str, Callable[..., None]] = MappingProxyType(
    {
        "prepare": prepare,
        "split": split,
        "baselines": baselines,
        "tune": tune,
        "compare": compare,
        "report": report,
    }
)


def _locked(*words: str) -> AbstractContextManager[None]:
    """The lock of a stage; messages call it so: `stage tune@tpe`."""
    return lock_file(project_paths().root / ".tracker" / "locks", f"stage {'@'.join(words)}", WAIT_S)


def _say(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{shown(line)}\n" for line in lines)
    sys.stdout.flush()  # dvc and `tracker run` show one stage before the next begins
