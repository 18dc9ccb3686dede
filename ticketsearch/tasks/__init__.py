"""What a ticket is searched for: frozen data, a network, a recipe.

A task is a value. Its splits are whole tensors, so training needs no loader; its network is a
factory, so that every run can draw fresh initial weights from its own seed.
"""

from ticketsearch.tasks.augmentation import Augmentation, CropFlip
from ticketsearch.tasks.task import DataSource, Split, Task, keeping, load_task, place_of

__all__ = ["Augmentation", "CropFlip", "DataSource", "Split", "Task", "keeping", "load_task", "place_of"]
