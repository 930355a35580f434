"""params.yaml becomes one checked Config, or one error that names every fault and its place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.config import (
    Choice,
    Config,
    Fixed,
    Range,
    Training,
    load_config,
    parse_config,
    pruner_settings,
    read_yaml,
)
from tracker.config.metric_faults import promote_fault
from tracker.errors import ConfigError
from tracker.metrics import CURVES
from tracker.sampler_table import SAMPLERS

DEFAULT = Path(__file__).parent.parent / "params.yaml"
STUDIES = {"random": {"sampler": "random", "trials": 3, "search_space": {"batch_size": [16, 32]}}}
UNKNOWN = "unknown entry; did you mean "


def read(text: str):
    return read_yaml(text.encode(), "params.yaml")


def config_of(**sections) -> Config:
    return parse_config({"seed": 1, "studies": STUDIES, **sections}, "params.yaml")


def study(**entries):
    return {"studies": {"s": {"sampler": "random", "trials": 3, "search_space": {"batch_size": [16]}, **entries}}}


def faults_of(tree) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(tree, "p")
    return [fault.removeprefix("p: ") for fault in caught.value.faults]


def test_a_family_that_is_none_is_one_fault():
    """What follows from the family, as the names of hyperparameters, is not held against another one."""
    tree = {"hyperparameters": {"num_bins": 8, "d": 9}, "search_space": {"bins": [1]}, "objective": {"metric": "own"}}
    given = {"seed": 1, "model": {"family": "tabluar"}, "studies": {"s": {"sampler": "random", "trials": 3}}, **tree}
    [fault] = faults_of(given)
    assert fault.endswith("found 'tabluar'; did you mean tabular?")
    assert fault.startswith("model.family: expected 'mlp' or ")
    assert [fault, "seed: expected a whole number, found '1'"] == sorted(faults_of({**given, "seed": "1"}))


def test_the_default_file_loads():
    """The params.yaml of this repository is sound and means what its comments say."""
    config = load_config(DEFAULT)
    assert (2026, "stratified", 30, 3) == (
        config.seed,
        config.split.method,
        config.training.epochs,
        config.compare.test_looks,
    )
    assert ["manual", "grid", "random", "tpe"] == list(config.studies)
    assert Range(low=1e-4, high=0.1, log=True) == config.search_space["learning_rate"]
    assert {"optimizer": "sgd"} == config.search_space["momentum"].when
    assert {} == config.studies["manual"].configurations[0]


def test_the_shortest_file():
    """A seed and a study suffice; all else has defaults."""
    config = config_of()
    assert ("sklearn:breast_cancer", "mlp", "val_f1") == (
        config.data.source,
        config.model.family,
        config.objective.metric,
    )


def test_short_and_long_forms_are_equal():
    """A bare value is `value`, a list is `choices`."""
    short = config_of(search_space={"dropout": 0.1, "batch_size": [16, 32], "batch_norm": True})
    long = config_of(
        search_space={
            "dropout": {"value": 0.1},
            "batch_size": {"choices": [16, 32]},
            "batch_norm": {"value": True},
        }
    )
    assert short == long
    assert {"dropout": Fixed(value=0.1), "batch_size": Choice(choices=(16, 32))}.items() <= short.search_space.items()


def test_numbers_keep_their_type():
    """Whole ends make a range of whole numbers, one fraction makes it one of fractions."""
    space = config_of(search_space={"units": {"low": 1, "high": 8}, "dropout": {"low": 0, "high": 0.5}}).search_space
    assert ([int, int, True], [int, float, False]) == tuple(
        [type(space[name].low), type(space[name].high), space[name].whole] for name in ("units", "dropout")
    )


def test_yaml_is_version_1_2():
    """1e-4 is a number; no, on and 12:30 are text; 010 is ten."""
    assert {"a": 1e-4, "b": "no", "c": "on", "d": "12:30", "e": 10, "f": True, "g": None} == read(
        "a: 1e-4\nb: no\nc: on\nd: 12:30\ne: 010\nf: true\ng: null"
    )


def test_dates_become_text():
    """A cut date may be written with or without quotes."""
    cuts = [
        parse_config(
            read(
                "seed: 1\nstudies: {s: {sampler: manual, configurations: [{}]}}\n"
                f"split: {{method: time, column: day, validation_from: {cut}, test_from: 2024-06-01}}"
            ),
            "p",
        ).split
        for cut in ("2024-01-01", "'2024-01-01'")
    ]
    assert cuts[0] == cuts[1]
    assert ("2024-01-01", "2024-06-01") == (cuts[0].validation_from, cuts[0].test_from)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (
            b"seed: 1\nseed: 2\n",
            "p: line 2, column 1: found duplicate key \"seed\"; found 'seed: 2': the entry stands twice",
        ),
        (
            b"a: {b: 1}\na:\n  c: 2\n",
            "p: line 2, column 1: found duplicate key \"a\"; found 'a:': the entry stands twice",
        ),
        (b"a: &x [1]\nb: *x\n", "p: line 2: aliases (*x) are not allowed"),
        (b"a: " + b"[" * 30 + b"]" * 30, "p: line 1: nested deeper than 20 levels"),
        (b"\n" * 3 + b"{a: " * 100_000, "p: line 4: nested deeper than 20 levels"),
        (b"a: \xff\xfe", "p: byte 3: not UTF-8"),
        (b"a: [1, 2\nb: 3", "p: line 2, column 2: expected ',' or ']', but got ':'"),
        (
            b"a: !!python/object/apply:os.system [ls]",
            "p: line 1, column 4: could not determine a constructor for the tag",
        ),
        (b"a: 2024-13-45", "p: month must be in 1..12"),
        (b"a: 1\n---\nb: 2", "p: line 2, column 1: but found another document"),
        (b"a: \x00", "p: unacceptable character #x0000: special characters are not allowed"),
    ],
)
def test_text_that_is_not_sound_yaml(content, fault):
    """Each with the line where there is one; nothing unfolds, recurses or executes."""
    with pytest.raises(ConfigError) as caught:
        read_yaml(content, "p")
    assert str(caught.value).startswith(fault), str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a: 1\nmodel: family: build, entry: a:b\n",
            "p: line 2, column 14: mapping values are not allowed here; found ",
        ),
        (
            "model: family: build, entry: a:b  # own\n",
            "found 'model: family: build, entry: a:b': several entries on one line",
        ),
        ("a:\n\tb: 1\n", "found 'b: 1': quote a text that begins so; lines are indented by spaces, never by a tab"),
        (
            "a:\n  b: 1\n c: 2\n",
            "found 'c: 2': entries of one level begin in one column; a list has a - before each item",
        ),
        ("a: {b: 1\nc: 2\n", "found 'c: 2': a bracket or brace is not closed, or a comma is missing"),
    ],
)
def test_what_yaml_cannot_read_is_told_with_its_line_and_what_to_do(text, told):
    """YAML's own words are for those who wrote it: the line is shown, and what is meant in most cases."""
    with pytest.raises(ConfigError) as caught:
        read_yaml(text.encode(), "p")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200) | st.text(alphabet="abc:-[]{}!&*#|>?%@,'\"1 \n\t", max_size=80).map(str.encode))
