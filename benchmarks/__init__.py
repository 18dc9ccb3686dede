"""What measures speed and what runs the studies; results, with machine and raw values, lie in ``results``."""
