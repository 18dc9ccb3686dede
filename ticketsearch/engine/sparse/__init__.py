"""The sparse engines: compiled kernels for a CPU, at a cost proportional to the kept weights."""
