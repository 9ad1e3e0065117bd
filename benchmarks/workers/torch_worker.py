"""PyTorch. Variants: ``default`` layout, ``channels_last``, ``compiled`` (``torch.compile``, channels_last where there are images), and
``plain Adam`` (channels_last, with the optimiser as it comes; the others ask for ``fused=True``, which is faster).

A step is given batches that are ready: float32, in the right layout. An epoch gathers shuffled batches from a float32 tensor that was
made before. Neither computes the accuracy.
"""

import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from protocol import (
    Network,
    Session,
    as_floats,
    channels_first,
    main,
    noise,
    read_check,
    read_mnist,
    read_network,
    repeat,
    same_padding,
    together,
    unsupported,
)
from torch import nn

READY_BATCHES = 10


def open_work(request: dict[str, Any]) -> Session:
    """Get ready for a piece of work."""
    work, variant = request["work"], request["variant"]
    torch.set_num_threads(request["threads"])
    torch.manual_seed(0)
    device = torch.device(request.get("device", "cpu"))
    if "TF32 off" in variant:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    network = read_network(request["folder"], work["model"])
    check = read_check(request["folder"], work["model"])
    module = build(network)
    load(module, channels_first(network, check.parameters))
    layout = torch.contiguous_format if variant.startswith("default") else torch.channels_last
    module = module.to(device, memory_format=layout)
    compiled = torch.compile(module, mode="reduce-overhead") if device.type == "cuda" else torch.compile(module)
    run = compiled if variant.startswith("compiled") else module
    module.eval()
    with torch.inference_mode():
        logits = module(tensor(check.images, layout).to(device)).cpu().numpy()
    difference = float(np.abs(logits - check.logits).max())
    if device.type == "cuda":
        measure = on_gpu(run, module, network, work, layout)
    elif work["kind"] == "inference":
        measure = inference(run, tensor(noise(work["batch"])[0], layout))
    else:
        module.train()
        optimizer = optimizer_of(network, module, fused=variant != "plain Adam")
        learn = learner(run, optimizer)
        measure = epochs(learn, work) if work["kind"] == "epoch" else steps(learn, work["batch"], layout)
    return Session(measure, {"torch": torch.__version__, "numpy": np.__version__}, difference)


def build(network: Network) -> nn.Sequential:
    """The same layers for images (n, c, h, w)."""
    modules: list[nn.Module] = []
    for layer in network.layers:
        if layer["type"] == "Conv2D":
            *size, channels, filters = layer["shapes"]["kernel"]
            modules.append(nn.Conv2d(channels, filters, size, layer["strides"], same_padding(layer), bias=layer["use_bias"]))
        elif layer["type"] == "MaxPool2D" and layer["padding"] == "valid":
            modules.append(nn.MaxPool2d(layer["pool_size"], layer["strides"]))
        elif layer["type"] == "Flatten":
            modules.append(nn.Flatten())
        elif layer["type"] == "Dense":
            modules.append(nn.Linear(*layer["shapes"]["kernel"], bias=layer["use_bias"]))
        elif layer["type"] == "Dropout":
            modules.append(nn.Dropout(layer["rate"]))
        else:
            raise unsupported(layer)
        if layer.get("activation") == "relu":
            modules.append(nn.ReLU())
        elif layer.get("activation"):
            raise unsupported(layer)
    return nn.Sequential(*modules)


def load(module: nn.Sequential, parameters: dict[str, np.ndarray]) -> None:
    """Give the layers these weights, in the order of both."""
    own = list(module.parameters())
    with torch.no_grad():
        for target, array in zip(own, parameters.values(), strict=True):
            target.copy_(torch.from_numpy(array))


def tensor(images: np.ndarray, layout: torch.memory_format = torch.contiguous_format) -> torch.Tensor:
    """Pixels (n, h, w, c) as a float32 tensor (n, c, h, w)."""
    return torch.from_numpy(as_floats(images)).permute(0, 3, 1, 2).contiguous(memory_format=layout)


