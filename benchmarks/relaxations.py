"""What a step of training through a relaxation costs, beside the same written with ``torch.optim`` and the module.

    python -m benchmarks.relaxations --steps 500

Both train the same vectors by the same formulas, on one thread, and take turns; each line is a median of ratios of CPU
seconds. GEMM: the products of a dense training step alone, ``2 + 2 + 2`` FLOPs a weight and example.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention

from ticketsearch.cost import Meter
from ticketsearch.engine import Engine, Job, make_engine
from ticketsearch.engine.relaxation import Relaxation
from ticketsearch.plugins import STRATEGIES, find
from ticketsearch.problem import MaskProblem
from ticketsearch.records.ledger import Ledger
from ticketsearch.runner.setup import Setup
from ticketsearch.seeds import torch_stream
from ticketsearch.tasks import load_task

NAMES = ("continuous-sparsification", "cts", "edge-popup", "gem-miner", "hard-concrete", "supermask")


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="mnist1d-wide")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=0, help="of a training; default the recipe's")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    task = load_task(arguments.task)
    engine, steps = make_engine(task, workers=1), arguments.steps or task.recipe.steps
    setup = Setup.of(replace(task, recipe=task.recipe.lasting(steps)), engine, 0)
    gemm = _gemm(setup)
    print(f"GEMM alone: {1e3 * gemm:.2f} ms a step\n")
    print("| strategy | ms a step | by torch.optim | ratio | of GEMM alone |")
    print("|---|---:|---:|---:|---:|")
    for name in NAMES:
        rows = [_measured(setup, name, arguments.sparsity) for _ in range(arguments.repeats)]
        ours, plain = (1e3 * median(row[index] for row in rows) for index in (0, 1))
        ratio = median(row[1] / row[0] for row in rows)
        print(f"| {name} | {ours:.1f} | {plain:.1f} | {ratio:.1f} | {ours / 1e3 / gemm:.1f} |", flush=True)


def _measured(setup: Setup, name: str, sparsity: float) -> tuple[float, float]:
    """CPU seconds of a step, here and in a plain loop."""
    asked: list[tuple[Job, Relaxation, int]] = []
    engine: Engine = setup.engine
    own = engine.train_relaxed

    def kept(job: Job, relaxation: Relaxation, stops: tuple[int, ...], seed: int) -> Any:
        asked.append((job, relaxation, seed))
        return own(job, relaxation, stops, seed)

    problem = MaskProblem(setup.session(sparsity, setup.task.fidelity, Meter(len(setup.task.train.labels)), Ledger()))
    engine.train_relaxed = kept  # type: ignore[method-assign]
    begun = time.process_time()
    find(STRATEGIES, name).load()().search(problem)
    ours = time.process_time() - begun
    engine.train_relaxed = own  # type: ignore[method-assign]
    [(job, relaxation, seed)] = asked
    begun = time.process_time()
    _plain(setup, job, relaxation, seed)
    return ours / job.steps, (time.process_time() - begun) / job.steps


def _plain(setup: Setup, job: Job, relaxation: Relaxation, seed: int) -> None:
    """The loop that a PyTorch user would write."""
    task, recipe = setup.task, job.recipe
    network = task.build(0).train(not relaxation.evaluating)
    values = {name: torch.tensor(one.start).requires_grad_() for name, one in relaxation.trainables.items()}
    rest = {name: p for name, p in network.named_parameters() if name in task.layout.rest_shapes}
    groups: list[dict[str, Any]] = [
        {
            "params": [values[name]],
            "rate": one.rate,
            "weight_decay": recipe.weight_decay if one.decay is None else one.decay,
        }
        for name, one in relaxation.trainables.items()
    ]
    if relaxation.train_rest:
        groups.append({"params": list(rest.values()), "rate": 1.0, "weight_decay": recipe.weight_decay})
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, 1.0, recipe.momentum, nesterov=recipe.nesterov)
    else:
        optimizer = torch.optim.Adam(groups, 1.0, recipe.betas, recipe.epsilon)
    layers = setup.units.weights.layers
    generator, weight = torch_stream(seed, torch.device("cpu")), 0.0
    for step, chosen in enumerate(job.batches):
        for group in optimizer.param_groups:
            group["lr"] = float(job.rates[step]) * group["rate"]
        vector = relaxation.weights(values, step, generator)
        state = {layer.name: vector[layer.span].view(layer.shape) for layer in layers}
        outputs = torch.func.functional_call(network, {**state, **rest}, (task.train.inputs[chosen],))
        loss = F.cross_entropy(outputs, task.train.labels[chosen])
        if relaxation.penalty is not None:
            penalty = relaxation.penalty(values, step)
            if relaxation.balance is not None:
                norms = [
                    torch.cat(torch.autograd.grad(one, list(values.values()), retain_graph=True)).norm()
                    for one in (loss, penalty)
                ]
                newest = float(norms[0] / norms[1]) if penalty >= 0 else 0.0
                weight = (1 - relaxation.balance) * weight + relaxation.balance * newest
                penalty = weight * penalty
            loss = loss + penalty
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _gemm(setup: Setup, repeats: int = 200) -> float:
    """CPU seconds of the three products of each layer."""
    batch = setup.task.recipe.batch_size
    shapes = [layer.shape for layer in setup.units.weights.layers]
    weights = [torch.randn(shape) for shape in shapes]
    inputs, outputs = ([torch.randn(batch, shape[axis]) for shape in shapes] for axis in (1, 0))
    begun = time.process_time()
    for _ in range(repeats):
        for weight, x, y in zip(weights, inputs, outputs, strict=True):
            _ = x @ weight.t(), y.t() @ x, y @ weight
    return (time.process_time() - begun) / repeats


if __name__ == "__main__":
    main()
