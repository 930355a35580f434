"""Hostile and broken input for every reader: each ends in an error of ours with a line of text, soon, and nothing happens.

Every case is watched: no program is started, no file written or removed, no connection made; at most 5 s of CPU and 512 MB of
memory above what the process had.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq
from safetensors.numpy import save

from tests.studies.project import PARAMS
from tests.tracking.studies import PROVENANCE, SERVING, finished, proposal, study_spec, weights
from tracker.canonical import canonical_json
from tracker.config import load_config
from tracker.datasets.load import read_table
from tracker.errors import TrackerError
from tracker.evaluation.files import read_report
from tracker.evaluation.ledger import join_looks
from tracker.fields import model, report, result
from tracker.records import record_json
from tracker.standalone.load import load_model
from tracker.store.model_folder import describe_model
from tracker.studies.adopt import read_study
from tracker.tracking.run_contents import stored_from, trial_record

DEEP, WIDE, LONG = b"[" * 9000 + b"]" * 9000, b"[" + b"0," * 9000 + b"0]", b'"' + b"x" * 99_999 + b'"'
MOST_CPU_S, MOST_MEMORY = 5.0, 512 * 2**20
FORBIDDEN = ("subprocess.Popen", "os.system", "os.exec", "os.spawn", "socket.connect", "shutil.rmtree", "ctypes.dlopen")
WATCHED: list[str] = []
_on: list[bool] = []


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if _on and (event in FORBIDDEN or (event == "open" and _writes(*args))):
        WATCHED.append(f"{event} {args[:1]}")


def _writes(path: Any, mode: str | None, flags: int) -> bool:
    """Whether this opens a file to write; a number is a file that is open already, and Python keeps what it compiled."""
    if isinstance(path, int) or "__pycache__" in str(path):
        return False
    return bool(set(mode) & set("wxa+")) if mode else bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


sys.addaudithook(_watch)  # it cannot be taken back, so it sleeps between the cases


@contextmanager
def nothing_happens() -> Iterator[None]:
    """Fails where a program is started, a file is written or removed, a connection is made, or much time or memory taken."""
    WATCHED.clear()
    started, before = time.process_time(), memory()
    _on.append(True)
    try:
        yield
    finally:
        _on.clear()
    assert [] == WATCHED
    assert MOST_CPU_S > time.process_time() - started
    assert MOST_MEMORY > memory(peak=True) - before


def memory(*, peak: bool = False) -> int:
    """Bytes of this process: now, from where the peak is then counted, or the peak since; 0 where the system tells neither."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0
    if not peak:
        Path("/proc/self/clear_refs").write_text("5")
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:" if peak else "VmRSS:")]
    return 1024 * int(line.split()[1])


def refused(read: Callable[[], object], *, plain: bool = False) -> str:
    """The words of an error of ours, or of a ValueError where the reader is one that raises those; short, and plain."""
    with nothing_happens(), pytest.raises((TrackerError, ValueError) if plain else TrackerError) as told:
        read()
    text = str(told.value)
    assert 0 < len(text) < 60_000
    assert "Traceback" not in text
    return text


