"""How far evaluations can be shared out: throughput by workers, stragglers, a lost node, and the driver's own limits.

    python benchmarks/scale.py --quick     # one round, two workers; about two minutes
    python benchmarks/scale.py             # five rounds, up to four workers; on a quiet machine, about ten minutes

All on a local Ray cluster of a head without CPUs and further nodes, `mnist1d-mlp`, one-thread workers. Measured are

* masks a second of the local engine on one thread, and on the cluster by 1, 2 and more workers, all fleets standing
  ready and taking turns; what counts are ratios within a round;
* the same batch when one chunk sleeps on its worker, and when a node is killed under it: seconds, and whether every
  score is the serial one's to the last bit;
* the driver's cost of a candidate of 10^5, 10^6 and 10^7 bits, against workers that answer at once: CPU seconds of its
  process in all, and of the parts by themselves.

From the last follows how many candidates a second one driver can feed, and how long an evaluation must be for 1,000
GPUs to be kept busy. Writes ``benchmarks/results/scale.json`` and, from it, ``benchmarks/scale.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ticketsearch import MaskProblem, load_task
from ticketsearch.cluster.engine import Answer, ChunkWorker, RayEngine
from ticketsearch.cost import Cost
from ticketsearch.engine import Job, Measures, batch_indices, make_engine
from ticketsearch.masks import digest, pack
from ticketsearch.problem.evaluator import ROUNDS
from ticketsearch.problem.pricing import Pricing
from ticketsearch.records.ledger import Ledger, Trial
from ticketsearch.seeds import stream
from ticketsearch.tasks.layout import read_weights
from ticketsearch.testing.closed_form import ClosedForm

HERE = Path(__file__).resolve().parent
SETTINGS = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 1000, "health_check_failure_threshold": 3}
PARTS = ("in all", "digest", "price", "pack", "send and answer", "ledger")
PLACE, SLEEP_S = "TICKETSEARCH_SCALE_PLACE", 10.0
SHAPES: dict[int, dict[str, tuple[int, ...]]] = {
    bits: {"first.weight": (bits // 2000, 1000), "second.weight": (bits // 2000, 1000)}
    for bits in (10**5, 10**6, 10**7)
}
GPUS = 1000


class Sleeping(ChunkWorker):
    """Sleeps over one chunk, if a file says so, and then not again."""

    def evaluate(self, key: int, parcel: list[Any], packed: Any, packed_rest: Any) -> Answer:
        """As :class:`ChunkWorker`."""
        wish = Path(os.environ[PLACE]) / "sleep"
        if wish.exists():
            wish.unlink()
            time.sleep(SLEEP_S)
        return super().evaluate(key, parcel, packed, packed_rest)


class Answering(ChunkWorker):
    """Answers at once: what is left is the driver's work."""

    def begin(self, settings: dict[str, str], parcel: list[Any], device: str, wish: str) -> None:
        """Needs nothing."""

    def evaluate(self, key: int, parcel: list[Any], packed: Any, packed_rest: Any) -> Answer:  # noqa: ARG002 - a worker's
        """Zeros."""
        return np.zeros(len(packed)), np.zeros(len(packed)), 0.0, None


class Workload:
    """Masks of the default task, its default short training, and what one thread makes of them."""

    def __init__(self, count: int) -> None:
        self.task = load_task("mnist1d-mlp")
        self.local = make_engine(self.task, workers=1)
        masks = self.local.layout.space.random(self.local.layout.space.n_kept(0.9), stream(0, "scale"), count)
        recipe, steps = self.task.recipe, self.task.fidelity
        batches = batch_indices(len(self.task.train.labels), recipe.batch_size, steps, stream(0, "batches"))
        self.job = Job(masks, read_weights(self.task.build(0), self.local.layout), recipe.lasting(steps), batches)

    def timed(self, engine: Any) -> tuple[float, Measures]:
        """Wall seconds and scores of one batch."""
        begin = time.perf_counter()
        found = engine.evaluate(self.job, self.task.validation)
        return time.perf_counter() - begin, found


