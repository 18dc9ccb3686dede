"""Data sets and loaders of PyTorch's, read once."""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from ticketsearch.errors import InvalidValue
from ticketsearch.seeds import derive, fenced_globals


def is_data(value: object) -> TypeGuard[Dataset[Any] | DataLoader[Any]]:
    """Whether it is a data set or a loader, and no pair of arrays."""
    return isinstance(value, Dataset | DataLoader)


def read_data(data: Dataset[Any] | DataLoader[Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """All inputs and labels of a data set with a length, or of a loader of one.

    A loader's order and random transforms are drawn once, by a seed of their own.

    Raises:
        InvalidValue: it has no length, is empty, or its examples are no pairs of a tensor and a class.
    """
    if isinstance(data, TensorDataset):
        if len(data.tensors) != 2:
            raise InvalidValue(f"a TensorDataset of {len(data.tensors)} tensors; needed: inputs and labels")
        return data.tensors[0], data.tensors[1]
    try:
        size = len(data)  # type: ignore[arg-type] # data sets need not have one
    except TypeError as error:
        raise InvalidValue(f"{type(data).__name__} has no length: it may never end; read it into tensors") from error
    if size == 0:
        raise InvalidValue(f"{type(data).__name__} is empty")
    inputs: list[torch.Tensor] = []
    labels: list[torch.Tensor] = []
    with fenced_globals(derive(0, "reading")):
        examples = data if isinstance(data, DataLoader) else (data[number] for number in range(size))
        for number, example in enumerate(examples):
            try:
                first, second = example
                read = torch.as_tensor(first), torch.as_tensor(second)
            except (TypeError, ValueError, RuntimeError) as error:
                raise InvalidValue(
                    f"example {number} of {type(data).__name__} is no pair of a tensor and a class ({error}); give the "
                    "data set a transform, like torchvision's ToTensor"
                ) from error
            inputs.append(read[0])
            labels.append(read[1])
    try:
        if isinstance(data, DataLoader):
            return torch.cat(inputs), torch.cat(labels)
        return torch.stack(inputs), torch.stack(labels)
    except RuntimeError as error:
        raise InvalidValue(f"examples of {type(data).__name__} differ in shape: {error}") from error
