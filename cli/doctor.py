"""``numbacnn doctor``: the facts for a bug report."""

from typing import Any

import click

from numbacnn.quoting import counted

from . import options
from .console import print_json, stdout
from .tables import size


@click.command()
@options.reporting
def doctor(output_format: str) -> None:
    """Report on this machine: versions, processor, variables, threads, kernel cache, CUDA.

    Example: numbacnn doctor
    """
    from numbacnn.backends.diagnostics import report

    facts = report()
    if output_format == "json":
        print_json(facts)
        return
    console = stdout()
    for name, value in _lines(facts):
        console.print_wrapped(f"{name:<14}{value}", indent=" " * 14)


def _lines(facts: dict[str, Any]) -> list[tuple[str, str]]:
    cpu, threads, cache = facts["cpu"], facts["threads"], facts["kernel_cache"]
    lines = [
        ("numbacnn", f"{facts['numbacnn']} on Python {facts['python']}, {facts['platform']}"),
        ("packages", ", ".join(f"{name} {version}" for name, version in facts["packages"].items())),
        (
            "processor",
            f"{cpu['name']}, {counted(cpu['processors'], 'processor')}, vectors: {', '.join(cpu['features']) or 'none'}",
        ),
        ("", f"kernels are compiled for {cpu['compiled_for']['name']}, {cpu['compiled_for']['reason']}"),
    ]
    lines += _environment_lines(**facts["environment"])
    if threads.get("error") in facts["environment"]["problems"]:
        lines.append(("threads", "none: no kernel can run in this environment"))
    elif "error" in threads:
        lines.append(("threads", threads["error"]))
    else:
        quota = "no container limit" if threads["cgroup_quota"] is None else f"container limit {threads['cgroup_quota']:g}"
        lines.append(("threads", f"{threads['used']} of {threads['available']} available ({quota}), layer {threads['layer']}"))
        places = "each on a processor of its own" if threads["own_processors"] else "where the system puts them"
        lines.append(("", f"{places}; fewer while that is measured to be faster, unless --threads says how many"))
    if threads.get("hint"):
        lines.append(("", threads["hint"]))
    lines.append(("kernel cache", _cache_line(cache)))
    lines += _pack_lines(cache["packs"], cpu["compiled_for"]["name"])
    return lines + _cuda_lines(facts["cuda"])


def _cache_line(cache: dict[str, Any]) -> str:
    if cache["hint"]:
        return str(cache["hint"])
    return f"{cache['folder']}: {counted(cache['kernels'], 'kernel')}, {size(cache['bytes'])}, writable"


def _pack_lines(packs: list[dict[str, Any]], chosen: str) -> list[tuple[str, str]]:
    lines = []
    for index, pack in enumerate(packs):
        if pack["problem"]:
            state = f"not used: {pack['problem']}"
        elif pack["processor"] == chosen:
            state = f"{counted(pack['kernels'], 'kernel')} for {chosen}, fits"
        else:
            state = f"{counted(pack['kernels'], 'kernel')} for {pack['processor']}, fits: --processor {pack['processor']} uses it"
        lines.append(("" if index else "kernel packs", f"{pack['name']}: {state}"))
    return lines


def _environment_lines(variables: dict[str, str], problems: list[str]) -> list[tuple[str, str]]:
    values = ", ".join(f"{name}={value}" for name, value in variables.items())
    return [("" if index else "environment", line) for index, line in enumerate([*filter(None, [values]), *problems])]


def _cuda_lines(cuda: dict[str, Any]) -> list[tuple[str, str]]:
    if cuda["simulator"]:
        lines = ["Numba's simulator, as NUMBA_ENABLE_CUDASIM is set: kernels run in Python, thread by thread"]
    elif gpu := cuda["gpu"]:
        memory = f"{size(gpu['memory'])}, {size(gpu['memory_free'])} of it free"
        lines = [f"{gpu['name']}, compute capability {gpu['compute_capability']}, {memory}, driver {gpu['driver']}"]
        lines.append("it has been checked against the CPU" if cuda["checked"] else "its first use will check it against the CPU")
    else:
        lines = [cuda["why_not"]]
    if cuda["packages"]:
        lines.append(", ".join(f"{name} {version}" for name, version in cuda["packages"].items()))
    if cache := cuda["kernel_cache"]:
        lines.append(f"its kernel cache: {_cache_line(cache)}")
    if cuda["mixed"]:
        lines.append("packages of more than one CUDA: if kernels do not compile, use a fresh environment")
    if cuda["numpy_shim"]:
        lines.append("NumPy 2.5 or later: the name that numba-cuda misses in it is put back")
    return [("" if index else "cuda", line) for index, line in enumerate(lines)]
