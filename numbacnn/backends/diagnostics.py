"""The report of ``numbacnn doctor`` on this machine, as plain values."""

import importlib.metadata
import os
import platform
import re
from typing import Any

from numbacnn.backends import environment, get_ops, gpu, processor, threads, why_not_cuda
from numbacnn.backends.kernel_cache import CacheFolder, failure_to_save
from numbacnn.errors import DeviceError
from numbacnn.version import __version__

PACKAGES = (
    "numba",
    "llvmlite",
    "numpy",
    "click",
    "rich",
    "pillow",
    "requests",
    "platformdirs",
    "safetensors",
    "numba-cuda",
    "torch",
)
CUDA_PACKAGES = r"cuda-(bindings|toolkit)|nvidia-(nvvm|nvjitlink|cuda-(nvcc|nvrtc|runtime|cccl))(-cu\d+)?"
"""Names of the packages that compile kernels and call the driver."""
VECTOR_FEATURES = ("sse4.2", "avx", "fma", "avx2", "avx512f", "avx512bw", "neon", "sve")


def report() -> dict[str, Any]:
    """Versions, processor, environment variables, threads, kernel cache and CUDA."""
    variables = environment.variables()  # before the number of threads is added
    used = _threads()  # limits the number of threads, before anything else imports Numba
    return {
        "numbacnn": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES if _version(name)},
        "cpu": _cpu(),
        "environment": {"variables": variables, "problems": list(environment.problems())},
        "threads": used,
        "kernel_cache": _kernel_cache(),
        "cuda": _cuda(),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu() -> dict[str, Any]:
    from llvmlite import binding

    features = binding.get_host_cpu_features()
    return {
        "name": os.environ.get("NUMBA_CPU_NAME") or binding.get_host_cpu_name(),
        "compiled_for": processor.settle()._asdict(),
        "features": [feature for feature in VECTOR_FEATURES if features.get(feature)],
        "processors": os.cpu_count(),
    }


def _threads() -> dict[str, Any]:
    """The threading layer is known once a parallel kernel has run."""
    import numpy as np

    try:
        ops = get_ops("cpu")
        ops.relu(np.zeros(1, np.float32))
    except DeviceError as error:
        return {"error": str(error)}
    import numba

    from numbacnn.backends.places import Places

    layer = numba.threading_layer()
    hint = None
    if layer == "workqueue":
        hint = "workqueue is slow for small networks: install the OpenMP runtime (libgomp1 on Debian and Ubuntu)"
    return {
        "used": numba.get_num_threads(),
        "available": threads.available(),
        "own_processors": Places(numba.get_num_threads()).can_bind,
        "cgroup_quota": threads.cgroup_quota(),
        "layer": layer,
        "hint": hint,
    }


def _kernel_cache() -> dict[str, Any]:
    from numbacnn.backends.cpu._jit import SOURCES
    from numbacnn.backends.kernel_cache import cache_folder
    from numbacnn.backends.packaged_kernels import packaged_report

    return _folder_facts(cache_folder(SOURCES)) | {"packs": packaged_report()}


def _folder_facts(folder: CacheFolder) -> dict[str, Any]:
    """A folder of compiled kernels, and why it is not used, or no longer."""
    kernels, failure = folder.kernels(), failure_to_save()
    remedy = "set NUMBA_CACHE_DIR to a folder of your own that nobody else can write to (chmod 700)"
    hint = None
    if folder.problem:
        hint = f"not used, kernels are compiled anew in every run: {folder.problem}; {remedy}"
    elif failure:
        hint = f"{folder.path}: {failure}; make room there, or set NUMBA_CACHE_DIR"
    return {
        "folder": str(folder.path) if folder.path else None,
        "writable": hint is None,
        "kernels": len(kernels),
        "bytes": sum(path.stat().st_size for path in kernels),
        "hint": hint,
    }


def _cuda() -> dict[str, Any]:
    """Whether the GPU can be used, the missing part if not, and whether packages of several CUDA versions are mixed."""
    from numbacnn.backends.cuda import _jit

    missing = why_not_cuda()
    packages = _cuda_packages()
    generations = {_generation(name, version) for name, version in packages.items()}
    return {
        "usable": missing is None,
        "why_not": f"not usable: {missing}" if missing else None,
        "simulator": _jit.SIMULATED,
        "gpu": None if missing or _jit.SIMULATED else gpu()._asdict(),
        "packages": packages,
        "mixed": len(generations) > 1,
        "checked": None if missing or _jit.SIMULATED else _has_passed(),
        "numpy_shim": _jit.NUMPY_SHIM,
        "kernel_cache": None if _jit.SIMULATED or _jit.missing_package() else _folder_facts(_jit.kernels_folder()),
    }


def _has_passed() -> bool:
    from numbacnn.backends.cuda import self_check

    return self_check.has_passed()


def _cuda_packages() -> dict[str, str]:
    found = {str(package.name).lower(): package.version for package in importlib.metadata.distributions() if package.name}
    return {name: found[name] for name in sorted(found) if re.fullmatch(CUDA_PACKAGES, name)}


def _generation(name: str, version: str) -> str:
    """The CUDA version of a package, from its name (nvidia-nvjitlink-cu12) or else its version."""
    _, named, generation = name.rpartition("-cu")
    return generation if named and generation.isdigit() else version.split(".")[0]