def test_any_bytes_are_read_or_refused(content):
    """No input ends in another exception than ours."""
    try:
        parse_config(read_yaml(content, "p"), "p")
    except ConfigError as error:
        assert error.faults  # noqa: PT017 - either way is right, a third is not


@pytest.mark.parametrize("tree", [None, [], "text", 3])
def test_a_file_without_entries(tree):
    """An empty file says what a file begins with."""
    assert [f"expected entries such as `seed: 2026`, found {type(tree).__name__}"] == faults_of(tree)


def test_files_that_cannot_be_read(tmp_path):
    """A missing file, a folder and a file of a gigabyte are said, not raised through."""
    with pytest.raises(
        ConfigError, match=r"params\.yaml: cannot be read \(No such file or directory\); `tracker init TABLE"
    ):
        load_config(tmp_path / "params.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "large.yaml").write_bytes(b"#" * 100_001)
    with pytest.raises(ConfigError, match="100001 bytes; a configuration has at most 100000"):
        load_config(tmp_path / "large.yaml")


@pytest.mark.parametrize(
    ("sections", "fault"),
    [
        ({"sed": 1}, f"sed: {UNKNOWN}seed?"),
        ({"data.gaps": ["?"]}, "data.gaps: unknown entry; a dot means that it stands inside, as in data: {gaps: ...}"),
        (
            {"studies.a.trials": 5},
            "studies.a.trials: unknown entry; a dot means that it stands inside, as in studies: {a: {trials: ...}}",
        ),
        ({"compare": {"zzz": 1}}, "compare.zzz: unknown entry; there are test_looks, "),
        ({"search_space": {"forbid": []}}, "search_space.forbid: expected at least one value, found none"),
        ({"search_space": {"forbid": [{"units": []}]}}, "search_space.forbid[0].units: expected at least one value"),
        (
            {"search_space": {"forbid": [{"units": {"above": 64, "below": 32}}]}},
            "search_space.forbid[0].units: nothing is above 64 and below 32",
        ),
        (
            {"search_space": {"class_weights": ["balanced", {"yes": 2}]}},
            "search_space.class_weights: expected values, or combinations of values, found both; {'yes': 2} is no value",
        ),
        (
            {"search_space": {"class_weights": {"yes": 2}}},
            "search_space.class_weights: expected a value, a list of values, or {low: number, high: number}, found",
        ),
        ({"training": {"epoch": 3}}, f"training.epoch: {UNKNOWN}"),
        ({"search_space": {"dropout": {"low": 0, "high": 0.5, "stp": 0.1}}}, f"search_space.dropout.stp: {UNKNOWN}"),
        (
            {"search_space": {"dropout": {"low": 0, "high": 0.5, "lgo": True}}},
            f"search_space.dropout.lgo: {UNKNOWN}log?",
        ),
        ({"seed": "2026"}, "seed: expected a whole number, found '2026'"),
        ({"seed": -1}, "seed: expected greater than or equal to 0, found -1"),
        ({"seed": True}, "seed: expected a whole number, found True"),
        ({"training": {"epochs": 3.0}}, "training.epochs: expected a whole number, found 3.0"),
        ({"training": {"epochs": 0}}, "training.epochs: expected greater than or equal to 1, found 0"),
        ({"training": None}, "training: expected entries, name: value, found None"),
        (
            {"resources": {"gpus": 1.5}},
            "resources.gpus: expected a share of one GPU, or a whole number of them, found 1.5",
        ),
        ({"training": {"device": "tpu"}}, "training.device: expected 'cpu', 'cuda' or 'mps', found 'tpu'"),
        ({"data": {"target": 5}}, "data.target: expected text, in quotes if it looks like something else, found 5"),
        ({"data": {"drop": "notes"}}, "data.drop: expected a list, found 'notes'"),
        (
            {"data": {"drop": ["a", 3]}},
            "data.drop[1]: expected text, in quotes if it looks like something else, found 3",
        ),
        ({"split": {"validation": 1.5}}, "split.validation: expected less than 1, found 1.5"),
        ({"split": {"validation": float("nan")}}, "split.validation: expected less than 1, found nan"),
        (
            {"split": {"validation": 0.5, "test": 0.5}},
            "split: validation and test leave nothing for train; their sum must",
        ),
        ({"split": {"method": "time"}}, "split: method time needs column, validation_from, test_from"),
        ({"split": {"method": "group"}}, "split: method group needs group"),
        ({"hyperparameters": {"lr": 1}}, "hyperparameters.lr: unknown; this family knows hidden_layers, units"),
        ({"hyperparameters": {"dropout": 1}}, "hyperparameters.dropout: expected less than 1, found 1"),
        (
            {"hyperparameters": {"hidden_layers": 3, "units": [8, 8]}},
            "hyperparameters.units: 2 values for 3 hidden_layers",
        ),
        ({"hyperparameters": {"units": [8]}}, "hyperparameters.units: 1 values for 2 hidden_layers"),
        ({"search_space": {"lr": [1, 2]}}, "search_space.lr: unknown; this family knows hidden_layers, units"),
        ({"search_space": {"dropout": []}}, "search_space.dropout: expected at least one value, found none"),
        ({"search_space": {"dropout": {}}}, "search_space.dropout.value: missing"),
        ({"search_space": {"dropout": {"low": 0.1}}}, "search_space.dropout.high: missing"),
        (
            {"search_space": {"dropout": None}},
            "search_space.dropout.value: expected a number, text, true or false, found None",
        ),
        (
            {"search_space": {"dropout": {"low": True, "high": 1}}},
            "search_space.dropout.low: expected a number, found True",
        ),
        (
            {"search_space": {"dropout": {"low": "0", "high": 1}}},
            "search_space.dropout.low: expected a number, found '0'",
        ),
        (
            {"search_space": {"weight_decay": {"low": 0, "high": float("nan")}}},
            "search_space.weight_decay.high: expected a number, found nan",
        ),
        (
            {"search_space": {"dropout": [0.1, [0.2]]}},
            "search_space.dropout.choices[1]: expected a number, text, true or",
        ),
        ({"search_space": {"dropout": {"low": 0.5, "high": 0.1}}}, "search_space.dropout: low 0.5 is above high 0.1"),
        (
            {"search_space": {"weight_decay": {"low": 0, "high": 0.1, "log": True}}},
            "search_space.weight_decay: a logarithmic range needs low above 0, found 0",
        ),
        (
            {"search_space": {"dropout": {"low": 0.1, "high": 0.5, "log": True, "step": 0.1}}},
            "search_space.dropout: step and log cannot go together",
        ),
        (
            {"search_space": {"dropout": {"low": 0.1, "high": 0.5, "step": 0}}},
            "search_space.dropout: step must be above 0, found 0",
        ),
        (
            {"search_space": {"dropout": {"low": 0.1, "high": 0.5, "step": 1e-300}}},
            "search_space.dropout: step 1e-300 makes more values than can be counted; take a larger one",
        ),
        ({"search_space": {"optimizer": ["sgd", "lamb"]}}, "search_space.optimizer.choices: expected one of sgd, adam"),
        (
            {"search_space": {"optimizer": {"low": 1, "high": 2}}},
            "search_space.optimizer: has no numbers; list its choices",
        ),
        (
            {"search_space": {"units": {"low": 8, "high": 9.5}}},
            "search_space.units: whole numbers only; low, high and step",
        ),
        (
            {"search_space": {"dropout": {"choices": [0.1], "when": {"optimiser": "sgd"}}}},
            "search_space.dropout.when.optimiser: unknown; this family knows",
        ),
        (
            {"search_space": {"dropout": {"choices": [0.1], "when": {"optimizer": ["sgd", "SGD"]}}}},
            "search_space.dropout.when.optimizer: expected one of sgd, adam, adamw, rmsprop, adagrad, lion, found 'SGD'",
        ),
        (
            {"search_space": {"units": {"choices": [8], "per": "layers"}}},
            "search_space.units.per: expected hidden_layers, found layers",
        ),
        ({"studies": {}}, "studies: nothing to run; give it a study such as"),
        (
            {"studies": {"a b": STUDIES["random"]}},
            "studies: 'a b' is no name; it starts with a letter and has letters",
        ),
        ({"studies": {"a\n": STUDIES["random"]}}, "studies: 'a\\n' is no name"),
        (
            {"studies": {"tpe": STUDIES["random"], "TPE": STUDIES["random"]}},
            "studies.TPE: differs from tpe in case alone, so their files would collide",
        ),
        (
            study(sampler="annealing"),
            f"studies.s.sampler: expected {', '.join(map(repr, [*SAMPLERS][:-1]))} or 'gradient', found 'annealing'",
        ),
        (study(trials=None), "studies.s: sampler random needs trials: how many to run"),
        (study(trials=0), "studies.s.trials: expected greater than or equal to 1, found 0"),
        (study(sampler="grid"), "studies.s: sampler grid has as many trials as configurations; take trials out"),
        (
            study(sampler="manual", trials=None),
            "studies.s: sampler manual needs configurations: a list of hyperparameters",
        ),
        (study(configurations=[{}]), "studies.s: configurations belong to sampler manual, not to random"),
        (
            study(generation=8),
            "studies.s: generation belongs to samplers that learn, to pruners and to stop; random does not learn",
        ),
        (
            study(pruner={"name": "halve"}),
            "studies.s.pruner.name: expected 'median', 'halving', 'hyperband', 'patient', ",
        ),
        (study(pruner={"name": "threshold"}), "studies.s.pruner: pruner threshold needs worst: a value worse than"),
        (study(pruner=3), "studies.s.pruner: expected entries, name: value, found 3"),
        (
            study(pruner={"name": "median", "patience": 3}),
            "studies.s.pruner.patience: unknown; median knows n_startup_trials, n_warmup_steps, interval_steps, n_min",
        ),
        (
            study(pruner={"name": "median", "interval_steps": 0}),
            "studies.s.pruner.interval_steps: expected at least 1, found 0",
        ),
        (
            study(pruner={"name": "median", "n_min_trials": 1.5}),
            "studies.s.pruner.n_min_trials: expected a whole number",
        ),
        (study(search_space={}), "studies.s: nothing to search; give it a search_space"),
        (study(search_space={"lr": [1]}), "studies.s.search_space.lr: unknown; this family knows"),
        (study(training={"epoch": 1}), f"studies.s.training.epoch: {UNKNOWN}"),
        (
            {"studies": {"m": {"sampler": "manual", "configurations": [{}, {"dropout": 2}]}}},
            "studies.m.configurations[1].dropout: expected less than 1, found 2",
        ),
        (
            {
                "hyperparameters": {"units": [8, 8]},
                "studies": {"m": {"sampler": "manual", "configurations": [{"hidden_layers": 3}]}},
            },
            "studies.m.configurations[0].units: 2 values for 3 hidden_layers",
        ),
        ({"objective": {"metric": "f1"}}, "objective.metric: expected 'train_loss', 'val_loss', 'val_accuracy'"),
        ({"compare": {"test_looks": 0}}, "compare.test_looks: expected greater than or equal to 1, found 0"),
        ({"tracking": {"models": "some"}}, "tracking.models: expected 'all' or 'none', found 'some'"),
        ({"tracking": {"models": {"best": 0}}}, "tracking.models.best: expected greater than or equal to 1, found 0"),
        ({1: 2}, "[1]: expected a name, in quotes if it looks like something else, found 1"),
    ],
)
def test_every_fault_has_a_place_and_a_message(sections, fault):
    """What was found, what was expected, and where."""
    found = faults_of({"seed": 1, "studies": STUDIES, **sections})
    assert 1 == len(found), found
    assert found[0].startswith(fault), found


def test_missing_entries():
    """The two entries without default."""
    assert ["seed: missing", "studies: missing"] == faults_of({})


def test_all_faults_together():
    """Faults of types, of names and of combinations are reported at once, in every section."""
    found = faults_of(
        {
            "training": {"epochs": 0, "epoch": 3},
            "hyperparameters": {"lr": 0.1, "dropout": 7},
            "search_space": {"units": {"low": 9, "high": 1, "step": -1}, "activation": ["swish"]},
            "studies": {
                "a": {"sampler": "random", "generation": 3},
                "b": {"sampler": "manual", "configurations": [{"momentum": 1}]},
                "1c": {"sampler": "grid"},
            },
        }
    )
    places = [
        "seed",
        "training.epochs",
        "training.epoch",
        "search_space.units",
        "search_space.units",
        "studies.a",
        "studies.a",
        "hyperparameters.lr",
        "hyperparameters.dropout",
        "search_space.activation.choices",
        "studies.b.configurations[0].momentum",
        "studies",
    ]
    assert sorted(places) == sorted(fault.split(": ")[0] for fault in found)


def test_faults_name_the_file():
    """Every line of the message says which file it speaks of."""
    with pytest.raises(ConfigError) as caught:
        parse_config({}, "here/params.yaml")
    assert "here/params.yaml: seed: missing\nhere/params.yaml: studies: missing" == str(caught.value)


def test_losses_are_minimized():
    """Without a direction a loss goes down and a score up; a given direction stands."""
    given = {metric: config_of(objective={"metric": metric}).objective.direction for metric in CURVES}
    assert {"train_loss", "val_loss"} == {metric for metric, direction in given.items() if direction == "minimize"}
    assert "maximize" == config_of(objective={"metric": "val_loss", "direction": "maximize"}).objective.direction
    assert "minimize" == config_of().with_("objective.metric", "val_loss").objective.direction


def test_with_replaces_one_entry():
    """A changed copy, checked again; the original stays."""
    config = load_config(DEFAULT)
    changed = config.with_("studies.tpe.trials", 96)
    assert (48, 96) == (config.studies["tpe"].trials, changed.studies["tpe"].trials)
    assert config == changed.with_("studies.tpe.trials", 48)
    assert Choice(choices=(8, 16)) == config.with_("search_space.units", [8, 16]).search_space["units"]
    assert 5 == config.with_("studies.tpe.training.epochs", 5).training_of("tpe").epochs
    assert None is config.with_("training.early_stopping", None).training.early_stopping


@pytest.mark.parametrize(
    ("metric", "told"),
    [
        ("f2", "found 'f2'"),
        ("val_acuracy", "found 'val_acuracy'; did you mean val_accuracy?"),
        ("val_robust_f1", "two models are compared by val_loss, .*found 'val_robust_f1'"),
        ("train_loss", "found 'train_loss'"),
    ],
)
def test_champion_and_challenger_are_compared_by_what_a_model_is_scored_with(metric: str, told: str) -> None:
    """Another metric is refused when params.yaml is read, not when both are tuned; an objective, when retuning begins."""
    with pytest.raises(ConfigError, match=f"retune.promote.metric: .*{told}"):
        config_of(retune={"promote": {"metric": metric}})
    for able in ("val_f1", "f1", "val_neg_log_loss", "val_fbeta_2", None):
        assert promote_fault(config_of(retune={"promote": {"metric": able}})) is None
    own = config_of(objective={"metric": "val_gain"}, training={"metrics": ["costs:gain"]})
    assert str(promote_fault(own)).endswith("found 'val_gain'; say retune.promote.metric, such as val_f1")


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("studies.tpe.trials", 0, "studies.tpe.trials: expected greater than or equal to 1, found 0"),
        ("training.epoch", 3, f"training.epoch: {UNKNOWN}epochs?"),
        ("seed.root", 3, "seed.root: seed holds a value, not entries"),
        ("studies.new.trials", 3, "studies.new.sampler: missing"),
    ],
)
def test_with_refuses_what_a_file_may_not_hold(path, value, fault):
    """The same checks as for a file."""
    with pytest.raises(ConfigError) as caught:
        load_config(DEFAULT).with_(path, value)
    assert caught.value.faults[0].removeprefix("params.yaml: ") == fault


