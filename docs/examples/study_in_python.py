import ticketsearch

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
