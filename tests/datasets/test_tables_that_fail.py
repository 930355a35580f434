"""Tables and entries that must be refused by `tracker check`, each in one line with its place and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tracker.config import load_config
from tracker.errors import InputError
from tracker.paths import Paths
from tracker.terminal.forecast import forecast

ROWS = 60
STUDIES = "seed: 1\nstudies: {m: {sampler: manual, configurations: [{}]}}\n"


def table(*columns: str, header: str = "a,b,y", separator: str = ",") -> str:
    """A table whose columns are given as patterns in `n`, the number of the row."""
    lines = [separator.join(column.format(n=n, k=n % 7, w=n % 3) for column in columns) for n in range(ROWS)]
    for n, line in enumerate(lines):
        lines[n] = line.replace("YES", "yes" if n % 2 else "no")
    return "\n".join([*([header] if header else []), *lines]) + "\n"


def odd(cell: str, good: str = "{n}.5", at: Sequence[int] = (4,)) -> str:
    """A table with a plain column, one column in which some cells are odd, and labels."""
    lines = [
        f"{n % 9}.25,{cell if n in at else good.format(n=n, k=n % 7)},{'yes' if n % 2 else 'no'}" for n in range(ROWS)
    ]
    return "\n".join(["a,b,y", *lines]) + "\n"


BY_TIME = "}\nsplit: {method: time, column: b, validation_from: '2024-01-02', test_from: '2024-01-03'"
MANY = range(0, ROWS, 2)
MOST = [n for n in range(ROWS) if n % 3]
CASES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    # file
    "no header": (table("0.{n}1", "{k}.5", "YES", header=""), "", ("line 1 looks like data", "data.header: none")),
    "no header, words": (table("v{w}", "u{k}", "YES", header=""), "", ("line 1 looks like data", "data.header: none")),
    "semicolons": (table("{n}.5", "{k}", "YES", header="a;b;y", separator=";"), "", ("line 1", 'data.separator: ";"')),
    "quoted semicolons": (table("{n}", "{k}", "YES", header='"a";"b";"y"', separator=";"), "", ('data.separator: ";"',)),
    "tabs": (table("{n}.5", "{k}", "YES", header="a\tb\ty", separator="\t"), "", ("line 1", 'data.separator: "tab"')),
    "bars": (table("{n}.5", "{k}", "YES", header="a|b|y", separator="|"), "", ("line 1", 'data.separator: "|"')),
    "wrong separator": (table("{n}.5", "{k}", "YES"), "separator: ';'", ("data.target", "no column 'y'")),
    "ragged": ("a,b,y\n1,2,no\n1,2\n", "", ("line 3: 2 cells", "expected 3 as in the header")),
    "ragged without header": ("1.5,2,no\n1,2\n", "header: none, target: c3", ("line 2: 2 cells", "as on line 1")),
    "name twice": (table("{n}.5", "{k}", "YES", header="a,a,y"), "", ("column 'a' occurs 2 times", "rename or remove")),
    "no name": (table("{n}.5", "{k}", "YES", header="a,,y"), "", ("column 2 has no name", "give it one")),
    "rows with a separator more": (table("{n}.5", "{k}", "YES,"), "", ("each row ends with a separator", "take it out")),
    "empty columns behind": (table("{n}.5", "{k}", "YES,", header="a,b,y,"), "", ("column 4 has no name", "take the")),
    "row names that repeat": (table("{k}", "{n}.5", "YES", header=",a,y"), "", ("column 1 has no name", "not all different")),
    "title": ("Report of 2024\n" + table("{n}.5", "{k}", "YES"), "", ("line 1", "looks like a title", "take out")),
    "title from a spreadsheet": ("Report,,\n" + table("{n}.5", "{k}", "YES"), "", ("line 1 ('Report') looks like a title",)),
    "separator noted": ("sep=;\n" + table("{n}.5", "{k}", "YES", separator=";"), "", ("'sep=;'", 'data.separator: ";"')),
    "workbook": ("PK\x03\x04" + table("{n}.5", "{k}", "YES"), "", ("an Excel workbook or a ZIP file", "save the sheet as CSV")),
    "pointer": ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "", ("Git LFS", "git lfs pull")),
    "empty": ("a,b,y\n", "", ("the table has no rows",)),
    # numbers
    "per cent": (odd("", "{n}.5%", ()), "", ("column 'b'", "'0.5%', '1.5%', '2.5%'", "data.numbers: [b]")),
    "money": (odd("", "${n}", ()), "", ("column 'b'", "'$0'", "data.numbers: [b]")),
    "brackets": (odd("", "({n}.5)", ()), "", ("column 'b'", "'(0.5)'", "data.numbers: [b]")),
    "thousands": (odd("", '"{n},000"', ()), "", ("column 'b'", "'0,000'", 'data.thousands: ","')),
    "decimal comma": (odd("", '"{n},5"', ()), "", ("column 'b'", "'0,5'", 'data.decimal: ","')),
    "points and comma": (odd("", '"1.{k}00,5"', ()), "", ("column 'b'", 'data.decimal: "," and data.thousands: "."')),
    "thousands by points": (odd("", "{k}.100", ()), "decimal: ','", ("column 'b'", 'data.thousands: "."')),
    "apostrophes": (odd("", "1'{k}00", ()), "", ("column 'b'", "data.thousands: \"'\"")),
    "one word": (odd("abc"), "", ("column 'b', row 5: 'abc' among numbers", 'data.gaps: {b: ["abc"]}')),
    "many words": (odd("unknown", at=range(0, ROWS, 4)), "", ("column 'b', rows 1, 5, 9", 'data.gaps: {b: ["unknown"]}')),
    "question marks": (odd("?", at=MANY), "", ("column 'b', rows 1, 3, 5 and 27 more: '?'", 'data.gaps: ["?"]')),
    "mostly gaps": (odd("n/a", at=MOST), "", ("column 'b', rows 2, 3, 5", "'n/a' among numbers", 'data.gaps: ["n/a"]')),
    "no number": (odd("abc"), "numbers: [b]", ("column 'b', row 5: 'abc' is no number", "data.gaps: {b:")),
    "infinite": (odd("inf"), "", ("column 'b', row 5: infinite", "leave the cell empty")),
    "huge": (odd("1e35"), "", ("column 'b', row 5: beyond 1e+30", "rescale")),
    # dates
    "bad date": (odd("2024-13-01", "2024-01-1{k}"), "dates: features", ("column 'b', row 5: '2024-13-01' is no date",)),
    "bad time": (odd("25:00", "1{k}:30"), "dates: features", ("column 'b', row 5: '25:00' is no date", "mend it")),
    "which is the day of a split": (odd("", "05/01/2024", ()), BY_TIME,
                                    ("column 'b' (time)", "'05/01/2024' has its day or its month first")),
    "error of a spreadsheet": (odd("#DIV/0!"), "", ("row 5: '#DIV/0!' among numbers", 'data.gaps: {b: ["#DIV/0!"]}')),
    "which is the day": (odd("", "0{k}/01/2024".replace("0{k}", "05"), ()), "dates: features, keep_constants: true",
                         ("'05/01/2024' has its day or its month first", "data.day_first: true")),
    "both orders": (odd("13/1/2024", "1/1{k}/2024".replace("1{k}", "1{k}")), "dates: features", ("column 'b'", "one order")),
    # labels
    "no label": (odd("1.5").replace(",no\n", ",\n", 1), "", ("(target), row 1: no label", "data.unlabelled: drop")),
    "gap word as label": (odd("1.5").replace(",no\n", ",?\n", 1), "gaps: ['?']", ("(target), row 1: no label",)),
    "one class": (odd("1.5").replace(",no\n", ",yes\n"), "", ("one class only, 'yes'", "at least two")),
    "regression": (odd("1.5"), "target: b", ("59 different numbers look like regression", "data.categorical: [b]")),
    "target by another name": (odd("1.5"), "target: Y", ("data.target", "did you mean 'y'?")),
    "positive": (odd("1.5"), "positive: maybe", ("data.positive: 'maybe' is no label", "no, yes")),
    "copy": (odd("1.5").replace(",no\n", ",no\n"), "target: y, drop: [a, b]", ("no column is left as a feature", "'a' (asked")),
    "leak": (table("{n}.5", "YES", "YES"), "", ("column 'b' tells the target 'y' one to one", "data.drop: [b]")),
    # columns
    "only texts": (table("p{n}", "q{n}", "YES"), "", ("no column is left", "'a' (id-like text: 60 distinct in 60 rows), 'b'")),
    "unknown gaps column": (odd("1.5"), "gaps: {c: ['?']}", ("data.gaps", "no column 'c'")),
    "unknown numbers": (odd("1.5"), "numbers: [c]", ("data.numbers", "no column 'c'")),
    "id twice": (odd("1.5", "{k}.5"), "id: b", ("column 'b' (id)", "names one row", "split.method: group and split.group: b")),
    "unknown drop": (odd("1.5"), "drop: [bb]", ("t.csv: data.drop: the table has no column 'bb'",)),
    # entries
    "words without quotes": (odd("1.5"), "gaps: [null]", ("data.gaps", 'words in quotes, such as ["?", "NA"]')),
    "sign twice": (odd("1.5"), "decimal: ',', thousands: ','", ("data: decimal and thousands are both ','",)),
    "header": (odd("1.5"), "header: no", ("data.header", "'first' or 'none'")),
    "separator": (odd("1.5"), "separator: x", ("data.separator", "expected ','")),
    "integers": (odd("1.5"), "categorical: whole", ("data.categorical", "'integers'")),
    "both": (odd("1.5"), "categorical: [b], numbers: [b]", ("categorical and numbers both name 'b'",)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_is_found_before_anything_runs(name: str, tmp_path: Path) -> None:
    """`tracker check` ends with one line that has the place and the remedy, and nothing is written."""
    content, entries, words = CASES[name]
    (tmp_path / "t.csv").write_text(content)
    given = "" if "target" in entries else "target: y"
    entry = ", ".join(part for part in ("source: t.csv", given, entries) if part)
    (tmp_path / "params.yaml").write_text(f"{STUDIES}data: {{{entry}}}\n")
    with pytest.raises(InputError) as caught:
        list(forecast(load_config(tmp_path / "params.yaml"), Paths.of(tmp_path, {})))
    lines = [fault for fault in caught.value.faults if all(word in fault for word in words)]
    assert 1 == len(lines), caught.value.faults
    assert "\n" not in lines[0]
    assert {"t.csv", "params.yaml"} == {path.name for path in tmp_path.iterdir()}


def test_there_are_many_kinds() -> None:
    """The list has at least forty cases, and none stands there twice."""
    assert len(CASES) >= 40
    assert len(CASES) == len({(content, entries) for content, entries, _ in CASES.values()})
