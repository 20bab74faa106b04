"""A look at a run before GPUs are rented for it: its first rollouts, and what is probably wrong."""
