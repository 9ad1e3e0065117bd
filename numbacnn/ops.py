"""The contract between layers and devices: the ops of a device, with their formulas.

Each layer and direction has one op. Layers use nothing else of a device, so a network computes the same on every device.
Arrays are the device's own (NumPy arrays on the CPU): only ``asarray`` brings arrays to it, and only ``to_host`` brings them back.

Images are NHWC: ``n`` images, ``h`` rows, ``w`` columns, ``c`` channels. Kernels are HWIO: ``kh``, ``kw``, input channels ``c``, filters
``f``. All float arrays of a call have one dtype, float32 or float64, and so has the result. Only the updates, at the end,
change their arguments.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from numbacnn.ranks import ALONE, Ranks
from numbacnn.shapes import Window2D
from numbacnn.values import (
    Array,
    Augmentation,
    AugmentKey,
    ConvBlock,
    DropoutKey,
    EpochLosses,
    FactoredGradient,
    FiniteLossCheck,
    Rule,
    Update,
)

NEGATIVE_SLOPE = 0.2
"""The slope of ``leaky_relu`` below 0 where none is given, as in Keras's activation of that name."""


class Pace:
    """How a device runs the steps of one kind of work; the CPU's adapts to what else the machine does."""

    def step(self, images: int) -> AbstractContextManager[None]:
        """A context for one step on so many images."""
        return nullcontext()


