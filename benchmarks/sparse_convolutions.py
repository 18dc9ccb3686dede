"""Are convolutions with few kept weights faster by the sparse kernels than by oneDNN?

    python benchmarks/sparse_convolutions.py --json benchmarks/results/sparse_convolutions.json  # about 5 minutes

Conv-2 and Conv-4 of Frankle & Carbin (arXiv:1803.03635, figure 2), batches of 60, one thread. *Steps* are whole
training steps with Adam (forward, backward, update) of one masked network: by plain PyTorch with its
weights and gradients masked, in either memory format; by this package's dense engine; by its sparse one. *Layers* are
the three products of one layer alone. Methods take turns, repeat after repeat; a figure is a median of CPU seconds.
Methods that disagree on the loss of the first step end the run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ticketsearch import Task
    from ticketsearch.engine import Job

Row = dict[str, Any]
NETWORKS = {"conv-2, 1x28x28": (2, 1, 28), "conv-2, 3x32x32": (2, 3, 32), "conv-4, 3x32x32": (4, 3, 32)}
"""Name -> convolutions, channels and side of an image."""
DENSITIES = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02)
HIDDEN, BATCH, EXAMPLES = 256, 60, 600
FIRST, MORE = 1, {"sparse engine": 8}
"""Steps before the clock starts, and on it (2 unless given: it takes several to see beyond the reading of weights)."""
TOLERANCE = 1e-4


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write rows, machine and versions")
    parser.add_argument("--repeats", type=int, default=3, help="timed repetitions of each row; the median counts")
    parser.add_argument("--densities", type=float, nargs="+", default=DENSITIES)
    arguments = parser.parse_args()
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")  # before torch is imported
    import torch

    torch.set_num_threads(1)
    gemm = gemm_gflops()
    print(f"float32 matrix products of 1024 x 1024: {gemm:.0f} GFLOP/s")
    rows = []
    for name in NETWORKS:
        for density in arguments.densities:
            rows += [_show(row) for row in _steps(name, density, arguments.repeats)]
    layers = [
        _show(row) for density in arguments.densities for row in _layers("conv-4, 3x32x32", density, arguments.repeats)
    ]
    if arguments.json:
        from benchmarks import machine

        document = {"machine": machine.describe(), "gemm_gflops": gemm, "batch": BATCH, "repeats": arguments.repeats}
        document |= {"steps": rows, "layers": layers}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


def network(convolutions: int, channels: int, side: int) -> nn.Sequential:
    """Pairs of 3x3 convolutions of 64 (and 128) channels, pooled; two hidden layers of 256; ten classes."""
    from torch import nn

    modules: list[nn.Module] = []
    for width in (64, 128)[: convolutions // 2]:
        for inputs in (channels, width):
            modules += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
        modules.append(nn.MaxPool2d(2))
        channels, side = width, side // 2
    modules.append(nn.Flatten())
    modules += [nn.Linear(channels * side * side, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()]
    modules.append(nn.Linear(HIDDEN, 10))
    for module in modules:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight)
    return nn.Sequential(*modules)


def task_of(name: str) -> Task:
    """Noise in the shape of images."""
    import numpy as np
    import torch

    from ticketsearch import Recipe, Split, Task
    from ticketsearch.seeds import stream

    convolutions, channels, side = NETWORKS[name]
    pixels = stream(0, "benchmark", name).normal(size=(EXAMPLES, channels, side, side)).astype(np.float32)
    split = Split(torch.from_numpy(pixels), torch.arange(EXAMPLES) % 10)
    recipe = Recipe(steps=100, batch_size=BATCH, learning_rate=3e-4, optimizer="adam")
    return Task(name, partial(network, convolutions, channels, side), split, split, split, recipe, 100)


def _steps(name: str, density: float, repeats: int) -> Iterator[Row]:
    """Whole training steps, by every method."""
    import numpy as np
    import torch

    from ticketsearch.engine import Job, batch_indices
    from ticketsearch.engine.dense.engine import DenseEngine
    from ticketsearch.engine.sparse.convnet import SparseConvEngine
    from ticketsearch.seeds import stream
    from ticketsearch.tasks.layout import read_weights

    task = task_of(name)
    sparse, dense = SparseConvEngine(task, 1), DenseEngine(task, torch.device("cpu"), 1)
    space = sparse.layout.space
    masks = space.random(space.n_kept(1 - density), stream(0, "masks"), 1)
    batches = batch_indices(EXAMPLES, BATCH, FIRST + max(2, *MORE.values()), stream(0, "batches"))
    whole = Job(np.asarray(masks), read_weights(task.build(0), sparse.layout), task.recipe, batches)
    job = replace(whole, batches=batches[: FIRST + 2])
    sparse.warm_up()
    methods: dict[str, Callable[[], tuple[float, float]]] = {
        "torch, contiguous": partial(_torch, task, job, torch.contiguous_format),
        "torch, channels last": partial(_torch, task, job, torch.channels_last),
        "dense engine": partial(_engine, dense, job),
        "sparse engine": partial(_engine, sparse, replace(whole, batches=batches[: FIRST + MORE["sparse engine"]])),
    }
    seconds: dict[str, list[float]] = {method: [] for method in methods}
    for _ in range(repeats):
        losses = {}
        for method, call in methods.items():
            losses[method], spent = call()
            seconds[method].append(spent)
        if not max(losses.values()) - min(losses.values()) <= TOLERANCE:
            sys.exit(f"{name}, density {density}: the methods end at different losses: {losses}")
    best = min(statistics.median(seconds[method]) for method in methods if method.startswith("torch"))
    kept = sum(float(np.count_nonzero(job.masks[:, layer.span])) * layer.uses for layer in space.layers)
    for method, values in seconds.items():
        yield {
            "what": name,
            "density": density,
            "method": method,
            "step_s": statistics.median(values),
            "faster_than_best_torch": best / statistics.median(values),
            "kept_gflops": 6 * BATCH * kept / statistics.median(values) / 1e9,
            "seconds": values,
        }


def _engine(engine: Any, job: Job) -> tuple[float, float]:
    """Mean loss of the first steps, and CPU seconds of each after; reading the weights out is spread over these."""
    training = engine.train(job, (FIRST, job.steps))
    _, losses = next(training)
    begin = time.process_time()
    next(training)
    return float(losses[0]), (time.process_time() - begin) / (job.steps - FIRST)


def _torch(task: Task, job: Job, memory_format: Any) -> tuple[float, float]:
    """The same with ``torch.optim.Adam``, pruned weights zero and their gradients masked."""
    import torch
    from torch.nn import functional

    layout = task.layout
    model = task.build(0).to(memory_format=memory_format)
    masks = {layer.name: torch.from_numpy(part.copy()) for layer, part in layout.space.split(job.masks[0])}

    def laid_out(tensor: Tensor) -> Tensor:  # what is in another format would be converted in every step
        return tensor.contiguous(memory_format=memory_format) if tensor.ndim == 4 else tensor

    pairs = [(weights, laid_out(masks[name].float())) for name, weights in model.named_parameters() if name in masks]
    with torch.no_grad():
        for parameter, mask in pairs:
            parameter.mul_(mask)
    recipe = job.recipe
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, betas=recipe.betas, eps=recipe.epsilon)
    inputs = laid_out(task.train.inputs)
    losses: list[float] = []
    spent: list[float] = []
    for chosen in map(torch.from_numpy, job.batches):
        begin = time.process_time()
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(laid_out(inputs[chosen])), task.train.labels[chosen])
        loss.backward()  # type: ignore[no-untyped-call]
        for parameter, mask in pairs:
            assert parameter.grad is not None
            parameter.grad *= mask
        optimizer.step()
        spent.append(time.process_time() - begin)
        losses.append(loss.item())
    return statistics.mean(losses[:FIRST]), statistics.mean(spent[FIRST:])


def _layers(name: str, density: float, repeats: int) -> Iterator[Row]:
    """Forward, weight gradient and input gradient of each layer by itself (no input gradient of the first)."""
    import numpy as np
    import torch

    from ticketsearch.engine.sparse import convolution
    from ticketsearch.engine.sparse.perceptron import zeros
    from ticketsearch.engine.sparse.planes import convnet_of, plan_of
    from ticketsearch.engine.sparse.vectors import LANES
    from ticketsearch.seeds import stream

    task = task_of(name)
    model = task.build(0)
    shape = convnet_of(model, tuple(task.train.inputs.shape[1:]))
    assert shape is not None
    plan, rng = plan_of(shape), stream(0, "layers")
    modules = [module for module in model.modules() if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)]
    size = sum(module.weight.numel() for module in modules)
    mask, nothing = rng.random(size) < density, np.zeros(0, dtype=np.float32)
    vector, rest = np.full(size, 0.01, dtype=np.float32), np.zeros(plan.with_bias.size, dtype=np.float32)
    packed = convolution.pack(mask, nothing, vector, rest, plan.layers, plan.taps, plan.with_bias, 0)
    h, d = zeros(plan.lines, LANES), zeros(plan.lines, LANES)
    grads = np.zeros(packed.weights.size, dtype=np.float32)
    output = column = 0
    for number, (layer, module) in enumerate(zip(plan.layers.view(np.recarray), modules, strict=True)):
        rows = packed.rows[output : output + layer.outputs + 1]
        columns = packed.columns[column : column + layer.inputs + 1] if number else None
        output, column = output + layer.outputs, column + (layer.inputs if number else 0)
        image = (layer.inputs,) if layer.linear else (layer.inputs, layer.height, layer.width)
        inputs = torch.from_numpy(rng.normal(size=(BATCH, *image)).astype(np.float32))
        if layer.linear and layer.inputs == HIDDEN:
            continue
        methods = {
            "torch, contiguous": partial(_products, module, inputs, torch.contiguous_format, bool(number)),
            "torch, channels last": partial(_products, module, inputs, torch.channels_last, bool(number)),
            "sparse kernels": partial(_sparse_products, layer, rows, columns, packed, h, d, grads),
        }
        seconds: dict[str, list[float]] = {method: [] for method in methods}
        for call in methods.values():
            call()
        for _ in range(repeats):
            for method, call in methods.items():
                begin = time.process_time()
                call()
                seconds[method].append(time.process_time() - begin)
        best = min(statistics.median(seconds[method]) for method in methods if method.startswith("torch"))
        flops = (6 if number else 4) * BATCH * int(rows[-1] - rows[0]) * int(layer.height * layer.width)
        for method, values in seconds.items():
            yield {
                "what": f"{layer.inputs} -> {layer.outputs}, {layer.height} x {layer.width}",
                "density": density,
                "method": method,
                "step_s": statistics.median(values),
                "faster_than_best_torch": best / statistics.median(values),
                "kept_gflops": flops / statistics.median(values) / 1e9,
                "seconds": values,
            }


def _products(module: Any, inputs: Any, memory_format: Any, backward: bool) -> None:
    """Forward and backward of a torch layer; ``backward``: to its inputs too."""
    if inputs.ndim == 4:
        module.to(memory_format=memory_format)
        inputs = inputs.to(memory_format=memory_format)
    outputs = module(inputs.requires_grad_(backward))
    outputs.backward(outputs.detach())


def _sparse_products(layer: Any, rows: Any, columns: Any, packed: Any, h: Any, d: Any, grads: Any) -> None:
    """The same by the sparse kernels, for each block of a batch."""
    from ticketsearch.engine.sparse import convolution
    from ticketsearch.engine.sparse.vectors import LANES

    tile = convolution.LINES if layer.linear else convolution.PLANES
    biases = packed.weights[packed.rows[-1] :]
    sources, targets = packed.sources.ctypes.data, packed.targets.ctypes.data
    for _ in range(-(-BATCH // LANES)):
        convolution.sum_forward(tile, layer, rows, sources, packed.weights.ctypes.data, biases, h)
        convolution.sum_gradient(tile, layer, rows, sources, h, d, grads, grads[packed.rows[-1] :])
        if columns is not None:
            values, order = packed.weights.ctypes.data, packed.entries.ctypes.data
            convolution.sum_backward(tile, layer, True, columns, targets, order, values, h, d)


def _show(row: Row) -> Row:
    print(
        f"{row['what']:30} density {row['density']:<5g} {row['method']:21} {1e3 * row['step_s']:8.2f} ms "
        f"{row['faster_than_best_torch']:6.2f} x the best of PyTorch {row['kept_gflops']:6.1f} GFLOP/s of kept weights",
        flush=True,
    )
    return row


def gemm_gflops() -> float:
    """The rate of the machine's float32 matrix products, the best of twenty."""
    import torch

    a = torch.randn(1024, 1024)
    seconds = []
    for _ in range(20):
        begin = time.process_time()
        torch.mm(a, a)
        seconds.append(time.process_time() - begin)
    return 2 * 1024**3 / min(seconds) / 1e9


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
