"""How often `tracker init` reads a table to see what it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tracker.config import Data
from tracker.datasets import proposals


@pytest.mark.parametrize(
    ("cell", "added", "times"),
    [("1.5", set(), 1), ("$1.5", {"numbers"}, 2), ("n.a.", {"gaps"}, 2)],
    ids=["nothing", "signs", "gaps"],
)
def test_a_table_is_read_again_only_where_an_entry_was_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str, added: set[str], times: int
) -> None:
    """Once, and once more for each step that found something, as that changes what the cells say."""
    cells = [cell, *(f"{'$' if cell[0] == '$' else ''}{number}.25" for number in range(40))]
    (tmp_path / "t.csv").write_text(
        "x,kind\n" + "".join(f"{one},{'ab'[place % 2]}\n" for place, one in enumerate(cells))
    )
    read, seen = proposals._read, list[str]()

    def counted(data: Data, root: Path) -> Any:
        seen.append(data.source)
        return read(data, root)

    monkeypatch.setattr(proposals, "_read", counted)
    before = Data(source="t.csv", target="kind")
    after, told = proposals.propose(before, tmp_path)
    assert added == {name for name, value in after if value != getattr(before, name)}
    assert len(added) == len(told)
    assert ["t.csv"] * times == seen
