"""Benchmarks that ``numbacnn bench`` prints: the same work in several ways, each checked against the formula before it is timed.

>>> from numbacnn import bench, models
>>> report = bench.compare_kernels(bench.convolution(models.preset("cnn").graph, "conv2"))
"""

from numbacnn.bench.kernels import KernelReport, WayResult, compare_kernels
from numbacnn.bench.problem import Convolution, convolution

__all__ = ["Convolution", "KernelReport", "WayResult", "compare_kernels", "convolution"]
