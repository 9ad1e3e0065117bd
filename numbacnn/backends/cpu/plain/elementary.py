"""The functions of ``numbacnn.elementary`` for kernels: the same steps, and so the same bits, as in Python.

They take any float and return float64; a kernel rounds the result to the type of its arrays.
"""

import numpy as np
from numba.extending import overload

from numbacnn import elementary
from numbacnn.backends.cpu._jit import kernel, shared


@overload(elementary.power_of_two)
def _power_of_two(shifted):
    """``elementary.power_of_two`` without a call: the exponent's bits are the last bits of ``shifted``."""
    return lambda shifted: np.int64((np.float64(shifted).view(np.int64) + 1023) << 52).view(np.float64)


for _part in (
    elementary.exp,
    elementary.expm1,
    elementary.expm1_over_x,
    elementary.cosine_of_turns,
    elementary.cosine_of_turns_near_zero,
):
    shared(_part)

# A kernel has no fast maths: a fused product would round once where Python rounds twice.
_exact = kernel(inline=True)
exp, expm1, tanh, log = map(_exact, (elementary.exp, elementary.expm1, elementary.tanh, elementary.log))
cosine_of_turns, sine_of_turns = map(_exact, (elementary.cosine_of_turns, elementary.sine_of_turns))
