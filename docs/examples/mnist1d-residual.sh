ticketsearch run --strategy imp --task mnist1d_residual:mnist1d_residual --sparsity 0.9 --set schedule=linear --set rounds=10 \
    --set scope=layer --set output_rate=1.0 --set prune_at=1000step
