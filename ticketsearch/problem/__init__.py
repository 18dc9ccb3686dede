"""The one handle a strategy receives, and what stands behind it.

``mask_problem`` is the strategy's side and has its verbs only; ``session`` is the host's. ``evaluator`` scores masks,
``trainer`` trains and takes derivatives; both charge by ``pricing`` and record, or replay, a ledger by ``replay``.
"""

from ticketsearch.problem.known import KnownProblem
from ticketsearch.problem.mask_problem import MaskProblem
from ticketsearch.problem.scores import Incumbent, Score, Snapshot

__all__ = ["Incumbent", "KnownProblem", "MaskProblem", "Score", "Snapshot"]
