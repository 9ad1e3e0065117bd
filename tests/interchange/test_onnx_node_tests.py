"""ONNX's own tests of single operations, run by a backend: what is claimed passes, and of all others none gives a wrong answer."""

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the extra onnx: pip install 'numbacnn[onnx]'")

from numbacnn.errors import ModelError

sys.path.insert(0, str(Path(__file__).parent))
from backend import NumbaCNNBackend

sys.path.pop(0)

CLAIMED = """
averagepool_2d_ceil averagepool_2d_default averagepool_2d_pads averagepool_2d_pads_count_include_pad
averagepool_2d_precomputed_pads averagepool_2d_precomputed_pads_count_include_pad averagepool_2d_precomputed_same_upper
averagepool_2d_precomputed_strides averagepool_2d_same_lower averagepool_2d_same_upper averagepool_2d_strides
basic_conv_with_padding basic_conv_without_padding batchnorm_epsilon batchnorm_example clip_default_min conv_with_autopad_same
conv_with_strides_and_asymmetric_padding conv_with_strides_no_padding conv_with_strides_padding dropout_default
dropout_default_ratio dropout_random_old elu_default gemm_alpha gemm_beta gemm_default_no_bias gemm_default_scalar_bias
gemm_default_single_elem_vector_bias gemm_default_vector_bias gemm_default_zero_bias gemm_transposeB globalaveragepool
globalaveragepool_precomputed globalmaxpool globalmaxpool_precomputed hardswish leakyrelu leakyrelu_default matmul_2d
maxpool_2d_ceil maxpool_2d_ceil_output_size_reduce_by_one maxpool_2d_default maxpool_2d_pads maxpool_2d_precomputed_pads
maxpool_2d_precomputed_same_upper maxpool_2d_precomputed_strides maxpool_2d_same_lower maxpool_2d_same_upper maxpool_2d_strides
relu reshape_reduced_dims sigmoid softmax_example softmax_large_number tanh
""".split()  # noqa: SIM905  a list would take 50 lines
"""The names of ONNX's tests, each of one operation on one input that is a batch."""


@pytest.fixture(scope="module")
def cases() -> dict[str, Any]:
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the formulas in ONNX's tests
        found = {case.name.removeprefix("test_"): case for case in load_model_tests(kind="node")}
    if any(found[name].model is None for name in CLAIMED if name in found):
        pytest.skip("this version of onnx keeps its tests in files")
    return found


def test_every_node_test_that_is_claimed_passes(cases: dict[str, Any]) -> None:
    there = [name for name in CLAIMED if name in cases]
    assert len(there) >= 40  # a version of onnx may have renamed some
    for name in there:
        assert run(cases[name]), name


def test_no_node_test_that_is_not_claimed_gives_a_wrong_answer(cases: dict[str, Any]) -> None:
    """They are refused by a message, as their operation, their axes or their types are lacking."""
    words = """conv pool gemm matmul norm relu sigmoid tanh softmax flatten reshape clip dropout reduce_mean pad identity transpose cast
        squeeze add concat mul div sub sum shape swish""".split()  # noqa: SIM905
    others = [case for name, case in cases.items() if name not in CLAIMED and any(word in name for word in words)]
    refused = 0
    for case in others:
        try:
            if (
                not all(isinstance(value, np.ndarray) for inputs, _ in case.data_sets for value in inputs)
                or not case.model.graph.input
            ):
                continue
            assert run(case), case.name
        except ModelError:
            refused += 1
    assert refused > 100


def run(case: Any) -> bool:
    """Whether the backend gives what ONNX's test expects."""
    prepared = NumbaCNNBackend.prepare(case.model)
    for inputs, outputs in case.data_sets:
        results = prepared.run(inputs)
        for result, expected in zip(results, outputs, strict=True):
            if np.shape(result) != expected.shape or not np.allclose(result, expected, rtol=case.rtol, atol=max(case.atol, 1e-6)):
                return False
    return True


PYTORCH_CLAIMED = {
    "AvgPool2d", "AvgPool2d_stride", "BatchNorm2d_eval", "BatchNorm2d_momentum_eval", "Conv2d", "Conv2d_no_bias", "Conv2d_padding",
    "Conv2d_strided", "Linear", "Linear_no_bias", "MaxPool2d", "ReLU", "Sigmoid", "Softmax", "Tanh", "softmax_lastdim",
    "operator_conv", "operator_mm",
}  # fmt: skip
"""Files of old exports of PyTorch, which ONNX brings along."""


def test_files_that_pytorch_wrote_give_its_numbers_or_are_refused() -> None:
    import onnx
    from onnx import numpy_helper
    from onnx.backend.test.loader import load_model_tests

    passed = set()
    for case in [*load_model_tests(kind="pytorch-converted"), *load_model_tests(kind="pytorch-operator")]:
        folder = Path(case.model_dir or "")
        if not (folder / "model.onnx").exists():
            continue
        arrays: dict[str, list[Any]] = {"input": [], "output": []}
        for kind, found in arrays.items():
            for path in sorted((folder / "test_data_set_0").glob(f"{kind}_*.pb")):
                found.append(numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes())))
        try:
            results = NumbaCNNBackend.prepare(onnx.load(folder / "model.onnx")).run(arrays["input"])
        except ModelError:
            continue
        for result, expected in zip(results, arrays["output"], strict=True):
            np.testing.assert_allclose(result, expected, rtol=case.rtol, atol=1e-5, err_msg=case.name)
        passed.add(case.name.removeprefix("test_"))
    if not passed:
        pytest.skip("this version of onnx has no such files")
    assert passed >= PYTORCH_CLAIMED
