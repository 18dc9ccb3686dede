"""How fast candidates are trained: this package's engines beside the ways everybody uses.

    python benchmarks/engine.py --quick --json rows.json      # under a minute: 10 % density, 64 masks, one thread
    python benchmarks/engine.py --json benchmarks/results/engine.json

Ratios within one run are what counts: machines are shared and noisy. Every row keeps its raw seconds. Losses of all
methods are compared with each other before anything is timed. The GEMM rate is that of PyTorch's float32 products
of the very shapes a dense training step is made of, on the same threads.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

Row = dict[str, Any]
STEPS = 100
DENSITIES = (0.5, 0.2, 0.1, 0.05, 0.02)
POPULATIONS = (1, 4, 16, 64, 256)
TOLERANCE = 2e-3


def main() -> None:
    """Parse, run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10 %% density, population 64, one thread, both shapes")
    parser.add_argument("--json", type=Path, help="write rows, machine and versions")
    parser.add_argument("--repeats", type=int, default=3, help="timed repetitions of each row; the median counts")
    arguments = parser.parse_args()
    # Before torch and JAX are imported: one thread in every pool but those of the engines.
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    import torch

    torch.set_num_threads(1)
    rows: list[Row] = []
    extra: Row = {}
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])
    for row in _one_thread(arguments.quick, arguments.repeats):
        rows.append(row)
        _show(row)
    os.sched_setaffinity(0, cores)
    if not arguments.quick:
        extra["memory"] = _memory()
        if len(cores) > 1:
            two = list(_two_threads(arguments.repeats))
            for row in two:
                _show(row)
            rows += two
            extra["contention"] = _contention(cores[:2], arguments.repeats)
        print(json.dumps(extra, indent=1))
    if arguments.json:
        from benchmarks import machine

        document = {"machine": machine.describe(), "rows": rows, **extra}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


def _one_thread(quick: bool, repeats: int) -> Iterator[Row]:
    from benchmarks.methods import METHODS, SHAPES

    for shape in SHAPES:
        gemm = gemm_gflops(shape)
        _agree(shape, METHODS)
        settings = [(0.1, 64)]
        if not quick:
            settings += [(density, 64) for density in DENSITIES if density != 0.1]
            settings += [(0.1, population) for population in POPULATIONS if population != 64]
        for density, population in settings:
            for method in METHODS:
                if (density, population) != (0.1, 64) and method in ("naive", "resident"):
                    continue  # their time depends on neither
                yield _row(shape, density, 1, population, method, repeats, gemm)
        if not quick:
            for steps in (50, 200, 400):
                yield _row(shape, 0.1, 1, 64, "sparse", repeats, gemm, steps)


def _two_threads(repeats: int) -> Iterator[Row]:
    from benchmarks.methods import SHAPES

    for shape in SHAPES:
        gemm = gemm_gflops(shape)
        for method in ("dense", "sparse"):
            yield from _paired(shape, method, repeats, gemm)


def _paired(shape: str, method: str, repeats: int, gemm: float) -> list[Row]:
    """One thread and two in turn, so that both see the same machine."""
    pairs = [[_row(shape, 0.1, threads, 64, method, 1, gemm) for threads in (1, 2)] for _ in range(repeats)]
    return [_merged(list(rows)) for rows in zip(*pairs, strict=True)]


def _merged(rows: list[Row]) -> Row:
    seconds = [second for row in rows for second in row["seconds"]]
    ratio = statistics.median(seconds) / rows[0]["seconds"][0]
    merged = rows[0] | {"seconds": seconds, "masks_per_s": rows[0]["masks_per_s"] / ratio}
    merged["dense_equivalent_gflops"] = rows[0]["dense_equivalent_gflops"] / ratio
    return merged


def _row(
    shape: str,
    density: float,
    threads: int,
    population: int,
    method: str,
    repeats: int,
    gemm: float,
    steps: int = STEPS,
) -> Row:
    from benchmarks.methods import AT_MOST, METHODS, Workload

    work = Workload(shape, density, population, steps)
    trained = min(population, AT_MOST.get(method, population))
    METHODS[method](work, range(min(2, trained)), threads)  # imports, compilation, page faults
    if method == "jax":
        METHODS[method](work, range(trained), threads)  # compiled for the population's size
    seconds = _timed(lambda: METHODS[method](work, range(trained), threads), repeats)
    rate = trained / statistics.median(seconds)
    return {
        "shape": shape,
        "density": density,
        "threads": threads,
        "population": population,
        "steps": steps,
        "method": method,
        "masks_per_s": rate,
        "dense_equivalent_gflops": rate * work.dense_flops() / 1e9,
        "gemm_gflops": gemm,
        "trained": trained,
        "seconds": seconds,
    }


