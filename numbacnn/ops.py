"""The contract between layers and devices: what a device can compute.

One call per layer and direction. Layers see nothing else of a device, so a network computes the same on each of them.
Arrays are the device's own (NumPy arrays on the CPU); they enter by ``asarray`` and leave by ``to_host``, and nowhere else.

Images are NHWC: ``n`` images, ``h`` rows, ``w`` columns, ``c`` channels. Kernels are HWIO: ``kh``, ``kw``, input channels ``c``, filters
``f``. Every float array of a call has one dtype, float32 or float64, and so has the result. Arguments are never changed, but
for the updates at the end, which work in place.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

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
)


class Ops(ABC):
    """One device's arithmetic."""

    name: str
    """The device's name, as in ``--device``."""

    asynchronous = False
    """Whether calls return before their results are there, so that looking at one (``to_host``) costs a wait."""

    kernels_depend_on_batch = False
    """Whether the size of a batch decides which kernels are needed."""

    can_warm_up_in_parts = False
    """Whether several processes can each compile the kernels of some layers, and leave them for others to find."""

    inference_batch = 100
    """Images to predict at a time. To a processor, more than stay in its cache between one layer and the next are none the faster."""

    def reuse_memory(self) -> AbstractContextManager[None]:
        """Arrays made within it last until the next one begins: a device may use their memory again. Copy what is to be kept."""
        return nullcontext()

    def release_memory(self) -> None:  # noqa: B027  a device that keeps nothing has nothing to give back
        """Give back the memory that is kept from one step for the next."""

    @abstractmethod
    def describe(self) -> str:
        """The device and what it computes with, for people."""

    # --- transfers -------------------------------------------------------------------------------------------------------------

    @abstractmethod
    def asarray(self, host: Any) -> Array:
        """Bring a NumPy array to the device, C-contiguous. May be the very same array on the CPU."""

    def prepare_weights(self, weights: Array) -> Any:
        """The kernel of a convolution or dense layer in the device's own form, for forward passes only.

        The weights must not change as long as that form is used.
        """
        return weights

    @abstractmethod
    def to_host(self, x: Array | FactoredGradient) -> Any:
        """The NumPy array that holds ``x`` (multiplied out, if it is a ``FactoredGradient``). May be the very same array on the CPU."""

    @abstractmethod
    def zeros_like(self, x: Array) -> Array:
        """Zeros of ``x``'s shape and dtype."""

    @abstractmethod
    def gather_images(self, images: Array, indices: Array, scale: float) -> Array:
        """Pick images and turn their pixels into numbers: ``y[n] = images[indices[n]] * scale``.

        Args:
            images: pixels, uint8 (count, h, w, c).
            indices: which ones, int64 (n,).
            scale: a factor, 1/255 to bring pixels to 0...1.

        Returns:
            float32 (n, h, w, c).
        """

    @abstractmethod
    def augment(self, x: Array, amounts: Augmentation, key: AugmentKey) -> Array:
        """Distort each image at random: shift, rotation, scale, shear, and a smooth elastic deformation.

        y[n,i,j,c] = x[n, s, t, c], read between pixels by bilinear interpolation (outside x reads 0), where, from the centre,

        (s, t) = rotation @ shear @ scale @ (i, j) + shift + sum_{a,b} B_a(i) * B_b(j) * grid[a,b]

        The grid has 7 x 7 random vectors, (-1 ... 5) / 4 of the way along each axis, and B are uniform cubic B-splines. Every
        random number is a hash of (seed, step, n) and which number it is.

        Args:
            x: images (n, h, w, c).
            amounts: how far.
            key: what the random numbers depend on.

        Returns:
            y: a new array as x; the values of x where all amounts are 0.

        Source: Simard, Steinkraus & Platt 2003, "Best Practices for Convolutional Neural Networks", section 2, with splines in
        place of the Gaussian filter.
        """

    # --- convolution -----------------------------------------------------------------------------------------------------------

    @abstractmethod
    def conv2d(self, x: Array, kernel: Array, bias: Array | None, window: Window2D) -> Array:
        """Slide a bank of filters over a batch of images (a cross-correlation: the filter is not turned).

        y[n,i,j,f] = bias[f] + sum_{u,v,c} x[n, i*s-p+u, j*s-p+v, c] * kernel[u,v,c,f]      (outside x reads 0)

        Args:
            x: images (n, h, w, c).
            kernel: filters (kh, kw, c, f).
            bias: (f,), or None for no bias.
            window: geometry of both axes, from ``shapes.window2d``.

        Returns:
            y: (n, oh, ow, f).

        Source: Dumoulin & Visin 2016 (arXiv:1603.07285), chapter 2; the lecture's slides "Convolutional Layer".
        """

    @abstractmethod
    def conv2d_backward(
        self, x: Array, kernel: Array, dy: Array, window: Window2D, *, needs_dx: bool = True
    ) -> tuple[Array | None, Array, Array]:
        """The gradients of ``conv2d``.

        dx[n,r,q,c]      = sum over the cells (i,u), (j,v) with i*s-p+u = r, j*s-p+v = q, and f, of dy[n,i,j,f] * kernel[u,v,c,f]
        dkernel[u,v,c,f] = sum_{n,i,j} x[n, i*s-p+u, j*s-p+v, c] * dy[n,i,j,f]
        dbias[f]         = sum_{n,i,j} dy[n,i,j,f]

        Returns:
            dx (None unless ``needs_dx``), dkernel, dbias: shaped as x, kernel and (f,).

        Source: the lecture's slides "Training CNN"; Goodfellow et al. 2016, Deep Learning, section 9.5.
        """

    # --- pooling ---------------------------------------------------------------------------------------------------------------

    @abstractmethod
    def max_pool2d(self, x: Array, window: Window2D) -> tuple[Array, Array]:
        """The largest value under each window; padding never wins, NaN does.

        Returns:
            y (n, oh, ow, c), and for the gradient which cell won: int32 (n, oh, ow, c), u*kw + v, the first one of equals.

        Source: the lecture's slides "Pooling Layer".
        """

    @abstractmethod
    def max_pool2d_backward(self, dy: Array, winners: Array, window: Window2D) -> Array:
        """Send each gradient to the cell that won: dx (n, h, w, c)."""

    @abstractmethod
    def avg_pool2d(self, x: Array, window: Window2D) -> Array:
        """The mean under each window, over the cells that lie inside the image: y (n, oh, ow, c)."""

    @abstractmethod
    def avg_pool2d_backward(self, dy: Array, window: Window2D) -> Array:
        """Share each gradient equally among the cells that were averaged: dx (n, h, w, c)."""

    # --- fused: what a device does not do in one go is composed of the ops above and below ------------------------------------------

    @staticmethod
    def can_fuse(pool: Window2D) -> bool:
        """Whether ``conv2d_block`` takes this max pooling together with the convolution before it. A plan asks once."""
        return False

    def conv2d_block(self, x: Array, kernel: Array, bias: Array | None, block: ConvBlock) -> tuple[Array, Any]:
        """Convolution, ReLU and max pooling, as far as ``block`` has them: the same numbers as one after the other.

        Returns:
            y (n, oh, ow, f), and whatever the device wants to be given back for the gradient.
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
        """The gradients of ``conv2d_block``, as ``conv2d_backward`` gives them."""
        x, y, winners = saved
        if block.pool is not None:
            dy = self.max_pool2d_backward(dy, winners, block.pool)
        if block.relu:
            dy = self.relu_backward(y, dy)
        return self.conv2d_backward(x, kernel, dy, block.window, needs_dx=needs_dx)

    # --- dense and merging -----------------------------------------------------------------------------------------------------

    @abstractmethod
    def dense(self, x: Array, kernel: Array, bias: Array | None, *, relu: bool = False) -> Array:
        """``y = x @ kernel + bias``, then ReLU if asked for: x (n, k), kernel (k, f), bias (f,) or None, y (n, f)."""

    @abstractmethod
    def dense_backward(
        self, x: Array, kernel: Array, dy: Array, *, needs_dx: bool = True, factored: bool = False
    ) -> tuple[Array | None, Array | FactoredGradient, Array]:
        """``dx = dy @ kernel.T``, ``dkernel = x.T @ dy``, ``dbias = dy.sum(0)``; dx is None unless ``needs_dx``.

        With ``factored``, dkernel may come as a ``FactoredGradient``.
        """

    @abstractmethod
    def add(self, a: Array, b: Array) -> Array:
        """``a + b``, of one shape."""

    @abstractmethod
    def concatenate(self, parts: Sequence[Array]) -> Array:
        """Join along the last axis."""

    @abstractmethod
    def split(self, x: Array, sizes: Sequence[int]) -> list[Array]:
        """Undo ``concatenate``: contiguous pieces of the last axis."""

    # --- activations: each gradient is a function of the output y ---------------------------------------------------------------

    @abstractmethod
    def relu(self, x: Array) -> Array:
        """max(0, x); NaN stays NaN."""

    @abstractmethod
    def relu_backward(self, y: Array, dy: Array) -> Array:
        """dy where y > 0, else 0."""

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
        """Zero a share ``rate`` of the values, scale the others by 1 / (1 - rate). Its own gradient: call it on dy with the same key.

        The value at flat index i is dropped if a hash of (seed, step, layer, i), as a fraction in [0, 1), is below ``rate``.

        Source: Srivastava et al. 2014 (JMLR 15); the lecture's slide "Dropout".
        """

    @abstractmethod
    def batch_norm(self, x: Array, gamma: Array, beta: Array, epsilon: float) -> tuple[Array, Array, Array]:
        """Normalise each channel (last axis) over the batch, then scale and shift.

        y = gamma * (x - mean) / sqrt(variance + epsilon) + beta, with the batch's own mean and (population) variance.

        Returns:
            y as x, mean (c,), variance (c,).

        Source: Ioffe & Szegedy 2015 (arXiv:1502.03167), algorithm 1.
        """

    @abstractmethod
    def batch_norm_inference(self, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float) -> Array:
        """The same with a mean and variance collected before."""

    @abstractmethod
    def batch_norm_backward(
        self, x: Array, gamma: Array, mean: Array, variance: Array, epsilon: float, dy: Array
    ) -> tuple[Array, Array, Array]:
        """dx, dgamma, dbeta of ``batch_norm``; the mean and variance depend on x too."""

    # --- loss ------------------------------------------------------------------------------------------------------------------

    @abstractmethod
    def softmax_cross_entropy(self, logits: Array, labels: Array) -> tuple[Array, Array, Array]:
        """Softmax and cross-entropy in one stable step.

        loss[n] = log(sum_k exp(z[n,k] - max)) - (z[n,label] - max)

        Args:
            logits: z (n, classes).
            labels: int64 (n,), each in 0...classes-1 (checked by the caller).

        Returns:
            loss of each image (n,), whether the largest logit is the label's, bool (n,) (the first of equals counts), and the
            gradient of the mean loss, (softmax(z) - onehot) / n, as logits.

        Source: the lecture's slides "Cross-Entropy"; Goodfellow et al. 2016, section 6.2.2.3.
        """

    @abstractmethod
    def new_epoch_losses(self, steps: int) -> EpochLosses:
        """Room for the losses of an epoch's steps, none of which has been taken."""

    @abstractmethod
    def record_step(self, epoch: EpochLosses, step: int, losses: Array, correct: Array) -> FiniteLossCheck:
        """Write down, in place, the results of ``softmax_cross_entropy`` for one step.

        Once the loss of a step is not finite, the losses of all later steps are NaN. Their checks hold the updates back, so a device
        need not be watched at each step to be stopped in time.
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
            rule: which formula, and its numbers.
            check: skip the update unless this step's loss is finite.

        Sources: the lecture's slide "Gradient Descent"; Polyak 1964, in Keras's form; Kingma & Ba 2015 (arXiv:1412.6980), end of
        section 2, where ``step_size`` carries the bias correction.
        """

    @abstractmethod
    def moving_average_update(self, average: Array, value: Array, momentum: float, check: FiniteLossCheck | None = None) -> None:
        """``average = average * momentum + value * (1 - momentum)``, in place, unless ``check`` says otherwise; see ``update``."""
