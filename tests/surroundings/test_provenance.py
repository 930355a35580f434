"""What is recorded about the machine, and which part of it decides reuse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracker.canonical import canonical_json, digest
from tracker.surroundings.environment import NUMPY_STEERING, environment, variables
from tracker.surroundings.provenance import provenance, safe_command, trained_with


def git(root: Path, *words: str) -> str:
    settings = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *settings, *words], cwd=root, capture_output=True, text=True, check=True).stdout


def test_only_what_changes_numbers_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch, NumPy, BLAS, CPU level and maker, threads, device, settings, a probe; no host, user, path or time."""
    for variable in (*NUMPY_STEERING, "OPENBLAS_CORETYPE"):
        monkeypatch.delenv(variable, raising=False)  # each would be a part more
    name, parts = environment()
    assert set(parts) == {
        "torch", "numpy", "blas", "cpu_capability", "machine", "cpu_vendor", "threads", "device", "settings", "probe"
    }  # fmt: skip
    assert name == digest("environment", parts) == environment()[0]
    assert parts["blas"]


def test_provenance_tells_the_experiment_of_dvc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `dvc exp run` sets is recorded by name; outside of it nothing is."""
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
        monkeypatch.delenv(name, raising=False)
    assert not any(name.startswith("dvc") for name in provenance(["x"], tmp_path))
    monkeypatch.setenv("DVC_EXP_NAME", "woods-coos")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "f" * 40)
    found = provenance(["x"], tmp_path)
    assert ("woods-coos", "f" * 40) == (found["dvc_experiment"], found["dvc_baseline"])


def test_provenance_tells_the_commit_and_whether_files_differ(tmp_path: Path) -> None:
    """A clean checkout names its commit; a changed tracked file makes it dirty, with a digest of the difference."""
    git(tmp_path, "init", "-q")
    (tmp_path / "code.py").write_text("a = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    clean = provenance(["pipelines/tune.py", "tpe"], tmp_path)
    assert clean["commit"] == git(tmp_path, "rev-parse", "HEAD").strip()
    assert (clean["dirty"], clean["diff"], clean["source"]) == (False, None, "pipelines/tune.py")
    (tmp_path / "code.py").write_text("a = 2\n")
    dirty = provenance(["pipelines/tune.py", "tpe"], tmp_path)
    assert (dirty["commit"], dirty["dirty"], len(dirty["diff"])) == (clean["commit"], True, 64)


def test_outside_of_git_there_is_no_commit(tmp_path: Path) -> None:
    """A folder that is no checkout is recorded as such, without an error."""
    found = provenance([], tmp_path)
    assert (found["commit"], found["dirty"], found["source"]) == (None, None, "")
    assert found["packages"]["torch"]
    assert canonical_json(found)


def test_what_trained_is_told_with_its_environment(tmp_path: Path) -> None:
    """The provenance of a trial holds the parts of the environment in its key, and what else may explain a difference."""
    name, found = trained_with(["tune"], tmp_path)
    assert (name, found["environment"]) == environment()
    assert {"python", "packages", "kernel", "libc", "locale", "cpu", "cpu_flags", "variables", "sources"} <= set(found)
    assert {"torch_build", "threads", "parallel"} <= set(found["libraries"])
    assert "training/loop.py" in found["sources"]
    assert canonical_json(found)


def test_variables_tell_no_secrets() -> None:
    """Variables that steer libraries are recorded, but none that may hold a secret or name a place."""
    environ = {"MKL_CBWR": "AVX2", "TORCH_HOME": "x", "CUDA_API_KEY": "x", "OMP_NUM_THREADS": "3", "USER": "ada"}
    assert {"MKL_CBWR": "AVX2", "OMP_NUM_THREADS": "3"} == variables(environ)


def test_what_libraries_set_themselves_is_no_setting() -> None:
    """scikit-learn sets two variables when it is loaded, so whether they are there depends on when one looks."""
    assert {"OMP_NUM_THREADS": "1"} == variables({"KMP_DUPLICATE_LIB_OK": "True", "OMP_NUM_THREADS": "1"})


def test_the_build_of_torch_is_the_same_for_other_kernels() -> None:
    """What `ATEN_CPU_CAPABILITY` changes is told apart, as the CPU level."""
    program = (
        "from tracker.surroundings import environment as s; "
        "print(s.libraries()['torch_build'], s.environment()[1]['cpu_capability'])"
    )
    found = []
    for variables_set in ({}, {"ATEN_CPU_CAPABILITY": "default"}):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **variables_set},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(done.stdout.split())
    (build, _), (other_build, other_level) = found
    assert build == other_build
    assert "DEFAULT" == other_level


@pytest.mark.parametrize(
    ("words", "recorded"),
    [
        (["run.py", "--token=canary", "--lr", "0.1"], ["run.py", "--token=***", "--lr", "***"]),
        (["run.py", "canary", "-x", "-1"], ["run.py", "***", "-x", "***"]),
        (["/bin/tracker", "tune", "tpe", "--workers", "2"], ["/bin/tracker", "tune", "tpe", "--workers", "2"]),
        (["tracker", "tune", "--api-key", "canary", "tpe"], ["tracker", "tune", "--api-key", "***", "tpe"]),
        (["tracker", "ui", "http://ada:canary@x"], ["tracker", "ui", "***"]),
        (["pipelines/tune.py", "tpe"], ["pipelines/tune.py", "tpe"]),
        ([], []),
    ],
)
def test_a_command_line_is_recorded_without_what_may_be_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], recorded: list[str]
) -> None:
    """Of a program that is not ours every value is hidden; of ours what follows a name that sounds secret, and addresses."""
    monkeypatch.chdir(tmp_path)
    assert recorded == safe_command(words, tmp_path) == provenance(words, tmp_path)["command"]
