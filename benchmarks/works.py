"""What is measured, on whom, and what numbacnn is meant to reach."""

from dataclasses import dataclass, replace

EPOCH_IMAGES = 60_000
OURS = "numbacnn"


@dataclass(frozen=True)
class Work:
    """A piece of work that several frameworks do in turns.

    Args:
        name: for ``--only``.
        title: for people.
        kind: "step", "epoch", "inference", "scaling" (steps on one thread and on two), or "train" (a process from start to exit).
        model: a preset of numbacnn's.
        batch: images per step or call.
        share: steps of a round, as a multiple of ``--steps``.
        images: of an epoch.
    """

    name: str
    title: str
    kind: str
    model: str
    batch: int = 100
    share: float = 1.0
    images: int = EPOCH_IMAGES

    def count(self, steps: int) -> int:
        """Steps, epochs or calls in one turn of a round."""
        return 1 if self.kind in ("epoch", "train") else max(1, round(steps * self.share))


WORKS = [
    Work("cnn-step-10", "training step of cnn, batch 10", "step", "cnn", 10, share=4),
    Work("cnn-step-100", "training step of cnn, batch 100", "step", "cnn", 100),
    Work("cnn-step-1000", "training step of cnn, batch 1000", "step", "cnn", 1000, share=0.2),
    Work("dense128-epoch", "training epoch of dense128, 60,000 images", "epoch", "dense128"),
    Work("softmax-epoch", "training epoch of softmax, 60,000 images", "epoch", "softmax"),
    Work("cnn-inference-1", "inference of cnn, batch 1", "inference", "cnn", 1, share=25),
    Work("cnn-inference-100", "inference of cnn, batch 100", "inference", "cnn", 100, share=2),
    Work("cnn-inference-1000", "inference of cnn, batch 1000", "inference", "cnn", 1000, share=0.2),
    Work("cnn-scaling", "training step of cnn, batch 100, one thread and two", "scaling", "cnn", 100),
    Work("cnn-train", "train cnn on MNIST for an epoch, from process start to exit", "train", "cnn"),
    Work("fast-train", "train fast on MNIST by its recipe, from process start to exit", "train", "fast"),
]


def small(work: Work) -> Work:
    """The same work with so few images that it only shows whether everything runs."""
    if work.kind == "epoch":
        return replace(work, images=1000, title=work.title.replace("60,000", "1,000"))
    return work


@dataclass(frozen=True)
class Peer:
    """A framework that is measured.

    Args:
        title: for people.
        worker: its script in ``workers/``.
        modules: what has to be importable.
        variants: how each kind of work is done; a kind that is absent is not measured.
    """

    title: str
    worker: str
    modules: tuple[str, ...]
    variants: dict[str, tuple[str, ...]]

    def ways(self, work: Work, compiled: bool) -> tuple[str, ...]:
        """The variants of a piece of work. Layouts make no difference without images, and ``plain Adam`` is worth one line only."""
        ways = self.variants.get(work.kind, ())
        if work.name != "cnn-step-100":
            ways = tuple(way for way in ways if way != "plain Adam")
        if work.name == "fast-train" and self.worker != f"{OURS}_worker.py":
            return ()
        return ways if compiled else tuple(way for way in ways if way != "compiled")


COLD, WARM = "cold kernel cache", "warm kernel cache"

PEERS = {
    OURS: Peer(
        "numbacnn", "numbacnn_worker.py", ("numbacnn",),
        {"step": ("",), "epoch": ("",), "inference": ("",), "scaling": ("1 thread", "2 threads"), "train": (COLD, WARM)},
    ),
    "torch": Peer(
        "PyTorch", "torch_worker.py", ("torch", "numpy"),
        {
            "step": ("default", "channels_last", "plain Adam", "compiled"), "epoch": ("default", "compiled"),
            "inference": ("default", "channels_last", "compiled"), "train": ("channels_last",),
        },
    ),
    "keras": Peer(
        "Keras on TensorFlow", "keras_worker.py", ("keras", "tensorflow"),
        {
            "step": ("fit", "fit, 10 steps a call", "train_on_batch"), "epoch": ("fit", "fit, 10 steps a call", "train_on_batch"),
            "inference": ("tf.function", "predict_on_batch"), "train": ("fit",),
        },
    ),
    "onnxruntime": Peer("ONNX Runtime", "onnxruntime_worker.py", ("onnxruntime", "onnx"), {"inference": ("default",)}),
}  # fmt: skip


@dataclass(frozen=True)
class RatioTarget:
    """numbacnn takes at most ``limit`` of the time of a peer's fastest variant."""

    work: str
    peer: str
    limit: float


RATIO_TARGETS = [
    RatioTarget("cnn-step-100", "torch", 0.40),
    RatioTarget("cnn-step-10", "torch", 0.50),
    RatioTarget("cnn-step-100", "keras", 0.30),
    RatioTarget("dense128-epoch", "torch", 0.40),
    RatioTarget("softmax-epoch", "torch", 0.40),
    RatioTarget("cnn-inference-1", "onnxruntime", 0.80),
    RatioTarget("cnn-inference-100", "onnxruntime", 0.48),
    RatioTarget("cnn-inference-1000", "onnxruntime", 0.50),
]
SCALING_TARGET = 1.8
MEMORY_TARGET = 400e6
FAST_ACCURACY, FAST_SECONDS = 0.99, 5.0
