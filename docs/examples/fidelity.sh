ticketsearch fidelity --task mnist1d-mlp --sparsity 0.9 --steps 100step,400step,2000step
ticketsearch fidelity --of RUN --html fidelity.html
