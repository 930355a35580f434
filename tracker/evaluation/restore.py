"""Brings result files back into a store that has lost them, and a store's final results back into files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tracker.evaluation.files import read_report
from tracker.evaluation.final import OPTIONAL, RESULT, keep_result, name_candidate, read_results
from tracker.evaluation.ledger import read_ledger
from tracker.fields import final_report
from tracker.paths import Paths
from tracker.remedies import run_again
from tracker.store.store import Store


def restore(paths: Paths, store: Store) -> None:
    """Both ways: what the store lacks of results, and what files lack of looks and results."""
    restore_finals(paths, store)
    restore_files(paths, store)


def restore_finals(paths: Paths, store: Store) -> int:
    """Puts results that the store does not hold back into it, from `reports/`; how many.

    A result is one trial on one set of test rows, however many looks there were by then. Raises StoreCorrupt, InputError.
    """
    known = {_identity(final) for final in store.finals()}
    before = len(known)
    for final in _results(paths):
        if _identity(final) not in known:
            store.put_final(final)
            known.add(_identity(final))
    return len(known) - before


def restore_files(paths: Paths, store: Store) -> None:
    """Writes looks and results that the store holds, of another branch or a deleted file, beside those in `reports/looks`."""
    read_ledger(paths.looks, store)
    for final in store.finals():
        if all(name in name_candidate(final) for name in RESULT):  # written under the names that it has
            keep_result(
                paths.looks, {name: final[name] for name in final if name in {*RESULT, *OPTIONAL, "configuration"}}
            )


def _results(paths: Paths) -> Iterator[Mapping[str, Any]]:
    """The report first, because it also says how many looks there were; a stale one repeats a result that is kept."""
    path = paths.reports / "final.json"
    if path.is_file():
        final = read_report(path, f"{run_again(path)} to write it again", final_report)
        if final.get("stale") is False:
            yield final
    for kept in read_results(paths.looks):
        yield {**kept, "stale": False}


def _identity(final: Mapping[str, Any]) -> tuple[Any, Any]:
    return final.get("key"), final.get("test_digest")
