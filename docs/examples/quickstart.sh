python -m pip install .
ticketsearch run --strategy imp --sparsity 0.9 --budget 600ep
ticketsearch run --strategy ga --sparsity 0.9 --budget 600ep
ticketsearch report runs
