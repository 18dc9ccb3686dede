r"""Predictors of tickets on MNIST-1D: three populations, two sparsities, ten seeds; raw outcomes and tables.

    ticketsearch compare --strategies random,magnitude,snip,grasp,synflow,ntk-sap,imp,early-bird,set,rigl,ga,sa \
        --sparsities 0.9,0.98 --budget 200ep --checkpoints 0 --no-controls --no-frontier --seeds 0-9 --out runs/predict
    python -m benchmarks.predict

The first makes the runs whose tickets are predicted. Both go on where they stopped.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ticketsearch.leaderboard.prediction import predictions_of
from ticketsearch.records.outcomes import write_outcomes
from ticketsearch.records.study_records import PredictOutcome
from ticketsearch.report.predict import markdown
from ticketsearch.studies.predict import POPULATIONS, Plan, predict, predict_runs
from ticketsearch.tasks import load_task

RESULTS = Path(__file__).parent / "results"
AT_THE_START = (
    "layer-densities", "gradient-norm", "snip", "grasp", "synflow", "ntk-norm", "ntk-condition", "naswot",
    "hessian-eigenvalue",
)  # fmt: skip
LATER = (
    "accuracy-after", "loss-after", "tse", "snip(steps=100)", "naswot(steps=100)", "ntk-norm(steps=100)",
    "accuracy-after(steps=400)", "loss-after(steps=400)", "tse(steps=400)",
)  # fmt: skip
PREDICTORS = (*AT_THE_START, *LATER)


def main() -> None:
    """Compute what is missing, then write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="runs/predict", help="folder of finished runs")
    parser.add_argument("--out", default="predictions", help="folder of outcomes; what is there is not repeated")
    parser.add_argument("--seeds", type=int, default=10)
    chosen = parser.parse_args()
    seeds, outcomes = range(chosen.seeds), list[PredictOutcome]()
    task = load_task("mnist1d-mlp")
    for sparsity in (0.9, 0.98):
        for population in POPULATIONS:
            plan = Plan(population=population, sparsity=sparsity, predictors=PREDICTORS, seeds=seeds)
            outcomes += predict(task, plan, out=chosen.out, tick=say)
    outcomes += predict_runs(chosen.runs, PREDICTORS, out=chosen.out, seeds=seeds, tick=say)
    write_outcomes(RESULTS / "predict.json.gz", outcomes)
    (RESULTS / "predict.md").write_text(markdown(predictions_of(outcomes)) + "\n")


def say(what: str, fraction: float) -> None:
    print(f"{what}: {100 * fraction:.0f} %", file=sys.stderr)


if __name__ == "__main__":
    main()
