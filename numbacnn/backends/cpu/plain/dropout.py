"""Dropout on the CPU, without a generator or a stored mask: a hash of the value's index decides.

y[i] = 0 if hash(seed, step, layer, i) / 2^32 < rate else x[i] / (1 - rate)
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.arena import arena


@kernel(inline=True)
def mix(h):
    """Scatter 32 bits over 32 bits: a bijection in which every input bit reaches every output bit.

    Source: Wellons 2018, "Prospecting for Hash Functions" (the lowbias32 constants).
    """
    h = np.uint32(h ^ (h >> np.uint32(16)))
    h = np.uint32(h * np.uint32(0x7FEB352D))
    h = np.uint32(h ^ (h >> np.uint32(15)))
    h = np.uint32(h * np.uint32(0x846CA68B))
    return np.uint32(h ^ (h >> np.uint32(16)))


@kernel(inline=True)
def stream_key(seed, step, stream):
    """One hash of three numbers, the start of all draws of one layer (or of augmentation) in one step."""
    return mix(np.uint32(mix(np.uint32(mix(np.uint32(seed)) ^ np.uint32(step))) ^ np.uint32(stream)))


def dropout(x, rate, key):
    """See ``Ops.dropout``; the key's numbers are taken modulo 2^32."""
    y = arena.like(x)
    first = key.first * (x.size // max(len(x), 1))
    _dropout(x.reshape(-1), rate, key.seed % 2**32, key.step % 2**32, key.layer % 2**32, first, y.reshape(-1))
    return y


@kernel(parallel=True)
def _dropout(x, rate, seed, step, layer, first, y):
    key = stream_key(seed, step, layer)
    threshold = np.uint32(min(rate * 4294967296.0, 4294967295.0))
    zero, scale = x.dtype.type(0), x.dtype.type(1.0 / (1.0 - rate))
    for i in prange(x.size):
        y[i] = zero if mix(np.uint32(mix(np.uint32(first + i)) ^ key)) < threshold else x[i] * scale
