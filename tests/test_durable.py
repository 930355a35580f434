"""Locks between processes name their holder, of a folder too; files are whole or absent (`tests/store`, `tests/faults`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tracker.datasets.storage import locked
from tracker.durable import lock_folder
from tracker.errors import StoreBusy, StoreError

HOLDER = """
import sys
from pathlib import Path
from tracker.durable import lock_folder

with lock_folder(Path(sys.argv[1]), 0.0):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_held_folder_names_its_holder(tmp_path: Path) -> None:
    """A second command gives up, says which process holds the folder, and gets it when that one has ended."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert b"held\n" == holder.stdout.readline()
        who = holder.pid if sys.platform == "linux" else "unknown"
        said = f"{tmp_path} is held by another command .process {who}."
        with pytest.raises(StoreBusy, match=said), lock_folder(tmp_path, 0.0):
            pytest.fail("two hold it")
        with pytest.raises(StoreBusy, match=said), locked(tmp_path, 0.0):
            pytest.fail("two hold it")
        holder.kill()
    with locked(tmp_path, 0.0):
        assert [] == list(tmp_path.iterdir())


def test_a_folder_that_is_none_is_a_data_error(tmp_path: Path) -> None:
    """A file in its place is told by its name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file: cannot be used"), locked(tmp_path / "file", 0.0):
        pytest.fail("held a file")
