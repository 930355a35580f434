"""What differs between two records of what trials were computed with, the likeliest cause first, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tracker.trees import leaves

STEERING = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "MKL_DEBUG_CPU_TYPE", "ONEDNN_MAX_CPU_ISA",
  "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "OPENBLAS_CORETYPE", "GLIBC_TUNABLES", "NPY_DISABLE_CPU_FEATURES",
  "NPY_ENABLE_CPU_FEATURES")  # fmt: skip
# What changes numbers comes first, what rarely does last. A star stands for any name, which then follows the words.
ORDER: Mapping[str, str] = {
    "environment.torch": "torch",
    "environment.numpy": "NumPy",
    "environment.blas": "the BLAS library",
    "environment.device": "the device",
    "environment.settings.*": "torch's setting ",
    **{f"variables.{name}": f"the environment variable {name}" for name in STEERING},
    "environment.cpu_capability": "the CPU instructions that torch uses",
    "environment.numpy_features": "the CPU instructions that NumPy uses",
    "environment.openblas_core": "the CPU whose kernels OpenBLAS was told to take",
    "environment.numpy_probe": "what functions of NumPy give",
    "environment.family_packages.*": "the package ",
    "environment.machine": "the type of machine",
    "environment.cpu_vendor": "the maker of the CPU",
    "environment.threads": "the number of threads of a trial",
    "environment.probe": "what a small computation gives",
    "environment.*": "the environment's ",
    "libraries.torch_commit": "the commit that torch was built from",
    "libraries.torch_build": "the build of torch",
    "sources.*": "the source file tracker/",
    "cpu_flags": "the vector instructions of the CPU",
    "packages.*": "the package ",
    "libc": "the C library",
    "libraries.parallel": "what torch runs threads with",
    "libraries.threads": "the number of threads that torch was given",
    "libraries.interop_threads": "the number of threads between operations of torch",
    "variables.*": "the environment variable ",
    "cpu": "the model of the CPU",
    "python": "Python",
    "python_build": "the build of Python",
    "system": "the operating system",
    "kernel": "the kernel",
    "locale": "the locale",
    "encoding": "the encoding of file names",
    "cpu_count": "the number of CPUs",
    "package": "the source files of tracker, those that decide no number",
    "commit": "the git commit",
    "diff": "what is not committed",
}
ABSENT = "unset"
SHOWN = 12  # characters of a digest


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that differs: its name, both values, and a sentence that holds them."""

    name: str
    recorded: Any
    present: Any
    words: str

    @classmethod
    def of(cls, name: str, label: str, recorded: Any, present: Any) -> Cause:
        """A cause whose sentence follows from the two values."""
        return cls(
            name, recorded, present, f"{label}: {_shown(recorded, present)} recorded, {_shown(present, recorded)} here"
        )


def changes(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Cause, ...]:
    """What differs between two provenances (`tracker.surroundings.provenance`), the likeliest cause of other numbers first.

    What only one of them tells is not compared. What follows from another cause is left out: a package that the
    environment names already, the digest of all source files beside a file, the probe beside what steers arithmetic.
    """
    old, new = leaves(then), leaves(now)
    names = [name for name in {**old, **new} if old.get(name) != new.get(name) and _told(name, then, now)]
    ranked = sorted((rank, name) for name in names if (rank := _rank(name)) < len(ORDER))
    found = [Cause.of(name, _label(rank, name), old.get(name, ABSENT), new.get(name, ABSENT)) for rank, name in ranked]
    return tuple(cause for cause in found if not _follows(cause.name, names))


def _told(name: str, *records: Mapping[str, Any]) -> bool:
    """Whether each record has the mapping that the name stands in; a value of its own must be there itself."""
    group, _, rest = name.partition(".")
    return all(isinstance(record.get(group), Mapping) if rest else group in record for record in records)


def _rank(name: str) -> int:
    """The place of a name in ORDER; behind all of it where it is not there."""
    return next((place for place, pattern in enumerate(ORDER) if fnmatchcase(name, pattern)), len(ORDER))


def _label(rank: int, name: str) -> str:
    pattern, words = list(ORDER.items())[rank]
    return words + name[len(pattern) - 1 :] if pattern.endswith("*") else words


def _follows(name: str, names: Sequence[str]) -> bool:
    """Whether a change is no cause of its own beside the others."""
    if name in {"packages.torch", "packages.numpy"}:
        return name.replace("packages", "environment") in names
    if name == "package":
        return any(other.startswith("sources.") for other in names)
    steering = ("environment.", *(f"variables.{variable}" for variable in STEERING))
    return name == "environment.probe" and any(other != name and other.startswith(steering) for other in names)


def _shown(value: Any, other: Any) -> str:
    """A value as a sentence has it: of a digest its beginning, of a list what the other one lacks."""
    if isinstance(value, list):
        known = other if isinstance(other, list) else ()
        return ", ".join(str(item) for item in value if item not in known) or "nothing more"
    text = "none" if value is None else str(value)
    return text[:SHOWN] if len(text) in {16, 40, 64} and set(text) <= set("0123456789abcdef") else text
