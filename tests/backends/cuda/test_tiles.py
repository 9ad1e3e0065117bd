"""Products by tiles on the GPU, beyond what every device is tested for in ``test_conv2d.py`` and ``test_dense.py``."""

import numpy as np
import pytest

from numbacnn.errors import DeviceError
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


def test_rows_of_many_millions_take_a_low_tile_and_longer_ones_are_refused():
    """Offsets within a tile are int32. 127 rows of 16.9 million values, and 31 of 69 million, are what they reach."""
    from numbacnn.backends.cuda.tiled.dense import Layout, tile_of
    from numbacnn.backends.cuda.tiled.product import FEW_ROWS, MANY_ROWS, MOST_OFFSET

    def of(images, inputs, units=1):
        return tile_of(Layout(images, units, inputs, inputs, 1, 1, units))

    high, low = (MOST_OFFSET // (tiles[0].rows - 1) for tiles in (MANY_ROWS, FEW_ROWS))
    assert of(1000, high) in MANY_ROWS
    assert of(1000, high + 1) in FEW_ROWS
    assert of(1000, low) in FEW_ROWS
    assert of(1, MOST_OFFSET + 1) in FEW_ROWS  # a row alone reaches nowhere
    with pytest.raises(DeviceError, match=r"dense: expected the values of a tile within 2,147,483,647 of each other"):
        of(1000, low + 1)
    far = MOST_OFFSET // 3 + 1
    with pytest.raises(DeviceError, match="dense"):  # dx, whose right factor is the weights, turned
        tile_of(Layout(1, 1000, far, far, 1, far, 1))


def test_a_tile_of_half_the_height_is_taken_where_it_keeps_a_gpu_busier(monkeypatch):
    """What a multiprocessor computes at most: 2 tiles of 128 rows, or 3 of 64, of 154 and 307 on 132 of them."""
    from numbacnn.backends.cuda.tiled import product
    from numbacnn.backends.cuda.tiled.product import Tile, balanced_tile

    many, half = [Tile(128, 32, 8, 8, 4), Tile(128, 64, 8, 8, 8)], [Tile(64, 32, 8, 8, 4), Tile(64, 64, 8, 8, 8)]
    for name, value in (("MANY_ROWS", many), ("HALF_ROWS", half), ("FEW_ROWS", [Tile(32, 64, 8, 4, 8)])):
        monkeypatch.setattr(product, name, value)
    monkeypatch.setattr(product, "multiprocessors", lambda: 132)
    assert balanced_tile(19600, 64) == half[1]
    assert balanced_tile(19600, 30) == half[0]
    assert balanced_tile(78400, 32) == many[0]  # 613 and 1,225 blocks: 5 tiles, or 10 of half the height
    assert balanced_tile(8000 * 196, 64) == many[1]
    assert balanced_tile(128 * 132, 64) == many[1]  # every multiprocessor has one
    assert balanced_tile(128 * 66 + 1, 64, products=2) == half[1]
    assert balanced_tile(10, 64) == Tile(32, 64, 8, 4, 8)
    monkeypatch.setattr(product, "multiprocessors", lambda: 154)
    assert balanced_tile(19600, 64) == many[1]


def test_images_whose_values_are_beyond_the_offsets_of_a_tile_are_refused():
    from numbacnn.backends.cuda.tiled.conv2d import Images, farthest_in
    from numbacnn.backends.cuda.tiled.product import MOST_OFFSET, check_offsets

    assert farthest_in(Images(1000, 5000, 5000 * 3), 128, 5000 * 5000) == 2 * 5000 * 5000 * 3
    assert farthest_in(Images(1000, 5000, 5000 * 3), 128, 1) == 128 * 5000 * 5000 * 3
    assert farthest_in(Images(100, 5000, 5000), 128, 1) == 100 * 5000 * 5000
    assert farthest_in(Images(0, 5, 5), 128, 0) == 0
    check_offsets("conv2d", MOST_OFFSET)
    with pytest.raises(DeviceError, match=r"conv2d: expected .* got 2,147,483,648. Use --device cpu"):
        check_offsets("conv2d", MOST_OFFSET + 1)
