"""Secrets in thirteen places: not a byte of them in the store, in what reaches MLflow, in names of files, or in messages."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.tracking.studies import SERVING, begin, end_study, finished, proposal, study_spec
from tracker.canonical import canonical_json
from tracker.durable import write_whole
from tracker.store.stored import Finished
from tracker.surroundings.provenance import provenance
from tracker.tracking.addresses import hide_secrets, public_address, shown_address
from tracker.tracking.delivered import destination
from tracker.tracking.delivery import Delivery
from tracker.tracking.memory_recorder import MemoryRecorder

CANARY = "canary7f3a"
ARGUMENTS = ["run.py", f"--token={CANARY}", "--wandb-key", CANARY, CANARY, f"http://ada:{CANARY}@x"]  # four places
VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "OMP_SECRET_X", "TORCH_HUB_TOKEN")  # four
ADDRESSES = (  # four, and the remote of git
    f"https://ada:{CANARY}@mlflow.example",
    f"postgresql://db.example/mlflow?user=ada&password={CANARY}",
    f"http://mlflow.example/#{CANARY}",
    f"sqlite:////data/x.db?key={CANARY}",
)


def test_no_canary_is_recorded_or_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments, variables and a git remote go into provenance; addresses go into messages and names of files."""
    for name in VARIABLES:
        monkeypatch.setenv(name, CANARY)
    for words in (["init", "-q"], ["remote", "add", "origin", f"https://ada:{CANARY}@git.example/x.git"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    about = provenance(ARGUMENTS, tmp_path)
    assert {"command", "variables", "commit"} <= set(about)
    store, _ = begin(tmp_path / ".tracker")
    recorder = MemoryRecorder()
    with store:
        key = store.put_study(study_spec("random"), about)
        store.put_serving(proposal(0).spec.data, SERVING)
        planned = proposal(0, "random")
        store.put_proposals(key, [planned])
        end = finished(planned)
        store.put_outcomes(key, [Finished(end.spec, end.outcome, end.timing, end.weights, about)], [0])
        end_study(store, key, 1, 0)
        with Delivery(store, recorder, "none") as delivery:
            delivered = delivery.deliver()
    assert 4 == delivered.delivered
    shown = [part for run in recorder.runs() for part in (*run.files.values(), canonical_json([run.tags, run.params]))]
    files = [path for path in (tmp_path / ".tracker").rglob("*") if path.is_file()]
    for content in (*shown, *(path.read_bytes() for path in files), canonical_json(about)):
        assert CANARY.encode() not in content
    for address in ADDRESSES:
        told = [shown_address(address), public_address(address), hide_secrets(f"no {address}", address)]
        assert CANARY not in " ".join([*told, destination(address, "tests"), *map(str, files)])


def test_files_keep_from_others_what_the_user_does(tmp_path: Path) -> None:
    """The umask holds for reports and records too."""
    before = os.umask(0o077)
    try:
        write_whole(tmp_path / "report.json", b"{}")
    finally:
        os.umask(before)
    assert 0o600 == stat.S_IMODE((tmp_path / "report.json").stat().st_mode)
