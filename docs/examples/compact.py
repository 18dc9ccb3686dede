import torch
from torch import nn

import ticketsearch

network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 10))
mask = torch.ones(16, 3, 3, 3, dtype=torch.bool)
mask[8:] = False  # half of the channels
inputs = torch.randn(2, 3, 8, 8)
masks = ticketsearch.follow_masks(network, {"0.weight": mask}, example=inputs)
cut = ticketsearch.compact(network, masks, example=inputs, training=True)
print(cut.report())
whole = cut.scatter(cut.module.state_dict(), into=network.state_dict())  # after training cut.module
