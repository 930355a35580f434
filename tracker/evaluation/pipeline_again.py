"""Turns a whole project into verdicts: its store, its models, each study, the ranking, the final result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tracker.canonical import digest_file
from tracker.config import Compare
from tracker.errors import TrackerError
from tracker.evaluation.compare import rank_again
from tracker.evaluation.files import read_report
from tracker.evaluation.final_again import reproduce_final
from tracker.evaluation.ranking import REPAIR, write_ranking
from tracker.evaluation.reproduce import Reproduction, Verdict
from tracker.evaluation.verify import FreshProcesses, OnStep, Verification, verify_study
from tracker.paths import Paths
from tracker.recording.store import FILE, Store


def check_files(paths: Paths, studies: Iterable[str]) -> int:
    """Reads every row of the store and every weights file, there and in models/, against its digest; how many.

    Raises StoreCorrupt or TrackerError, naming what differs.
    """
    read = 0
    if (paths.store / FILE).is_file():
        with Store.open(paths.store) as store:
            read += store.check()
    for name in studies:
        described = paths.models / name / "model.json"
        if described.is_file():
            expected, weights = read_report(described, REPAIR)["weights"], described.with_name("weights.safetensors")
            if not weights.is_file() or digest_file(weights) != expected:
                raise TrackerError(
                    f"{weights}: is not what model.json names; fetch it with `dvc checkout`, or `dvc repro`"
                )
            read += 1
    return read


def verify_pipeline(
    paths: Paths,
    settings: Compare,
    studies: Iterable[str],
    processes: FreshProcesses,
    sample: int | None,
    on_step: OnStep,
) -> Iterator[Verification | Reproduction]:
    """The verdict on each study, then on the ranking, then on the final result, where there is one."""
    names = list(studies)
    for name in names:
        yield verify_study(name, paths, processes, sample, on_step)
    yield _verify_ranking(paths, settings, names)
    if (paths.reports / "final.json").is_file():
        yield reproduce_final(paths)


def _verify_ranking(paths: Paths, settings: Compare, studies: list[str]) -> Verification:
    """Ranks again from the reports, which the studies have been compared with, and compares the report byte for byte."""
    path = paths.reports / "ranking.json"
    ranking = rank_again(paths, settings, studies)
    with TemporaryDirectory(prefix="tracker-") as folder:
        derived = Path(folder) / "ranking.json"
        write_ranking(derived, ranking)
        found = digest_file(derived)
    told = digest_file(path) if path.is_file() else None
    verdict: Verdict = "identical" if told == found else "cannot" if told is None else "differs"
    words = {
        "identical": None,
        "cannot": f"{path} is not there; run `tracker compare`",
        "differs": f"{path.name} is not what the studies' reports give; `tracker compare` writes it again",
    }[verdict]
    return Verification("ranking", verdict, len(ranking.rows), len(ranking.rows), found, words)
