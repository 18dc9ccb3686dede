"""Many runs: what a study plans, how its items are carried out, and what belongs to no single run."""
