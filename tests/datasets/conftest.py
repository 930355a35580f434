"""The table and the folder that the tests of this folder begin with."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.datasets.place import Place, make_table


@pytest.fixture
def table() -> pd.DataFrame:
    return make_table()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