BROKEN = {
    "empty": b"",
    "a brace": b"{",
    "null": b"null",
    "a number": b"7", "a text": b'"x"',
    "a list": b"[]",
    "no entries": b"{}",
    "deep": DEEP, "wide": WIDE, "long": LONG, "deep entries": b'{"a":' * 3000 + b"1" + b"}" * 3000, "half a sign": b'"\\ud800"',
    "not UTF-8": b"\xff\xfe\x00",
    "NUL": b"\x00" * 50,
    "many digits": b"9" * 6000,
    "two values": b"{} {}",
    "NaN": b"NaN",
    "html": b"<html></html>",
    "UTF-16": "{}".encode("utf-16"), "a float of ours": b'{"$float": "nan"}',
    "huge": b"1e400",
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_no_json_is_refused_by_every_reader(tmp_path: Path, name: str) -> None:
    """Reports, results, models, looks, the records beside a model: 21 texts for 5 readers."""
    content = BROKEN[name]
    path = tmp_path / "x.json"
    path.write_bytes(content)
    reports = (report, result, model)
    for shape in reports:
        assert str(path) in refused(lambda shape=shape: read_report(path, "run it again", shape))
    refused(lambda: read_study(path))
    (tmp_path / "model.json").write_bytes(content)
    (tmp_path / "weights.safetensors").write_bytes(b"")
    refused(lambda: load_model(tmp_path), plain=True)
    looks = tmp_path / "looks"
    looks.mkdir()
    import hashlib

    (looks / f"{hashlib.sha256(content).hexdigest()}.json").write_bytes(content)
    refused(lambda: join_looks(looks, {}))


YAML = {
    "empty": "",
    "a list": "[1, 2]",
    "a tag": "!!python/object/apply:os.system ['touch MARK']",
    "an alias": "a: &a [1]\nb: *a",
    "a bomb": "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]", "deep": "[" * 200 + "]" * 200, "twice": "seed: 1\nseed: 2",
    "two documents": "seed: 1\n---\nseed: 2",
    "NUL": "seed: \x00",
    "a tab": "\tseed: 1",
    "many digits": "seed: 0x" + "f" * 20_000,
    "decimal digits": "seed: " + "9" * 20_000,
    "huge": "seed: 1e400",
    "NaN": "seed: .nan",
    "negative": "seed: -1",
    "text": "seed: x",
    "a date": "seed: 2020-01-01",
    "unknown": "seed: 1\nsed: 2",
    "large": "# " + "x" * 100_001,
    "a merge": "a: {<<: {b: 1}}",
    "ESC": "seed: 1\n\x1b[31m: 2",
    "no studies": "seed: 1\nstudies: {}",
    "open": "seed: [",
    "binary": "seed: !!binary aGk=",
    "a study that leads out": "seed: 1\nstudies: {../x: {sampler: random, trials: 1}}",
    "an option for a study": "seed: 1\nstudies: {-rf: {sampler: random, trials: 1}}",
    "an entry that leads out": "seed: 1\nmodel: {family: function, entry: '../x:fit'}\nstudies: {a: {sampler: grid}}",
    "a thousand faults": "seed: 1\n" + "".join(f"e{n}: 1\n" for n in range(1000)),
}  # fmt: skip


@pytest.mark.parametrize("name", YAML)
def test_a_params_yaml_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    """28 configurations: nothing is executed, messages stay short."""
    path = tmp_path / "params.yaml"
    path.write_text(YAML[name])
    assert "params.yaml" in refused(lambda: load_config(path))
    assert [path] == list(tmp_path.iterdir())


def bomb(path: Path) -> None:
    codes = pa.array([0] * 20_000, pa.int32())
    table = pa.table(
        {"a": pa.DictionaryArray.from_arrays(codes, pa.array(["x" * 1_000_000])), "b": list(range(20_000))}
    )
    pq.write_table(table, path)


TABLES: dict[str, tuple[str, bytes | Callable[[Path], None]]] = {
    "empty": ("x.csv", b""), "NUL": ("x.csv", b"a,b\n\x00,1\n"), "not UTF-8": ("x.csv", b"a,b\n\xff\xfe,1\n"),
    "an open quote": ("x.csv", b'a,b\n"1,2\n'), "twice": ("x.csv", b"a,a\n1,2\n"), "ragged": ("x.csv", b"a,b\n1,2,3\n"),
    "wide": ("x.csv", b",".join(b"c%d" % n for n in range(10_001)) + b"\n"),
    "magic alone": ("x.parquet", b"PAR1PAR1"), "torn": ("x.parquet", b"PAR1" + b"\x00" * 100),
    "a footer that asks for all": ("x.parquet", b"PAR1" + b"\xff" * 4 + b"PAR1"), "html": ("x.parquet", b"<html>"),
    "a dictionary of 20 GB": ("x.parquet", bomb),
    "another kind": ("x.pickle", b"\x80\x04."),
    "a folder": ("x.csv", lambda p: p.mkdir()),
    "a link": ("x.csv", lambda p: p.symlink_to("/etc/hosts")), "a loop": ("x.csv", lambda p: p.symlink_to(p)),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    """16 tables: torn, of another kind, larger when written out than memory, links."""
    file, content = TABLES[name]
    path = tmp_path / file
    path.write_bytes(content) if isinstance(content, bytes) else content(path)
    assert file in refused(lambda: read_table(file, tmp_path))


VALUES: tuple[Any, ...] = (None, True, -1, 1.5, 10**400, "x", "\x1b[31m", [], [1], {}, {"a": 1}, [[]], float("nan"))
FIELDS = ("format", "study", "number", "generation", "searched", "runs", "provenance")


@pytest.mark.parametrize("field", FIELDS)
def test_a_trial_record_with_any_value_in_any_field_is_refused_or_sound(field: str) -> None:
    """13 values in each of 7 fields of record.json, and in each field of the records inside."""
    planned, end = proposal(0), finished(proposal(0))
    from tracker.store.stored import StoredTrial

    stored = StoredTrial(planned, (end.outcome,), (end.timing,), (PROVENANCE,))
    sound = json.loads(trial_record("k" * 64, stored))
    for value in VALUES:
        with nothing_happens():
            try:
                found = stored_from({**sound, field: value})
            except (ValueError, TypeError) as error:
                assert str(error)  # noqa: PT017  some of the values are sound in some of the fields
            else:
                assert trial_record("k" * 64, found)


MODELS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a family that leads out": lambda d: d.update(family="../x"),
    "a family that is a module": lambda d: d.update(family="load"),
    "no params": lambda d: d.update(params={}), "params as a list": lambda d: d.update(params=[1]),
    "a billion units": lambda d: d["params"].update(units=10**9),
    "units as text": lambda d: d["params"].update(units="x"),
    "a thousand layers": lambda d: d["params"].update(hidden_layers=1000),
    "another activation": lambda d: d["params"].update(activation="eval"),
    "no labels": lambda d: d.update(labels=None), "labels as a number": lambda d: d.update(labels=7),
    "other weights": lambda d: d.update(weights="0" * 64),
    "no weights": lambda d: d.pop("weights"),
    "format": lambda d: d.update(format=99),
    "preprocessing as text": lambda d: d.update(preprocessing="x"),
    "code without a spec": lambda d: d.update(code={"loop.py": "x"}),
    "code for another family": lambda d: d.update(
        code={"loop.py": "open('MARK', 'w')"}, spec={"code": {"entry": "loop:fit"}}, family="function"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_model_folder_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    """16 descriptions beside sound weights: no code of theirs runs, no network of their size is made."""
    planned = proposal(0)
    description = json.loads(canonical_json(describe_model(planned.spec, finished(planned).outcome, SERVING)))
    MODELS[name](description)
    (tmp_path / "model.json").write_text(json.dumps(description))
    (tmp_path / "weights.safetensors").write_bytes(weights(0))
    refused(lambda: load_model(tmp_path).predict_proba(__import__("pandas").DataFrame(SERVING["example"])), plain=True)


HEADERS = {
    "empty": b"",
    "a header of 2^63": (2**63).to_bytes(8, "little"),
    "a header that ends early": (100).to_bytes(8, "little") + b"{}",
    "no JSON": (4).to_bytes(8, "little") + b"{{{{", "deep": (18000).to_bytes(8, "little") + DEEP,
    "offsets beyond the end": (73).to_bytes(8, "little")
    + b'{"a":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}  ',
    "another tensor": save({"x": np.zeros(3, np.float32)}),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_weights_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    """Seven safetensors files with digests that agree: headers that lie ask for no memory."""
    import hashlib

    planned = proposal(0)
    description = json.loads(canonical_json(describe_model(planned.spec, finished(planned).outcome, SERVING)))
    description["weights"] = hashlib.sha256(HEADERS[name]).hexdigest()
    (tmp_path / "model.json").write_text(json.dumps(description))
    (tmp_path / "weights.safetensors").write_bytes(HEADERS[name])
    refused(lambda: load_model(tmp_path).module, plain=True)


LINES: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "a name that leads out": lambda lines: lines[0]["study"].update(name="../x"),
    "a name of a number": lambda lines: lines[0]["study"].update(name=7),
    "an unknown family": lambda lines: lines[0]["study"].update(family="x"),
    "an unknown field": lambda lines: lines[0]["study"].update(x=1),
    "another digest": lambda lines: lines[0].update(digest="0" * 64),
    "another format": lambda lines: lines[0].update(format=99),
    "no study": lambda lines: lines[0].pop("study"),
    "a direction": lambda lines: lines[0]["study"]["objective"].update(direction="up"),
    "outcomes as text": lambda lines: lines[1].update(outcomes="x"),
    "a state": lambda lines: lines[1]["outcomes"][0].update(state="evil"),
    "a huge metric": lambda lines: lines[1]["outcomes"][0].update(metrics={"val_f1": 10**400}),
    "no outcomes": lambda lines: lines[1].update(outcomes=[]),
    "another key": lambda lines: lines[1]["outcomes"][0].update(key="0" * 64),
    "runs": lambda lines: lines[1]["proposal"].update(runs=[]),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_records_beside_a_model_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    """14 changes of trials.jsonl: the file is named, and how it comes back."""
    planned = proposal(0)
    lines = [{"format": 2, "study": record_json(study_spec()), "digest": "1" * 64}]
    lines.append({"proposal": record_json(planned), "outcomes": [record_json(finished(planned).outcome)]})
    LINES[name](lines)
    path = tmp_path / "trials.jsonl"
    path.write_bytes(b"".join(canonical_json(line) + b"\n" for line in lines))
    assert str(path) in refused(lambda: read_study(path))


def test_the_sound_configuration_is_read(tmp_path: Path) -> None:
    """What all of these are changes of."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    assert 4 == len(load_config(tmp_path / "params.yaml").studies)


LINES_TYPED: tuple[tuple[str, ...], ...] = (
    ("fly",), ("",), ("--fly",), ("-C",), ("-C", "nowhere", "runs"), ("-C", "x" * 5000, "runs"), ("-C", "params.yaml", "runs"),
    ("\x1b[31m",), ("../x",), ("--version=3",),
    ("tune",), ("tune", "bayes"), ("tune", "../manual"), ("tune", "-rf"), ("tune", "--", "-rf"), ("tune", ""),
    ("tune", "\x1b[31m"), ("tune", "a\nb"), ("tune", "x" * 100_000), ("tune", "manual", "--workers"),
    ("tune", "manual", "--workers", "0"), ("tune", "manual", "--workers", "-1"), ("tune", "manual", "--workers", "1e9"),
    ("tune", "manual", "--workers", "9" * 5000), ("tune", "manual", "--workers", "٣x"), ("tune", "manual", "--fly"),
    ("runs", "../../etc/passwd"), ("runs", "x/../../y"), ("runs", "--limit", "-1"), ("runs", "--limit", "nan"),
    ("runs", "--limit", "9" * 5000), ("runs", "--sort", "__class__"), ("runs", "--sort", "\x1b]0;x\x07"),
    ("runs", "--format", "pickle"), ("runs", "--format", ""),
    ("show", ""), ("show", "/"), ("show", "tpe/"), ("show", "tpe/-1"), ("show", "tpe/1.5"), ("show", "../tpe/1"),
    ("show", "tpe/" + "9" * 5000), ("show", "tpe/٣"), ("show", "\x1b[2J/1"), ("show", "tpe/1", "tpe/2", "tpe/3"),
    ("reproduce", "../../etc/passwd"), ("reproduce", "tpe/1/2"), ("reproduce", "tpe/-1"), ("reproduce", "/dev/null"),
    ("reproduce", ""), ("reproduce", "f" * 32 + "x"), ("reproduce", "params.yaml"), ("reproduce", "."),
    ("verify", "../x"), ("verify", "bayes"), ("verify", "tpe", "--sample", "0"), ("verify", "tpe", "--sample", "-5"),
    ("verify", "tpe", "--sample", "x"), ("verify", "--format", "xml"),
    ("init", "../nowhere.csv"), ("init", "/dev/null"), ("init", "x.pickle"), ("init", "params.yaml", "--target"),
    ("init", "params.yaml", "--target", "\x1b[31m"), ("compare", "--looks", "9"), ("compare", "../x"), ("pull", "--fly"),
    ("ui", "--port", "-1"), ("ui", "--port", "70000"), ("ui", "--port", "x"), ("doctor", "--repair", "x"),
    ("export", "../x"), ("done", "x"), ("report", "--fly"),
)  # fmt: skip


@pytest.mark.parametrize("words", LINES_TYPED, ids=lambda words: ascii(" ".join(words))[1:40])
def test_a_command_line_that_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    """74 command lines: a code of ours, an error that is short and steers no terminal, no file more or less."""
    from tracker import cli

    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tracker", *words])
    with nothing_happens(), pytest.raises(SystemExit) as end:
        cli.main()
    out, told = capsys.readouterr()
    assert end.value.code in {2, 4, 6, 11}
    assert "" == out
    assert "" != told.strip()
    assert "Traceback" not in told
    assert not set(told) & {"\x1b", "\x07", "\x00"}
    assert 5000 > len(told)
    assert [tmp_path / "params.yaml"] == list(tmp_path.iterdir())
