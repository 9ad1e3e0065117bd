"""The rules of docs/architecture.md, checked on the source: which module may import which, and which may print."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from repository import ROOT

FLOORS = [
    {
        "numbacnn.dataset_names",
        "numbacnn.elementary",
        "numbacnn.errors",
        "numbacnn.groups",
        "numbacnn.picture_forms",
        "numbacnn.plain_numbers",
        "numbacnn.quoting",
        "numbacnn.shapes",
        "numbacnn.spelling",
        "numbacnn.spread",
        "numbacnn.version",
    },
    {"numbacnn.normalisation", "numbacnn.values", "numbacnn.ops", "numbacnn.ranks"},
    {"numbacnn.layers"},
    {
        "numbacnn.graph",
        "numbacnn.plan",
        "numbacnn.summary",
        "numbacnn.config",
        "numbacnn.models",
        "numbacnn.optimizers",
        "numbacnn.receptive",
        "numbacnn.recipe",
        "numbacnn.remarks",
        "numbacnn.diagram",
        "numbacnn.schedules",
        "numbacnn.files",
        "numbacnn.memory",
        "numbacnn.reading",
    },
    {"numbacnn.backends", "numbacnn.engines"},
    {"numbacnn.datasets", "numbacnn.pictures", "numbacnn.random_numbers"},
    {
        "numbacnn.network",
        "numbacnn.features",
        "numbacnn.dead_maps",
        "numbacnn.doubts",
        "numbacnn.finite",
        "numbacnn.inspection",
        "numbacnn.prediction",
        "numbacnn.initializers",
        "numbacnn.likeness",
        "numbacnn.metrics",
        "numbacnn.plotting",
    },
    {"numbacnn.training", "numbacnn.checkpoint", "numbacnn.safetensors_writer"},
    {
        "numbacnn.functional",
        "numbacnn.bench",
        "numbacnn.filter_frames",
        "numbacnn.fitting",
        "numbacnn.lecture",
        "numbacnn.net",
        "numbacnn.export",
        "numbacnn.keras",
        "numbacnn.onnx",
        "numbacnn.play",
        "numbacnn.sklearn",
        "numbacnn",
        "numbacnn.__main__",
        "numbacnn_cli",
    },
]
PURE_PYTHON_FLOORS = 4
"""The number of floors, from the lowest, that import neither numpy nor numba: `shapes` and a bare import need no others."""


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
    """Every module that a file imports, at its top or within a function; ``from package import module`` counts as the module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module_name(path.parents[node.level - 1] / "__init__.py") if node.level else ""
            source = ".".join(filter(None, (package, node.module)))
            found |= {f"{source}.{alias.name}" if f"{source}.{alias.name}" in SOURCES else source for alias in node.names}
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
def test_the_lowest_floors_do_not_import_numpy(module: str) -> None:
    assert not {name.split(".")[0] for name in imported(SOURCES[module])} & {"numpy", "PIL", "safetensors"}


def test_only_entry_points_choose_a_device() -> None:
    callers = {module for module, path in SOURCES.items() if "get_ops(" in path.read_text(encoding="utf-8")}
    assert all(
        floor(module) == len(FLOORS) - 1 or module.startswith("numbacnn.backends") for module in callers - {"numbacnn.training"}
    )


def test_functional_computes_by_the_readable_kernels_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    from numbacnn import functional
    from numbacnn.backends import get_ops

    used: list[str] = []

    def recorded(*args: Any, **options: Any) -> Any:
        ops = get_ops(*args, **options)
        used.append(type(ops).__name__)
        return ops

    monkeypatch.setattr(functional, "get_ops", recorded)
    assert functional.dense(np.ones((1, 2), np.float32), np.ones((2, 1), np.float32)).item() == 2
    assert functional.conv2d(np.ones((1, 2, 2, 1), np.float32), np.ones((2, 2, 1, 1), np.float32)).item() == 4
    assert used == ["PlainOps", "PlainOps"]


@pytest.mark.parametrize("module", SOURCES)
def test_no_message_advises_to_delete_a_file(module: str) -> None:
    """The file may be the only copy of something: a message says to move it, or how to go on without it."""
    texts = [
        node.value for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))) if isinstance(node, ast.Constant)
    ]
    assert not [text for text in texts if isinstance(text, str) and re.search(r"\b([Dd]elete|Remove) (it|them|the file)\b", text)]


@pytest.mark.parametrize("module", SOURCES)
def test_imports_are_relative_within_the_command_line_and_nowhere_else(module: str) -> None:
    """Type checkers see the folder as ``cli``; installed, it is ``numbacnn_cli``."""
    nodes = [
        node for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)
    ]
    if module.startswith("numbacnn_cli"):
        assert not [node.module for node in nodes if (node.module or "").startswith("numbacnn_cli")]
    else:
        assert not [node.module for node in nodes if node.level]


DEVICES = {"cpu": "CpuOps", "cuda": "CudaOps"}


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_has_every_op_with_the_signature_of_the_contract(device: str) -> None:
    import importlib
    import inspect

    from numbacnn.ops import Ops

    if device == "cuda":
        from numbacnn.backends.cuda._jit import missing_package

        if missing := missing_package():
            pytest.skip(str(missing))
    own = getattr(importlib.import_module(f"numbacnn.backends.{device}.ops"), DEVICES[device])
    assert not own.__abstractmethods__
    for name, op in vars(Ops).items():
        if inspect.isfunction(op) and not name.startswith("_"):
            assert inspect.signature(getattr(own, name)) == inspect.signature(op), name
            assert (op.__doc__ or "").strip(), f"{name} has no docstring"
    public = {name for name, op in vars(own).items() if inspect.isfunction(op) and not name.startswith("_")}
    assert public <= vars(Ops).keys(), "layers could come to depend on a method of one device"


NO_TWIN = {
    "plain/elementary": "a GPU has functions of its own",
    "plain/ops": "the readable kernels of the GPU are no device of their own",
    "plain/dense": "a GPU's dense layer is a product of tiles; the oracle of its tests is NumPy's",
    "plain/matmul": "a thread takes a sum by itself, where a CPU's loops are cut for its vectors",
    "plain/geometry": "a thread must find its cell by itself, where a CPU loops over them",
}
"""Files of one device's ``plain`` folder without a twin in the other's, and the reason."""


def test_every_readable_kernel_has_a_twin_on_the_other_device() -> None:
    cpu, cuda = (
        {f"plain/{path.stem}" for path in (ROOT / "numbacnn" / "backends" / device / "plain").glob("*.py")} for device in DEVICES
    )
    assert cuda ^ cpu == NO_TWIN.keys()


@pytest.mark.parametrize("module", [name for name in SOURCES if name.startswith("numbacnn.backends.cuda.")])
def test_one_file_imports_numba_cuda(module: str) -> None:
    """Another compiler would change this file alone."""
    assert module == "numbacnn.backends.cuda._jit" or not {name.split(".")[0] for name in imported(SOURCES[module])} & {
        "numba", "llvmlite", "cuda",
    }  # fmt: skip


def test_the_cuda_device_is_imported_only_once_it_is_chosen() -> None:
    """No file outside of it imports it at its top: ``--device cpu`` must not pay for it."""
    for module, path in SOURCES.items():
        if not module.startswith("numbacnn.backends.cuda"):
            tops = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
            assert not [node.module for node in tops if node.module and node.module.startswith("numbacnn.backends.cuda")], module