def same(one: Measures, other: Measures) -> bool:
    """To the last bit."""
    return np.array_equal(one.accuracy, other.accuracy) and np.array_equal(one.loss, other.loss)


def throughput(address: str, work: Workload, fleets: list[int], rounds: int) -> dict[str, Any]:
    """Seconds of the same batch by number of workers, 0 = this process, round by round."""
    seconds: dict[int, list[float]] = {count: [] for count in (0, *fleets)}
    with ExitStack() as stack:
        engines: dict[int, Any] = {0: work.local}
        for count in fleets:
            engine = RayEngine(work.local, work.task, address, "auto", "cpu", count)
            engines[count] = stack.enter_context(engine)
            engine.warm_up()
            complete(engine, count, work)
        _, expected = work.timed(work.local)
        for _ in range(rounds):
            for count, engine in engines.items():
                elapsed, found = work.timed(engine)
                assert same(found, expected), count
                seconds[count].append(elapsed)
    masks = len(work.job.masks)
    rate = {count: [masks / one for one in values] for count, values in seconds.items()}
    return {
        "masks": masks,
        "seconds": seconds,
        "masks_per_s": {count: statistics.median(values) for count, values in rate.items()},
        "to_one_worker": {
            count: statistics.median(own / one for own, one in zip(rate[count], rate[1], strict=True))
            for count in (0, *fleets)
        },
    }


def complete(engine: RayEngine, workers: int, work: Workload) -> None:
    """Wait for all workers, so that no start is measured, and let each do something."""
    while engine.ready < workers:
        engine.evaluate(work.job.only(slice(0, 16)), work.task.validation)
    work.timed(engine)


def accidents(cluster: Any, work: Workload) -> dict[str, Any]:
    """Seconds of the same batch undisturbed, with a chunk that sleeps, and with a node killed under it."""
    place, workers = Path(os.environ[PLACE]), 2
    [crowded] = cluster.worker_nodes
    nodes = [cluster.add_node(num_cpus=1) for _ in range(workers)]
    cluster.remove_node(crowded)
    _, expected = work.timed(work.local)
    with RayEngine(work.local, work.task, cluster.address, "auto", "cpu", workers, Sleeping) as engine:
        engine.warm_up()
        complete(engine, workers, work)
        seconds: dict[str, float] = {}
        for what in ("undisturbed", "straggler"):
            if what == "straggler":
                (place / "sleep").touch()
            seconds[what], found = work.timed(engine)
            assert same(found, expected), what
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        seconds["node lost"], found = work.timed(engine)
        assert same(found, expected)
    return {"seconds": seconds, "injected_sleep_s": SLEEP_S, "workers": workers, "scores_equal": True}


def cpu_s(action: Callable[[], object]) -> float:
    """CPU seconds of this process, all threads."""
    begin = time.process_time()
    action()
    return time.process_time() - begin


