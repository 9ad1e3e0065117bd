"""Dropout on the GPU: no generator and no stored mask, but a hash of the cell's position, bit for bit that of the CPU.

The hash has 32 bits. It is written with wider integers and a mask, since the simulator's integers have no width.
"""

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, device_function, kernel
from numbacnn.backends.cuda.memory import arena

BITS = 2**32 - 1


@device_function
def mix(h):
    """Scatter 32 bits over 32 bits: a bijection in which every input bit reaches every output bit.

    Source: Wellons 2018, "Prospecting for Hash Functions" (the lowbias32 constants).
    """
    h ^= h >> 16
    h = (h * 0x7FEB352D) & BITS
    h ^= h >> 15
    h = (h * 0x846CA68B) & BITS
    return h ^ (h >> 16)


@device_function
def stream_key(seed, step, stream):
    """One hash of three numbers: the start of all draws of one layer (or of augmentation) in one step."""
    return mix(mix(mix(seed) ^ step) ^ stream)


def dropout(x, rate, key):
    """See ``Ops.dropout``; the key's numbers are taken modulo 2^32."""
    y = arena.like(x)
    threshold, scale = int(min(rate * 2.0**32, 2.0**32 - 1)), x.dtype.type(1.0 / (1.0 - rate))
    key = key._replace(first=key.first * (x.size // max(len(x), 1)))
    launch.over(_dropout, x.size, x.reshape(-1), threshold, scale, *(number & BITS for number in key), y.reshape(-1))
    return y


@kernel
def _dropout(x, threshold, scale, seed, step, layer, first, y):
    i = cuda.grid(1)
    if i < x.size:
        dropped = mix(mix((first + i) & BITS) ^ stream_key(seed, step, layer)) < threshold
        y[i] = x.dtype.type(0) if dropped else x[i] * scale
