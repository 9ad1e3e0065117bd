"""The house rules, checked on the source: who may import whom, and who may print."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = [
    {"numbacnn.errors", "numbacnn.shapes", "numbacnn.version"},
    {"numbacnn.ops"},
    {"numbacnn.layers"},
    {"numbacnn.graph", "numbacnn.plan", "numbacnn.summary", "numbacnn.config", "numbacnn.models", "numbacnn.files"},
    {"numbacnn.backends"},
    {"numbacnn.datasets"},
    {"numbacnn.network", "numbacnn.initializers", "numbacnn.optimizers", "numbacnn.schedules", "numbacnn.metrics"},
    {"numbacnn.training", "numbacnn.checkpoint"},
    {"numbacnn.functional", "numbacnn", "numbacnn_cli"},
]
PURE_PYTHON_FLOORS = 4
"""The lowest floors: what `shapes` and a bare import need. They import neither numpy nor numba."""


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    if parts[0] == "cli":
        parts[0] = "numbacnn_cli"
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for folder in ("numbacnn", "cli") for path in sorted((ROOT / folder).rglob("*.py"))}


def floor(module: str) -> int:
    names = [module, ".".join(module.split(".")[:2]), module.split(".")[0]]
    for name in names if module != "numbacnn" else names[:1]:
        for level, members in enumerate(FLOORS):
            if name in members and (name != "numbacnn" or module == "numbacnn"):
                return level
    raise AssertionError(f"{module} has no floor: give it one in FLOORS")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, wherever in the file; ``from package import module`` counts as the module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in SOURCES else node.module for alias in node.names
            }
    return found


@pytest.mark.parametrize("module", SOURCES)
def test_a_module_imports_only_from_its_own_floor_and_those_below(module: str) -> None:
    for other in imported(SOURCES[module]):
        if other.split(".")[0] in ("numbacnn", "numbacnn_cli"):
            assert floor(other) <= floor(module), f"{module} imports {other}, which stands above it"


@pytest.mark.parametrize("module", SOURCES)
def test_numba_is_imported_in_backends_only(module: str) -> None:
    roots = {name.split(".")[0] for name in imported(SOURCES[module])}
    assert module.startswith("numbacnn.backends") or not roots & {"numba", "llvmlite"}


@pytest.mark.parametrize("module", SOURCES)
def test_only_the_command_line_prints(module: str) -> None:
    if module.startswith("numbacnn_cli"):
        return
    tree = ast.parse(SOURCES[module].read_text(encoding="utf-8"))
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert "print" not in calls
    assert not {name.split(".")[0] for name in imported(SOURCES[module])} & {"rich", "click"}


@pytest.mark.parametrize("module", [name for name in SOURCES if name != "numbacnn" and floor(name) < PURE_PYTHON_FLOORS])
def test_the_lowest_floors_do_without_numpy(module: str) -> None:
    assert not {name.split(".")[0] for name in imported(SOURCES[module])} & {"numpy", "PIL", "safetensors"}


def test_devices_are_chosen_by_the_entry_points_alone() -> None:
    callers = {module for module, path in SOURCES.items() if "get_ops(" in path.read_text(encoding="utf-8")}
    assert all(
        floor(module) == len(FLOORS) - 1 or module.startswith("numbacnn.backends") for module in callers - {"numbacnn.training"}
    )


def test_nothing_is_installed_under_the_name_cli() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'package-dir = { numbacnn_cli = "cli" }' in text
    assert '"cli",' not in text


def test_every_package_of_the_tree_is_installed() -> None:
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])
    assert listed == {name for name, path in SOURCES.items() if path.name == "__init__.py"}


def test_the_cpu_backend_has_every_op_with_the_signature_of_the_contract() -> None:
    import inspect

    from numbacnn.backends.cpu.ops import CpuOps
    from numbacnn.ops import Ops

    for name in Ops.__abstractmethods__:
        assert inspect.signature(getattr(CpuOps, name)) == inspect.signature(getattr(Ops, name)), name
        assert (getattr(Ops, name).__doc__ or "").strip(), f"{name} has no docstring"