def _timed(call: Callable[[], object], repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return seconds


def gemm_gflops(shape: str) -> float:
    """The rate of the float32 products of a dense step: forward, weight gradients, input gradients."""
    import torch

    from benchmarks.methods import SHAPES

    widths, batch = SHAPES[shape]
    products = []
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        x, w, d = torch.randn(batch, inputs), torch.randn(inputs, outputs), torch.randn(batch, outputs)
        products += [(x, w), (x.T, d)] + ([(d, w.T)] if index else [])
    flops = sum(2.0 * a.shape[0] * a.shape[1] * b.shape[1] for a, b in products)

    def step() -> None:
        for a, b in products:
            torch.mm(a, b)

    _timed(step, 100)
    return flops / min(statistics.median(_timed(step, 50)) for _ in range(20)) / 1e9


def _agree(shape: str, methods: Row) -> None:
    """All methods end at the same losses, or the comparison means nothing."""
    from benchmarks.methods import Workload

    work = Workload(shape, 0.1, 2, 20)
    losses = {name: method(work, range(2), 1) for name, method in methods.items()}
    for name, values in losses.items():
        worst = max(abs(a - b) for a, b in zip(values, losses["naive"], strict=True))
        if not worst <= TOLERANCE:
            sys.exit(f"{shape}: {name} ends at {values}, naive at {losses['naive']}")


def _contention(cores: list[int], repeats: int) -> list[Row]:
    """The two-thread rate with another process busy on one of the two cores, over the quiet one.

    Of evaluations, and of the search of a whole ``ga`` run.
    """
    from benchmarks.methods import METHODS, SHAPES, Workload

    calls: dict[str, Callable[[], object]]
    calls = {shape: partial(METHODS["sparse"], Workload(shape, 0.1, 64, STEPS), range(64), 2) for shape in SHAPES}
    results = []
    for name, call in {**calls, "ga on mnist1d-mlp": _ga}.items():
        call()
        quiet = _timed(call, repeats)
        other = multiprocessing.get_context("spawn").Process(target=_spin, args=(cores[1],), daemon=True)
        other.start()
        time.sleep(1.0)
        busy = _timed(call, repeats)
        other.terminate()
        other.join()
        ratio = statistics.median(quiet) / statistics.median(busy)
        results.append({"what": name, "quiet_s": quiet, "busy_s": busy, "rate_kept": ratio})
    return results


def _ga() -> None:
    """A whole run at the defaults: search and confirmation."""
    import ticketsearch

    with tempfile.TemporaryDirectory() as folder:
        ticketsearch.run("ga", out=folder)


def _spin(core: int) -> None:
    os.sched_setaffinity(0, {core})
    deadline = time.perf_counter() + 600
    while time.perf_counter() < deadline:
        pass


def _memory() -> dict[str, float]:
    """Peak memory of 256 evaluations of LeNet-300-100 above the data, in a process of its own, MB."""
    script = "from benchmarks.engine import peak; print(peak(0), peak(256))"
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    before, after = map(float, output.split())
    return {"masks": 256, "above_data_mb": after - before, "per_mask_mb": (after - before) / 256}


def peak(masks: int) -> float:
    """Memory of this process in MB: its peak after evaluating so many masks, or (0) what data and one mask take now."""
    from benchmarks.methods import Workload

    work = Workload("mnist-lenet", 0.1, max(1, masks), STEPS)
    work.engine.evaluate(work.job().only(slice(0, 1)), work.task.validation)
    if masks:
        work.engine.evaluate(work.job(), work.task.validation)
    # Not getrusage: its maximum is inherited from the process that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return int(status["VmHWM" if masks else "VmRSS"].split()[0]) / 1024


def _show(row: Row) -> None:
    print(
        f"{row['shape']:12} density {row['density']:<5g} threads {row['threads']} population {row['population']:<4d} "
        f"steps {row['steps']:<4d} {row['method']:9} {row['masks_per_s']:8.1f} masks/s "
        f"{row['dense_equivalent_gflops']:7.1f} dense-equivalent GFLOP/s "
        f"({row['dense_equivalent_gflops'] / row['gemm_gflops']:.2f} x GEMM)",
        flush=True,
    )


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    main()
