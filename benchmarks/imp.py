"""Iterative magnitude pruning of LeNet-300-100 on MNIST, by this package's engine and by a plain PyTorch loop.

    python benchmarks/imp.py --data-root DATA --json benchmarks/results/imp.json

Frankle & Carbin's schedule (arXiv:1803.03635): per layer, 20 % of the survivors a round, 10 % in the output layer,
back to the initial weights, down to 1.9 % of the weights. Both start from the same weights and see the same batches in
the same order; one thread each, in turn. The learning rate falls linearly to zero in each level: at a constant one the
last step's noise is some 0.4 points, and no difference below that could be seen. Printed: test accuracy at each level,
and seconds spent in training.
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
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - PyTorch's own convention
from torch.nn.utils import prune
from torch.utils.data import DataLoader, TensorDataset

from ticketsearch.arrays import BoolArray, IntArray
from ticketsearch.engine import Engine, Job, batch_indices, make_engine
from ticketsearch.masks import top_per_layer
from ticketsearch.masks.ticket import Weights
from ticketsearch.recipe import Recipe
from ticketsearch.seeds import stream
from ticketsearch.strategies.imp import IterativeMagnitudePruning
from ticketsearch.tasks import DataSource, Task, load_task
from ticketsearch.tasks.layout import read_weights

Level = tuple[float, float]
"""Test accuracy and seconds of training."""
Method = Callable[[Task, Engine, Recipe, int, BoolArray, Weights, IntArray], tuple[Weights, float, float]]


def levels(method: Method, task: Task, engine: Engine, recipe: Recipe, seed: int) -> Iterator[Level]:
    """Train, prune, rewind; one level after another."""
    space = engine.layout.space
    plan = IterativeMagnitudePruning(rate=0.2, scope="layer", output_rate=0.5).plan(space, space.n_kept(0.981))
    start = read_weights(task.build(seed), engine.layout)
    mask = np.ones(space.size, dtype=bool)
    for level in range(len(plan) + 1):
        order = stream(seed, "benchmark", level)
        batches = batch_indices(len(task.train.labels), recipe.batch_size, recipe.steps, order)
        final, accuracy, seconds = method(task, engine, recipe, seed, mask, start, batches)
        yield accuracy, seconds
        if level < len(plan):
            mask = top_per_layer(np.where(mask, np.abs(final.vector), -1.0), plan[level], space)


def ours(
    task: Task, engine: Engine, recipe: Recipe, _seed: int, mask: BoolArray, start: Weights, batches: IntArray
) -> tuple[Weights, float, float]:
    """The engine."""
    begin = time.perf_counter()
    [(final, _)] = engine.train(Job(mask[None], start, recipe, batches), (recipe.steps,))
    seconds = time.perf_counter() - begin
    accuracy = float(engine.measure(final, task.test).accuracy[0])
    return Weights(final.vector[0], final.rest[0]), accuracy, seconds


def plain(
    task: Task, engine: Engine, recipe: Recipe, seed: int, mask: BoolArray, _start: Weights, batches: IntArray
) -> tuple[Weights, float, float]:
    """A DataLoader, torch.nn.utils.prune and torch.optim.Adam."""
    network = task.build(seed)
    for layer, part in engine.layout.space.split(mask):
        owner = network.get_submodule(layer.name.removesuffix(".weight"))
        prune.custom_from_mask(owner, "weight", torch.from_numpy(np.array(part)))  # type: ignore[no-untyped-call]
    begin = time.perf_counter()
    optimizer = torch.optim.Adam(network.parameters(), recipe.learning_rate)
    loader = DataLoader(TensorDataset(*task.train), batch_sampler=batches.tolist())
    for step, (inputs, labels) in enumerate(loader):
        optimizer.param_groups[0]["lr"] = recipe.learning_rate_at(step)
        optimizer.zero_grad()
        F.cross_entropy(network(inputs), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    seconds = time.perf_counter() - begin
    for module in network.modules():
        if isinstance(module, nn.Linear):
            prune.remove(module, "weight")  # type: ignore[no-untyped-call]
    with torch.no_grad():
        accuracy = float((network(task.test.inputs).argmax(1) == task.test.labels).float().mean())
    return read_weights(network, engine.layout), accuracy, seconds


def main() -> None:
    """Run both, print, write."""
    from benchmarks import machine

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, help="folder that holds MNIST")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=916, help="optimiser steps a level; 916 are an epoch")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    task = load_task("mnist-lenet", DataSource(arguments.data_root))
    engine = make_engine(task, engine="sparse", workers=1)
    recipe = replace(task.recipe.lasting(arguments.steps), schedule="linear")
    rows: list[dict[str, Any]] = []
    for seed in range(arguments.seeds):
        runs = {name: levels(method, task, engine, recipe, seed) for name, method in (("ours", ours), ("plain", plain))}
        for level, (a, b) in enumerate(zip(runs["ours"], runs["plain"], strict=True)):
            row = {"seed": seed, "level": level, "ours": a[0], "plain": b[0], "ours_s": a[1], "plain_s": b[1]}
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    summary = _summary(rows)
    print(json.dumps(summary, indent=1))
    if arguments.json:
        document = {"machine": machine.describe(), "steps": arguments.steps, "summary": summary, "rows": rows}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    table = []
    for level in sorted({row["level"] for row in rows}):
        own = [row for row in rows if row["level"] == level]
        a, b = (statistics.fmean(row[name] for row in own) for name in ("ours", "plain"))
        speed = sum(row["plain_s"] for row in own) / sum(row["ours_s"] for row in own)
        table.append({"level": level, "ours": a, "plain": b, "difference": a - b, "times_faster": speed})
    total = sum(row["plain_s"] for row in rows) / sum(row["ours_s"] for row in rows)
    worst = max(abs(entry["difference"]) for entry in table)
    return {"levels": table, "times_faster_in_all": total, "largest_difference": worst}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
