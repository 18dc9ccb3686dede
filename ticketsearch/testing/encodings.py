"""What an encoding owes: checked in seconds, on a problem of closed form."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic_core import to_jsonable_python

from ticketsearch.arrays import BoolArray
from ticketsearch.errors import InvalidValue, StrategyError
from ticketsearch.masks import hamming
from ticketsearch.masks.encodings import Encoding, EncodingSettings, Genome
from ticketsearch.plugins import require_encoding
from ticketsearch.plugins.settings import build
from ticketsearch.problem import MaskProblem
from ticketsearch.seeds import stream
from ticketsearch.strategies.encoding import encoding_settings
from ticketsearch.testing.closed_form import MILLION, closed_form_problem
from ticketsearch.testing.limits import time_limit
from ticketsearch.testing.report import CheckFailed, Report, results_of
from ticketsearch.testing.subject import disturbed_generators

EVALUATIONS = 100
"""What a problem's budget pays for: a dense training, if a criterion needs one."""
MILLION_LIMIT_S = 30.0
GENOMES = 5


@dataclass(frozen=True)
class EncodingSubject:
    """An encoding under test."""

    name: str
    settings: EncodingSettings

    def on(self, **options: Any) -> tuple[MaskProblem, Encoding]:
        """A problem of closed form, and the encoding of its masks."""
        problem, _ = closed_form_problem(EVALUATIONS, **options)
        return problem, self.settings.build(problem)


def check_encoding(encoding: str | type | EncodingSettings, settings: Mapping[str, Any] | None = None) -> Report:
    """Hold an encoding to what searchers expect of it.

    Args:
        encoding: its class, an instance, or as it is named in ``--set encoding=``.
        settings: of a class.

    Raises:
        PluginError: it is no encoding at all.
        InvalidValue, UnknownName: settings that do not exist.
    """
    if isinstance(encoding, str):
        subject = EncodingSubject(encoding, encoding_settings(encoding))
    elif isinstance(encoding, type):
        require_encoding(encoding, f"encoding {encoding.__name__!r}")
        subject = EncodingSubject(encoding.__name__, build(f"encoding {encoding.__name__!r}", encoding, settings or {}))
    else:
        require_encoding(type(encoding), f"encoding {type(encoding).__name__!r}")
        subject = EncodingSubject(type(encoding).__name__, encoding)
    return Report(subject.name, results_of(ENCODING_CHECKS, subject), {})


def _settings_round_trip(subject: EncodingSubject) -> str:
    cls = type(subject.settings)
    text = json.dumps(to_jsonable_python(vars(subject.settings)))
    if build(subject.name, cls, json.loads(text)) != subject.settings:
        raise CheckFailed(f"settings {text} read back are others")
    if pickle.loads(pickle.dumps(subject.settings)) != subject.settings:
        raise CheckFailed("pickled and read back its settings are others")
    return text


def _genomes(encoding: Encoding, seed: int = 0) -> Iterator[tuple[str, Genome]]:
    """Random genomes, their children and neighbours."""
    rng = stream(seed, "encoding")
    for _ in range(GENOMES):
        a, b = encoding.sample(rng), encoding.sample(rng)
        yield "sample", a
        yield "crossover", encoding.crossover(a, b, rng)
        for strength in (encoding.step, 1.0):
            yield f"mutate with strength {strength:g}", encoding.mutate(a, strength, rng)


def _sound(problem: MaskProblem, mask: object, what: str) -> BoolArray:
    """A decoded mask, which must be one that a problem evaluates."""
    found = np.asarray(mask)
    if found.dtype != np.bool_ or found.shape != (problem.space.size,):
        raise CheckFailed(f"decode of {what} gives {found.dtype} {found.shape}; needed: bool ({problem.space.size},)")
    if (kept := int(np.count_nonzero(found))) != problem.n_kept:
        raise CheckFailed(f"decode of {what} keeps {kept} {problem.space.unit}s, not {problem.n_kept}")
    try:
        problem.space.check_floor(found, f"decode of {what}")
    except StrategyError as error:
        raise CheckFailed(str(error)) from error
    return found


