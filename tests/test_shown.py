"""Data as a terminal and a spreadsheet may have it: nothing steers the one, nothing is a formula of the other."""

from __future__ import annotations

import csv
import io
from datetime import date

import pytest

from tracker.datasets.load import read_table
from tracker.shown import agree, by_number, counted, csv_cell, edits, meant, one_line, score_text, shown, written


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("over\rwritten", r"over\rwritten"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\x9b2J", r"\x9b2J"),
        ("a\nb\tc", "a\nb\tc"),
        ("Zürich 東京 é", "Zürich 東京 é"),
    ],
)
def test_what_steers_a_terminal_is_written_out(text: str, told: str) -> None:
    """Escapes, bells, carriage returns, what turns text around; letters of any language stay."""
    assert told == shown(text)


def test_a_label_cannot_end_a_line() -> None:
    """A name with a line end stays within its line."""
    assert r"a\nb\tc\r" == one_line("a\nb\tc\r")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=cmd|'/c calc'!A0", "'=cmd|'/c calc'!A0"),
        ("@SUM(1+1)*cmd", "'@SUM(1+1)*cmd"),
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("+1+cmd", "'+1+cmd"),
        (" =1", "' =1"),
        ("\t=1", "'\t=1"),
        ("-x", "'-x"),
        ("-1.5e-3", "-1.5e-3"),
        ("+2", "+2"),
        ("-inf", "-inf"),
        ("spam", "spam"),
    ],
)
def test_no_cell_is_a_formula(text: str, cell: str) -> None:
    """What a spreadsheet would compute begins with an apostrophe; numbers and words are as they are."""
    assert cell == csv_cell(text)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ("cosin", "; did you mean cosine?"), ("SGD", "; did you mean sgd?"), ("gpu", ""), ("sdg", "; did you mean sgd?"),
        ("xyz", ""), (3, ""), ("", ""), ("lgo", "; did you mean log?"), ("Cdua", "; did you mean cuda?"),
    ],
)  # fmt: skip
def test_what_could_have_been_meant(found: object, told: str) -> None:
    """The nearest of the known names, in whatever case; of short names only one that begins alike."""
    assert told == meant(found, ["cosine", "sgd", "cpu", "cuda", "low", "high", "log"])


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [("", "", 0), ("", "ab", 2), ("lgo", "log", 1), ("lgo", "low", 2), ("tpee", "tpe", 1), ("ca", "abc", 3)],
)
def test_edits_between_names(one: str, other: str, count: int) -> None:
    """Letters put in, taken out, exchanged, and neighbours swapped, each counts one; a swapped pair is not split again."""
    assert count == edits(one, other) == edits(other, one)


def test_labels_that_are_formulas_come_from_a_table_and_go_into_one_as_text(tmp_path) -> None:
    """A table may have them; what is written for people to open has none, in a form that every reader of CSV reads."""
    labels = ["=cmd|'/c calc'!A0", "@SUM(1+1)*cmd", "spam"]
    text = io.StringIO()
    csv.writer(text).writerows([["kind"], *([label] for label in labels)])
    (tmp_path / "x.csv").write_text(text.getvalue())
    read = read_table("x.csv", tmp_path)["kind"].tolist()
    assert labels == read
    assert ["'=cmd|'/c calc'!A0", "'@SUM(1+1)*cmd", "spam"] == [csv_cell(label) for label in read]


def test_a_number_has_its_noun() -> None:
    """One has no s; thousands are set apart."""
    assert ["0 epochs", "1 epoch", "2 epochs", "1,200 rows"] == [
        *(counted(number, "epoch") for number in range(3)),
        counted(1200, "row"),
    ]
    assert ["are", "is", "are"] == [agree(number, "is", "are") for number in range(3)]


def test_values_are_written_as_params_yaml_has_them() -> None:
    """Truth values and None in lower case, numbers with all digits, texts bare; a score has four digits or a word."""
    given = [True, None, 1e-05, 0.1, [8, 16], "relu", date(2024, 3, 1)]
    assert ["true", "null", "1e-05", "0.1", "[8, 16]", "relu", '"2024-03-01"'] == list(map(written, given))
    assert ["0.5000", "undefined"] == list(map(score_text, (0.5, None)))
    assert ["2", "10", "adam", "sgd"] == sorted(["sgd", "10", "adam", "2"], key=by_number)
