"""Pins the kernels that torch and MKL take, so that different x86-64 machines compute the same bits; before torch is loaded."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, MutableMapping

from tracker.errors import ConfigError

PINS: Mapping[str, str] = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def pin_numerics(numerics: str, environ: MutableMapping[str, str], modules: Collection[str]) -> None:
    """Sets the variables of `portable` numerics; does nothing for `native`.

    `modules` are those loaded so far. Raises ConfigError where torch is among them and the pins came too late, and on
    machines that are not x86-64.
    """
    if numerics != "portable":
        return
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        raise ConfigError(f"training.numerics: portable is for x86-64, this is {platform.machine()}; use native")
    unset = {name: value for name, value in PINS.items() if environ.get(name) != value}
    if unset and "torch" in modules:
        wanted = " ".join(f"{name}={value}" for name, value in PINS.items())
        raise ConfigError(
            "training.numerics: portable must be set before torch is loaded, and it is loaded here; "
            f"start Python anew, or with {wanted}"
        )
    environ.update(unset)
