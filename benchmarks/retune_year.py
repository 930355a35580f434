"""A year of `tracker retune` as a scheduler starts it, through a real MLflow server: python -m benchmarks.retune_year

    python -m benchmarks.retune_year [--backend postgres | sqlite]

The breast cancer table comes in monthly parts; a job has a bad batch, misses a month, is killed, meets another one, runs out
of time, meets drift, and is rolled back. Stages run by DVC, records go to `mlflow server` with PostgreSQL or SQLite behind it.
Then the model behind the alias is loaded and served by `mlflow models serve`, both answers are held against each other, and
`tracker verify --all` runs here and in a fresh clone, filled by `dvc pull` and `tracker pull`. Leaves with 1 where something
is not as expected.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from sklearn.datasets import load_breast_cancer

from benchmarks.server import postgres, server
from tests.end_to_end.project import Project
from tests.tracking.servers import free_port
from tracker.tracking.mlflow_settings import settle
from tracker.tracking.retuned import named

SOURCE = "data/raw/table.csv"
FIRST, MONTHLY = 240, 27
STUDIES = {"random": {"sampler": "random", "trials": 4}}
SETTINGS = {
    "split": {"validation": 0.3, "test": 0.2, "promotion": 0.5},
    "training": {"epochs": 6},
    "studies": STUDIES,
    "retune": {"registered_model": "cancer", "promote": {"confidence": 0.9}},
}
WAIT_S = 900.0


class Year:
    """The project, the server, and what was seen of test rows; `wrong` collects what is not as expected."""

    def __init__(self, folder: Path, uri: str) -> None:
        folder.mkdir()
        self.project, self.uri = Project(folder), uri
        self.environ = {"MLFLOW_TRACKING_URI": uri}
        self.tested: set[str] = set()
        self.leaked = 0
        self.wrong: list[str] = []

    def expect(self, what: str, *, holds: bool) -> None:
        """Says it, and remembers what does not hold."""
        print(f"  {'as expected' if holds else 'NOT AS EXPECTED'}: {what}", flush=True)
        if not holds:
            self.wrong.append(what)

    def write(self, frame: pd.DataFrame) -> None:
        """The table of the day."""
        frame.to_csv(self.project.folder / SOURCE, index=False)

    def retune(self, *words: str, code: int = 0) -> str:
        """`tracker retune` to its end; its output. Counts test rows that stand in train or validation afterwards."""
        said = self.project.tracker("retune", *words, code=code, **self.environ)
        print(
            "\n".join(f"  | {line}" for line in said.splitlines() if "retune" in line or "served" in line)[:600],
            flush=True,
        )
        self.count_leaks()
        return said

    def count_leaks(self) -> None:
        """Holds train and validation against all test rows so far."""
        data = self.project.folder / "data"
        if (data / "sealed" / "test.parquet").is_file():
            self.tested |= set(pd.read_parquet(data / "sealed" / "test.parquet")["who"])
            for name in ("train", "validation"):
                self.leaked += len(self.tested & set(pd.read_parquet(data / "splits" / f"{name}.parquet")["who"]))

    def decisions(self) -> list[dict[str, Any]]:
        """The lines of reports/retunes.jsonl."""
        lines = (self.project.folder / "reports/retunes.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def alias(self) -> Any:
        """The version that the alias names, as the server says."""
        from mlflow.tracking import MlflowClient

        return MlflowClient(self.uri).get_model_version_by_alias("cancer", "champion")


def rows(upto: int, turned: int = 0) -> pd.DataFrame:
    """The first rows of the table in an order that stays; the last `turned` of them with features of another scale."""
    frame = load_breast_cancer(as_frame=True).frame
    frame = frame.iloc[np.random.default_rng(5).permutation(len(frame))].reset_index(drop=True)
    frame = frame.assign(target=np.where(frame["target"] == 1, "benign", "malignant"))
    frame.insert(0, "who", [f"p{place:04d}" for place in range(len(frame))])
    frame = frame.iloc[:upto].copy()
    features = [name for name in frame if name not in {"who", "target"}]
    moved = frame.index >= upto - turned
    frame.loc[moved, features] = frame.loc[moved, features] * -0.5 + 2 * frame[features].mean()
    return frame


def month(number: int) -> int:
    """How many rows there are in a month, from 1 on."""
    return FIRST + MONTHLY * (number - 1)


def begin(year: Year) -> None:
    """The project, with git, DVC, and a DVC remote beside it; retuned for the first time."""
    project = year.project
    (project.folder / "data" / "raw").mkdir(parents=True)
    year.write(rows(month(1)))
    project.git("init", "-q", "-b", "main")
    project.tracker("init", SOURCE, "--target", "target", "--id", "who")
    params = project.folder / "params.yaml"
    params.write_text(yaml.safe_dump({**yaml.safe_load(params.read_text()), **SETTINGS}, sort_keys=False))
    if not (project.folder / ".dvc").is_dir():
        project.run("dvc", "init", "-q")
    project.run("dvc", "remote", "add", "-q", "-d", "beside", str(project.folder.parent / "remote"))
    year.expect("month 1: the first champion", holds="first: served" in year.retune())


def growth(year: Year) -> None:
    """A month with rows of the same kind."""
    year.write(rows(month(2)))
    year.retune()
    year.expect(
        "month 2: rows were added, kept or promoted", holds=year.decisions()[-1]["decision"] in {"kept", "promoted"}
    )


def bad_batch(year: Year) -> None:
    """A column is missing: refused, twice with the same words, one line."""
    year.write(rows(month(3)).drop(columns="mean area"))
    said = [year.retune(code=8) for _ in range(2)]
    decisions = [one["decision"] for one in year.decisions()]
    year.expect(
        "month 3: a column is gone, exit code 8, one entry",
        holds="'mean area' is gone" in said[0] and "'mean area' is gone" in said[1],
    )
    year.expect("month 3: refused once in the record", holds=decisions.count("refused") == 1)


def killed(year: Year) -> None:
    """Month 4 was missed; in month 5 all processes of the job are killed on their way, and the same command goes on."""
    before = len(year.decisions())
    year.write(rows(month(5)))
    for after in (2.0, 6.0, 12.0):
        job = year.project.start(sys.executable, "-m", "tracker.cli", "retune", **year.environ)
        with contextlib.suppress(subprocess.TimeoutExpired):
            job.communicate(timeout=after)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
        job.communicate()
    time.sleep(2.0)  # a stage that outlived its parent ends by itself
    year.retune()
    year.expect("month 5: killed three times, then one decision", holds=len(year.decisions()) == before + 1)


def two_at_once(year: Year) -> None:
    """Two jobs: one leaves at once with 9."""
    year.write(rows(month(6)))
    jobs = [year.project.start(sys.executable, "-m", "tracker.cli", "retune", **year.environ) for _ in range(2)]
    for job in jobs:
        job.communicate(timeout=WAIT_S)
    year.count_leaks()
    year.expect("month 6: two jobs, exit codes 0 and 9", holds=sorted(job.returncode for job in jobs) == [0, 9])


def flipped(year: Year) -> None:
    """All labels are the other way round."""
    frame = rows(month(7))
    year.write(frame.assign(target=frame["target"].map({"benign": "malignant", "malignant": "benign"})))
    year.expect("month 7: labels flipped, exit code 8", holds="another label" in year.retune(code=8))


def out_of_time(year: Year) -> None:
    """A timeout that is too short; the next run goes on."""
    year.write(rows(month(8)))
    said = year.retune("--timeout", "0.2", code=13)
    year.retune()
    year.expect("month 8: out of time, exit code 13, then done", holds="goes on from there" in said)


def drifted(year: Year) -> None:
    """The rows of three months look otherwise."""
    year.write(rows(month(11), turned=3 * MONTHLY))
    said = year.retune()
    year.expect("month 11: columns moved", holds="moved in the added rows" in said)
    year.expect("month 11: a decision", holds=year.decisions()[-1]["decision"] in {"kept", "promoted"})


def rolled_back(year: Year) -> None:
    """The former champion is served again, and is named; nothing is done where nothing changed."""
    former = next(
        (one["champion"] for one in reversed(year.decisions()) if one["champion"] != year.decisions()[-1]["champion"]),
        None,
    )
    said = year.project.tracker("rollback", code=0 if former else 2, **year.environ)
    if former is not None:
        year.expect("rollback names whom it serves again", holds=f"{named(former)} is served again" in said)
        year.expect("the alias is on the former champion", holds=year.alias().tags["tracker.key"] == former["key"])
    before = year.decisions()
    year.expect("month 12: nothing new", holds="unchanged" in year.retune() and before == year.decisions())


EVENTS: list[Callable[[Year], None]] = [
    begin, growth, bad_batch, killed, two_at_once, flipped, out_of_time, drifted, rolled_back,
]  # fmt: skip


def check(year: Year) -> None:
    """Store, file, registry and looks agree; no row leaked."""
    from mlflow.tracking import MlflowClient

    decisions, client = year.decisions(), MlflowClient(year.uri)
    kinds = [one["decision"] for one in decisions]
    print(f"decisions: {', '.join(kinds)}")
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, "tags.`tracker.kind` = 'retune'")
    found = sorted(run.data.tags["tracker.retune"] for run in runs)
    year.expect("a run for every decision", holds=found == sorted(one["digest"] for one in decisions))
    year.expect("all of them have ended", holds=all(run.info.status == "FINISHED" for run in runs))
    champion = decisions[-1]["champion"]
    year.expect("the alias is on the champion", holds=year.alias().tags["tracker.key"] == champion["key"])
    versions = client.search_model_versions("name = 'cancer'")
    served = {one["champion"]["key"] for one in decisions if one["champion"]}
    year.expect("a version for every champion", holds={one.tags["tracker.key"] for one in versions} == served)
    year.expect("one version each", holds=len(versions) == len(served))
    year.expect(
        f"leaked rows: {year.leaked}; test rows so far: {len(year.tested)}", holds=year.leaked == 0 < len(year.tested)
    )
    year.expect("no look was taken", holds=not list((year.project.folder / "reports").glob("looks/*")))


def serve(year: Year) -> None:
    """The model behind the alias answers over loopback as it does when it is loaded."""
    import mlflow

    asked = rows(569).drop(columns=["who", "target"]).iloc[-40:]
    mlflow.set_tracking_uri(year.uri)
    loaded = mlflow.pyfunc.load_model("models:/cancer@champion").predict(asked)
    port = free_port()
    words = ["models", "serve", "-m", "models:/cancer@champion", "--env-manager", "local", "--port", str(port)]
    environ = {**os.environ, **year.environ}
    log = year.project.folder.parent / "serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words], env=environ, stdout=file, stderr=file, start_new_session=True
        )
    try:
        answer = _asked(
            f"http://127.0.0.1:{port}",
            {"dataframe_split": json.loads(asked.to_json(orient="split", double_precision=15))},
        )
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    answered = pd.DataFrame(answer["predictions"])
    same = list(answered["label"]) == list(loaded["label"]) and all(
        np.array_equal(np.float32(answered[name]), np.float32(loaded[name])) for name in loaded if name != "label"
    )
    year.expect(f"{len(asked)} rows: the served model answers as the loaded one", holds=same)


def _asked(address: str, body: Any) -> Any:
    end = time.monotonic() + WAIT_S
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/ping", timeout=5):
            break
        if time.monotonic() > end:
            raise RuntimeError("mlflow models serve does not answer")
        time.sleep(0.3)
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        return json.loads(reply.read())


def elsewhere(year: Year) -> None:
    """All is derived again here, and in a fresh clone that has nothing but git, DVC's remote and the server."""
    project = year.project
    project.tracker("compare", **year.environ)  # a retuning writes no ranking.json, and all is verified
    said = project.tracker("verify", "--all", **year.environ)
    year.expect(f"verify --all: {said.splitlines()[-1]}", holds="differ" not in said)
    project.run("dvc", "add", "-q", SOURCE)
    named = [
        "reports/retunes.jsonl",
        "reports/retune",
        "data/salts.json",
        "warm_start.yaml",
        "dvc.lock",
        "dvc.yaml",
        "params.yaml",
    ]
    project.git("add", ".dvc", ".dvcignore", ".gitignore", *named, *_ignoring(project.folder))
    project.git("commit", "-qm", "a year")
    project.run("dvc", "push", "-q")
    clone = project.clone(project.folder.parent / "clone")
    clone.run("dvc", "pull", "-q", "--allow-missing")
    clone.tracker("pull", **year.environ)
    clone.tracker("compare", **year.environ)
    said = clone.tracker("verify", "--all", **year.environ)
    year.expect(f"verify --all in a fresh clone: {said.splitlines()[-1]}", holds="differ" not in said)
    said = clone.tracker("retune", **year.environ)
    year.expect("retune there has nothing to do", holds="unchanged" in said)


