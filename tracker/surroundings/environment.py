"""What may explain other numbers: interpreter, libraries, CPU, settings and source files of this process.

`environment` is the part that changes numbers: its digest is in every key. The rest is recorded beside, in no digest.
"""

from __future__ import annotations

import hashlib
import locale
import os
import platform
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from tracker.canonical import digest, digest_arrays
from tracker.hyperparameters import FAMILIES

PACKAGES = ("dvc", "mlflow", "numpy", "optuna", "pandas", "pyarrow", "pydantic", "repro-tracker", "safetensors",
  "scikit-learn", "scipy", "torch")  # fmt: skip
WATCHED = re.compile(
  r"(ATEN_|BLIS_|CUBLAS_|CUDA_|DNNL_|GOMP_|KMP_|LC_|MKL_|NPY_|OMP_|ONEDNN_|OPENBLAS_|PYTORCH_|TORCH_|VECLIB_).*"
  r"|GLIBC_TUNABLES|LANG|LANGUAGE|PYTHONHASHSEED|PYTHONOPTIMIZE|TZ"
)  # fmt: skip
SET_BY_LIBRARIES = {"KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK"}  # scikit-learn's, when it is loaded
PRIVATE = re.compile(r"TOKEN|SECRET|PASSW|KEY|CRED|HOME|PATH|DIR|CACHE|FILE|HOST|ADDR|PRELOAD")
NUMPY_STEERING = ("NPY_DISABLE_CPU_FEATURES", "NPY_ENABLE_CPU_FEATURES")
CPU_FLAGS = re.compile(r"(sse|ssse|avx|fma|f16c|amx|neon|asimd|sve|bf16|i8mm)\w*")
ABSENT = "not installed"
PACKAGE = Path(__file__).parents[1]
DECIDING = ("aggregation.py", "canonical.py", "hyperparameters.py", "metrics.py", "neutral.py", "ordering.py", "records.py",
  "seeds.py", "datasets", "execution", "families", "search", "standalone", "studies", "training")  # fmt: skip


def asked_of(training: Mapping[str, Any], family: str) -> tuple[str, str, str]:
    """What the settings of training and a family ask of an environment: the arguments of `environment`."""
    return str(training.get("numerics", "native")), family, str(training.get("device", "cpu"))


def environment(numerics: str = "native", family: str = "", device: str = "cpu") -> tuple[str, dict[str, Any]]:
    """Digest and parts of what changes numbers: torch, NumPy, BLAS, CPU level and maker, settings, what they compute.

    With `portable` numerics (see `tracker.numerics`) level and maker are left out: the probes alone say whether they matter.
    Where a variable steers NumPy or OpenBLAS, what it chooses is there; else that follows from the level and the maker. The
    packages that a `family` computes with besides are there for that family alone; a `device` by its chip and driver.

    `probe` is the digest of a small computation: it sees the effect of whatever steers arithmetic, variables of MKL and
    of the C library too, and stays the same where a variable changes nothing.
    """
    import numpy as np
    import torch

    parts = {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "blas": _blas(torch.__config__.show()),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "cpu_vendor": cpu()["vendor"],
        "threads": 1,
        "device": device_name(device) or f"{device}: none",
        "settings": settings(),
        "probe": probe(),
    }
    if numerics == "portable":
        parts = {name: part for name, part in parts.items() if name not in {"cpu_capability", "cpu_vendor"}}
        parts |= {"numerics": numerics, "numpy_probe": numpy_probe()}
    else:
        if any(os.environ.get(name) for name in NUMPY_STEERING):
            parts["numpy_features"] = numpy_features()
        if core := os.environ.get("OPENBLAS_CORETYPE"):
            parts["openblas_core"] = core
    if family in FAMILIES and FAMILIES[family].packages:
        parts["family_packages"] = {name: _version(name) for name in FAMILIES[family].packages}
    return digest("environment", parts), parts


def device_name(device: str) -> str | None:
    """What a device is: its chip, and what decides its numbers besides; None where there is none on this machine."""
    import torch

    if device == "cpu":
        return device
    if device == "mps":
        chip, system = cpu()["model"], platform.mac_ver()[0]
        return f"mps: {chip}, macOS {system}" if torch.backends.mps.is_available() else None
    if not torch.cuda.is_available():
        return None
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    versions = f"CUDA {torch.version.cuda}, cuDNN {cudnn}, driver {_nvidia_driver()}"
    return f"{device}: {torch.cuda.get_device_name()}, {versions}"


def _nvidia_driver() -> str:
    """The release of the kernel's driver; empty where the system does not tell it."""
    try:
        told = Path("/proc/driver/nvidia/version").read_text(errors="replace")
    except OSError:
        return ""
    found = re.search(r"\d+\.\d+(\.\d+)?", told)
    return found[0] if found else ""


def settings() -> dict[str, Any]:
    """What a process may have set in torch and what changes numbers there."""
    import torch

    return {
        "default_dtype": str(torch.get_default_dtype()),
        "denormals": "kept" if bool(torch.tensor([1e-39]).mul(0.5).gt(0).item()) else "flushed",
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "mkldnn": bool(torch.backends.mkldnn.enabled),
    }