def optimizer_of(network: Network, module: nn.Module, fused: bool) -> torch.optim.Optimizer:
    """The optimiser of the recipe."""
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[network.optimizer]
    return kind(module.parameters(), lr=network.learning_rate, fused=fused)


def learner(run: Callable, optimizer: torch.optim.Optimizer) -> Callable[[torch.Tensor, torch.Tensor], None]:
    """One training step."""

    def learn(x: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(run(x), labels).backward()
        optimizer.step()

    return learn


def steps(learn: Callable, batch: int, layout: torch.memory_format) -> Callable[[int], list[float]]:
    """Steps on batches that are ready."""
    images, labels = noise(batch * READY_BATCHES)
    targets = torch.from_numpy(labels.astype(np.int64)).split(batch)
    ready = cycle(
        [(part.contiguous(memory_format=layout), y) for part, y in zip(tensor(images).split(batch), targets, strict=True)]
    )
    repeat(lambda: learn(*next(ready)), 3)
    return lambda count: repeat(lambda: learn(*next(ready)), count)


def epochs(learn: Callable, work: dict[str, Any]) -> Callable[[int], list[float]]:
    """Epochs over tensors in memory, in a new order each."""
    images, labels = noise(work["images"])
    x, y = tensor(images), torch.from_numpy(labels.astype(np.int64))
    for part in torch.arange(len(x)).split(work["batch"])[:20]:
        learn(x[part], y[part])

    def measure(count: int) -> list[float]:
        seconds = []
        for _ in range(count):
            started = time.perf_counter()
            for part in torch.randperm(len(x)).split(work["batch"]):
                learn(x[part], y[part])
            seconds.append(time.perf_counter() - started)
        return seconds

    return measure


def inference(run: Callable, x: torch.Tensor) -> Callable[[int], list[float]]:
    """Calls on a float32 tensor that is ready."""

    def call() -> None:
        with torch.inference_mode():
            run(x)

    repeat(call, 3)
    return lambda count: repeat(call, count)


def on_gpu(run: Callable, module: nn.Module, network: Network, work: dict[str, Any], layout: torch.memory_format) -> Callable:
    """Steps on batches that lie on the GPU, waited for at the end of a turn; inference from images on the host to logits there."""
    images, labels = noise(work["batch"] * (1 if work["kind"] == "inference" else 2))
    x, y = tensor(images, layout), torch.from_numpy(labels.astype(np.int64))
    if work["kind"] == "inference":

        def call() -> None:
            with torch.inference_mode():
                run(x.cuda()).cpu()

    else:
        module.train()
        learn = learner(run, optimizer_of(network, module, fused=True))
        parts = zip(x.split(work["batch"]), y.split(work["batch"]), strict=True)
        ready = cycle([(part.cuda().contiguous(memory_format=layout), target.cuda()) for part, target in parts])

        def call() -> None:
            learn(*next(ready))

    together(call, torch.cuda.synchronize, 10)
    return lambda count: together(call, torch.cuda.synchronize, count)


def train(request: dict[str, Any]) -> dict[str, Any]:
    """An epoch on MNIST, from files to a saved network; images stay uint8 in memory, which is as fast and takes a quarter of it."""
    torch.set_num_threads(request["threads"])
    torch.manual_seed(0)
    images, labels, test_images, test_labels = read_mnist(request["data_dir"], request["limit"])
    network = read_network(request["folder"], request["model"])
    module = build(network).to(memory_format=torch.channels_last)
    learn = learner(module, optimizer_of(network, module, fused=True))
    targets = labels.astype(np.int64)
    for part in np.array_split(np.random.default_rng(0).permutation(len(images)), max(len(images) // 100, 1)):
        learn(tensor(images[part], torch.channels_last), torch.from_numpy(targets[part]))
    module.eval()
    with torch.inference_mode():
        parts = [module(tensor(test_images[i : i + 500], torch.channels_last)).argmax(1) for i in range(0, len(test_images), 500)]
    torch.save(module.state_dict(), Path(request["output"]) / "model.pt")
    return {"test_accuracy": float((torch.cat(parts).numpy() == test_labels).mean())}


if __name__ == "__main__":
    main(open_work, train)