def _exact_count(subject: EncodingSubject) -> str:
    for sparsity in (0.5, 0.83, 0.9):
        problem, encoding = subject.on(sparsity=sparsity)
        for what, genome in _genomes(encoding):
            _sound(problem, encoding.decode(genome), what)
    return "at sparsity 0.5, 0.83 and 0.9"


def _deterministic(subject: EncodingSubject) -> str:
    with disturbed_generators() as disturbed:
        (_, first), (_, again) = subject.on(), subject.on()
        pairs = list(zip(_genomes(first), _genomes(again), strict=True))
        masks = [(first.decode(a), again.decode(b)) for (_, a), (_, b) in pairs]
    if disturbed:
        raise CheckFailed(f"{' and '.join(disturbed)} global generator was changed; draw from the generator handed in")
    for (what, a), (_, b) in ((one, other) for one, other in pairs):
        if not np.array_equal(a, b):
            raise CheckFailed(f"{what} depends on more than its arguments and the generator handed in")
    if not all(np.array_equal(a, b) for a, b in masks):
        raise CheckFailed("decode gives two masks for one genome")
    kept = [mask.copy() for mask, _ in masks]
    for (_, genome), before in zip((one for one, _ in pairs), kept, strict=True):
        if not np.array_equal(first.decode(genome), before):
            raise CheckFailed("decode depends on what was decoded before")
    return ""


def _arguments_untouched(subject: EncodingSubject) -> str:
    _, encoding = subject.on()
    rng = stream(0, "encoding")
    a, b = encoding.sample(rng), encoding.sample(rng)
    before = a.copy(), b.copy()
    encoding.crossover(a, b, rng), encoding.mutate(a, encoding.step, rng), encoding.decode(a)
    if not (np.array_equal(a, before[0]) and np.array_equal(b, before[1])):
        raise CheckFailed("an operator changed a genome it was given; work on a copy")
    return ""


def _explores(subject: EncodingSubject) -> str:
    _, encoding = subject.on()
    rng = stream(0, "encoding")
    genomes = [encoding.sample(rng) for _ in range(2 * GENOMES)]
    if len({encoding.decode(genome).tobytes() for genome in genomes}) < 2:
        raise CheckFailed("random genomes decode to one and the same mask: nothing can be searched")
    near, far = (
        float(np.mean([hamming(encoding.decode(g), encoding.decode(encoding.mutate(g, s, rng))) for g in genomes]))
        for s in (encoding.step / 10, 1.0)
    )
    if not near <= far or far == 0:
        raise CheckFailed(f"a mutation of a tenth of its step moves {near:.3g} of the bits, one of 1 {far:.3g}")
    return f"a mutation of strength 1 changes {100 * far:.3g} % of the bits"


def _granularities(subject: EncodingSubject) -> str:
    said = []
    for granularity in ("channel", "2:4"):
        try:
            problem, encoding = subject.on(sparsity=0.5, granularity=granularity)
        except InvalidValue as error:  # in our words
            said.append(f"{granularity} refused: {error}")
            continue
        for what, genome in _genomes(encoding):
            _sound(problem, encoding.decode(genome), f"{what} under --granularity {granularity}")
        said.append(f"{granularity} written")
    return "; ".join(said)


def _million_bits(subject: EncodingSubject) -> str:
    begin = time.process_time()
    with time_limit(MILLION_LIMIT_S):
        problem, encoding = subject.on(shapes=MILLION)
        for what, genome in list(_genomes(encoding))[:GENOMES]:
            _sound(problem, encoding.decode(genome), what)
    return f"{time.process_time() - begin:.1f} CPU s"


ENCODING_CHECKS: dict[str, Callable[[EncodingSubject], str]] = {
    "settings-round-trip": _settings_round_trip,
    "exact-count": _exact_count,
    "deterministic": _deterministic,
    "arguments-untouched": _arguments_untouched,
    "explores": _explores,
    "granularities": _granularities,
    "million-bits": _million_bits,
}
"""Name -> what it measured, or CheckFailed."""
