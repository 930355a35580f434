"""Which commands a retuning starts: through DVC, without it, and with a dvc.yaml of an older release."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.retuning.year import PARAMS
from tests.studies.project import make_config
from tests.test_remedies import begin_dvc
from tracker.project.files import dvc_text
from tracker.remedies import find_dvc
from tracker.retuning.pipeline import commands

PLAIN = make_config(PARAMS)
CHAIN = "refinements: {finest: {refine: fine, sampler: random, trials: 2}, fine: {refine: random, sampler: random, trials: 2}}"
REFINED = make_config(f"{PARAMS}{CHAIN}\n")
STAGE = [sys.executable, "-m", "tracker.cli", "stage"]


def test_without_dvc_every_study_is_tuned(tmp_path: Path) -> None:
    """Stage by stage; each refinement comes behind what it refines."""
    (tmp_path / "params.yaml").touch()
    assert [[*STAGE, "prepare"], [*STAGE, "split"], [*STAGE, "tune", "random"]] == commands(PLAIN, tmp_path)
    assert [[*STAGE, "tune", "fine"], [*STAGE, "tune", "finest"]] == commands(REFINED, tmp_path)[3:]


def test_dvc_tunes_again_whatever_it_remembers(tmp_path: Path) -> None:
    """Studies are forced, what comes before is not; refinements that an older dvc.yaml has no stage for run directly."""
    begin_dvc(tmp_path)
    dvc, path = find_dvc(), tmp_path / "dvc.yaml"
    path.write_text(dvc_text("table.csv", []))
    anew = [dvc, "repro", "--force", "--single-item"]
    assert [[dvc, "repro", "split"], [*anew, "tune"]] == commands(PLAIN, tmp_path)
    assert [[*anew, "refine@fine"], [*anew, "refine@finest"]] == commands(REFINED, tmp_path)[2:]
    path.write_text(dvc_text("table.csv", []).replace("  refine:", "  other:"))
    assert [[*STAGE, "tune", "fine"], [*STAGE, "tune", "finest"]] == commands(REFINED, tmp_path)[2:]
