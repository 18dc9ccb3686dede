from dataclasses import replace

import torch
from torch import nn

from ticketsearch import DataSource, Task, load_task


class Residual(nn.Module):
    def __init__(self, width: int = 500) -> None:
        super().__init__()
        self.hidden1 = nn.Linear(40, width)
        self.hidden2 = nn.Linear(width, width)
        self.output = nn.Linear(width, 10)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.hidden1(inputs))
        return self.output(hidden + torch.relu(self.hidden2(hidden)))


def narrower(factor: float) -> nn.Module:
    return Residual(max(1, round(500 * factor)))


def mnist1d_residual(source: DataSource) -> Task:
    wide = load_task("mnist1d-wide", source)
    return replace(wide, name="mnist1d-residual", network=Residual, scaled=narrower)
