"""``mnist1d-mlp`` and ``mnist1d-wide``: MNIST-1D (Greydanus & Kobak, arXiv:2011.14439), generated offline, and MLPs.

Train and test are the package's defaults (seed 42, 4,000 + 1,000), so figures compare with publications.
The 2,000 validation examples come from the same generator with another seed, so no training data is lost.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from ticketsearch.errors import CorruptRun
from ticketsearch.recipe import Recipe
from ticketsearch.records.files import write_atomically
from ticketsearch.seeds import fenced_globals
from ticketsearch.tasks.networks import mlp, scaled_mlp
from ticketsearch.tasks.networks.mlp import Init
from ticketsearch.tasks.task import DataSource, Split, Task

VALIDATION_SEED = 43
_FILE = "mnist1d-v1.safetensors"


def mnist1d_mlp(source: DataSource) -> Task:
    """MLP 40-100-100-10 on MNIST-1D; no data needed, no download."""
    return _task(
        "mnist1d-mlp",
        source,
        (40, 100, 100, 10),
        "kaiming",
        Recipe(steps=2000, batch_size=100, learning_rate=0.1, momentum=0.9, schedule="cosine", weight_decay=5e-4),
    )


def mnist1d_wide(source: DataSource) -> Task:
    """MLP 40-500-500-10 on MNIST-1D, on which tickets win: at 0.9 to 0.99 IMP's end above the dense network.

    Width, initial weights (PyTorch's own) and recipe (Adam, 2e-2, 1,501 steps) are those of the lottery tickets in the
    MNIST-1D authors' notebook; their network is a residual one, see ``docs/tasks.md``.
    """
    recipe = Recipe(steps=1501, batch_size=100, learning_rate=2e-2, optimizer="adam")
    return _task("mnist1d-wide", source, (40, 500, 500, 10), "torch", recipe)


def _task(name: str, source: DataSource, widths: tuple[int, ...], init: Init, recipe: Recipe) -> Task:
    data = _load(source.cache_folder / _FILE)

    def split(part: str) -> Split:
        return Split(torch.from_numpy(data[f"{part}_inputs"]), torch.from_numpy(data[f"{part}_labels"]))

    return Task(
        name=name,
        network=partial(mlp, *widths, init=init),
        scaled=partial(scaled_mlp, widths, init=init),
        train=split("train"),
        validation=split("validation"),
        test=split("test"),
        recipe=recipe,
        fidelity=100,
    )


def _load(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file, save

    if not path.is_file():
        write_atomically(path, save(_generate()))
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CorruptRun(f"the cached data set {path} is damaged ({error}); delete it, it is made again") from error


def _generate() -> dict[str, np.ndarray]:
    with fenced_globals():  # the generator seeds Python's and NumPy's globals
        from mnist1d.data import get_dataset_args, make_dataset

        standard = make_dataset(get_dataset_args())
        arguments = get_dataset_args()
        arguments.seed, arguments.num_samples, arguments.train_split = VALIDATION_SEED, 2000, 1.0
        validation = make_dataset(arguments)
    pairs = {
        "train": (standard["x"], standard["y"]),
        "test": (standard["x_test"], standard["y_test"]),
        "validation": (validation["x"], validation["y"]),
    }
    arrays = {f"{name}_inputs": np.ascontiguousarray(x, dtype=np.float32) for name, (x, _) in pairs.items()}
    return arrays | {f"{name}_labels": np.ascontiguousarray(y, dtype=np.int64) for name, (_, y) in pairs.items()}