def test_a_study_replaces_entries_of_training():
    """Its own epochs, the common early stopping."""
    config = config_of(
        training={"epochs": 9, "early_stopping": None},
        studies={**STUDIES, "own": {"sampler": "manual", "configurations": [{}], "training": {"epochs": 3}}},
    )
    assert Training(epochs=3, early_stopping=None) == config.training_of("own")
    assert config.training == config.training_of("random")


def test_a_pruner_is_written_out_whole():
    """Every setting has a value, that of Optuna where none is given; no pruner is nothing at all."""
    optunas = {"n_startup_trials": 5, "n_warmup_steps": 0, "interval_steps": 1, "n_min_trials": 1}

    def settings_of(**entries):
        return pruner_settings(parse_config({"seed": 1, **study(**entries)}, "params.yaml").studies["s"])

    assert {} == settings_of() == settings_of(pruner=None)
    assert {"name": "median", **optunas} == settings_of(pruner={"name": "median"})
    given = {"name": "median", "n_warmup_steps": 3.0, "n_startup_trials": 0}
    assert {"name": "median", **optunas} == settings_of(pruner="median")  # a name alone
    assert {**optunas, **given, "n_warmup_steps": 3} == settings_of(pruner=given)
    assert int is type(settings_of(pruner=given)["n_warmup_steps"])


def test_a_study_replaces_the_search_space():
    """Its own space never merges with the common one; manual searches nothing."""
    config = config_of(
        search_space={"dropout": [0.1]},
        studies={
            **STUDIES,
            "common": {"sampler": "tpe", "trials": 3},
            "manual": {"sampler": "manual", "configurations": [{}]},
        },
    )
    assert [["batch_size"], ["dropout"], []] == [list(config.space_of(name)) for name in config.studies]


def test_config_is_frozen():
    """Nobody changes it on the way."""
    with pytest.raises(ValueError, match="frozen"):
        config_of().seed = 2
