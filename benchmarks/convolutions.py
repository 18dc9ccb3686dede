"""Convolutional networks on a CPU: all networks of a chunk in each operation, or one after another?

Trains four masked networks both ways with the dense engine, on one thread, and measures them on 1,000 images; the two
ways take turns. Prints CPU seconds of a step and of a measurement of one network, the median of the repeats, and writes
raw values with the machine.

    python -m benchmarks.convolutions --json benchmarks/results/convolutions.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from ticketsearch import Recipe, Split, Task
from ticketsearch.engine import Job
from ticketsearch.engine.dense.engine import DenseEngine
from ticketsearch.seeds import stream
from ticketsearch.tasks.layout import read_weights
from ticketsearch.tasks.networks import network_factory

CASES = {"conv-2": (1, 28, 60), "conv-4": (1, 28, 60), "resnet-20": (3, 32, 128), "vgg-11-bn": (3, 32, 128)}
"""Network -> channels, size, batch."""
NETWORKS, STEPS = 4, 2


def task_of(name: str) -> Task:
    channels, size, batch = CASES[name]
    rng = stream(0, "benchmark", name)
    inputs = torch.from_numpy(rng.normal(size=(1000, channels, size, size)).astype(np.float32))
    split = Split(inputs, torch.arange(1000) % 10)
    recipe = Recipe(steps=STEPS, batch_size=batch, learning_rate=0.01, momentum=0.9)
    return Task(name, network_factory(name, channels, size, 10), split, split, split, recipe, STEPS)


def engine_of(task: Task, *, together: bool) -> DenseEngine:
    engine = DenseEngine(task, torch.device("cpu"), 1)
    if together:
        engine._one_by_one = engine._images = False
        engine.grain = NETWORKS
    return engine


def seconds(engine: DenseEngine, task: Task) -> tuple[float, float]:
    """CPU seconds of a training step, and of a measurement, of one network."""
    batch = task.recipe.batch_size
    masks = engine.layout.space.random(engine.layout.space.n_kept(0.9), stream(0, "masks"), NETWORKS)
    order = np.arange(STEPS * batch).reshape(STEPS, batch) % 1000
    job = Job(masks, read_weights(task.build(0), engine.layout), task.recipe, order)
    begin = time.process_time()
    [(weights, _)] = engine.train(job, (STEPS,))
    trained = time.process_time()
    engine.measure(weights, task.test)
    return (trained - begin) / (NETWORKS * STEPS), (time.process_time() - trained) / NETWORKS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    raw: dict[str, dict[str, list[tuple[float, float]]]] = {}
    print("network      s a step: together  one by one  ratio   s a measurement: together  one by one  ratio")
    for name in arguments.networks:
        task = task_of(name)
        engines = {"together": engine_of(task, together=True), "one by one": engine_of(task, together=False)}
        for engine in engines.values():
            engine.warm_up()
        raw[name] = {way: [] for way in engines}
        for _ in range(arguments.repeats):
            for way, engine in engines.items():
                raw[name][way].append(seconds(engine, task))
        step, measured = (
            [statistics.median(pair[part] for pair in raw[name][way]) for way in engines] for part in (0, 1)
        )
        print(
            f"{name:12} {step[0]:18.3f} {step[1]:11.3f} {step[0] / step[1]:6.2f} "
            f"{measured[0]:26.3f} {measured[1]:11.3f} {measured[0] / measured[1]:6.2f}"
        )
    if arguments.json:
        from benchmarks.machine import describe

        arguments.json.write_text(json.dumps({"machine": describe(), "seconds": raw}, indent=1) + "\n")


if __name__ == "__main__":
    main()
