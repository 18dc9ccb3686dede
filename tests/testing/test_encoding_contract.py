"""Each fault of an encoding is found by its check and by no other; a stranger's encoding works in every searcher."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers.commands import ROOT, Cli
from tests.helpers.packages import install
from ticketsearch import MaskProblem
from ticketsearch.errors import PluginError, UnknownName
from ticketsearch.masks import top_n
from ticketsearch.masks.encodings import Encoding, ScoreEncoding
from ticketsearch.testing import check_encoding, check_strategy
from ticketsearch.testing.encodings import ENCODING_CHECKS


class Rows(ScoreEncoding):
    """One number for each output of each layer, and the size of the weight."""

    def __init__(self, problem: MaskProblem) -> None:
        self._layers, self._units = problem.units.weights.layers, problem.units
        super().__init__(problem, sum(layer.shape[0] for layer in self._layers))
        self._sizes = np.abs(problem.initial_weights().vector)

    def scores(self, genome: Any) -> Any:
        counts = np.concatenate([np.full(layer.shape[0], layer.size // layer.shape[0]) for layer in self._layers])
        return self._units.reduce(self._sizes + np.repeat(genome, counts))


@dataclass(frozen=True)
class Sound:
    """Nothing is wrong with it."""

    alpha: float = 0.7

    def build(self, problem: MaskProblem) -> Encoding:
        return Rows(problem)


@dataclass(frozen=True)
class Doubles(Sound):
    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", 2 * self.alpha)


@dataclass(frozen=True)
class WrongCount(Sound):
    def build(self, problem: MaskProblem) -> Encoding:
        class Fewer(Rows):
            def decode(self, genome: Any) -> Any:
                mask = super().decode(genome)
                mask[np.flatnonzero(mask)[0]] = False
                return mask

        return Fewer(problem)


@dataclass(frozen=True)
class Ambient(Sound):
    def build(self, problem: MaskProblem) -> Encoding:
        class Global(Rows):
            def sample(self, rng: np.random.Generator) -> Any:
                return np.random.normal(size=self.dimensions)  # noqa: NPY002 - that is the fault

        return Global(problem)


@dataclass(frozen=True)
class Remembers(Sound):
    def build(self, problem: MaskProblem) -> Encoding:
        class Drifting(Rows):
            drift = 0.0

            def scores(self, genome: Any) -> Any:
                self.drift += 1.0
                return super().scores(genome + self.drift * np.arange(self.dimensions))

        return Drifting(problem)


@dataclass(frozen=True)
class Overwrites(Sound):
    def build(self, problem: MaskProblem) -> Encoding:
        class InPlace(Rows):
            def mutate(self, genome: Any, strength: float, rng: np.random.Generator) -> Any:
                genome += strength * rng.normal(size=self.dimensions)
                return genome

        return InPlace(problem)


@dataclass(frozen=True)
class Constant(Sound):
    def build(self, problem: MaskProblem) -> Encoding:
        class One(Rows):
            def scores(self, genome: Any) -> Any:
                return super().scores(0 * genome)

        return One(problem)


@dataclass(frozen=True)
class IgnoresFloors(Sound):
    def build(self, problem: MaskProblem) -> Encoding:
        class Bare(Rows):
            def decode(self, genome: Any) -> Any:
                return top_n(self.scores(np.asarray(10 * genome)), self.n_kept)

        return Bare(problem)


BREAKERS: dict[type, set[str]] = {
    Doubles: {"settings-round-trip"},
    WrongCount: {"exact-count", "granularities", "million-bits"},
    Ambient: {"deterministic"},
    Remembers: {"deterministic", "explores"},
    Overwrites: {"arguments-untouched"},
    Constant: {"explores"},
    IgnoresFloors: {"granularities"},
}


def test_a_sound_encoding_passes_every_check() -> None:
    report = check_encoding(Sound)
    report.require()
    assert [result.name for result in report.results] == list(ENCODING_CHECKS)
    message = next(result.message for result in report.results if result.name == "granularities")
    assert message == "channel written; 2:4 written"


@pytest.mark.parametrize("breaker", list(BREAKERS), ids=lambda cls: cls.__name__)
def test_each_fault_is_found(breaker: type) -> None:
    assert {result.name for result in check_encoding(breaker).failures} == BREAKERS[breaker]


def test_what_is_no_encoding_is_refused() -> None:
    for wrong in (int, Rows):
        with pytest.raises(PluginError, match="is not a dataclass with a build"):
            check_encoding(wrong)
    with pytest.raises(UnknownName, match="unknown parameter of encoding 'Sound' 'beta'"):
        check_encoding(Sound, {"beta": 1})


@pytest.fixture
def cosine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stranger's package on the path."""
    folder = tmp_path / "cosine"
    shutil.copytree(ROOT / "plugins" / "ticketsearch-cosine", folder)
    name, _ = install(folder, monkeypatch)
    return name


SEARCHERS: dict[str, dict[str, Any]] = {
    "ga": {"population": 6},
    "sa": {"chains": 4},
    "cma-es": {"population": 6},
    "hyperband": {},
    "optuna": {"batch": 4},
}


@pytest.mark.parametrize("searcher", list(SEARCHERS))
def test_a_stranger_s_encoding_works_in_every_searcher_by_name(searcher: str, cosine: str) -> None:
    settings = {**SEARCHERS[searcher], "encoding": f"{cosine}(terms=4)", "start": "erk"}
    checks = ["parameters-round-trip", "exact-count", "same-seed", "within-budget", "kill-and-replay"]
    check_strategy(searcher, settings=settings, checks=checks).require()


def test_the_command_lists_shows_and_checks_it(cosine: str, cli: Cli) -> None:
    assert cosine in cli("encodings").out
    shown = cli("encodings", "show", cosine)
    assert "terms = 12" in shown.out
    checked = cli("check", "neurons", "--json")
    assert checked.code == 0, checked.err


def test_the_source_of_an_encoding_from_outside_is_part_of_a_run(cosine: str) -> None:
    from ticketsearch.runner.run import _code_of
    from ticketsearch.strategies.ga import Genetic

    assert _code_of(Genetic()) is None
    assert _code_of(Genetic(encoding="neurons")) is None
    assert _code_of(Genetic(encoding=cosine)) is not None
