"""Files that cannot be imported: one message that says all, no traceback, no memory, no other file opened."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs the extra onnx: pip install 'numbacnn[onnx]'")

from onnx import TensorProto, helper  # noqa: E402
from onnx_graphs import Builder, vgg16  # noqa: E402

from numbacnn.errors import ModelError  # noqa: E402
from numbacnn.onnx import from_model, import_network  # noqa: E402


def small() -> tuple[Builder, str]:
    b = Builder()
    return b, b.dense(b("Flatten", b("Relu", b.conv("x", 2, 3))), 36, 4)


def refused(model: Any) -> str:
    with pytest.raises(ModelError) as caught:
        from_model(model, "net.onnx")
    assert str(caught.value).startswith("net.onnx: ")
    return str(caught.value)


def test_everything_that_is_lacking_is_named_at_once_with_its_nodes() -> None:
    b = Builder()
    x = b("Celu", b.conv("x", 2, 4, 3, dilations=[2, 2], alpha=3.0))
    x = b("Selu", b.conv(b("Clip", x, b.array(-1.0), b.array(1.0)), 4, 4, 1))
    x = b("Celu", b("AveragePool", x, kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=2))
    message = refused(b.model(x, (2, 9, 9)))
    for part in ("Celu: celu_1, celu_6", "Selu: selu_4", "Conv with alpha: conv_0", "Clip to -1...1: clip_2"):
        assert f"\n  {part}" in message
    others = ("Conv with dilations: conv_0", "AveragePool with count_include_pad: averagepool_5")
    assert message.count("\n") == 4 + sum(f"\n  {part}" in message for part in others)
    b = Builder()
    x = b("Clip", b.conv("x", 2, 4), b.array(-1.0), b.array(1.0))
    x = b("Mul", x, b("Softmax", x, axis=2))
    message = refused(b.model(b("Reshape", x, b.array([3, -1], np.int64)), (2, 9, 9)))
    assert "\n  Clip to -1...1: clip_1" in message
    assert "\n  Softmax over another axis than the channels: softmax_2" in message


def test_a_version_that_is_too_new_or_too_old_is_one_message() -> None:
    b, y = small()
    assert "expected an IR version of at most 14 and an opset from 6 to 28, got 8 and 99" in refused(
        b.model(y, (2, 6, 5), opset=99)
    )
    assert "got 8 and 5" in refused(b.model(y, (2, 6, 5), opset=5))
    assert "got 1000 and 17" in refused(b.model(y, (2, 6, 5), ir=1000))


def test_arrays_in_another_file_are_not_read(tmp_path: Path) -> None:
    b, y = small()
    model = b.model(y, (2, 6, 5))
    array = model.graph.initializer[0]
    array.ClearField("raw_data")
    array.data_location = TensorProto.EXTERNAL
    array.external_data.add(key="location", value="../../etc/passwd")
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        ModelError, match=r"net\.onnx: w0: expected its arrays within the file, got a path of another file, which is never"
    ):
        import_network(path)


def test_sides_larger_than_the_values_there_are_refused_before_memory_is_taken() -> None:
    for dims in ([2**40, 2**40], [-1, 4], [10**9], [1] * 40):
        b, y = small()
        model = b.model(y, (2, 6, 5))
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(dims)
        message = refused(model)
        assert "expected" in message
        assert len(message) < 400
    b, y = small()
    assert "sides from 1 to 10,000,000" in refused(b.model(y, (2, 10**12, 5)))
    assert "sides from 1 to 10,000,000" in refused(b.model(y, (2, 0, 5)))


def test_constants_that_grow_are_refused_before_memory_is_taken() -> None:
    b = Builder()
    large = b("ConstantOfShape", b.array([10**6, 10**6], np.int64))
    assert "constants of a size that its arrays explain" in refused(b.model(b("MatMul", "x", large), (10**6,)))
    b = Builder()
    column, row = b.array(np.ones((3000, 1))), b.array(np.ones((1, 3000)))
    assert "constants of a size that its arrays explain" in refused(b.model(b("MatMul", "x", b("Mul", column, row)), (3000,)))
    b = Builder()
    assert "constants of a size that its arrays explain" in refused(b.model(b("Add", "x", b.array(1.0)), (10**7, 10, 10)))


def test_a_graph_with_a_cycle_or_out_of_order_is_refused() -> None:
    b = Builder()
    b.nodes.append(helper.make_node("Relu", ["late"], ["early"], "first"))
    b.nodes.append(helper.make_node("Add", ["early", "x"], ["late"], "second"))
    assert "first: expected inputs that earlier nodes make, got 'late'" in refused(b.model("late", (2, 6, 5)))
    b.nodes[0] = helper.make_node("Relu", ["early"], ["early"], "own")
    assert "cycle" in refused(b.model("late", (2, 6, 5)))


def test_arrays_and_outputs_that_are_missing_or_there_twice_are_refused() -> None:
    b, y = small()
    model = b.model(y, (2, 6, 5))
    del model.graph.initializer[0]
    assert "w0" in refused(model)
    b, y = small()
    model = b.model(y, (2, 6, 5))
    model.graph.initializer.append(model.graph.initializer[0])
    assert "expected one array of this name, got two" in refused(model)
    b, y = small()
    b.nodes.append(b.nodes[0])
    assert "expected one node that makes it, got two" in refused(b.model(y, (2, 6, 5)))
    b, y = small()
    assert "nowhere" in refused(b.model("nowhere", (2, 6, 5)))
    b, y = small()
    assert "expected fixed height, width and channels" in refused(b.model(y, (2, "height", 5)))


def test_weights_that_are_not_finite_or_do_not_fit_are_refused() -> None:
    b = Builder()
    assert "expected finite numbers" in refused(b.model(b("MatMul", "x", b.array([[np.nan]])), (1,)))
    b = Builder()
    assert "MatMul of a vector of 3 numbers by weights of shape (4, 2)" in refused(
        b.model(b("MatMul", "x", b.normal(4, 2)), (3,))
    )
    b = Builder()
    assert "conv_0" in refused(b.model(b.conv("x", 3, 4), (2, 6, 5)))


def test_a_file_cut_anywhere_or_with_any_byte_changed_is_refused_or_read(tmp_path: Path) -> None:
    content = vgg16(width=1, side=32, hidden=4).SerializeToString()
    path, random = tmp_path / "net.onnx", np.random.default_rng(0)
    for case in range(60):
        damaged = bytearray(content)
        if case % 3 == 0:
            damaged = damaged[: int(random.integers(len(content)))]
        else:  # the first bytes of the file are its structure
            for place in random.integers(0, len(content) if case % 3 == 1 else 3000, 3):
                damaged[place] = int(random.integers(256))
        path.write_bytes(damaged)
        with contextlib.suppress(ModelError):
            import_network(path)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read: expected a file, got a folder"):
        import_network(tmp_path)
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        import_network(tmp_path / "none.onnx")
    for content in (b"", b"PK\x03\x04 not this", b"\x0a" * 100):
        (tmp_path / "net.onnx").write_bytes(content)
        with pytest.raises(ModelError, match=r"expected an ONNX model|not an ONNX file"):
            import_network(tmp_path / "net.onnx")


def test_a_network_without_classes_is_refused_as_a_trained_one(tmp_path: Path) -> None:
    b = Builder()
    (tmp_path / "net.onnx").write_bytes(b.model(b.conv("x", 2, 3), (2, 6, 5)).SerializeToString())
    with pytest.raises(ModelError, match=r"expected a network with a number for each class, got an output of shape \(4, 3, 3\)"):
        import_network(tmp_path / "net.onnx")
