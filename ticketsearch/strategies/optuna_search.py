"""Optuna's samplers over a low-dimensional encoding of masks (Akiba et al., arXiv:1907.10902).

Asked in batches, because a batch is trained in one go. One parameter per weight is ruled out: TPE models every
parameter of every trial, CMA-ES a full covariance, both hopeless at 10^4 dimensions and more.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from ticketsearch.errors import InvalidValue
from ticketsearch.problem import MaskProblem
from ticketsearch.strategies.encoding import vector_encoding
from ticketsearch.strategies.options import EncodingOptions

if TYPE_CHECKING:
    import optuna


REACH = 3.0
"""Standard deviations of a genome to either side of its start that are searched."""


@dataclass(frozen=True)
class OptunaSearch(EncodingOptions):
    """Let a model of past trials propose the next ones.

    Attributes:
        sampler: ``tpe`` (tree-structured Parzen estimators) or ``cmaes`` (CMA-ES).
        batch: trials asked for together.
        history: trials a TPE model is fitted to: half of them the best, half the latest. Optuna's cost of a proposal
            grows with the trials it remembers, without bound; this keeps it at a few milliseconds.
    """

    encoding: str = "layer-density"
    sampler: Literal["tpe", "cmaes"] = "tpe"
    batch: Annotated[int, Field(ge=1)] = 12
    history: Annotated[int, Field(ge=20)] = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoding.partition("(")[0] == "swap":
            raise InvalidValue(
                "optuna cannot use encoding 'swap': one parameter per weight is beyond its samplers; "
                "use layer-density, neurons, criterion-mixture or seeded"
            )

    def search(self, problem: MaskProblem) -> None:
        """The host keeps the incumbent."""
        import optuna

        encoding = vector_encoding("optuna", self.make_encoding(problem))
        box: dict[str, optuna.distributions.BaseDistribution] = {
            f"x{i}": optuna.distributions.FloatDistribution(-REACH, REACH) for i in range(encoding.dimensions)
        }
        fidelity = problem.fidelity
        with _quiet():
            study = optuna.create_study(direction="maximize", sampler=self._sampler(problem))
            while True:
                if problem.fidelity > fidelity:  # scores of another length are no longer comparable
                    fidelity = problem.fidelity
                    study = optuna.create_study(direction="maximize", sampler=study.sampler)
                if self.sampler == "tpe" and len(study.get_trials(deepcopy=False)) >= 2 * self.history:
                    study = self._forgetful(study)
                trials = [study.ask(box) for _ in range(self.drawn(problem, self.batch))]
                genomes = [np.array([trial.params[name] for name in box]) for trial in trials]
                scores = self.scores(problem, [encoding.decode(genome) for genome in genomes])
                for trial, score in zip(trials, scores, strict=True):
                    if score.failed:
                        study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    else:
                        study.tell(trial, score.value)

    def _forgetful(self, study: optuna.Study) -> optuna.Study:
        """A study that remembers ``history`` trials of another, with the same sampler."""
        import optuna

        finished = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        latest = finished[len(finished) - self.history // 2 :]
        best = sorted(finished[: -len(latest)], key=lambda trial: -(trial.value or 0.0))[: self.history - len(latest)]
        shorter = optuna.create_study(direction="maximize", sampler=study.sampler)
        shorter.add_trials([*best, *latest])
        return shorter

    def _sampler(self, problem: MaskProblem) -> optuna.samplers.BaseSampler:
        import optuna

        seed = int(problem.rng("optuna").integers(2**31))
        if self.sampler == "cmaes":
            generation = max(4, problem.worth_drawing(self.batch))  # with fewer there is no covariance to estimate
            return optuna.samplers.CmaEsSampler(seed=seed, popsize=generation, warn_independent_sampling=False)
        return optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's log lines and experimental warnings; both settings are left as found."""
    import optuna

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
