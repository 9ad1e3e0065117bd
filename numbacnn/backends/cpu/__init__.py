"""The kernels of the CPU, for which Numba is imported as ``environment`` does it."""

from numbacnn.backends.environment import import_numba

import_numba()
