"""Predictors: what says of a mask, before it is trained in full, whether it is a ticket.

Each is a frozen dataclass of settings with a ``sign`` and ``predict(problem, masks)``; what it asks of the problem is
metered. ``named`` finds them by name, third parties' too; ``at`` has what those at one point of the training share.
"""

from ticketsearch.predictors.named import predictor_named
from ticketsearch.problem.prediction import Predictor

__all__ = ["Predictor", "predictor_named"]
