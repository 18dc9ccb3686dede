import sys

import ticketsearch


class Best(ticketsearch.Callback):
    """Says when a mask is the best of its search so far, and what the ticket reached in the end."""

    def on_trial(self, trial, run):
        if trial.score is not None and trial.score == run.best:
            print(f"{run.strategy}, seed {run.seed}: {run.best:.2%} after {run.spent:.1f} epochs", file=sys.stderr)

    def on_result(self, result):
        print(f"{result.strategy}, seed {result.seed}: confirmed {result.test_accuracy:.2%}", file=sys.stderr)


results = ticketsearch.compare(
    ["random", {"name": "imp", "rounds": 3, "round_steps": "20%"}],
    sparsities=[0.8, 0.9],
    seeds=range(2),
    budget=60,  # epochs
    orders=1,
    checkpoints=2,
    controls=[],
    baselines=False,
    out="runs/python",
    callbacks=[Best()],
)
print(results)  # in a notebook, the leaderboards

frame = results.to_frame()  # a pandas data frame: a line for each run
print(frame.groupby(["sparsity", "strategy"])["test_accuracy"].mean())

results.plot_cost(sparsity=0.9).write_html("cost.html")  # figures are Plotly's
results.plot_seeds(sparsity=0.9)
results.plot_sparsity()

results.save("mine.json.gz")
everything = ticketsearch.load_results("mine.json.gz", "runs/python")  # archives and folders add up
assert len(everything) == len(results) == 8
