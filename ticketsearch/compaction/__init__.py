"""Networks that are smaller, not only sparser: dead channels and neurons removed from a module.

Zeros in a weight tensor save no time in PyTorch: its kernels multiply by them. What saves time is a smaller tensor, and
a channel can go when nothing reads it, or when it is constant and what reads it can take the constant into its bias.
The graph comes from :mod:`torch.fx`; an operation it shows and this package does not know keeps its channels.

``tracing`` finds the graph, ``analysis`` what it does with its channels (by the ``rules`` of operations, and those of
``mixing`` for layers), ``classes`` which of them are dead, ``checking`` whether the cut network computes the same;
``surgery`` cuts, ``widening`` cuts what only writes zeros into a sum, ``cut`` is the verb and its result.
"""

from ticketsearch.compaction.cut import Compaction, CutLayer, compact, follow_masks

__all__ = ["Compaction", "CutLayer", "compact", "follow_masks"]
