"""Sound inputs with a few bytes changed, for the reader of each border: what comes is a value, or an error of ours in a line.

A second of each in the suite; `TRACKER_FUZZ=1000` tries so many of each (`make fuzz`, two minutes).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.studies.project import PARAMS, make_table
from tests.tracking.studies import PROVENANCE, SERVING, finished, proposal, study_spec, weights
from tracker.canonical import canonical_json, parse_canonical
from tracker.config import load_config
from tracker.datasets.load import read_table
from tracker.errors import TrackerError
from tracker.evaluation.files import read_report
from tracker.evaluation.ledger import join_looks
from tracker.fields import report
from tracker.records import record_json
from tracker.standalone.load import load_model
from tracker.store.model_folder import describe_model
from tracker.store.stored import StoredTrial
from tracker.studies.adopt import read_study
from tracker.tracking.run_contents import stored_from, trial_record

EXAMPLES = int(os.environ.get("TRACKER_FUZZ", "25"))
WORDS = st.sampled_from(
    [b"", b"{", b"}", b"[", b'"', b",", b":", b"\n", b"\x00", b"\xff", b"-", b"1e999", b"null", b"../", b"\x1b"]
)
PLANNED = proposal(0)
END = finished(PLANNED)
LINES = (
    {"format": 2, "study": record_json(study_spec()), "digest": "1" * 64},
    {"proposal": record_json(PLANNED), "outcomes": [record_json(END.outcome)]},
)


def parquet() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        make_table(20).to_parquet(Path(folder) / "x.parquet")
        return (Path(folder) / "x.parquet").read_bytes()


def read_model(path: Path) -> object:
    (path.parent / "weights.safetensors").write_bytes(weights(0))
    return load_model(path.parent)


def read_weights(path: Path) -> object:
    description = json.loads(canonical_json(describe_model(PLANNED.spec, END.outcome, SERVING)))
    description["weights"] = sha256(path.read_bytes()).hexdigest()
    (path.parent / "model.json").write_text(json.dumps(description))
    return load_model(path.parent)


def read_looks(path: Path) -> object:
    return join_looks(path.rename(path.parent / f"{sha256(path.read_bytes()).hexdigest()}.json").parent, {})


Border = tuple[str, bytes, Callable[[Path], object]]
LOOK = {"candidate": "a" * 64, "key": "b" * 64, "study": "tpe", "trial": 1, "test_digest": "c" * 64, "time": 1.0,
        "format": 2, "user": "ada", "parents": [], "rows": "AAAAAAAAAAA="}  # fmt: skip
BORDERS: dict[str, Border] = {
    "params.yaml": ("params.yaml", PARAMS.encode(), load_config),
    "a CSV table": (
        "x.csv",
        make_table(20).to_csv(index=False).encode(),
        lambda path: read_table("x.csv", path.parent),
    ),
    "a Parquet table": ("x.parquet", parquet(), lambda path: read_table("x.parquet", path.parent)),
    "a record of MLflow": (
        "record.json",
        trial_record("k" * 64, StoredTrial(PLANNED, (END.outcome,), (END.timing,), (PROVENANCE,))),
        lambda path: stored_from(parse_canonical(path.read_bytes())),
    ),
    "a report": ("x.json", b'{"study": "tpe", "trials": []}', lambda path: read_report(path, "run it again", report)),
    "records beside a model": ("trials.jsonl", b"\n".join(map(canonical_json, LINES)), read_study),
    "model.json": ("model.json", canonical_json(describe_model(PLANNED.spec, END.outcome, SERVING)), read_model),
    "weights": ("weights.safetensors", weights(0), read_weights),
    "a look": ("x.json", canonical_json(LOOK), read_looks),
}


@pytest.mark.parametrize("name", BORDERS)
@settings(max_examples=EXAMPLES, deadline=None, derandomize="TRACKER_FUZZ" not in os.environ,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 3), WORDS), min_size=1, max_size=4))
def test_a_sound_input_with_bytes_changed_is_read_or_refused(name: str, changes: list[tuple[int, int, bytes]]) -> None:
    """Nine borders; a record or a model may say so with a ValueError or TypeError, which whoever reads it names."""
    file, content, read = BORDERS[name]
    for place, cut, word in changes:
        at = place % (len(content) + 1)
        content = content[:at] + word + content[at + cut :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file
        path.write_bytes(content)
        try:
            read(path)
        except (TrackerError, ValueError, TypeError) as error:
            assert 60_000 > len(str(error)) > 0  # noqa: PT017  either may happen
