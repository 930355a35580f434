"""The stages `prepare` and `split`, as DVC runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.datasets.place import Place

REPOSITORY = Path(__file__).parents[2]
PARAMS = """
seed: 2026
data: {{source: {source}, target: {target}}}
studies: {{manual: {{sampler: manual, configurations: [{{}}]}}}}
"""


def stage(root: Path, name: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"pipelines.{name}"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environ}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


def test_stages_run_on_a_users_table(place: Place, table: pd.DataFrame) -> None:
    """After editing source and target alone, prepare and split print what they did and leave what they promise."""
    (place.root / "params.yaml").write_text(PARAMS.format(source=place.write(table), target="churn"))
    prepared, split = stage(place.root, "prepare"), stage(place.root, "split")
    assert (0, "") == (prepared.returncode, prepared.stderr)
    assert (0, "") == (split.returncode, split.stderr)
    assert "dropped: id-like text" in prepared.stdout
    assert "validation" in split.stdout
    assert (place.splits / "train.parquet").exists()
    assert place.salts.exists()


def test_salts_lie_where_dvc_was_started(place: Place, table: pd.DataFrame, tmp_path: Path) -> None:
    """In a temporary workspace of DVC the salt is kept in the project itself."""
    (place.root / "params.yaml").write_text(PARAMS.format(source=place.write(table), target="churn"))
    home = tmp_path / "home"
    stage(place.root, "prepare", DVC_ROOT=str(home))
    assert 0 == stage(place.root, "split", DVC_ROOT=str(home)).returncode
    assert (home / "data" / "salts.json").exists()
    assert not place.salts.exists()


@pytest.mark.parametrize("name", ["prepare", "split"])
def test_bad_input_is_a_message_and_code_2(place: Place, table: pd.DataFrame, name: str) -> None:
    """Bad input gives sentences on stderr and exit code 2, never a traceback."""
    (place.root / "params.yaml").write_text(PARAMS.format(source=place.write(table), target="nope"))
    done = stage(place.root, name)
    assert 2 == done.returncode
    assert "Traceback" not in done.stderr
    assert "" == done.stdout
    assert done.stderr.strip()
