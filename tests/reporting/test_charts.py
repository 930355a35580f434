"""Charts stay readable, however much there is to draw."""

from __future__ import annotations

from tracker.reporting.charts import MOST_LINES, Line, optimisation_history


def test_a_chart_names_as_many_studies_as_can_be_told_apart() -> None:
    """The first eight of ten, which are the best, have a colour and a name; the others are points, one of them far off."""
    studies = [Line(f"study{place}", [0.0, 1.0], [0.1 * place, 10.0**place]) for place in range(MOST_LINES + 2)]
    drawn = optimisation_history(studies, "val_loss", "minimize")
    named = [study.name for study in studies if f">{study.name}</text>" in drawn]
    assert [study.name for study in studies[:MOST_LINES]] == named
    assert (1, 2) == (drawn.count(">2 other studies</text>"), drawn.count("study7; 2 other studies"))
    assert "other stud" not in optimisation_history(studies[:MOST_LINES], "val_loss", "minimize")
    assert "study7; 1 other study<" in optimisation_history(studies[:-1], "val_loss", "minimize")
