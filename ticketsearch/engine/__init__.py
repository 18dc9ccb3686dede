"""The only code that runs forward and backward passes.

An engine trains populations of masked networks and measures them. It knows nothing of budgets,
strategies or run folders; :mod:`ticketsearch.problem.mask_problem` meters every call before it is made.
"""

from ticketsearch.engine.base import Engine, Job, Kept, Measures, Relaxed, batch_indices
from ticketsearch.engine.choice import make_engine

__all__ = ["Engine", "Job", "Kept", "Measures", "Relaxed", "batch_indices", "make_engine"]
