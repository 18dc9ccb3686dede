import torch
from torch import nn

from ticketsearch import Recipe, Task


def two_moons() -> Task:
    angle = torch.linspace(0, 3.14, 1200).repeat(2)
    labels = torch.arange(2).repeat_interleave(1200)
    sign = 1 - 2 * labels
    inputs = torch.stack([sign * angle.cos() + labels, sign * angle.sin() + labels / 2], 1)
    inputs = inputs + 0.15 * torch.sin(torch.arange(4800.0) ** 2).reshape(2400, 2)
    return Task(
        name="two-moons",
        network=lambda: nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)),
        train=(inputs[0::3], labels[0::3]),
        validation=(inputs[1::3], labels[1::3]),
        test=(inputs[2::3], labels[2::3]),
        recipe=Recipe(steps=300, batch_size=30, learning_rate=0.1, momentum=0.9, schedule="cosine"),
        fidelity=50,
    )
