"""``mnist1d-mlp``: MNIST-1D (Greydanus & Kobak, arXiv:2011.14439), generated offline, and a small MLP.

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
from ticketsearch.tasks.networks import mlp
from ticketsearch.tasks.task import DataSource, Split, Task

VALIDATION_SEED = 43
_FILE = "mnist1d-v1.safetensors"


def mnist1d_mlp(source: DataSource) -> Task:
    """MLP 40-100-100-10 on MNIST-1D; no data needed, no download."""
    data = _load(source.cache_folder / _FILE)

    def split(name: str) -> Split:
        return Split(torch.from_numpy(data[f"{name}_inputs"]), torch.from_numpy(data[f"{name}_labels"]))

    return Task(
        name="mnist1d-mlp",
        network=partial(mlp, 40, 100, 100, 10),
        train=split("train"),
        validation=split("validation"),
        test=split("test"),
        recipe=Recipe(
            steps=2000, batch_size=100, learning_rate=0.1, momentum=0.9, schedule="cosine", weight_decay=5e-4
        ),
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