class Ops(ABC):
    """One device's arithmetic."""

    name: str
    """The device's name, as in ``--device``."""

    asynchronous = False
    """Whether a call may return before its result is ready, so that ``to_host`` has to wait for it."""

    kernels_depend_on_batch = False
    """Whether the batch size decides which kernels are compiled."""

    can_warm_up_in_parts = False
    """Whether several processes can share the compilation, a few layers each, through the kernel cache."""

    ranks: Ranks = ALONE
    """The processes that train one network together. While one of their steps is open, ops compute this process's share of a batch."""

    inference_batch = 100
    """Batch size of predictions. A larger batch would not stay in a processor's cache from one layer to the next, and gains nothing."""

    def reuse_memory(self) -> AbstractContextManager[None]:
        """A context whose arrays are valid until the next one begins, which uses their memory again. Copy arrays to keep them."""
        return nullcontext()

    def new_pace(self) -> Pace:
        """A pace for one kind of work, such as a training, or the predictions of one network."""
        return Pace()

    def thread_shares(self) -> dict[int, float]:
        """The shares of all steps' time that ran on each number of threads of the host, the largest number first; empty for a GPU."""
        return {}

    def release_memory(self) -> None:  # noqa: B027  nothing to free by default
        """Free the memory that ``reuse_memory`` keeps for the next step."""

    def held_memory(self) -> int | None:
        """Bytes of the host that ``reuse_memory`` keeps for the next step; None for a device with a memory of its own."""
        return None

    @abstractmethod
    def describe(self) -> str:
        """The device and its resources, as a text for people."""

    # --- transfers -------------------------------------------------------------------------------------------------------------

    @abstractmethod
    def asarray(self, host: Any) -> Array:
        """A NumPy array as a C-contiguous array of the device; on the CPU it may be the same array."""

    def prepare_weights(self, weights: Array) -> Any:
        """The kernel of a convolution or dense layer in the device's own form, for forward passes only.

        The weights must not change while that form is in use.
        """
        return weights

    @abstractmethod
    def to_host(self, x: Array | FactoredGradient) -> Any:
        """``x`` as a NumPy array, a ``FactoredGradient`` multiplied out; on the CPU it may be the same array."""

    @abstractmethod
    def zeros_like(self, x: Array) -> Array:
        """Zeros of ``x``'s shape and dtype."""

    @abstractmethod
    def gather_images(self, images: Array, indices: Array, scale: float) -> Array:
        """Copy images by index and scale their values: ``y[n] = images[indices[n]] * scale``.

        Args:
            images: pixels, uint8, or numbers, float32 (count, h, w, c).
            indices: of the images to copy, int64 (n,).
            scale: factor of each value; 1/255 brings pixels to 0...1.

        Returns:
            float32 (n, h, w, c).
        """

    @abstractmethod
    def augment(self, x: Array, amounts: Augmentation, key: AugmentKey) -> Array:
        """Distort each image at random: shift, rotation, scale, shear, and a smooth elastic deformation.

        y[n,i,j,c] = x[n, s, t, c], read between pixels by bilinear interpolation (outside x reads 0), where, from the centre,

        (s, t) = rotation @ shear @ scale @ (i, j) + shift + sum_{a,b} B_a(i) * B_b(j) * grid[a,b]

        The grid has 7 x 7 random vectors, (-1 ... 5) / 4 of the way along each axis, and B are uniform cubic B-splines. Each
        random number is a hash of (seed, step, n) and of its own index.

        Args:
            x: images (n, h, w, c).
            amounts: the limits of each distortion.
            key: seed and step of the random numbers.

        Returns:
            y: a new array, shaped as x; equal to x if all amounts are 0.

        Source: Simard, Steinkraus & Platt 2003, "Best Practices for Convolutional Neural Networks", section 2, with splines in
        place of the Gaussian filter.
        """

    # --- convolution -----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def conv2d(self, x: Array, kernel: Array, bias: Array | None, window: Window2D) -> Array:
        """Slide a bank of filters over a batch of images (a cross-correlation: the filter is not turned).

        y[n,i,j,f] = bias[f] + sum_{u,v,c} x[n, i*s-p+u*d, j*s-p+v*d, g*depth+c] * kernel[u,v,c,f]      (outside x reads 0)

        Channels and filters are divided into as many groups as ``depth`` goes into the channels of x, in order; g is the group of f.

        Args:
            x: images (n, h, w, depth * groups).
            kernel: filters (kh, kw, depth, f); groups divides f.
            bias: (f,), or None for no bias.
            window: geometry of both axes, from ``shapes.window2d``.

        Returns:
            y: (n, oh, ow, f).

        Source: Dumoulin & Visin 2016 (arXiv:1603.07285), chapter 2; the lecture's slides "Convolutional Layer (4/4)" and "Stride".
        """

    @abstractmethod
    def conv2d_backward(
        self, x: Array, kernel: Array, dy: Array, window: Window2D, *, needs_dx: bool = True
    ) -> tuple[Array | None, Array, Array]:
        """The gradients of ``conv2d``.

        dx[n,r,q,g*depth+c] = sum over the cells (i,u), (j,v) with i*s-p+u*d = r, j*s-p+v*d = q, and the f of group g, of
                              dy[n,i,j,f] * kernel[u,v,c,f]
        dkernel[u,v,c,f]    = sum_{n,i,j} x[n, i*s-p+u*d, j*s-p+v*d, g*depth+c] * dy[n,i,j,f]
        dbias[f]            = sum_{n,i,j} dy[n,i,j,f]

        Returns:
            dx (None unless ``needs_dx``), dkernel, dbias: shaped as x, kernel and (f,).

        Source: the lecture's slide "Training CNN (3/4)"; Goodfellow et al. 2016, Deep Learning, section 9.5.
        """

    # --- pooling ---------------------------------------------------------------------------------------------------------------

    @abstractmethod
    def max_pool2d(self, x: Array, window: Window2D) -> tuple[Array, Array]:
        """The largest value under each window. Padding is ignored; a NaN in the window gives NaN.

        Returns:
            y (n, oh, ow, c), and the winners, int32 (n, oh, ow, c): the index u*kw + v of the largest cell in each window, the first
            of equals.

        Source: the lecture's slide "Pooling Layer (2/2)".
        """

    @abstractmethod
    def max_pool2d_backward(self, dy: Array, winners: Array, window: Window2D) -> Array:
        """Send each gradient to the cell that won: dx (n, h, w, c)."""

    @abstractmethod
    def avg_pool2d(self, x: Array, window: Window2D, count_padding: bool = False) -> Array:
        """The mean under each window: y (n, oh, ow, c). It is taken over the cells inside the image, or counts padding, as zeros, too."""

    @abstractmethod
    def avg_pool2d_backward(self, dy: Array, window: Window2D, count_padding: bool = False) -> Array:
        """Share each gradient equally among the cells that were averaged: dx (n, h, w, c)."""

    # --- fused: composed of other ops, unless a device overrides them ----------------------------------------------------------

    @staticmethod
    def can_fuse(pool: Window2D) -> bool:
        """Whether ``conv2d_block`` computes this max pooling together with the convolution before it; a plan asks once."""
        return False

    def conv2d_block(self, x: Array, kernel: Array, bias: Array | None, block: ConvBlock) -> tuple[Array, Any]:
        """Convolution, ReLU and max pooling, as ``block`` has them: the same numbers as by separate ops.

        Returns:
            y (n, oh, ow, f), and the device's own cache for ``conv2d_block_backward``.
        """
        y = self.conv2d(x, kernel, bias, block.window)
        if block.relu:
            y = self.relu(y)
        if block.pool is None:
            return y, (x, y, None)
        pooled, winners = self.max_pool2d(y, block.pool)
        return pooled, (x, y, winners)

    def conv2d_block_backward(
        self, saved: Any, kernel: Array, dy: Array, block: ConvBlock, *, needs_dx: bool = True
    ) -> tuple[Array | None, Array, Array]:
        """The gradients of ``conv2d_block``: dx (None unless ``needs_dx``), dkernel, dbias."""
        x, y, winners = saved
        if block.pool is not None:
            dy = self.max_pool2d_backward(dy, winners, block.pool)
        if block.relu:
            dy = self.relu_backward(y, dy)
        return self.conv2d_backward(x, kernel, dy, block.window, needs_dx=needs_dx)

    # --- dense and merging -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def dense(self, x: Array, kernel: Array, bias: Array | None, *, relu: bool = False) -> Array:
        """``y = x @ kernel + bias``, then ReLU with ``relu``: x (n, k), kernel (k, f), bias (f,) or None, y (n, f)."""

    @abstractmethod
    def dense_backward(
        self, x: Array, kernel: Array, dy: Array, *, needs_dx: bool = True, factored: bool = False
    ) -> tuple[Array | None, Array | FactoredGradient, Array]:
        """``dx = dy @ kernel.T``, ``dkernel = x.T @ dy``, ``dbias = dy.sum(0)``; dx is None unless ``needs_dx``.

        With ``factored``, dkernel may be a ``FactoredGradient``.
        """

    def dense_relu_backward(
        self, x: Array, kernel: Array, y: Array, dy: Array, *, needs_dx: bool = True, factored: bool = False
    ) -> tuple[Array | None, Array | FactoredGradient, Array]:
        """``dense_backward`` of a layer with ReLU, whose output is ``y`` and its gradient ``dy``: with the bits of one after the other."""
        return self.dense_backward(x, kernel, self.relu_backward(y, dy), needs_dx=needs_dx, factored=factored)

    @abstractmethod
    def add(self, a: Array, b: Array) -> Array:
        """``a + b``, of one shape."""

    @abstractmethod
    def concatenate(self, parts: Sequence[Array]) -> Array:
        """Join along the last axis."""

    @abstractmethod
    def split(self, x: Array, sizes: Sequence[int]) -> list[Array]:
        """The inverse of ``concatenate``: pieces of these sizes along the last axis, each a contiguous array."""

    # --- activations: each gradient is a function of the output y, or of the input x where y does not determine it ----------------

    @abstractmethod
    def relu(self, x: Array) -> Array:
        """max(0, x); NaN stays NaN."""

    @abstractmethod
    def relu_backward(self, y: Array, dy: Array) -> Array:
        """dy where y > 0, else 0."""

    @abstractmethod
    def leaky_relu(self, x: Array, negative_slope: float = NEGATIVE_SLOPE) -> Array:
        """x where x > 0, else negative_slope * x; NaN stays NaN."""

    @abstractmethod
    def leaky_relu_backward(self, y: Array, dy: Array, negative_slope: float = NEGATIVE_SLOPE) -> Array:
        """dy where y > 0, else negative_slope * dy."""

    @abstractmethod
    def relu6(self, x: Array) -> Array:
        """min(max(0, x), 6); NaN stays NaN."""

    @abstractmethod
    def relu6_backward(self, y: Array, dy: Array) -> Array:
        """dy where 0 < y < 6, else 0."""

    @abstractmethod
    def elu(self, x: Array) -> Array:
        """x where x > 0, else exp(x) - 1."""

    @abstractmethod
    def elu_backward(self, y: Array, dy: Array) -> Array:
        """dy where y > 0, else dy * (y + 1)."""

    @abstractmethod
    def hard_sigmoid(self, x: Array) -> Array:
        """min(max(0, x + 3), 6) / 6; NaN stays NaN."""

    @abstractmethod
    def hard_sigmoid_backward(self, y: Array, dy: Array) -> Array:
        """dy / 6 where 0 < y < 1, else 0."""

    @abstractmethod
    def silu(self, x: Array) -> Array:
        """x / (1 + exp(-x)), also called swish; 0 at -infinity."""

    @abstractmethod
    def silu_backward(self, x: Array, dy: Array) -> Array:
        """dy * (s + x * s * (1 - s)), where s = sigmoid(x)."""

    @abstractmethod
    def hard_swish(self, x: Array) -> Array:
        """x * min(max(0, x + 3), 6) / 6; NaN stays NaN."""

    @abstractmethod
    def hard_swish_backward(self, x: Array, dy: Array) -> Array:
        """0 where x <= -3, dy where x >= 3, else dy * (2 * x + 3) / 6."""

    @abstractmethod
    def sigmoid(self, x: Array) -> Array:
        """1 / (1 + exp(-x)), without overflow."""

    @abstractmethod
    def sigmoid_backward(self, y: Array, dy: Array) -> Array:
        """dy * y * (1 - y)."""

    @abstractmethod
    def tanh(self, x: Array) -> Array:
        """tanh(x)."""

    @abstractmethod
    def tanh_backward(self, y: Array, dy: Array) -> Array:
        """dy * (1 - y * y)."""

    @abstractmethod
    def softmax(self, x: Array) -> Array:
        """exp(x - max) / sum exp(x - max) along the last axis."""

    @abstractmethod
    def softmax_backward(self, y: Array, dy: Array) -> Array:
        """y * (dy - sum(dy * y)) along the last axis."""

    # --- regularisation --------------------------------------------------------------------------------------------------------

    @abstractmethod
    def dropout(self, x: Array, rate: float, key: DropoutKey) -> Array:
        """Zero a share ``rate`` of the values and scale the others by 1 / (1 - rate). The gradient is the same op on dy with the same key.

        The value at flat index i is dropped if a hash of (seed, step, layer, i), as a fraction in [0, 1), is less than ``rate``.

        Source: Srivastava et al. 2014 (JMLR 15); the lecture's slide "Some Improvement (4/5)".
        """

    @abstractmethod
    def batch_norm(self, x: Array, gamma: Array | None, beta: Array | None, epsilon: float) -> tuple[Array, Array, Array]:
        """Normalise each channel (last axis) over the batch, then scale and shift.

        y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, with the mean and (population) variance of this batch. Without gamma
        the scale is 1, without beta the shift is 0.

        Returns:
            y, shaped as x; mean (c,), variance (c,).

        Source: Ioffe & Szegedy 2015 (arXiv:1502.03167), algorithm 1.
        """

    @abstractmethod
    def batch_norm_inference(
        self, x: Array, gamma: Array | None, beta: Array | None, mean: Array, variance: Array, epsilon: float
    ) -> Array:
        """``batch_norm`` with the given mean and variance: the moving averages of training."""

    @abstractmethod
    def batch_norm_backward(
        self, x: Array, gamma: Array | None, mean: Array, variance: Array, epsilon: float, dy: Array
    ) -> tuple[Array, Array, Array]:
        """dx, dgamma, dbeta of ``batch_norm``; the mean and variance depend on x too."""

    # --- loss ------------------------------------------------------------------------------------------------------------------

    @abstractmethod
    def softmax_cross_entropy(self, logits: Array, labels: Array) -> tuple[Array, Array, Array]:
        """Softmax and cross-entropy in one numerically stable op.

        loss[n] = log(sum_k exp(z[n,k] - max)) - (z[n,label] - max)

        Args:
            logits: z (n, classes).
            labels: int64 (n,), each in 0...classes-1 (checked by the caller).

        Returns:
            the loss of each image (n,); correct, bool (n,): argmax(logits) == label, the first on ties; and the gradient of the mean
            loss, (softmax(z) - onehot) / n, shaped as logits.

        Source: the lecture's slide "How Good the Predictions Are?"; Goodfellow et al. 2016, section 6.2.2.3.
        """

    @abstractmethod
    def new_epoch_losses(self, steps: int) -> EpochLosses:
        """The ``EpochLosses`` of an epoch of this many steps, before the first."""

    @abstractmethod
    def record_step(self, epoch: EpochLosses, step: int, losses: Array, correct: Array) -> FiniteLossCheck:
        """Record the results of ``softmax_cross_entropy`` for one step in ``epoch``, in place.

        After a loss that is not finite, the losses of all later steps are NaN, and their checks skip every update. So the host may
        read losses late.
        """

    # --- updates, in place -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def update(
        self,
        parameter: Array,
        slots: Sequence[Array],
        gradient: Array | FactoredGradient,
        rule: Rule,
        check: FiniteLossCheck | None = None,
    ) -> None:
        """Take one step of an optimiser, in place: w is the parameter, g its gradient.

        sgd        w -= lr * g
        momentum   v = momentum * v - lr * g;   w += v
        adam       m += (1-b1) * (g - m);   v += (1-b2) * (g*g - v);   w -= step_size * m / (sqrt(v) + epsilon)

        Args:
            parameter: w.
            slots: none, (v,), or (m, v): the arrays that the rule keeps, shaped as w.
            gradient: g, shaped as w.
            rule: the formula and its numbers.
            check: skip the update unless this step's loss is finite.

        Sources: the lecture's slide "Training CNN (4/4)"; Polyak 1964, in Keras's form; Kingma & Ba 2015 (arXiv:1412.6980), end of
        section 2, where ``step_size`` carries the bias correction.
        """

    def update_all(self, changes: Sequence[Update], rule: Rule, check: FiniteLossCheck | None = None) -> None:
        """``update`` for several parameters; a device may do so at once, with the same bits.

        Args:
            changes: of different parameters.
            rule, check: as in ``update``.
        """
        for change in changes:
            self.update(*change, rule, check)

    @abstractmethod
    def moving_average_update(self, average: Array, value: Array, momentum: float, check: FiniteLossCheck | None = None) -> None:
        """``average = average * momentum + value * (1 - momentum)``, in place; ``check`` as in ``update``."""