def driver(address: str, work: Workload, bits: int, count: int, rounds: int) -> dict[str, Any]:
    """The driver's CPU seconds of one candidate, in all and by part."""
    parts: dict[str, list[float]] = {}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "l.sqlite") as ledger:
        shapes = SHAPES[bits]
        session, engine = ClosedForm((1 + rounds) * count, shapes=shapes).session(ledger)
        session.engine = stack.enter_context(RayEngine(engine, work.task, address, "auto", "cpu", 2, Answering))
        session.engine.warm_up()  # workers that answer at once
        problem = MaskProblem(session)
        for index in range(1 + rounds):
            masks = problem.space.random(problem.n_kept, stream(index, "driver"), count)
            own = parts if index else {}  # the first round warms up
            priced = partial(Pricing(problem.space).evaluations, examples=1, measured=1)
            packed = pack(masks)

            def record(name: str, action: Callable[[], object], own: dict[str, list[float]] = own) -> None:
                own.setdefault(name, []).append(cpu_s(action) / count)

            record("in all", partial(problem.evaluate, masks))
            record("digest", partial(of_each, digest, masks))
            record("price", partial(priced, masks))
            record("pack", partial(pack, masks))
            record("send and answer", partial(exchange, problem, packed))
            with Ledger(Path(folder) / f"{index}.sqlite") as alone:
                trials = [
                    Trial(
                        number,
                        "evaluate",
                        f"{number:016x}",
                        100,
                        "complete",
                        0.5,
                        0.5,
                        "",
                        Cost(number),
                        Cost(number + 1),
                    )
                    for number in range(count)
                ]
                record("ledger", partial(alone.append, trials))
    medians = {name: statistics.median(values) for name, values in parts.items()}
    whole = medians["in all"]
    return {
        "bits": bits,
        "exponent": len(str(bits)) - 1,
        "candidates": count,
        "cpu_s": medians,
        "raw": parts,
        "candidates_per_s": 1 / whole,
        "evaluation_s": GPUS * whole,
        "megabytes_per_s": bits / 8 / whole / 1e6,
    }


def of_each(action: Callable[[Any], object], masks: Any) -> None:
    """One after another, as the evaluator does."""
    for mask in masks:
        action(mask)


def exchange(problem: MaskProblem, packed: Any) -> None:
    """Send packed masks to workers and wait for the answers, without all else."""
    fleet = problem._session.engine._fleet  # type: ignore[attr-defined] # of a RayEngine
    pieces = [(0, [None], packed[first : first + 8], 8 * packed.shape[1]) for first in range(0, len(packed), 8)]
    for _ in fleet.work("evaluate", pieces):
        pass


def page(found: dict[str, Any]) -> str:
    """The measurements as a page."""
    largest = found["driver"][-1]["cpu_s"]
    wave = GPUS * ROUNDS
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=False, undefined=StrictUndefined)
    return environment.get_template("scale.md.j2").render(
        found,
        busy=found["load"][0] > 0.5,
        parts=PARTS,
        slowest=max(PARTS[1:], key=lambda name: float(largest[name])),
        gpus=GPUS,
        rounds=ROUNDS,
        wave=wave,
        wave_gb=[wave * bits / 1e9 for bits in SHAPES],
        most=max(int(count) for count in found["throughput"]["seconds"]),
    )


def main() -> None:
    """Measure, print, write."""
    from ray.cluster_utils import Cluster

    from benchmarks import machine
    from ticketsearch.cluster.connection import import_ray

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything: for a look, not for the record")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the page, and of results/scale.json")
    quick = (arguments := parser.parse_args()).quick
    fleets, rounds, masks = ([1, 2], 2, 200) if quick else ([1, 2, 4], 5, 2000)
    load, ray = os.getloadavg(), import_ray()
    work = Workload(masks)
    with tempfile.TemporaryDirectory() as place:
        os.environ[PLACE] = place
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": SETTINGS}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        cluster.add_node(num_cpus=sum(fleets))
        ray.init(cluster.address, include_dashboard=False, log_to_driver=False, logging_level="error")
        document = {
            "machine": machine.describe(),
            "load": load,
            "ray": ray.__version__,
            "quick": quick,
            "throughput": throughput(cluster.address, work, fleets, rounds),
            "driver": [
                driver(cluster.address, work, bits, min(64, 10**9 // (5 * bits)), 3 if quick else 7) for bits in SHAPES
            ],
            "accidents": accidents(cluster, work),
        }
        ray.shutdown()
        cluster.shutdown()
    document = json.loads(json.dumps(document))
    text = page(document)
    (arguments.out / "results").mkdir(exist_ok=True)
    (arguments.out / "results" / "scale.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (arguments.out / "scale.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE.parent))
    main()
