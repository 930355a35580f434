"""What decides where a row goes, and what is written."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.datasets.place import Place, make_table
from tracker.canonical import digest_table
from tracker.config import Data, Preprocessing, Split
from tracker.datasets.assign import Clusters, choose_salt, cluster, count_classes, place_rows
from tracker.datasets.keys import content_keys, text_keys, uniform
from tracker.datasets.prepare import inspect_data
from tracker.datasets.salts import Salt, keep_salt
from tracker.datasets.split import foresee_split
from tracker.errors import ConfigError, DataError
from tracker.seeds import derive_seed

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def test_files_are_the_promised_ones(place: Place, table: pd.DataFrame) -> None:
    """Raw columns of features, target and id; a manifest that fits them; nothing else."""
    report = place.split(table, id="customer")
    manifest = json.loads((place.splits / "manifest.json").read_text())
    train = pd.read_parquet(place.splits / "train.parquet")
    expected = {"data/splits/train.parquet", "data/splits/validation.parquet", "data/splits/manifest.json"}
    expected |= {"data/splits/schema.json", "data/sealed/test.parquet", "data/sealed/manifest.json"}
    expected |= {"data/sealed/prepared.json"}
    assert expected == set(place.files())
    assert list(table.columns) == list(train.columns)
    assert manifest["splits"]["train"]["digest"] == digest_table(train)
    assert manifest["splits"]["train"]["classes"] == report.counts["train"]
    assert 240 == sum(sum(counts.values()) for counts in report.counts.values())
    assert "test" not in manifest["splits"]


def test_same_run_gives_the_same_bytes(place: Place, table: pd.DataFrame) -> None:
    """A second run, with the salt kept or lost, changes no byte of any file, the salts among them."""
    place.split(table)
    first, salts = place.files(), place.salts.read_bytes()
    place.split(table)
    assert (first, salts) == (place.files(), place.salts.read_bytes())
    place.salts.unlink()
    place.split(table)
    assert (first, salts) == (place.files(), place.salts.read_bytes())


@pytest.mark.parametrize("data", [{}, {"id": "customer"}], ids=["content", "id"])
def test_order_of_rows_changes_no_byte(place: Place, table: pd.DataFrame, data: dict[str, str]) -> None:
    """Shuffling the rows of the source changes no byte of the splits, nor does it need the salt."""
    table = pd.concat([table, table.assign(customer=table["customer"] + "b")]).iloc[:300]
    place.split(table, **data)
    first = place.files()
    place.salts.unlink()
    place.split(table.sample(frac=1, random_state=3), **data)
    assert first == place.files()


def alike_groups(groups: int = 50) -> pd.DataFrame:
    """Four rows of each group, two features with 4 and 2 values: nearly every row has equals in many other groups."""
    rows = np.arange(groups * 4)
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "person": [f"p{row // 4:03d}" for row in rows],
            "colour": rng.choice(["red", "blue", "green", "black"], len(rows)),
            "size": rng.integers(0, 2, len(rows)),
            "churn": np.where(rng.random(len(rows)) < 0.4, "yes", "no"),
        }
    )


def as_an_earlier_release(place: Place, salt: int = 5) -> dict[str, object]:
    """Keeps a salt as a release did that joined groups with equal rows; the lineage under which it is kept."""
    lineage = {"method": "group", "validation": 0.2, "test": 0.2, "duplicates": "together", "seed": 7}
    lineage |= {"target": "churn", "id": None, "group": "person", "columns": {}}
    place.salts.parent.mkdir(exist_ok=True)
    keep_salt(place.salts, lineage, Salt(salt, 1000))
    return lineage


def test_too_few_rows_that_rank_or_stop_are_told(place: Place, table: pd.DataFrame) -> None:
    """A share near 1 leaves few validation rows to stop training, one near 0 few to rank; half of 48 is enough."""
    for share, words in ((0.85, "stop training"), (0.15, "rank trials")):
        report = place.split(table, Split(selection=share))
        [told] = [line for line in report.warnings if "split.selection" in line]
        assert re.fullmatch(rf"only \d+ validation rows {words} \(split.selection: {share}\): scores vary .*", told)
    assert not any("split.selection" in line for line in place.split(table, Split(selection=0.5)).warnings)


GROUPS = Split(method="group", group="person")


def test_equal_rows_with_two_labels_are_told(place: Place, table: pd.DataFrame) -> None:
    """How many there are, and the first two, by their numbers in the table; equal rows of one label are no matter."""
    twins = table.drop(columns=["customer"])
    twins.loc[[11, 40]] = twins.loc[[3, 3]].to_numpy()
    assert not any("another label" in one for one in place.split(twins).warnings)
    twins.loc[40, "churn"] = "no" if twins.loc[3, "churn"] == "yes" else "yes"
    [told] = [one for one in place.split(twins).warnings if "another label" in one]
    assert told.startswith(
        "3 rows have an equal, in every feature, with another label (first rows 4 and 41 of the prepared"
    )


def test_groups_that_look_alike_are_not_joined(place: Place) -> None:
    """Equal rows of different groups hold nothing together; they are counted, and `free` says that this is as it should be."""
    table = alike_groups()
    report = place.split(table, GROUPS)
    where = place.where("person")
    assert {"train", "validation", "test"} == set(where.values())
    contents = content_keys(table, {"colour": "categorical", "size": "numeric"})
    split_of = table["person"].map(where)
    apart = sum(split_of[contents == content].nunique() > 1 for content in contents)
    assert any(f"200 rows have equals in another group, {apart} of them in another split" in w for w in report.warnings)
    before = place.tables()
    free = place.split(table, Split(method="group", group="person", duplicates="free"))
    assert (True, before) == (free.reused, place.tables())
    assert not any("another group" in warning for warning in free.warnings)


def test_groups_that_were_joined_stay_in_place(place: Place) -> None:
    """A salt that an earlier release kept places its groups as that release did; how to divide anew is said."""
    table = alike_groups(12)
    table["size"] = np.arange(len(table)) + 0.5
    table.loc[[0, 4], "colour"], table.loc[4, "size"] = "red", table.loc[0, "size"]
    as_an_earlier_release(place)
    names, contents = (
        text_keys(table["person"], "name"),
        content_keys(table, {"colour": "categorical", "size": "numeric"}),
    )
    places = place_rows(cluster(names, contents), 5, 0.2, 0.2)
    alone = place_rows(cluster(names, None), 5, 0.2, 0.2)
    assert (places != alone).any()
    report = place.split(table, GROUPS)
    assert [["train", "validation", "test"][at] for at in places] == table["person"].map(
        place.where("person")
    ).to_list()
    assert report.reused
    assert any("12 groups move as 11" in warning and "remove entry" in warning for warning in report.warnings)
    place.salts.unlink()
    assert not any("move as" in warning for warning in place.split(table, GROUPS).warnings)


def test_groups_that_were_never_joined_keep_their_split(place: Place, table: pd.DataFrame) -> None:
    """Where no group has another's rows, the salt of an earlier release gives the rows their places without a word."""
    table["person"] = [f"p{number:03d}" for number in np.arange(len(table)) // 4]
    as_an_earlier_release(place)
    report = place.split(table, GROUPS)
    alone = place_rows(cluster(text_keys(table["person"], "name"), None), 5, 0.2, 0.2)
    assert [["train", "validation", "test"][at] for at in alone] == table["person"].map(place.where("person")).to_list()
    assert report.reused
    assert not any("earlier release" in warning for warning in report.warnings)


def test_few_different_rows_are_counted(place: Place) -> None:
    """Where most rows are copies, it is said how many are different and how many of these are in test."""
    table = pd.concat([make_table(60)] * 9)
    report = place.split(table)
    sealed = json.loads((place.sealed / "manifest.json").read_text())
    tested = len(set(sealed["row_keys"]))
    assert [f"of 540 rows only 60 are different, {tested} of them in test"] == [
        warning.partition(":")[0] for warning in report.warnings
    ]


def test_few_groups_in_test_are_counted(place: Place, table: pd.DataFrame) -> None:
    """A test split of a few groups says how many they are."""
    table["person"] = [f"p{number % 15}" for number in range(len(table))]
    report = place.split(table, GROUPS)
    tested = sum(split == "test" for split in place.where("person").values())
    assert any(warning.startswith(f"test holds {tested} groups: ") for warning in report.warnings)


def test_what_stays_together_is_written_where_scores_need_it(place: Place, table: pd.DataFrame) -> None:
    """Each row of validation and test has the number of its cluster, by groups or equal rows; single rows add no entry."""
    place.split(table)
    plain = (
        json.loads((place.splits / "manifest.json").read_text()),
        json.loads((place.sealed / "manifest.json").read_text()),
    )
    assert "clusters" not in plain[0]["splits"]["validation"].keys() | plain[1].keys()
    table["person"] = [f"p{number:03d}" for number in np.arange(len(table)) // 4]
    place.split(table, GROUPS)
    for frame, numbers in (
        (
            pd.read_parquet(place.splits / "validation.parquet"),
            json.loads((place.splits / "manifest.json").read_text())["splits"]["validation"]["clusters"],
        ),
        (
            pd.read_parquet(place.sealed / "test.parquet"),
            json.loads((place.sealed / "manifest.json").read_text())["clusters"],
        ),
    ):
        assert pd.factorize(frame["person"])[0].tolist() == numbers


@pytest.mark.parametrize(
    "settings", [Split(), GROUPS, Split(method="column", column="fold", duplicates="free")], ids=lambda s: s.method
)
def test_a_foreseen_split_is_the_split(place: Place, settings: Split) -> None:
    """What is foreseen of a table, rows per split, salt and warnings, is what `split` then reports; nothing is written."""
    table = alike_groups(60).assign(extra=np.arange(240) % 40, fold=(["train"] * 3 + ["validation", "test"]) * 48)
    data = Data(source=place.write(table), target="churn")
    frame, columns, report = inspect_data(data, Preprocessing(), place.root)
    schema = {"target": "churn", "id": None, "labels": list(report.labels), "columns": [asdict(c) for c in columns]}
    foreseen = foresee_split(settings, 7, frame, schema, place.salts)
    assert not place.salts.exists()
    assert foreseen == place.split(table, settings)
    assert replace(foreseen, reused=settings.method != "column") == foresee_split(
        settings, 7, frame, schema, place.salts
    )


def test_order_of_columns_moves_no_row(place: Place, table: pd.DataFrame) -> None:
    """Reordered columns are the same rows."""
    place.split(table)
    before = place.where("age")
    assert place.split(table[table.columns[::-1]]).reused
    assert before == place.where("age")


def test_classes_are_balanced(place: Place, table: pd.DataFrame) -> None:
    """Every class comes near to the fractions asked for."""
    report = place.split(table)
    for label, total in table["churn"].value_counts().items():
        for name, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
            assert abs(report.counts[name][label] - share * total) <= 3


def test_duplicates_share_a_split(place: Place) -> None:
    """Rows of equal features share a split, though their ids and labels differ; `free` sets them free."""
    table = make_table(150)
    twins = table.assign(customer="twin" + table["customer"], churn=np.where(table["churn"] == "yes", "no", "yes"))
    both = pd.concat([table, twins])
    place.split(both, id="customer")
    where = place.where()
    assert all(where[customer] == where[f"twin{customer}"] for customer in table["customer"])
    place.split(both, Split(duplicates="free"), id="customer")
    where = place.where()
    assert any(where[customer] != where[f"twin{customer}"] for customer in table["customer"])


def test_groups_share_a_split(place: Place, table: pd.DataFrame) -> None:
    """Rows of one group share a split, and the group is no feature."""
    table["clinic"] = [f"clinic {number}" for number in np.arange(len(table)) // 4]
    place.split(table, Split(method="group", group="clinic"))
    frames = [pd.read_parquet(place.splits / f"{name}.parquet") for name in ("train", "validation")]
    assert not set(frames[0]["clinic"]) & set(frames[1]["clinic"])
    schema = json.loads((place.splits / "schema.json").read_text())
    assert {"group"} == {column["role"] for column in schema["columns"] if column["name"] == "clinic"}


@QUICK
@given(added=st.lists(st.integers(0, 400), max_size=60), twins=st.lists(st.integers(0, 99), max_size=20))
def test_growth_moves_no_row_from_test_to_train(added: list[int], twins: list[int]) -> None:
    """Whatever rows are added, equal to old ones or not, a row may move towards test but never away from it."""
    ids = pd.Series([f"id{number}" for number in range(100)])
    content = pd.DataFrame({"x": np.arange(100) % 70})
    later_ids = pd.concat([ids, pd.Series([f"new{number}" for number in range(len(added) + len(twins))])])
    later = pd.concat([content, pd.DataFrame({"x": [*added, *twins]}, dtype="int64")])
    old, new = (
        place_rows(cluster(text_keys(names, "name"), content_keys(rows, {"x": "numeric"})), 5, 0.2, 0.2)
        for names, rows in ((ids, content), (later_ids, later))
    )
    assert (new[:100] >= old).all()


def test_rows_for_promotion_come_out_of_validation_alone(place: Place, table: pd.DataFrame) -> None:
    """Train and test stay byte for byte; validation is what is left; both parts together are the validation of before."""
    place.split(table, id="customer")
    before = {name: (place.root / name).read_bytes() for name in place.files() if "manifest" not in name}
    whole = pd.read_parquet(place.splits / "validation.parquet")
    report = place.split(table, Split(promotion=0.4), id="customer")
    for name in ("data/splits/train.parquet", "data/sealed/test.parquet"):
        assert before[name] == (place.root / name).read_bytes()
    kept, aside = (pd.read_parquet(place.splits / f"{name}.parquet") for name in ("validation", "promotion"))
    assert sorted(whole["customer"]) == sorted([*kept["customer"], *aside["customer"]])
    assert 0.2 < len(aside) / len(whole) < 0.6
    assert sum(report.counts["promotion"].values()) == len(aside)
    assert ["promotion"] == [row[0] for row in report.table() if row[0] not in {"split", "train", "validation", "test"}]


def test_rows_for_promotion_stay_where_they_are_when_data_grows(place: Place, table: pd.DataFrame) -> None:
    """Rows are added, others taken out: no row leaves the part for promotion, none of it is ever trained on."""
    settings = Split(promotion=0.5)
    place.split(table.iloc[:150], settings, id="customer")
    first = set(pd.read_parquet(place.splits / "promotion.parquet")["customer"])
    place.split(table.iloc[20:], settings, id="customer")
    present = set(table["customer"].iloc[20:])
    assert first & present <= set(pd.read_parquet(place.splits / "promotion.parquet")["customer"])
    for name in ("train", "validation"):
        assert not first & set(pd.read_parquet(place.splits / f"{name}.parquet")["customer"])


def test_grown_data_keeps_its_salt(place: Place, table: pd.DataFrame) -> None:
    """More rows reuse the salt; every old row stays where it was."""
    first = place.split(table.iloc[:180], id="customer")
    before = place.where()
    second = place.split(table, id="customer")
    after = place.where()
    assert (False, True) == (first.reused, second.reused)
    assert first.salt == second.salt
    assert before == {name: after[name] for name in before}


def test_new_column_is_a_new_lineage_without_ids(place: Place, table: pd.DataFrame) -> None:
    """Without ids an added column warns; with ids nothing moves, and a mended cell moves nothing either."""
    wider = table.assign(extra=np.arange(len(table)) % 9)
    place.split(table)
    assert any("new lineage" in warning for warning in place.split(wider).warnings)
    place.split(table, id="customer")
    before = place.where()
    wider.loc[3, "age"] = 99.0
    assert place.split(wider, id="customer").reused
    assert before == place.where()


def test_former_lineages_keep_their_salts(place: Place, table: pd.DataFrame) -> None:
    """Going back to former settings gives the former split."""
    place.split(table)
    first = place.files()
    place.split(table, Split(test=0.3))
    place.split(table)
    assert first == place.files()
    assert 2 == len(json.loads(place.salts.read_text())["lineages"])


def test_changed_test_rows_leave_the_splits_alone(place: Place, table: pd.DataFrame) -> None:
    """With ids, whatever the cells of test rows become, no byte that training reads changes."""
    place.split(table, id="customer")
    before = {name: content for name, content in place.files().items() if name.startswith("data/splits")}
    sealed = table["customer"].map(place.where()) == "test"
    table.loc[sealed, "age"] = np.arange(sealed.sum()) + 0.5
    table.loc[table.index[sealed][0], ["income", "member"]] = [np.nan, ""]
    place.split(table, id="customer")
    after = place.files()
    assert before == {name: after[name] for name in before}


def test_test_rows_are_named_nowhere_in_the_splits(place: Place, table: pd.DataFrame) -> None:
    """Nothing in data/splits tells counts, digests or keys of the test split."""
    place.split(table)
    text = b"".join(path.read_bytes() for path in place.splits.glob("*.json")).decode()
    sealed = json.loads((place.sealed / "manifest.json").read_text())
    assert sealed["table"] not in text
    assert json.loads((place.sealed / "prepared.json").read_text())["content"] not in text
    assert not any(key in text for key in sealed["row_keys"])


def test_time_split_follows_its_dates(place: Place, table: pd.DataFrame) -> None:
    """Rows go by declared dates, zones counted; the time is no feature."""
    days = pd.date_range("2024-01-01", periods=len(table), freq="D")
    table["day"] = [str(day.date()) for day in days]
    table.loc[180, "day"] = "2024-06-29T23:30:00-01:00"  # 2024-06-30 in UTC
    dates = {"validation_from": "2024-05-01", "test_from": "2024-06-30"}
    place.split(table, Split(method="time", column="day", **dates))
    where = place.where("day")
    assert {"train"} == {where[day] for day in where if str(day) < "2024-05-01"}
    assert {"validation"} == {where[day] for day in where if "2024-05-01" <= str(day) < "2024-06-29T"}
    assert {"test"} == {where[day] for day in where if str(day) >= "2024-06-29T"}
    assert not place.salts.exists()


@pytest.mark.parametrize(
    ("writing", "entries"),
    [
        ("%d.%m.%Y", {}),
        ("%d/%m/%Y", {}),
        ("%m/%d/%Y %H:%M", {}),
        ("%d %b %Y", {}),
        ("%m/%d/%Y", {"dates": "features"}),
        ("%Y/%m/%d", {"categorical": ["day"]}),
    ],
)
def test_time_split_reads_dates_in_the_usual_writings(
    place: Place, table: pd.DataFrame, writing: str, entries: dict[str, Any]
) -> None:
    """The same days give the same split, however they are written; a cell such as `13/04/2024` tells the order."""
    days = pd.date_range("2024-01-01", periods=len(table), freq="D")
    table["day"] = days.strftime(writing)
    settings_ = Split(method="time", column="day", validation_from="2024-05-01", test_from="2024-06-30")
    place.split(table, settings_, **entries)
    expected = {written: "train" if day < pd.Timestamp(2024, 5, 1) else "validation" if day < pd.Timestamp(2024, 6, 30)
                else "test" for day, written in zip(days, table["day"], strict=True)}  # fmt: skip
    assert expected == place.where("day")


def test_an_order_that_nobody_can_tell_is_asked_for(place: Place, table: pd.DataFrame) -> None:
    """`02/01/2024` alone may be two days: data.day_first says which, and the split follows."""
    table["day"] = ["02/01/2024", "02/03/2024", "04/05/2024"] * 80
    settings_ = Split(method="time", column="day", validation_from="2024-02-02", test_from="2024-04-05")
    with pytest.raises(
        DataError, match=r"'day' \(time\), row.*'02/01/2024' has its day or its month first; say data.day_f"
    ):
        place.split(table, settings_)
    place.split(table, settings_, day_first=False)
    assert {"02/01/2024": "train", "02/03/2024": "validation", "04/05/2024": "test"} == place.where("day")
    place.split(table, settings_, day_first=True)
    assert {"02/01/2024": "train", "02/03/2024": "validation", "04/05/2024": "test"} == place.where("day")


@pytest.mark.parametrize("bad", ["", "yesterday", "2024-13-01", "12:30"])
def test_bad_dates_name_their_rows(place: Place, table: pd.DataFrame, bad: str) -> None:
    """A gap or a text that is no date is a fault with its row."""
    table["day"] = "2024-01-01"
    table.loc[120:, "day"] = "2024-02-01"
    table.loc[6, "day"] = bad
    settings_ = Split(method="time", column="day", validation_from="2024-01-15", test_from="2024-02-15")
    with pytest.raises(DataError, match=r"'day'.*row 7"):
        place.split(table, settings_, categorical=["day"])


def test_dates_of_the_settings_are_checked(place: Place, table: pd.DataFrame) -> None:
    """Cut dates must be dates, and in order."""
    table["day"] = ["2024-01-01", "2024-02-01"] * 120
    for first, second in (("soon", "2024-01-01"), ("2024-02-01", "2024-01-01")):
        with pytest.raises(ConfigError, match=r"validation_from"):
            place.split(table, Split(method="time", column="day", validation_from=first, test_from=second))


def test_own_split_is_followed(place: Place, table: pd.DataFrame) -> None:
    """The user's own column decides, is no feature and is not written."""
    table["fold"] = (["train"] * 3 + ["validation", "test"]) * 48
    place.split(table, Split(method="column", column="fold"))
    assert dict(zip(table["age"], table["fold"], strict=True)) == place.where("age")
    assert "fold" not in pd.read_parquet(place.splits / "train.parquet")


def test_own_split_has_three_words(place: Place, table: pd.DataFrame) -> None:
    """Any other word, or a gap, is a fault with its row."""
    table["fold"] = (["train"] * 3 + ["validation", "test"]) * 48
    table.loc[[1, 2], "fold"] = ["dev", ""]
    with pytest.raises(DataError, match=r"'fold'.*rows 2, 3.*'dev'"):
        place.split(table, Split(method="column", column="fold"))


def test_equal_rows_in_two_declared_splits(place: Place, table: pd.DataFrame) -> None:
    """Where dates or a column decide, equal rows in two splits are an error with counts and rows, unless waived."""
    table["fold"] = (["train"] * 3 + ["validation", "test"]) * 48
    table.loc[4, ["age", "income", "city", "member"]] = table.loc[0, ["age", "income", "city", "member"]].to_list()
    with pytest.raises(DataError, match=r"2 rows have equals.*row 1 \(train\).*row 5 \(test\)"):
        place.split(table, Split(method="column", column="fold"))
    place.split(table, Split(method="column", column="fold", duplicates="free"))


@pytest.mark.parametrize(
    "split", [Split(method="group", group="nope"), Split(method="column", column="nope")], ids=["group", "column"]
)
def test_unknown_split_column(place: Place, table: pd.DataFrame, split: Split) -> None:
    """A column that is not there is named with the entry that asks for it."""
    with pytest.raises(DataError, match=rf"split.{split.method}: .*'nope'"):
        place.split(table, split)


def test_target_decides_no_split(place: Place, table: pd.DataFrame) -> None:
    """The target can be neither group nor split."""
    with pytest.raises(ConfigError, match=r"is the target"):
        place.split(table, Split(method="group", group="churn"))


def test_gap_in_group(place: Place, table: pd.DataFrame) -> None:
    """A row without a group is a fault."""
    with pytest.raises(DataError, match=r"'income' \(group\), rows"):
        place.split(table, Split(method="group", group="income"))


def test_absent_class_says_what_to_do(place: Place, table: pd.DataFrame) -> None:
    """A class too rare for three splits is an error that names it; nothing is written, no salt kept."""
    table.loc[[0, 1], "churn"] = "maybe"
    with pytest.raises(DataError, match=r"class 'maybe' \(2 rows in all\) is absent from .*; add rows"):
        place.split(table)
    assert not place.splits.exists()
    assert not place.sealed.exists()
    assert not place.salts.exists()


def test_absent_class_of_kept_salt_names_the_entry(place: Place, table: pd.DataFrame) -> None:
    """Where the kept salt leaves a class out, the error says how to divide anew."""
    place.split(table, id="customer")
    where = place.where()
    spared = [index for index, customer in enumerate(table["customer"]) if where[customer] == "train"][:9]
    table.loc[spared, "churn"] = "maybe"
    with pytest.raises(DataError, match=r"'maybe'.*remove entry [0-9a-f]{12}\.\.\. from salts\.json"):
        place.split(table, id="customer")


def test_empty_declared_split(place: Place, table: pd.DataFrame) -> None:
    """A split without any row is said to be empty."""
    table["fold"] = ["train", "test"] * 120
    with pytest.raises(DataError, match=r"validation is empty"):
        place.split(table, Split(method="column", column="fold"))


@pytest.mark.parametrize("settings", [{"method": "group", "group": "person"}, {}], ids=["groups", "rows"])
def test_too_few_groups_are_counted(place: Place, table: pd.DataFrame, settings: dict[str, str]) -> None:
    """Where two groups, or two rows over and over, would fill three splits, their number is the fault and no class is."""
    what = "groups" if settings else "different rows"
    table = table.assign(person=["a", "b"] * 120) if settings else table[["churn"]].assign(size=[1.5, 2.5] * 120)
    with pytest.raises(DataError, match=f"2 {what} cannot fill train, validation, test; give at least 3"):
        place.split(table, Split.model_validate(settings))


@pytest.mark.parametrize("damage", [b"{", b"[]", b'{"lineages": {"a": {}}}', b"<<<<<<< HEAD\n"])
def test_damaged_salts_are_no_new_salts(place: Place, table: pd.DataFrame, damage: bytes) -> None:
    """A damaged salts file stops the split: a new salt would move rows from test to train."""
    place.salts.parent.mkdir()
    place.salts.write_bytes(damage)
    with pytest.raises(DataError, match=r"damaged"):
        place.split(table)


def test_altered_lineage_is_damage(place: Place, table: pd.DataFrame) -> None:
    """An entry of the salts file that does not fit its name is damage."""
    place.split(table)
    place.salts.write_text(place.salts.read_text().replace('"churn"', '"chorn"'))
    with pytest.raises(DataError, match=r"damaged"):
        place.split(table)


def test_salt_that_misses_a_class_ranks_last() -> None:
    """With four rows of a class, a salt is found that gives every split one."""
    keys = text_keys(pd.Series([f"row{number}" for number in range(60)]), "name")
    labels = np.array([0] * 56 + [1] * 4)
    salt, tries = choose_salt(cluster(keys, None), labels, 0.2, 0.2, seed=1)
    assert 1000 == tries
    assert (count_classes(place_rows(cluster(keys, None), salt, 0.2, 0.2), labels) > 0).all()


def rows_with_rare(rows: int, rare: int) -> tuple[Clusters, np.ndarray]:
    """Rows that stand alone, the last few of them of a rare class."""
    keys = text_keys(pd.Series([f"row{number}" for number in range(rows)]), "name")
    return cluster(keys, None), np.array([0] * (rows - rare) + [1] * rare)


def test_no_class_is_left_out_where_that_can_be_had() -> None:
    """Where the salt nearest to the fractions leaves the rare class out of a split, one that does not is chosen."""
    clusters, labels = rows_with_rare(40, 3)
    expected = np.outer([0.8, 0.1, 0.1], [37, 3])

    def place(salt: int) -> np.ndarray:
        return count_classes(place_rows(clusters, salt, 0.1, 0.1), labels)

    def distance(salt: int) -> float:
        return float(((place(salt) - expected) ** 2 / expected).sum())

    chosen, tries = choose_salt(clusters, labels, 0.1, 0.1, seed=1)
    nearest = min((derive_seed(1, "split", number) for number in range(tries)), key=distance)
    assert (place(nearest) == 0).any()
    assert (place(chosen) > 0).all()


def test_a_missing_row_weighs_more_in_a_rare_class() -> None:
    """The distance divides by what is expected: one row too many and one too few are better had of 80 rows than of 20."""
    clusters, labels = rows_with_rare(100, 20)
    salt, _ = choose_salt(clusters, labels, 0.2, 0.2, seed=1)
    assert [[48, 12], [17, 4], [15, 4]] == count_classes(place_rows(clusters, salt, 0.2, 0.2), labels).tolist()


def test_what_becomes_of_duplicates_is_of_the_lineage(place: Place, table: pd.DataFrame) -> None:
    """Another `split.duplicates` is another lineage with a salt of its own and a warning; going back finds the former."""
    together = place.split(table, id="customer")
    free = place.split(table, Split(duplicates="free"), id="customer")
    assert (False, False) == (together.reused, free.reused)
    assert any("new lineage" in warning for warning in free.warnings)
    assert ["free", "together"] == sorted(
        entry["duplicates"] for entry in json.loads(place.salts.read_text())["lineages"].values()
    )
    assert place.split(table, id="customer").reused


def test_large_tables_try_fewer_salts() -> None:
    """The number of salts depends on the number of rows alone, so that time stays bounded."""
    keys = np.arange(2_000_000, dtype=np.uint64)
    assert 10 == choose_salt(cluster(keys, None), keys.astype(np.int64) % 2, 0.2, 0.2, seed=1)[1]


def test_keys_are_pinned() -> None:
    """The key of a row and its place under a salt never change: else every split ever made would."""
    frame = pd.DataFrame({"x": [1.5, -0.0], "word": ["é", None]})
    keys = content_keys(frame, {"x": "numeric", "word": "categorical"})
    names = text_keys(pd.Series(["c1", "c2"]), "name")
    assert [10776518990316792944, 2674002545549984172] == keys.tolist()
    assert [17935541180241496934, 3527008937680589685] == names.tolist()
    assert [0.8016684360639276, 0.6830768818671814] == uniform(names, 42).tolist()


def test_equal_values_are_equal_rows() -> None:
    """1 and 1.0, 0.0 and -0.0 are one value, so a column may turn from whole numbers to fractions."""
    whole, real = pd.DataFrame({"x": [1, 0]}), pd.DataFrame({"x": [1.0, -0.0]})
    assert content_keys(whole, {"x": "numeric"}).tolist() == content_keys(real, {"x": "numeric"}).tolist()


@QUICK
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=30))
def test_clusters_are_connected_components(pairs: list[tuple[int, int]]) -> None:
    """Rows share a cluster exactly if a chain of equal names and equal contents links them."""
    names, contents = (np.array(column, dtype=np.uint64) for column in zip(*pairs, strict=True))
    found = cluster(names, contents).of_row
    reach = (names[:, None] == names) | (contents[:, None] == contents)
    for _ in range(len(pairs).bit_length()):
        reach = reach @ reach
    assert (reach == (found[:, None] == found)).all()


def test_uniform_is_even() -> None:
    """Places under a salt fill [0, 1) evenly, and another salt gives other places."""
    keys = np.arange(100_000, dtype=np.uint64)
    first, second = uniform(keys, 1), uniform(keys, 2)
    counts = np.histogram(first, bins=20, range=(0, 1))[0]
    assert abs(counts - 5000).max() < 350
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.02
