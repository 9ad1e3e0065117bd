"""Products by tiles on the GPU, beyond what every device is tested for in ``test_conv2d.py`` and ``test_dense.py``."""

import numpy as np
import pytest

from numbacnn.shapes import pool_window2d, window2d
from numbacnn.values import ConvBlock

pytestmark = pytest.mark.devices("cuda")


def test_the_winners_of_a_fused_pooling_are_the_first_of_equals(device):
    window = window2d((2, 8), (1, 1), (1, 1), "valid")
    block = ConvBlock(window, True, pool_window2d(window.out, (2, 2), (2, 2), "valid"))
    nan = np.nan
    x = np.array([[5, 1, 2, 7, 1, nan, -1, -1], [5, 5, 7, 7, nan, 9, -1, -1]], np.float32).reshape(1, 2, 8, 1)

    def winners(x, kernel):
        return device.ops.conv2d_block(x, kernel, None, block)[1][2]

    assert device.run(winners, x, np.ones((1, 1, 1, 1), np.float32)).ravel().tolist() == [0, 1, 1, 0]


def test_which_poolings_are_fused(device):
    def fused(size, strides, padding="valid"):
        return device.ops.can_fuse(pool_window2d((9, 9), size, strides, padding))

    assert fused((2, 2), (2, 2))
    assert fused((1, 2), (1, 2))
    assert fused((4, 1), (5, 3))
    assert not fused((2, 2), (1, 2))  # windows overlap
    assert not fused((2, 2), (2, 2), "same")  # padding
    assert not fused((3, 3), (3, 3))  # a thread's rows do not hold whole windows
    assert not fused((1, 1), (2, 2))


def test_a_long_sum_is_cut_into_parts_by_its_shape_alone(device):
    from numbacnn.backends.cuda.tiled.product import MANY_ROWS, TILES, grid_of

    for tile in TILES:
        for terms in range(3 * tile.depth + 40):
            (down, across, parts), each = grid_of(tile, 5, 3, terms)
            assert (down, across) == (-(-5 // tile.rows), -(-3 // tile.columns))
            assert each % tile.depth == 0
            assert (parts - 1) * each < max(terms, 1) <= parts * each
    assert grid_of(MANY_ROWS[0], 0, 9, 50)[0][0] == 0
