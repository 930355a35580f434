"""Portable numerics: pins that come before torch, keys without the CPU, bits that another CPU repeats."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tracker.errors import ConfigError
from tracker.numerics import NUMPY, PINS, pin_numerics
from tracker.search.samplers import versions

PROGRAM = """
import json, os, sys
from tracker.numerics import pin_numerics
pin_numerics(sys.argv[1], os.environ, sys.modules)
import torch
torch.set_num_threads(1)
from tracker.surroundings.environment import environment
from tracker.families.family import train_cohort
from tracker.families.mlp_selftest import CASES, _arrays, _spec
from tracker.search.linear_algebra import blas_probe
name, parts = environment(sys.argv[1])
outcomes = [
    result.outcome.digest
    for index, (units, size, classes, norm) in enumerate(CASES)
    for result in train_cohort([_spec(index * 10 + lane, lane, units, size, norm) for lane in range(5)],
                               _arrays(index, classes))
]
level = torch.backends.cpu.get_cpu_capability()
json.dump({"name": name, "parts": parts, "outcomes": outcomes, "level": level, "blas": blas_probe()}, sys.stdout)
"""
X86 = os.uname().machine == "x86_64"


def run(numerics: str, *before: str, **environ: str) -> dict:
    clean = {name: value for name, value in os.environ.items() if name not in PINS}
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    command = [*before, str(Path(sys.executable).resolve()), "-c", PROGRAM, numerics]
    done = subprocess.run(
        command, env={**clean, "PYTHONPATH": path, **environ}, capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    return json.loads(done.stdout)


def test_pins_that_come_too_late_are_refused() -> None:
    """Once torch is loaded its kernels are chosen: portable numerics say so instead of pretending."""
    with pytest.raises(ConfigError, match="before torch is loaded"):
        pin_numerics("portable", {}, {"torch"})
    with pytest.raises(ConfigError, match="before numpy is loaded"):
        pin_numerics("portable", {name: value for name, value in PINS.items() if name not in NUMPY}, {"torch", "numpy"})
    environ = dict(PINS)
    pin_numerics("portable", environ, {"torch", "numpy"})
    assert dict(PINS) == environ


def test_native_numerics_set_nothing() -> None:
    """The default leaves the environment as it is."""
    environ: dict[str, str] = {}
    pin_numerics("native", environ, set())
    assert {} == environ


@pytest.mark.skipif(not X86, reason="portable numerics are for x86-64")
def test_portable_keys_hold_no_cpu() -> None:
    """The environment of portable trials names neither the CPU's level nor its maker; the native one names both."""
    portable, native = run("portable"), run("native")
    assert "DEFAULT" == portable["level"]
    assert "numpy_probe" in portable["parts"]
    assert not {"numpy_probe", "numpy_features", "openblas_core"} & set(native["parts"])
    assert not {"cpu_capability", "cpu_vendor"} & set(portable["parts"])
    assert {"cpu_capability", "cpu_vendor"} <= set(native["parts"])
    assert portable["name"] != native["name"]


@pytest.mark.skipif(not X86, reason="portable numerics are for x86-64")
def test_what_steers_numpy_is_part_of_the_key() -> None:
    """Native numbers under the variable have a key of their own, in which the features that are left are named."""
    steered = run("native", NPY_DISABLE_CPU_FEATURES=PINS["NPY_DISABLE_CPU_FEATURES"])
    assert [] == steered["parts"]["numpy_features"]
    assert "Haswell" == run("native", OPENBLAS_CORETYPE="Haswell")["parts"]["openblas_core"]


@pytest.mark.slow
@pytest.mark.skipif(not X86, reason="portable numerics are for x86-64")
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs qemu-x86_64 (apt-get install qemu-user)")
def test_another_cpu_repeats_portable_bits() -> None:
    """An emulated Haswell, which truly lacks this machine's higher levels, gives the key and the bits of this machine."""
    emulator = str(shutil.which("qemu-x86_64"))
    here, there = run("portable"), run("portable", emulator, "-cpu", "Haswell,-rtm,-hle")
    assert here["outcomes"] == there["outcomes"]
    assert here["name"] == there["name"]
    assert here["blas"] == there["blas"], "what samplers factor"


def test_portable_studies_name_what_blas_gives() -> None:
    """Where proposals hang on factored matrices it is in the study's key; native studies, and other samplers, keep theirs."""
    assert {"scipy", "blas"} == versions("gp", None, "portable").keys()
    assert {"cmaes", "scipy"} == versions("cmaes", None, "native").keys()
    assert {"optuna"} == versions("tpe", None, "portable").keys()
