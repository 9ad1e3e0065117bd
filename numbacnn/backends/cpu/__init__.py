"""The kernels of the CPU, for which Numba is imported as ``environment`` does it, and told what to compile for."""

from numbacnn.backends.processor import settle

settle()
