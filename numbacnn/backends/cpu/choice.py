"""Which way to convolve: a function of shapes alone, never of a measurement, since another way gives other last bits."""

from numbacnn.backends.cpu.frequency import lengths, point_count
from numbacnn.shapes import Window2D


def choose(count: int, window: Window2D, channels: int, maps: int) -> str:
    """``"direct"`` or ``"frequency"``."""
    rows, columns = window
    if rows.stride > 1 or columns.stride > 1 or count < 8 or channels < 8 or rows.kernel * columns.kernel < 9:
        return "direct"
    if lengths(window) is None:
        return "direct"
    points = point_count(*lengths(window))
    if points * 4 > 0.2 * rows.out * columns.out * rows.kernel * columns.kernel:
        return "direct"
    return "frequency"
