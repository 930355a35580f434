"""Pins the kernels that torch, MKL and NumPy take, so that x86-64 machines compute the same bits; before they are loaded."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, MutableMapping

from tracker.errors import ConfigError

PINS: Mapping[str, str] = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    # NumPy's own kernels for log, exp, power and others, of which samplers make proposals; by the names of NumPy 2.4.
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Nehalem",  # the BLAS of NumPy and SciPy, of which gp and cmaes make proposals
}
NUMPY = {"NPY_DISABLE_CPU_FEATURES", "OPENBLAS_CORETYPE"}


def is_pinned(environ: Mapping[str, str]) -> bool:
    """Whether the variables of `portable` numerics are set."""
    return all(environ.get(name) == value for name, value in PINS.items())


def pin_numerics(numerics: str, environ: MutableMapping[str, str], modules: Collection[str]) -> None:
    """Sets the variables of `portable` numerics; does nothing for `native`.

    `modules` are those loaded so far. Raises ConfigError where torch or NumPy is among them and its pins came too late, and
    on machines that are not x86-64.
    """
    if numerics != "portable":
        return
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        raise ConfigError(f"training.numerics: portable is for x86-64, this is {platform.machine()}; use native")
    unset = {name: value for name, value in PINS.items() if environ.get(name) != value}
    pins = {"torch": PINS.keys() - NUMPY, "numpy": NUMPY}
    late = [module for module, names in pins.items() if module in modules and names & unset.keys()]
    if late:
        wanted = " ".join(f"{name}='{value}'" for name, value in PINS.items())
        raise ConfigError(
            f"training.numerics: portable must be set before {' and '.join(late)} is loaded, and it is loaded here; "
            f"start Python anew, or with {wanted}"
        )
    environ.update(unset)
