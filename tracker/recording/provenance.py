"""Turns the machine, the interpreter, the packages and the git checkout into what is recorded beside each trial.

`environment` is the part that changes numbers and is in every key; the rest explains a difference and is in no digest.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import platform
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from tracker.canonical import digest

PACKAGES = ("mlflow", "numpy", "optuna", "pandas", "pyarrow", "repro-tracker", "safetensors", "scikit-learn", "torch")
VARIABLES = ("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "MKL_CBWR", "MKL_NUM_THREADS", "OMP_NUM_THREADS",
  "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS")  # fmt: skip
GIT_TIMEOUT_S = 5.0


def environment() -> tuple[str, dict[str, Any]]:
    """Digest and parts of what changes numbers: torch, NumPy, BLAS, CPU level and maker, threads per worker, device."""
    import numpy as np
    import torch

    parts = {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "blas": _blas(torch.__config__.show()),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "cpu_vendor": _cpu()["vendor"],
        "threads": 1,
        "device": "cpu",
    }
    return digest("environment", parts), parts


def provenance(argv: Sequence[str], root: Path) -> dict[str, Any]:
    """Who computed it, with what, from which commit: user, source, commit, dirty, host, python, packages, platform, cpu.

    `argv` is the command line of the process, `root` the folder of the project. Costs some 10 ms; call it once per run.
    """
    return {
        "user": _user(),
        "source": argv[0] if argv else "",
        "command": list(argv),
        **_git(root),
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "packages": _packages(),
        "platform": platform.platform(),
        "cpu": _cpu()["model"],
        "cpu_count": os.cpu_count(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def _blas(config: str) -> list[str]:
    """The libraries that torch computes with, as it was built: their release lines, in its words."""
    pattern = r"oneAPI Math Kernel Library|MKL-DNN|OpenBLAS|Accelerate|BLAS_INFO|LAPACK_INFO"
    lines = [re.sub(r"\s+", " ", line.strip(" -")) for line in config.splitlines() if re.search(pattern, line)]
    settings = re.findall(r"(BLAS_INFO|LAPACK_INFO)=(\w+)", config)
    return [line for line in lines if "Build settings" not in line] + [f"{name}={value}" for name, value in settings]


@cache
def _cpu() -> Mapping[str, str]:
    """Maker and model of the CPU."""
    try:
        content = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:  # no such file on macOS, where the maker follows from the machine
        return {"vendor": platform.processor() or platform.machine(), "model": platform.processor()}
    fields = dict(re.findall(r"^([^:\n\t]+?)\s*:\s*(.*)$", content, re.MULTILINE))
    vendor = fields.get("vendor_id") or fields.get("CPU implementer") or platform.machine()
    return {"vendor": vendor, "model": fields.get("model name") or fields.get("CPU part") or platform.machine()}


@cache
def _packages() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _git(root: Path) -> dict[str, Any]:
    """Commit, whether tracked files differ from it, and the digest of that difference; None outside of a checkout."""
    commit = _ask_git(root, "rev-parse", "HEAD")
    if commit is None:
        return {"commit": None, "dirty": None, "diff": None}
    changes = _ask_git(root, "diff", "HEAD", "--no-ext-diff", "--no-color", "--", ".") or b""
    difference = hashlib.sha256(changes).hexdigest() if changes else None
    return {"commit": commit.decode().strip(), "dirty": bool(changes), "diff": difference}


def _ask_git(root: Path, *words: str) -> bytes | None:
    program = shutil.which("git")
    if program is None:
        return None
    try:
        answer = subprocess.run(  # noqa: S603  a fixed program with fixed words
            [program, "-C", str(root), *words], capture_output=True, timeout=GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout if answer.returncode == 0 else None
