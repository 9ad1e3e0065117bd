"""The loss on the CPU: softmax and cross-entropy in one step, so that neither log(0) nor exp(1000) is computed.

loss[n] = log(sum_k exp(z[n,k] - max)) - (z[n,label] - max)
"""

import numpy as np
from numba import prange

from numbacnn.backends.cpu._jit import kernel
from numbacnn.backends.cpu.plain.activations import exp_shifted
from numbacnn.backends.cpu.plain.elementary import log


@kernel(parallel=True)
def softmax_cross_entropy(logits, labels, batch):
    """See ``Ops.softmax_cross_entropy``; ``batch`` images have a mean loss, of which these are some or all."""
    count, classes = logits.shape
    loss = np.empty(count, logits.dtype)
    correct = np.empty(count, np.bool_)
    gradient = np.empty_like(logits)
    for n in prange(count):
        row, label = gradient[n], labels[n]
        best, total = exp_shifted(logits[n], row)
        loss[n] = logits.dtype.type(log(total)) - (logits[n, label] - logits[n, best])
        correct[n] = best == label
        for k in range(classes):
            row[k] = (row[k] / total - (1 if k == label else 0)) / batch
    return loss, correct, gradient
