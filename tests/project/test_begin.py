"""`tracker init`: what it says of a table, what it writes, and what it leaves alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pandas as pd
import pytest

from tests.studies.project import REPOSITORY, make_table
from tracker.config import Config, Data, load_config, parse_config, read_yaml
from tracker.config.written import scalar
from tracker.errors import ConfigError, DataError, InputError
from tracker.paths import Paths
from tracker.project import begin as module
from tracker.project.begin import Wishes, begin
from tracker.project.files import SIZES, params_text
from tracker.terminal.forecast import forecast

FILES = ["params.yaml", "dvc.yaml", ".gitignore", ".dvcignore"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a table and nothing else."""
    (tmp_path / "data").mkdir()
    make_table().to_csv(tmp_path / "data" / "mail.csv", index=False)
    return tmp_path


@pytest.fixture(autouse=True)
def no_dvc_init(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dvc init` takes a second; only the tests about it run it."""
    if "real_dvc" not in request.keywords:
        monkeypatch.setattr(module, "begin_dvc", lambda _: None)


def said(folder: Path, *words: str, **wishes: object) -> str:
    return "\n".join(begin(Wishes(*words, **wishes), folder, None))  # type: ignore[arg-type]


def test_it_says_what_it_sees_and_writes_what_runs(folder: Path) -> None:
    """Columns, gaps, what is dropped, classes and rows are told; params.yaml is sound and names the table."""
    text = said(folder, "data/mail.csv", "kind")
    for words in ("dropped: id-like text", "gaps filled: median", "one-hot", "160 rows; labels: ham", "--id"):
        assert words in text
    assert "written: params.yaml, dvc.yaml, .gitignore, .dvcignore" in text
    config = load_config(folder / "params.yaml")
    assert ("data/mail.csv", "kind", None) == (config.data.source, config.data.target, config.data.id)
    assert ["manual", "random", "tpe"] == list(config.studies)
    assert all((folder / name).is_file() for name in FILES)
    stages = read_yaml((folder / "dvc.yaml").read_bytes(), "dvc.yaml")["stages"]
    assert ["${data.source}"] == stages["prepare"]["deps"]
    assert ["data/splits"] == stages["tune"]["do"]["deps"]
    parts = [stages[name].get(part, []) for name in ("compare", "report") for part in ("outs", "metrics", "plots")]
    outs = [f"/{next(iter(one)) if isinstance(one, dict) else one}" for part in parts for one in part]
    ignored = (folder / ".gitignore").read_text().splitlines()
    assert not {
        one for one in outs if one not in ignored and not one.startswith("/reports/plots/")
    }  # a folder of its own
    assert {"/reports/plots", "/reports/ranking.json"} <= set(ignored)


@pytest.mark.real_dvc
def test_it_ends_by_saying_what_to_run(folder: Path) -> None:
    """The last lines are commands: what would run, and everything, by DVC as it is installed here."""
    *_, check, everything, without = said(folder, "data/mail.csv", "kind").splitlines()
    assert check.startswith("next: tracker check ")
    assert everything.startswith("      dvc repro ")
    assert without.startswith("      tracker run ")


def test_without_dvc_it_names_no_command_of_dvc(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where DVC is not installed it says what is lost, how to get it, and to run `tracker run`."""
    monkeypatch.setattr("tracker.remedies.shutil.which", lambda *_, **__: None)
    text = said(folder, "data/mail.csv", "kind")
    assert "dvc repro" not in text
    assert "/reports" not in (folder / ".gitignore").read_text()
    assert "pip install 'repro-tracker[dvc]'" in text
    assert "      tracker run " in text.splitlines()[-1]
    assert "Run it: tracker run" in (folder / "params.yaml").read_text()


def test_what_is_given_stands_in_params_yaml(folder: Path) -> None:
    """Id, group, positive class, dropped columns and codes are entries, with names that YAML would take for others."""
    table = make_table().rename(columns={"city": "yes: no", "d": "null"})
    table.to_csv(folder / "data" / "mail.csv", index=False)
    said(folder, "data/mail.csv", "kind", "who", "yes: no", "ham", ("null", "a"))
    config = load_config(folder / "params.yaml")
    assert ("who", "ham", ("null", "a")) == (config.data.id, config.data.positive, config.data.drop)
    assert ("group", "yes: no") == (config.split.method, config.split.group)


def test_nothing_is_overwritten(folder: Path) -> None:
    """Files that are there stay byte for byte; of a .gitignore it is said which lines are missing."""
    (folder / ".gitignore").write_text("*.log\n/mlruns\n")
    (folder / "dvc.yaml").write_text("stages: {}\n")
    text = said(folder, "data/mail.csv", "kind")
    assert "written: params.yaml, .dvcignore" in text
    assert "left as it is: dvc.yaml" in text
    assert (
        "left as it is: .gitignore (add to it: /.tracker/ /mlflow.db /mlflow.db-journal /mlartifacts/ /reports/" in text
    )
    before = {name: (folder / name).read_bytes() for name in FILES}
    assert "written: nothing" in said(folder)
    assert before == {name: (folder / name).read_bytes() for name in FILES}


def test_arguments_that_contradict_params_yaml_are_refused(folder: Path) -> None:
    """With a params.yaml that names another target nothing is written, and both are named."""
    said(folder, "data/mail.csv", "kind")
    (folder / "dvc.yaml").unlink()
    with pytest.raises(ConfigError, match=r"is there already: data\.target is 'kind' there, 'city' was asked for"):
        said(folder, "data/mail.csv", "city")
    assert not (folder / "dvc.yaml").exists()


@pytest.mark.parametrize(("rows", "words"), [(2, "2 different rows cannot fill"), (4, "is empty; add rows"), (9, "")])
def test_a_table_too_small_to_be_split_is_told_in_a_line(folder: Path, rows: int, words: str) -> None:
    """What `check` would refuse is said at once, in the same words; `params.yaml` is written all the same."""
    kinds = ["ham", "spam"] * rows
    pd.DataFrame({"a": [row * 1.7 for row in range(rows)], "kind": kinds[:rows]}).to_csv(
        folder / "few.csv", index=False
    )
    lines = [line for line in said(folder, "few.csv", "kind").splitlines() if line.startswith("warning")]
    config, paths = load_config(folder / "params.yaml"), Paths.of(folder, {})
    if not words:
        assert [] == lines
        assert list(forecast(config, paths))
        return
    with pytest.raises(InputError) as caught:
        list(forecast(config, paths))
    (line,) = lines
    assert line.startswith("warning: this table cannot be split yet: ")
    assert words in line
    assert caught.value.faults[0].removeprefix("split: ") in line


def test_code_of_your_own_is_among_the_deps(folder: Path) -> None:
    """With model.entry in params.yaml the files that it leads to restart the studies when they change."""
    (folder / "net.py").write_text("import blocks\n\ndef build(hyperparameters, input_shape, classes): ...\n")
    (folder / "blocks.py").touch()
    said(folder, "data/mail.csv", "kind")
    text = (folder / "params.yaml").read_text()
    start, end = text.index("model:\n"), text.index("training:\n")
    (folder / "params.yaml").write_text(f"{text[:start]}model: {{family: build, entry: net:build}}\n{text[end:]}")
    (folder / "dvc.yaml").unlink()
    said(folder)
    stages = read_yaml((folder / "dvc.yaml").read_bytes(), "dvc.yaml")["stages"]
    assert ["data/splits", "blocks.py", "net.py"] == stages["tune"]["do"]["deps"]


def test_no_target_is_guessed(folder: Path) -> None:
    """Without a target the columns that could be it are listed, the last one first, and nothing is written."""
    with pytest.raises(InputError) as caught:
        said(folder, "data/mail.csv")
    assert ("  kind  (ham, spam)", "  city  (Bern, Ulm)") == caught.value.faults[1:]
    assert ["data"] == [path.name for path in folder.iterdir()]


def test_nothing_given_and_nobody_to_ask(folder: Path) -> None:
    """Without arguments and without a terminal it says what to give."""
    with pytest.raises(InputError, match="tracker init TABLE --target NAME"):
        said(folder)


def test_it_asks_in_a_terminal(folder: Path) -> None:
    """Table and target are asked for; the question about the target shows the columns that could be it."""
    questions: list[str] = []
    answers = iter(["data/mail.csv", "kind"])

    def ask(question: str) -> str:
        questions.append(question)
        return next(answers)

    assert any("160 rows" in line for line in begin(Wishes(), folder, ask))
    assert "kind  (ham, spam)" in questions[1]
    assert "kind" == load_config(folder / "params.yaml").data.target


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": "kinds"}, "did you mean 'kind'?"),
        ({"target": "one"}, "one class only, 'x'"),
        ({"table": "data/nothing.csv"}, "cannot be opened (No such file or directory)"),
        ({"table": "data/x/../mial.csv"}, "data/mial.csv; did you mean mail.csv?"),
        ({"table": "dta/mail.csv"}, "/dta; did you mean data?"),
        ({"group": "team"}, "data/mail.csv: split.group: the table has no column 'team'"),
        ({"group": "kidn"}, "split.group: the table has no column 'kidn'; did you mean 'kind'?"),
        (
            {"id": "one"},
            "an id names one row; if the rows of one belong together, it is a group: tracker init ... --group one",
        ),
        ({"positive": "eggs"}, "data.positive: 'eggs' is no label; there are ham, spam"),
        ({"twin": "twin"}, "drop it: tracker init ... --drop twin"),
        ({"twin": "twin [%], 2"}, "drop it: tracker init ... --drop 'twin [%], 2'"),
        ({"twin": "123"}, "drop it: tracker init ... --drop 123"),
    ],
)
def test_a_table_that_cannot_be_used_is_an_error_and_nothing_is_written(
    folder: Path, change: dict[str, str], words: str
) -> None:
    """The faults of the table are those of `prepare`; what params.yaml would mend is said as an option."""
    table = make_table()
    table["one"] = "x"
    options = dict(change)
    if twin := options.pop("twin", None):
        table[twin] = table["kind"].map({"ham": 1, "spam": 2})
    table.to_csv(folder / "data" / "mail.csv", index=False)
    with pytest.raises(DataError) as caught:
        said(folder, **{"table": "data/mail.csv", "target": "kind", **options})
    assert words in str(caught.value)
    assert ["data"] == [path.name for path in folder.iterdir()]


def test_dates_are_pointed_out(folder: Path) -> None:
    """A column of dates is no feature; that it can divide the rows is said."""
    table = make_table().assign(day=pd.date_range("2024-01-01", periods=160).strftime("%Y-%m-%d"))
    table.to_csv(folder / "data" / "mail.csv", index=False)
    assert "hint: 'day' holds dates" in said(folder, "data/mail.csv", "kind")


def test_an_absolute_path_into_the_project_is_written_from_its_folder(folder: Path) -> None:
    """So that the project may move, and runs in a clone."""
    said(folder, str(folder / "data" / "mail.csv"), "kind")
    assert "data/mail.csv" == load_config(folder / "params.yaml").data.source


@pytest.mark.parametrize("rows", [100, 5_001, 10**6])
def test_studies_suit_the_size(rows: int, tmp_path: Path) -> None:
    """Every size gives a sound params.yaml; the larger the table, the fewer trials and epochs and the larger the batches."""
    texts = [params_text(Data(target="kind"), None, count, None, "tracker run") for count in (rows, 10 * rows)]
    configs = []
    for text in texts:
        (tmp_path / "params.yaml").write_text(text)
        configs.append(load_config(tmp_path / "params.yaml"))
    small, large = configs
    assert small.training.epochs >= large.training.epochs
    assert small.hyperparameters["batch_size"] <= large.hyperparameters["batch_size"]
    again = [
        (one.compare.confirm.top + 3) * one.compare.confirm.seeds for one in configs
    ]  # trainings of the confirmation
    assert {100: [160, 160], 5_001: [30, 15], 10**6: [15, 15]}[rows] == again
    assert SIZES[-1][0] > 10**12


NAMES = ["kind", "a b", "yes", "null", "1", "1e3", "a: b", "#x", "it's", 'a"b', " a", "ä", "2024-01-01", "a,b", "[a]"]


@pytest.mark.parametrize("text", NAMES)
def test_names_come_back_from_yaml_as_they_were(text: str) -> None:
    """A column may be called anything; what YAML would read otherwise is quoted."""
    assert {"name": text} == read_yaml(f"name: {scalar(text)}".encode(), "")
    assert [text] == read_yaml(f"[{scalar(text)}]".encode(), "")


@pytest.mark.real_dvc
@pytest.mark.parametrize(
    ("git", "inner", "options"), [(False, ".", " --no-scm"), (True, ".", ""), (True, "sub", " --subdir")]
)
def test_dvc_is_begun_once(tmp_path: Path, git: bool, inner: str, options: str) -> None:
    """`dvc init` suits git or its absence, is run once, and sends no usage statistics."""
    if git:
        subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    folder = tmp_path / inner
    folder.mkdir(exist_ok=True)
    make_table().to_csv(folder / "mail.csv", index=False)
    assert f"ran `dvc init{options}`" in said(folder, "mail.csv", "kind")
    assert "analytics = false" in (folder / ".dvc" / "config").read_text()
    assert "html_template = plots/page.html" in (folder / ".dvc" / "config").read_text()
    for name in ("page.html", "by_study.json"):
        assert (REPOSITORY / ".dvc/plots" / name).read_text() == (folder / ".dvc/plots" / name).read_text()
    status = subprocess.run(["dvc", "status"], cwd=folder, capture_output=True, text=True, check=False)
    assert 0 == status.returncode, status.stderr
    assert "dvc init" not in said(folder)


def test_names_of_rows_and_of_groups_are_told_apart(folder: Path) -> None:
    """A text met once per row may be an id; one that is met in several rows may be a group; each has its option."""
    texts = [f"p{row // 2:03d}" for row in range(120)] + [f"q{row:03d}" for row in range(40)]
    make_table().assign(person=texts).to_csv(folder / "data" / "mail.csv", index=False)
    text = said(folder, "data/mail.csv", "kind")
    assert "hint: 'who' may name the rows; begin with --id" in text
    assert "hint: 'person' is met in several rows" in text


def test_a_missing_header_line_is_seen(folder: Path) -> None:
    """A first line that looks like data names no columns: it is written into params.yaml, and no row is lost."""
    table = make_table()[["a", "b", "c", "kind"]].dropna()
    table.to_csv(folder / "data" / "mail.csv", index=False, header=False)
    text = said(folder, "data/mail.csv", "c4")
    assert "hint: line 1 looks like data, so the columns are named c1 to c4 (data.header: none)" in text
    assert f"{len(table)} rows; labels: ham" in text
    assert "none" == load_config(folder / "params.yaml").data.header


def test_how_a_file_is_written_is_seen(folder: Path) -> None:
    """Semicolons, decimal commas, money and words for a gap are read, said, and written into params.yaml as entries."""
    rows = [f"{n % 7},{n % 9};{'?' if n % 3 else n};$ {n % 8 + 1};{'ok' if n % 2 else 'bad'}" for n in range(120)]
    (folder / "data" / "mail.csv").write_text("\n".join(["price;count;fee;kind", *rows]) + "\n")
    text = said(folder, "data/mail.csv", "kind")
    for words in (
        "data.separator",
        "data.decimal: ','",
        "'$ 1'",
        "'?' means a gap in 'count'",
        "120 rows; labels: bad",
    ):
        assert words in text
    data = load_config(folder / "params.yaml").data
    assert (";", ",", ("fee",)) == (data.separator, data.decimal, data.numbers)
    assert {"*": ("?",)} == data.gaps
    assert "written: nothing" in said(folder)


def test_rows_without_a_label_are_left_out_and_said(folder: Path) -> None:
    """A label that is missing here and there does not end in an error: the rows are left out, with a hint and an entry."""
    table = make_table()
    table.loc[[3, 9], "kind"] = ""
    table.to_csv(folder / "data" / "mail.csv", index=False)
    text = said(folder, "data/mail.csv", "kind")
    assert "2 rows have no label and are left out (data.unlabelled: drop)" in text
    assert "warning: rows 4, 10 of the table left out" in text
    assert "158 rows; labels" in text
    assert "drop" == load_config(folder / "params.yaml").data.unlabelled


def test_a_rare_class_is_weighted_on_trial_and_decided_by_a_threshold() -> None:
    """Of two classes the rare positive one: weights are searched, trials chosen by the order of rows; else less of it."""

    def written(positive: str | None, **labels: int) -> Config:
        rows = sum(labels.values())
        text = params_text(Data(target="kind"), None, rows, positive, "tracker run", labels)
        return parse_config(read_yaml(text.encode(), "params.yaml"), "params.yaml")

    rare = written("yes", no=950, yes=50)
    assert ("val_average_precision", "validation") == (rare.objective.metric, rare.decision.threshold)
    assert rare.training.early_stopping.monitor == rare.objective.metric
    assert ("none", "balanced") == rare.search_space["class_weights"].choices
    for config, weighted in (
        (written("yes", no=950, yes=240), False),
        (written("yes", no=50, yes=950), True),
        (written(None, a=500, b=500, c=20), True),
    ):
        assert ("val_f1", "argmax") == (config.objective.metric, config.decision.threshold)
        assert weighted == ("class_weights" in config.search_space)
    assert 200 == rare.training.epochs  # early stopping ends training, not the cap


def test_a_preset_is_values_that_are_written_out(folder: Path) -> None:
    """Family and every value stand in params.yaml, which is sound, and the forecast knows what they cost."""
    from tracker.paths import Paths
    from tracker.terminal.forecast import forecast

    said(folder, "data/mail.csv", "kind", preset="strong")
    config = load_config(folder / "params.yaml")
    assert ("tabular", "piecewise", True) == (
        config.model.family,
        config.hyperparameters["number_embedding"],
        config.hyperparameters["batch_norm"],
    )
    assert (60, 20) == (config.training.epochs, config.training.early_stopping.patience)  # type: ignore[union-attr]
    assert "preset:" not in (folder / "params.yaml").read_text()
    assert not any("not known beforehand" in line for line in forecast(config, Paths.of(folder, {})))


def test_presets_that_are_none_or_come_too_late_are_refused(folder: Path) -> None:
    """An unknown name is told with those there are; beside a params.yaml a preset would be ignored, so it is refused."""
    with pytest.raises(InputError, match="--preset best: there is no such preset; there is strong"):
        said(folder, "data/mail.csv", "kind", preset="best")
    assert not (folder / "params.yaml").exists()
    said(folder, "data/mail.csv", "kind")
    with pytest.raises(ConfigError, match="--preset strong writes a new one"):
        said(folder, preset="strong")


def test_a_preset_of_tables_is_refused_for_images(tmp_path: Path) -> None:
    """What it writes reads rows of a table."""
    import numpy as np

    np.savez(tmp_path / "a.npz", X=np.arange(60 * 16).reshape(60, 4, 4) % 7, y=np.arange(60) % 3)
    with pytest.raises(InputError, match="--preset strong is for tables"):
        said(tmp_path, "a.npz", "target", preset="strong")
