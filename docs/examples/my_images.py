import torch
from torchvision.models import mobilenet_v3_small

from ticketsearch import Recipe, Task


def colours(*, steps: int = 20) -> Task:
    images = torch.rand(180, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(180) % 3
    images[torch.arange(180), labels] += 0.5  # a class is a colour
    train, validation, test = zip(images.split(60), labels.split(60), strict=True)
    recipe = Recipe(steps=steps, batch_size=20, learning_rate=0.05, momentum=0.9)
    return Task("colours", lambda: mobilenet_v3_small(num_classes=3), train, validation, test, recipe, fidelity=2)