def _ignoring(root: Path) -> Iterator[str]:
    """Files that say what DVC keeps, for git."""
    for folder in ("data", "data/raw", "models", "reports", "reports/studies", "reports/curves"):
        names = [*(root / folder).glob(".gitignore"), *(root / folder).glob("*.dvc")]
        yield from (str(path.relative_to(root)) for path in names)


@contextlib.contextmanager
def started(folder: Path, backend: str) -> Iterator[str]:
    """The address of an MLflow server with this database behind it."""
    with contextlib.ExitStack() as stack:
        uri = stack.enter_context(postgres()) if backend == "postgres" else None
        yield stack.enter_context(server(folder, uri)).uri


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="postgres", choices=("postgres", "sqlite"))
    parser.add_argument("--events", type=int, default=len(EVENTS), help="only the first so many")
    wanted = parser.parse_args()
    settle(os.environ)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place, started(Path(place), wanted.backend) as uri:
        year = Year(Path(place) / "project", uri)
        for event in (*EVENTS[: wanted.events], check, serve, elsewhere):
            print(f"{event.__name__.replace('_', ' ')} ({time.monotonic() - begun:.0f} s)", flush=True)
            event(year)
    print(
        f"{wanted.backend}: {time.monotonic() - begun:.0f} s, load {os.getloadavg()[0]:.1f}; wrong: {year.wrong or 'nothing'}"
    )
    raise SystemExit(1 if year.wrong else 0)


if __name__ == "__main__":
    main()