def probe() -> str:
    """SHA-256 (hex) of products, sums and functions of fixed float32 numbers on one thread."""
    import numpy as np
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        words = np.random.SFC64(20260101).random_raw(2 * 136 * 136)
        a, b = torch.from_numpy((words / 2.0**63 - 1.0).astype(np.float32).reshape(2, 136, 136))
        products = [a[:m, :k] @ b[:k, :n] for m, k, n in ((136, 136, 136), (32, 64, 8), (8, 32, 128), (64, 16, 16))]
        batched = torch.bmm(a.view(-1, 8, 17 * 8), b.view(-1, 17 * 8, 8))
        curves = [torch.tanh(a), torch.sigmoid(a), torch.exp(a), torch.erf(a), torch.rsqrt(a.abs() + 0.1)]
        sums = [torch.log_softmax(a, 1), a.sum(0), a.square().mean(), torch.addcmul(a, a, b), torch.lerp(a, b, 0.1)]
        found = [*products, batched, *curves, *sums]
    finally:
        torch.set_num_threads(before)
    return digest_arrays({f"{place:02d}": tensor.numpy() for place, tensor in enumerate(found)})


def numpy_probe() -> str:
    """SHA-256 (hex) of functions of fixed float64 numbers, as NumPy computes them: samplers make proposals of these."""
    import numpy as np

    x = np.random.SFC64(20260101).random_raw(4099) / 2.0**62 + 1e-3
    found = [np.log(x), np.exp(x), np.log1p(x), np.expm1(x), np.power(x, 1.7), np.cbrt(x), np.log2(x), np.sqrt(x)]
    return digest_arrays({f"{place:02d}": values for place, values in enumerate(found)})


def numpy_features() -> list[str]:
    """The CPU features beyond its least that NumPy uses here."""
    from numpy._core import _multiarray_umath as core  # type: ignore[attr-defined]

    return [name for name in core.__cpu_dispatch__ if core.__cpu_features__.get(name)]


def libraries() -> dict[str, Any]:
    """How torch was built and how many threads it has; imports torch."""
    import torch

    return {
        "torch_build": hashlib.sha256(_without_cpu_usage(torch.__config__.show()).encode()).hexdigest(),
        "torch_commit": str(torch.version.git_version),
        "parallel": torch.__config__.parallel_info().partition("ATen parallel backend:")[2].strip().splitlines()[0],
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
    }


def _without_cpu_usage(config: str) -> str:
    """How torch was built, without the line on the kernels that it takes at present."""
    return "\n".join(line for line in config.splitlines() if "CPU capability usage" not in line)


def machine() -> dict[str, Any]:
    """CPU, operating system, interpreter and locale; imports nothing heavy."""
    return {
        "python": platform.python_version(),
        "python_build": f"{platform.python_implementation()} {platform.python_compiler()}",
        "packages": packages(),
        "platform": platform.platform(),
        "system": platform.system(),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()).strip(),
        "locale": locale.setlocale(locale.LC_ALL),
        "encoding": sys.getfilesystemencoding(),
        "cpu": cpu()["model"],
        "cpu_flags": cpu()["flags"].split(),
        "cpu_count": os.cpu_count(),
        "variables": variables(os.environ),
        "package": digest("source", source_files()),
        "sources": deciding_sources(),
    }


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that steer libraries, as they are set; nothing that may hold a secret or name a place."""
    watched = [name for name in sorted(environ) if WATCHED.fullmatch(name) and not PRIVATE.search(name)]
    return {name: environ[name] for name in watched if name not in SET_BY_LIBRARIES}


@cache
def source_files() -> dict[str, str]:
    """The digest of every source file of this package, by its place in it."""
    files = sorted(PACKAGE.rglob("*.py"))
    return {file.relative_to(PACKAGE).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def deciding_sources() -> dict[str, str]:
    """The digests, shortened, of the source files that have a part in what a trial computes, by their place."""
    return {name: found[:16] for name, found in source_files().items() if _decides(name)}


def _decides(name: str) -> bool:
    """Whether a source file has a part in what a trial computes."""
    return name.split("/", 1)[0] in DECIDING


def _blas(config: str) -> list[str]:
    """The libraries that torch computes with, as it was built: their release lines, in its words."""
    pattern = r"oneAPI Math Kernel Library|MKL-DNN|OpenBLAS|Accelerate|BLAS_INFO|LAPACK_INFO"
    lines = [re.sub(r"\s+", " ", line.strip(" -")) for line in config.splitlines() if re.search(pattern, line)]
    named = re.findall(r"(BLAS_INFO|LAPACK_INFO)=(\w+)", config)
    return [line for line in lines if "Build settings" not in line] + [f"{name}={value}" for name, value in named]


@cache
def cpu() -> Mapping[str, str]:
    """Maker, model and vector instructions of the CPU."""
    try:
        content = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:  # no such file on macOS, where the maker follows from the machine
        return {"vendor": platform.processor() or platform.machine(), "model": platform.processor(), "flags": ""}
    fields = dict(re.findall(r"^([^:\n\t]+?)\s*:\s*(.*)$", content, re.MULTILINE))
    vendor = fields.get("vendor_id") or fields.get("CPU implementer") or platform.machine()
    words = (fields.get("flags") or fields.get("Features") or "").split()
    flags = " ".join(sorted(word for word in words if CPU_FLAGS.fullmatch(word)))
    model = fields.get("model name") or fields.get("CPU part") or platform.machine()
    return {"vendor": vendor, "model": model, "flags": flags}


@cache
def packages() -> dict[str, str]:
    """The versions of the packages that have a part in results."""
    found = {name: _version(name) for name in PACKAGES}
    return {name: version for name, version in found.items() if version != ABSENT}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ABSENT
