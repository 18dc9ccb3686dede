"""Sparse double descent on MNIST as published (arXiv:2206.08684), on fewer training images.

LeNet-300-100, He et al.'s initial weights, SGD at 0.1 without momentum, batches of 128, 160 epochs. The noise is an
option of every task: ``--task-set label_noise=0.2``. The whole training split is the task ``mnist-lenet`` itself, with
``init=kaiming``, ``optimizer=sgd``, ``learning_rate=0.1``, ``batch_size=128``, ``epochs=160``.
"""

from __future__ import annotations

from dataclasses import replace

from ticketsearch import DataSource, Split, Task, load_task
from ticketsearch.errors import InvalidValue

RECIPE = {"init": "kaiming", "optimizer": "sgd", "learning_rate": 0.1, "batch_size": 128}


def mnist(source: DataSource, *, examples: int = 5500, epochs: float = 160) -> Task:
    """LeNet-300-100 on some of MNIST's training images, by the recipe of sparse double descent.

    Args:
        source: where MNIST lies.
        examples: training images, the first of the task ``mnist-lenet``, whose order is random.
        epochs: of those images.
    """
    whole = load_task("mnist-lenet", source, RECIPE)
    if not whole.recipe.batch_size <= examples <= len(whole.train.labels):
        raise InvalidValue(f"examples = {examples} is not between 128 and {len(whole.train.labels)}")
    epoch = examples // whole.recipe.batch_size
    train = Split(*(part[:examples] for part in whole.train))
    return replace(whole, train=train, recipe=whole.recipe.lasting(round(epochs * epoch)), fidelity=epoch)
