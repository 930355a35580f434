"""What `prepare` decides, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.datasets.place import Place, make_table
from tracker.config import Data, Preprocessing
from tracker.datasets.prepare import DataReport, prepare, read_prepared
from tracker.datasets.preprocess import fit_preprocessing
from tracker.errors import DataError, StoreError
from tracker.standalone.transform import transform


def run(place: Place, frame: pd.DataFrame, preprocessing: Preprocessing | None = None, **data: object) -> DataReport:
    settings = Data.model_validate({"source": place.write(frame), "target": "churn", **data})
    return prepare(settings, preprocessing or Preprocessing(), place.root, place.prepared)


def faults(place: Place, frame: pd.DataFrame, preprocessing: Preprocessing | None = None, **data: object) -> list[str]:
    with pytest.raises(DataError) as caught:
        run(place, frame, preprocessing, **data)
    assert not place.prepared.exists(), "nothing is written beside an error"
    return list(caught.value.faults)


def one(place: Place, frame: pd.DataFrame, *words: str, **data: object) -> None:
    found = faults(place, frame, **data)
    assert any(all(word in fault for word in words) for fault in found), found
    assert all(fault.startswith("table.csv: ") for fault in found)


def roles(report: DataReport) -> dict[str, str]:
    return {column.column: f"{column.role} {column.kind}" for column in report.columns}


def test_columns_get_roles_and_kinds(place: Place, table: pd.DataFrame) -> None:
    """Numbers, truth values and categories become features, an id-like text is dropped and said, labels stay names."""
    table = table.assign(constant=1, day="2024-01-01", empty="")
    table.loc[0, "day"] = "2024-02-29T12:00:00Z"
    report = run(place, table)
    expected = {"customer": "dropped categorical", "age": "feature numeric", "income": "feature numeric"}
    expected |= {"city": "feature categorical", "member": "feature boolean", "churn": "target text"}
    expected |= {"constant": "dropped numeric", "day": "dropped date", "empty": "dropped numeric"}
    assert expected == roles(report)
    actions = {column.column: column.action for column in report.columns}
    assert "dropped: id-like text: 240 distinct in 240 rows" == actions["customer"]
    assert "gaps filled: median, scaled: standard" == actions["income"]
    assert ("no", "yes") == tuple(report.labels)
    assert "yes" == report.positive
    assert any("customer" in warning for warning in report.warnings)
    assert report.lines()[0].startswith("column")


def test_settings_overrule_what_is_guessed(place: Place, table: pd.DataFrame) -> None:
    """`drop`, `id`, `categorical` and `positive` do what they say."""
    table["code"] = np.arange(len(table)) % 4
    report = run(place, table, id="customer", drop=["age"], categorical=["code"], positive="no")
    found = roles(report)
    assert ("id text", "dropped numeric", "feature categorical") == (found["customer"], found["age"], found["code"])
    assert "no" == report.positive


def test_written_table_is_the_report(place: Place, table: pd.DataFrame) -> None:
    """The table and its schema are read back as written, dropped columns and all, without a trace of the machine."""
    run(place, table)
    frame, schema = read_prepared(place.prepared)
    assert list(table.columns) == list(frame.columns)
    assert 240 == schema["rows"] == len(frame)
    assert str(place.root) not in (place.prepared / "schema.json").read_text()


def test_same_table_gives_the_same_bytes(place: Place, table: pd.DataFrame) -> None:
    """Preparing twice, or from Parquet instead of CSV, gives the same files."""
    run(place, table)
    first = {path.name: path.read_bytes() for path in place.prepared.iterdir()}
    run(place, table)
    assert first == {path.name: path.read_bytes() for path in place.prepared.iterdir()}


@pytest.mark.parametrize("name", ["table.parquet", "schema.json"])
def test_any_changed_byte_of_what_was_prepared_is_found(place: Place, name: str) -> None:
    """A prepared file with a flipped bit anywhere is never taken for the one that was written."""
    run(place, make_table(60))
    whole = read_prepared(place.prepared)[0]
    path = place.prepared / name
    content = path.read_bytes()
    for at in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        try:
            found = read_prepared(place.prepared)[0]
        except DataError as error:
            assert "tracker prepare" in str(error)  # noqa: PT017 - a flip in unused bytes is allowed to pass
        else:
            pd.testing.assert_frame_equal(whole, found)


def test_prepare_replaces_what_was_there(place: Place, table: pd.DataFrame) -> None:
    """An older result disappears as a whole, and what a killed run left behind does no harm."""
    run(place, table)
    (place.prepared / "old.txt").write_text("old")
    (place.root / "data" / ".prepared.new").mkdir()
    (place.root / "data" / ".prepared.new" / "half").write_text("half")
    run(place, table)
    assert {"table.parquet", "schema.json"} == {path.name for path in place.prepared.iterdir()}
    assert ["prepared"] == [path.name for path in (place.root / "data").iterdir()]


def test_failed_prepare_keeps_what_was_there(place: Place, table: pd.DataFrame) -> None:
    """An error leaves the last good result untouched."""
    run(place, table)
    before = {path.name: path.read_bytes() for path in place.prepared.iterdir()}
    with pytest.raises(DataError):
        run(place, table, target="nope")
    assert before == {path.name: path.read_bytes() for path in place.prepared.iterdir()}


def test_a_folder_that_cannot_be_written_is_no_fault_of_the_table(place: Place, table: pd.DataFrame) -> None:
    """A file in the place of a folder is named, without a traceback."""
    (place.root / "data").write_text("a file")
    source = place.write(table)
    with pytest.raises(StoreError, match="data: cannot be used"):
        prepare(Data(source=source, target="churn"), Preprocessing(), place.root, place.prepared)


def test_missing_target_names_its_neighbour(place: Place, table: pd.DataFrame) -> None:
    """A target that is not there is an error that guesses what was meant."""
    one(place, table, "data.target", "'churm'", "did you mean 'churn'", target="churm")


def test_unknown_columns_in_settings(place: Place, table: pd.DataFrame) -> None:
    """Unknown columns of id, drop and categorical are reported together."""
    found = faults(place, table, id="x1", drop=["x2"], categorical=["x3"])
    assert 3 == len(found)


def test_target_in_drop_is_refused(place: Place, table: pd.DataFrame) -> None:
    """The target cannot be dropped, nor be the id."""
    one(place, table, "cannot be dropped", drop=["churn"])
    one(place, table, "is the target", id="churn")


def test_missing_labels_name_their_rows(place: Place, table: pd.DataFrame) -> None:
    """Rows without a label are counted from 1 below the header."""
    table.loc[[2, 4], "churn"] = ""
    one(place, table, "'churn'", "rows 3, 5", "no label")


@pytest.mark.parametrize("label", ["nan", "NaN", "inf", "-Infinity"])
def test_labels_that_are_no_values(place: Place, table: pd.DataFrame, label: str) -> None:
    """NaN and infinite labels are refused."""
    table.loc[9, "churn"] = label
    one(place, table, "row 10", "NaN or infinite labels (", "or rename the class")


def test_gap_word_among_number_labels(place: Place, table: pd.DataFrame) -> None:
    """`NA` among numbers is no class; among names it is."""
    table["churn"] = np.where(table["churn"] == "yes", "1", "0")
    table.loc[0, "churn"] = "NA"
    one(place, table, "row 1", "'NA' among numbers")
    table["churn"] = np.where(table["churn"] == "1", "US", "NA")
    assert {"NA", "US"} == set(run(place, table).labels)


def test_one_class(place: Place, table: pd.DataFrame) -> None:
    """A target with one class cannot be learned."""
    one(place, table.assign(churn="yes"), "one class only")


def test_regression_is_refused(place: Place, table: pd.DataFrame) -> None:
    """A target of many numbers is refused unless it is declared to be codes."""
    one(place, table, "classification only", target="age")
    codes = pd.Series(np.arange(len(table)) % 60, index=table.index)
    one(place, table.assign(churn=codes), "regression")
    assert 60 == len(run(place, table.assign(churn=codes), categorical=["churn"]).labels)


def test_few_numeric_classes_are_classes(place: Place, table: pd.DataFrame) -> None:
    """Labels may be numbers; their names are the text of the file."""
    table["churn"] = np.where(table["churn"] == "yes", "1", "-100")
    assert ["-100", "1"] == list(run(place, table).labels)


def test_positive_must_be_a_label(place: Place, table: pd.DataFrame) -> None:
    """`positive` that is no label lists the labels."""
    one(place, table, "data.positive", "no, yes", positive="maybe")


def test_infinite_and_huge_features(place: Place, table: pd.DataFrame) -> None:
    """Infinite and huge numbers are faults, reported together with everything else."""
    table["age"] = table["age"].astype(str)
    table.loc[3, "age"] = "inf"
    table.loc[5, "income"] = 1e35
    table.loc[7, "churn"] = ""
    found = faults(place, table)
    assert 3 == len(found)
    for words in (("'age'", "row 4", "infinite"), ("'income'", "row 6", "1e+35"), ("'churn'", "row 8", "no label")):
        assert any(all(word in fault for word in words) for fault in found), found


def test_gaps_need_an_imputer(place: Place, table: pd.DataFrame) -> None:
    """Gaps are faults where the imputer of their kind is none."""
    none = Preprocessing.model_validate({"numeric": {"impute": "none"}, "categorical": {"impute": "none"}})
    found = faults(place, table, none)
    assert 2 == len(found)
    assert any("'income'" in fault and "numeric.impute" in fault for fault in found)
    assert any("'city'" in fault and "categorical.impute" in fault for fault in found)


@pytest.mark.parametrize(("bad", "count"), [("abc", 1), ("NA", 60)])
def test_word_among_numbers_is_named(place: Place, table: pd.DataFrame, bad: str, count: int) -> None:
    """A column of numbers with a few words, or many words for a gap, is a fault and not a category."""
    table["age"] = table["age"].astype(str)
    table.loc[10 : 9 + count, "age"] = bad
    one(place, table, "'age'", "11", f"'{bad}' among numbers")


def test_empty_table(place: Place, table: pd.DataFrame) -> None:
    """A header without rows is refused."""
    one(place, table.iloc[:0], "no rows")


def test_no_features_left(place: Place, table: pd.DataFrame) -> None:
    """A table of nothing but target and dropped columns is refused."""
    one(place, table[["customer", "churn"]], "no column is left")


def test_ids_name_one_row(place: Place, table: pd.DataFrame) -> None:
    """Equal and missing ids are faults."""
    table.loc[1, "customer"] = table.loc[0, "customer"]
    table.loc[2, "customer"] = ""
    found = faults(place, table, id="customer")
    assert 2 == len(found)
    assert any("rows 1, 2" in fault and "'c00000'" in fault for fault in found)


@pytest.mark.parametrize("leak", ["copy", "number", "code"])
def test_copy_of_the_target_is_refused(place: Place, table: pd.DataFrame, leak: str) -> None:
    """A feature that tells the label one to one is refused, whatever it is called, with the remedy."""
    values = {"copy": ("yes", "no"), "number": (1.5, -2.5), "code": ("A", "B")}[leak]
    table["leak"] = np.where(table["churn"] == "yes", *values)
    one(place, table, "'leak'", "data.drop: [leak]")
    run(place, table, drop=["leak"])


def test_id_like_number_is_warned_of(place: Place, table: pd.DataFrame) -> None:
    """Whole numbers, all different, that count or are called an id deserve a warning."""
    report = run(place, table.assign(customer_id=np.arange(len(table)) * 7 + 100_000))
    assert any("'customer_id' looks like an id" in warning for warning in report.warnings)


def test_odd_labels_are_warned_of(place: Place, table: pd.DataFrame) -> None:
    """Labels that differ in case, and labels too rare to split, deserve a warning."""
    table.loc[0, "churn"] = "Yes"
    warnings = " ".join(run(place, table).warnings)
    assert "'Yes' and 'yes'" in warnings
    assert "has 1 row: too few" in warnings


@pytest.mark.parametrize(
    ("labels", "warning"),
    [
        (("0", "1", "1.0"), "labels '1' and '1.0' are the same number; are they one class?"),
        (
            ("caf\u00e9", "cafe\u0301", "tea"),
            "labels 'cafe\\u0301' and 'caf\\xe9' look alike in print; are they one class?",
        ),
        (("no", "yes", "yes\u200b"), "labels 'yes' and 'yes\\u200b' look alike in print; are they one class?"),
        (("no", "yes", " yes"), "labels ' yes' and 'yes' differ in case or spaces only; are they one class?"),
        (("007", "7", "8"), None),
    ],
)
def test_labels_that_look_alike_are_warned_of(place: Place, labels: tuple[str, ...], warning: str | None) -> None:
    """Numbers written in two ways, two forms of one letter, signs that nobody sees: said so that the difference shows."""
    frame = make_table().assign(churn=[labels[row % len(labels)] for row in range(240)])
    warnings = [one for one in run(place, frame).warnings if "labels" in one]
    assert ([] if warning is None else [warning]) == warnings


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([f"{n % 30}.5%" for n in range(240)], ("'0.5%', '1.5%', '2.5%'", "say data.numbers: [cost], or")),
        ([f"{n % 20 + 1},000" for n in range(240)], ("'1,000'", 'say data.thousands: ",", or data.categorical')),
        ([f"{n % 20},5" for n in range(240)], ("'0,5', '1,5', '2,5'", 'say data.decimal: ",", or')),
        ([f"{n},5" for n in range(240)], ("another writing ('0,5'", 'data.decimal: ","')),
        ([f"$ {n % 9},{n % 7}00.25" for n in range(240)], ('data.thousands: "," and data.numbers: [cost]',)),
        ([f"{n % 9 + 1}\u202f{n % 7}00 \u20ac" for n in range(240)], ('data.thousands: " " and data.numbers: [cost]',)),
        ([f"({n % 9}.5)" if n % 2 else f"{n % 7}.5" for n in range(240)], ("(1.5)", "data.numbers: [cost]")),
        ([f"{n % 9}.{n % 7}00,5" for n in range(240)], ('data.decimal: "," and data.thousands: "."',)),
        (
            [str(n) if n % 5 else "unknown" for n in range(240)],
            ("rows 1, 6, 11 and 45 more: 'unknown' among numbers", 'data.gaps: {cost: ["unknown"]}'),
        ),
        (["?" if n % 3 else str(n % 50) for n in range(240)], ("'?' among numbers", 'say data.gaps: ["?"]')),
        (["NA" if n % 3 else str(n % 50) for n in range(240)], ('data.gaps: {cost: ["NA"]}',)),
    ],
)
def test_numbers_in_another_writing_are_refused_with_the_entry_that_reads_them(
    place: Place, cells: list[str], words: tuple[str, ...]
) -> None:
    """Whatever their share, numbers are never one-hot in silence: three examples and the entry to write are named."""
    one(place, make_table().assign(cost=cells), "column 'cost'", *words)
    assert "feature categorical" == roles(run(place, make_table().assign(cost=cells), categorical=["cost"]))["cost"]


@pytest.mark.parametrize(
    ("cells", "settings", "expected"),
    [
        (["12.5%", "3%", ""], {"numbers": ["cost"]}, [12.5, 3.0, None]),
        (["1,000", "2", "3,500"], {"thousands": ","}, [1000, 2, 3500]),
        (["2,5", "-3,25", "4"], {"decimal": ","}, [2.5, -3.25, 4.0]),
        (["1.234,5", "7,25", "1.000"], {"decimal": ",", "thousands": "."}, [1234.5, 7.25, 1000.0]),
        (["$5", "(3.1)", "-$ 2"], {"numbers": ["cost"]}, [5.0, -3.1, -2.0]),
        (["1 000,5", "2\u00a0000", "3"], {"decimal": ",", "thousands": " "}, [1000.5, 2000.0, 3.0]),
        (["?", "2", "NA"], {"gaps": ["?", "NA"]}, [None, 2.0, None]),
        (["-999", "2", "3"], {"gaps": {"cost": [-999]}}, [None, 2.0, 3.0]),
        (["007", "12", "9"], {"numbers": ["cost"]}, [7, 12, 9]),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_declared_writings_are_read_as_numbers(
    place: Place, cells: list[str], settings: dict[str, object], expected: list[float | None], suffix: str
) -> None:
    """What is declared is read: the prepared column holds the numbers, and raw rows in that writing are predicted alike."""
    if suffix == "parquet" and not {"numbers", "gaps"} & settings.keys():
        return  # texts of Parquet are texts unless something is said of the column
    table = make_table().assign(cost=[cells[row % 3] or None for row in range(240)])
    data = Data.model_validate({"source": place.write(table, f"t.{suffix}"), "target": "churn", **settings})
    prepare(data, Preprocessing(), place.root, place.prepared)
    frame, schema = read_prepared(place.prepared)
    found = [None if pd.isna(value) else value for value in frame["cost"][:3]]
    assert expected == found
    assert "numeric" == next(column["kind"] for column in schema["columns"] if column["name"] == "cost")
    state = fit_preprocessing(frame, schema, Preprocessing())
    raw = table.assign(customer="x") if suffix == "csv" else table
    assert transform(state, frame).tobytes() == transform(state, raw).tobytes()


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (
            [f"2024-{n % 12 + 1:02}-{n % 2 + 1:02}" for n in range(239)] + ["2024-13-01"],
            "row 240: '2024-13-01' is no date",
        ),
        ([f"03/{n % 28 + 1}/2024" for n in range(240)], "holds dates and is dropped; data.dates: features"),
        ([f"{n % 24}:{n % 60:02}" for n in range(240)], "holds dates and is dropped"),
        ([f"{n % 28 + 1}.3.2024 12:15" for n in range(240)], "holds dates and is dropped"),
        ([f"{n % 28 + 1} Mar 2024" for n in range(240)], "holds dates and is dropped"),
        (["x " if n % 7 == 1 else "xy"[n % 2] for n in range(240)], "categories 'x' and 'x ' differ in case or spaces"),
        (["<=50K", ">50K", "<=50K."] * 80, "'<=50K' and '<=50K.' differ in a full stop only"),
        (["a", "b", "NA"] * 80, "'NA' is taken for a category (80 rows); if it means a gap, say data.gaps"),
        (["0012", "345"] * 120, None),
        (["10-20", "20-30", "1.2.3"] * 80, None),
        (["1", "2", "B"] * 80, None),
    ],
)
def test_texts_that_may_be_meant_otherwise_are_warned_of(place: Place, cells: list[str], words: str | None) -> None:
    """Dates of all sorts, categories alike in print and words for a gap are named; codes and ranges are left in peace."""
    warnings = [one for one in run(place, make_table().assign(cost=cells)).warnings if "'cost'" in one]
    assert (words is None) == (not warnings)
    assert words is None or any(words in warning for warning in warnings), warnings


def test_numbers_of_a_pandas_category_are_codes(place: Place) -> None:
    """Who writes `category` to Parquet said that 0, 1 and 2 are names; they are prepared as if data.categorical named them."""
    codes = pd.Series([None, *(row % 3 for row in range(1, 240))], dtype="Int64")
    table = make_table()
    prepared = []
    for cells, categorical in ((codes.astype("category"), ()), (codes, ("code",))):
        source = place.write(table.assign(code=cells), "t.parquet")
        data = Data(source=source, target="churn", categorical=categorical)
        report = prepare(data, Preprocessing(), place.root, place.prepared)
        prepared.append((roles(report)["code"], list(read_prepared(place.prepared)[0]["code"].dropna())))
    assert "feature categorical" == prepared[0][0]
    assert prepared[0] == prepared[1]


def test_nested_cells_are_refused_unless_dropped(place: Place) -> None:
    """Lists in a Parquet column are refused by name; dropped, they are left out of the table."""
    table = make_table().assign(tags=[[1, 2]] * 240)
    source = place.write(table, "t.parquet")
    with pytest.raises(DataError, match="'tags'"):
        prepare(Data(source=source, target="churn"), Preprocessing(), place.root, place.prepared)
    prepare(Data(source=source, target="churn", drop=("tags",)), Preprocessing(), place.root, place.prepared)
    assert "tags" not in read_prepared(place.prepared)[0]


def test_faults_of_a_wide_table_are_limited(place: Place) -> None:
    """Hundreds of faults are cut short, and counted."""
    frame = pd.DataFrame({f"c{number}": ["inf", "1", "2"] * 4 for number in range(80)}).assign(churn=["a", "b"] * 6)
    found = faults(place, frame)
    assert 51 == len(found)
    assert "30 faults more" in found[-1]


def test_bundled_set_prepares(tmp_path: Path) -> None:
    """The default configuration prepares as it is."""
    report = prepare(Data(), Preprocessing(), tmp_path, tmp_path / "prepared")
    assert (569, "malignant") == (report.rows, report.positive)


def test_dates_are_features_where_it_is_said(place: Place) -> None:
    """`data.dates: features` keeps a column of dates, with the order of day and month that its cells show."""
    cells = [f"{n % 28 + 1:02}/{n % 12 + 1:02}/2024" for n in range(240)]
    report = run(place, make_table().assign(day=cells), dates="features")
    assert "feature date" == roles(report)["day"]
    assert "year, month, weekday, hour, days since the first" in next(
        c.action for c in report.columns if c.column == "day"
    )
    place.split(make_table().assign(day=cells), dates="features")
    schema = json.loads((place.splits / "schema.json").read_text())
    columns = {column["name"]: column for column in schema["columns"]}
    assert {"day_first": True} == columns["day"]["reading"]
    assert "reading" not in columns["age"], "what is plain is not written, so that keys stay"


def test_all_whole_numbers_may_be_codes(place: Place, table: pd.DataFrame) -> None:
    """`data.categorical: integers` makes categories of every column of whole numbers, with gaps or without; fractions stay."""
    table = table.assign(code=np.arange(240) % 4, gappy=[None if n % 9 == 0 else n % 5 for n in range(240)])
    found = roles(run(place, table, categorical="integers"))
    assert ("feature categorical", "feature categorical", "feature numeric") == (
        found["code"],
        found["gappy"],
        found["age"],
    )


def test_constants_may_be_kept(tmp_path: Path) -> None:
    """`data.keep_constants: true` leaves all 64 pixels of the bundled digits in their places; else three are dropped."""
    for keep, features in ((False, 61), (True, 64)):
        data = Data(source="sklearn:digits", keep_constants=keep)
        report = prepare(data, Preprocessing(), tmp_path, tmp_path / "prepared")
        assert features == sum(column.role == "feature" for column in report.columns)


def test_labels_are_shown_in_the_order_of_numbers(place: Place, table: pd.DataFrame) -> None:
    """`1, 2, 10` in what people read; the order of classes in keys stays that of texts."""
    report = run(place, table.assign(churn=[str([1, 2, 10][n % 3]) for n in range(240)]))
    assert any("labels: 1 80, 2 80, 10 80" in line for line in report.lines())
    assert ["1", "10", "2"] == list(report.labels)


def test_mostly_empty_columns_are_warned_of(place: Place, table: pd.DataFrame) -> None:
    """More gaps than values: the warning says what they get, and the setting that would tell the network."""
    table = table.assign(note=["seen" if n % 5 == 0 else "left" if n % 5 == 1 else "" for n in range(240)])
    table.loc[10:200, "income"] = np.nan
    warnings = run(place, table).warnings
    assert any("'note': 144 of 240 cells are gaps" in one and "impute: missing" in one for one in warnings)
    assert any("'income'" in one and "preprocessing.numeric.indicator: true" in one for one in warnings)
    told = Preprocessing.model_validate({"numeric": {"indicator": True}, "categorical": {"impute": "missing"}})
    assert not any("cells are gaps" in one for one in run(place, table, told).warnings)


def test_row_names_with_holes_are_warned_of(place: Place, table: pd.DataFrame) -> None:
    """Numbers that rise with the rows, some left out, are the row names of a larger table."""
    report = run(place, table.assign(rownames=np.arange(240) + np.arange(240) // 7, n=np.arange(240) * 9 % 241 * 3))
    assert ["column 'rownames' looks like an id: name it in data.id or data.drop"] == [
        one for one in report.warnings if "looks like an id" in one
    ]
