"""The loss on the GPU: softmax and cross-entropy in one step, so that neither log(0) nor exp(1000) can happen. One thread per image.

The results of a step stay on the device, so that the host need not wait for them.
"""

import math

import numpy as np

from numbacnn.backends.cuda import launch
from numbacnn.backends.cuda._jit import cuda, kernel
from numbacnn.backends.cuda.launch import THREADS
from numbacnn.backends.cuda.memory import arena
from numbacnn.backends.cuda.plain.activations import exp_shifted
from numbacnn.values import FiniteLossCheck


def softmax_cross_entropy(logits, labels, batch):
    """See ``Ops.softmax_cross_entropy``; ``batch`` images have a mean loss, of which these are some or all."""
    count = len(logits)
    losses, correct = arena.empty((count,), logits.dtype), arena.empty((count,), np.bool_)
    gradient = arena.like(logits)
    launch.over(_softmax_cross_entropy, count, logits, labels, logits.dtype.type(batch), losses, correct, gradient)
    return losses, correct, gradient


def record_step(epoch, step, losses, correct):
    """See ``Ops.record_step``."""
    launch.blocks(_record_step, 1, THREADS, losses, correct, step, epoch.losses, epoch.correct)
    return FiniteLossCheck(epoch.losses, step)


@kernel
def _softmax_cross_entropy(logits, labels, count, losses, correct, gradient):
    n = cuda.grid(1)
    if n < logits.shape[0]:
        label = labels[n]
        best, total = exp_shifted(logits, n, gradient)
        losses[n] = math.log(total) - (logits[n, label] - logits[n, best])
        correct[n] = best == label
        for k in range(logits.shape[1]):
            gradient[n, k] /= total
        gradient[n, label] -= gradient.dtype.type(1)
        for k in range(logits.shape[1]):
            gradient[n, k] /= count


@kernel
def _record_step(losses, correct, step, step_losses, step_correct):
    """One block: each thread adds up some images; then threads are added in pairs, pairs of pairs, and so on."""
    loss_parts = cuda.shared.array(THREADS, losses.dtype)
    correct_parts = cuda.shared.array(THREADS, np.int32)
    t = cuda.threadIdx.x
    loss_parts[t], correct_parts[t] = 0, 0
    for n in range(t, losses.size, THREADS):
        loss_parts[t] += losses[n]
        correct_parts[t] += 1 if correct[n] else 0
    half = THREADS // 2
    while half:
        cuda.syncthreads()
        if t < half:
            loss_parts[t] += loss_parts[t + half]
            correct_parts[t] += correct_parts[t + half]
        half //= 2
    if t == 0:
        held_back = step > 0 and not math.isfinite(step_losses[step - 1])
        step_losses[step] = math.nan if held_back else loss_parts[0]
        step_correct[step] = correct_parts[0]
